//! Tests of the applets as programs.

mod demo;
mod every;
mod install;
mod list;
mod ntpdate;
mod ntpq;
