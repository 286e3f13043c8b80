//! Tests of the applets as programs.

mod chronyc;
mod chronyc_seeds;
mod chronyd;
mod consumers;
mod demo;
mod every;
mod hwclock;
mod install;
mod list;
mod ntpdate;
mod ntpq;
mod ntpstat;
mod timedatectl;
