//! What the command sockets are told by the configuration, and what commands need of it later.

use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::Path;

use super::args::Args;
use super::following;
use crate::auth::KeyRing;
use crate::config::chrony_conf;
use crate::config::model::Config;
use crate::control::cmdmon::{Answerer, OpenCommands};
use crate::driver::cmdserver::CommandServer;
use crate::driver::commands::House;
use crate::driver::files::Disk;
use crate::driver::lifecycle::Life;
use crate::engine::access::Table;
use crate::engine::options::Source;
use crate::sys::log::Level;
use crate::sys::net::Family;

/// Who may give commands and which, with UDP sockets open; what cannot be opened is said in the log.
pub(super) fn server(args: &Args, config: &Config, life: &Life) -> CommandServer {
    let open = config.opencommands.as_deref().map(OpenCommands::from_words).unwrap_or_default();
    let mut commands = CommandServer::new(Answerer::new(super::table(&config.command_access), open));
    let port = u16::try_from(config.integers.cmdport).unwrap_or(0);
    let bind = config.bindcmdaddress;
    let v4 = (args.family != Some(Family::V6)).then(|| bind.v4.unwrap_or(Ipv4Addr::LOCALHOST.into()));
    let v6 = (args.family != Some(Family::V4)).then(|| bind.v6.unwrap_or(Ipv6Addr::LOCALHOST.into()));
    for ip in [v4, v6].into_iter().flatten().filter(|_| port != 0) {
        let address = SocketAddr::new(ip, port);
        if commands.listen_udp(address, config.words.bindcmddevice.as_deref()).is_err() {
            life.line(Level::Error, &format!("Could not open command socket on {address}"));
        }
    }
    commands
}

/// Opens the Unix socket; what is wrong is said in the log.
pub(super) fn listen(commands: &mut CommandServer, path: &Path, life: &Life) {
    if let Err(error) = commands.listen_unix(path) {
        let text = format!("Could not open command socket on {} : {}", path.display(), error.reason());
        life.line(Level::Error, &text);
    }
}

/// The configuration, for commands that need it again.
pub(super) struct Reader<'a> {
    pub(super) args: &'a Args,
    pub(super) config: &'a Config,
    pub(super) life: &'a Life,
}

impl House for Reader<'_> {
    fn addresses(&self, access: &Table<bool>) -> Vec<SocketAddr> {
        super::addresses(self.args, self.config, access)
    }

    fn keys(&mut self) -> KeyRing {
        super::keys(self.config, self.life)
    }

    fn sources(&mut self) -> Vec<Source> {
        let found = chrony_conf::sources_in(&self.config.sourcedirs, &mut Disk);
        found.into_iter().map(|(source, _)| source).collect()
    }

    fn completed(&self, source: Source) -> Source {
        following::source(self.args, self.config, &source)
    }
}
