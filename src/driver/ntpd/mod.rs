//! What makes a daemon an ntpd: the gate before the server's answers, and what is told to ntpq. Both are parts of `driver::daemon`.

mod broadcast;
mod configure;
mod facts;
mod gate;
mod informant;
mod statistics;
mod track;
mod wishes;

pub use self::configure::{Saving, limit, names_peers};
pub use self::facts::{bounds, socket_name};
pub use self::gate::{Admission, Gate, Rules};
pub use self::informant::{House, Informant, Message, Setup, version_line};
pub use self::statistics::Statistics;
pub use self::wishes::Wish;

#[cfg(test)]
mod tests;
