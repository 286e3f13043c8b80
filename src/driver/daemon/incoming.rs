//! What comes in by sockets: requests for the server, replies of sources, packets of peers, control messages.

use std::net::{IpAddr, SocketAddr};

use super::{Daemon, Log, ROUND};
use crate::engine::association::{Stamp, Stamper};
use crate::engine::daemon::Input;
use crate::engine::measurement::SourceId;
use crate::sys::net::{Datagram, StampSource, UdpSocket};
use crate::sys::{SysError, clock};
use crate::types::{Mode, Secs, Timestamp};

impl Daemon {
    /// Requests are answered at once; what is not one may be of a peer, or a control message. Whether there was such.
    pub(super) fn serve(&mut self) -> Result<bool, SysError> {
        if self.peers_of != self.engine.generation() {
            self.peers_of = self.engine.generation();
            self.server.set_peers(self.engine.peers().collect());
            if let Some(gate) = self.server.gate() {
                gate.know_servers(self.engine.sources().map(|(_, source)| source.association.address().ip()));
            }
        }
        if self.server.sockets() == 0 && self.server.deadline().is_none() {
            return Ok(false);
        }
        let answers = self.informant.is_some();
        let mut others: Vec<(SocketAddr, Vec<u8>, Stamp, Option<IpAddr>)> = Vec::new();
        let mut other = |_: &UdpSocket, datagram: &Datagram<'_>| {
            let mode = datagram.bytes.first().map(|first| Mode::from_bits(*first));
            let wanted = matches!(
                mode,
                Some(Mode::SymmetricActive | Mode::SymmetricPassive | Mode::Broadcast | Mode::Server)
            );
            let control = answers && mode == Some(Mode::Control);
            if (wanted || control) && others.len() < ROUND {
                others.push((datagram.from, datagram.bytes.to_vec(), received(datagram), datagram.to));
            }
        };
        self.server.service(clock::mono(), &mut other)?;
        let mut more = !others.is_empty();
        while let Some((frame, at)) = self.server.take_own_stamp() {
            more = true;
            if let Some((source, token)) = self.requests.of_frame(&frame) {
                self.hand(Input::Sent { source, token, at: kernel_stamp(at) });
            }
        }
        for (from, bytes, received, local) in others {
            if bytes.first().is_some_and(|first| Mode::from_bits(*first) == Mode::Control) {
                self.tell(from, &bytes, received.at, local);
                continue;
            }
            self.hand(Input::Symmetric { from, bytes: &bytes, received, local });
        }
        Ok(more)
    }

    /// Replies to requests that left by a shared socket.
    pub(super) fn receive_shared(&mut self, buffer: &mut [u8]) {
        for (source, token, at) in self.requests.all_left(buffer) {
            self.hand(Input::Sent { source, token, at: kernel_stamp(at) });
        }
        for place in 0..self.requests.shared_sockets().len() {
            for _ in 0..ROUND {
                let Some(socket) = self.requests.shared_sockets().get(place) else { break };
                let datagram = match socket.receive(buffer) {
                    Ok(Some(datagram)) => datagram,
                    Ok(None) => break,
                    Err(_) => continue,
                };
                if !datagram.truncated {
                    let (from, bytes, local) = (datagram.from, datagram.bytes, datagram.to);
                    let received = received(&datagram);
                    let input = Input::Symmetric { from, bytes, received, local };
                    self.hand(input);
                }
            }
        }
    }

    /// What has come to the socket of a request.
    pub(super) fn receive(&mut self, id: SourceId, buffer: &mut [u8], log: Log<'_>) {
        for round in 0..ROUND {
            // the request's own time stamp comes before its reply is judged
            if let Some((token, at)) = self.requests.left(id, buffer) {
                self.hand(Input::Sent { source: id, token, at: kernel_stamp(at) });
            }
            let datagram = match self.requests.receive(id, buffer) {
                Ok(Some(datagram)) => datagram,
                Ok(None) if round == 0 => return self.requests.empty_errors(id, buffer),
                Ok(None) => return,
                // nobody answers there: what the network said is taken, the reply may still come
                Err(_) => continue,
            };
            if datagram.truncated {
                continue;
            }
            let local = datagram.to.or_else(|| self.requests.own_address(id));
            let received = received(&datagram);
            let bytes = datagram.bytes;
            let input = Input::Reply { source: id, bytes, received, local };
            self.hand(input);
            // the engine may be through with this socket: then no further packet is taken from it
            self.act(log);
        }
    }
}

fn received(datagram: &Datagram<'_>) -> Stamp {
    let by = match datagram.stamp {
        StampSource::Daemon => Stamper::Daemon,
        StampSource::Kernel => Stamper::Kernel,
    };
    Stamp { at: datagram.received, by, error: Secs::ZERO }
}

pub(super) const fn kernel_stamp(at: Timestamp) -> Stamp {
    Stamp { at, by: Stamper::Kernel, error: Secs::ZERO }
}
