//! The configuration's files on this host.

use std::net::{IpAddr, SocketAddr};
use std::path::Path;

use crate::config::chrony_conf::Files;
use crate::sys::dns::{self, Looked};
use crate::sys::{file, glob};

/// A configuration file is not longer than this.
const FILE_LIMIT: usize = 16 << 20;

/// The real file system.
pub struct Disk;

impl Files for Disk {
    fn read(&mut self, path: &str) -> Result<Vec<u8>, String> {
        file::read_bounded(Path::new(path), FILE_LIMIT).map_err(|error| error.reason().to_owned())
    }

    fn glob(&mut self, pattern: &str) -> Option<Vec<String>> {
        let found = glob::files(pattern).ok()?;
        Some(found.into_iter().map(|path| path.to_string_lossy().into_owned()).collect())
    }

    fn list(&mut self, directory: &str) -> Vec<String> {
        let names = glob::names_in(Path::new(directory));
        names.into_iter().map(|name| name.to_string_lossy().into_owned()).collect()
    }
    fn address(&mut self, name: &str) -> Option<IpAddr> {
        let deadline = dns::deadline_in(dns::FORWARD_TIMEOUT);
        let Looked::Done(answers) = dns::addresses_of(&[name.to_owned()], None, 0, deadline).ok()? else {
            return None;
        };
        answers.into_iter().next()?.ok()?.first().map(SocketAddr::ip)
    }
}
