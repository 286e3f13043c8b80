//! Tests of the applets as programs.

mod every;
mod install;
mod list;
mod ntpdate;
