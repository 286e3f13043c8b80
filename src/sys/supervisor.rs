//! What a service manager passes to a daemon, and what it wants to be told: `$NOTIFY_SOCKET`, a descriptor (s6), `$LISTEN_FDS`.
#![expect(unsafe_code, reason = "descriptors that somebody else opened for us are numbers")]

use std::fs::File;
use std::io::Write;
use std::net::SocketAddr;
use std::os::fd::{BorrowedFd, FromRawFd, RawFd};
use std::sync::{Mutex, PoisonError};

use nix::errno::Errno;
use nix::fcntl::{FcntlArg, FdFlag, fcntl};
use nix::sys::socket::{SockType, getsockopt, sockopt};
use socket2::{Domain, SockAddr, Socket, Type};

use super::SysError;

/// The first descriptor that is passed (sd_listen_fds(3)).
const FIRST: RawFd = 3;
/// More are not looked at.
const MOST: i32 = 64;

/// Who is told that the daemon is ready, and that it ends.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Supervisor {
    /// `$NOTIFY_SOCKET`: a path, or `@NAME` for an abstract name.
    pub socket: Option<String>,
    /// A descriptor that gets a line feed and is closed when the daemon is ready.
    pub fd: Option<RawFd>,
}

impl Supervisor {
    /// The daemon is ready.
    ///
    /// # Errors
    /// `write` to the descriptor; `sendto` the socket: EINVAL for a name that is neither a path nor abstract.
    pub fn ready(&self) -> Result<(), SysError> {
        if let Some(fd) = self.fd {
            let told = Errno::result(
                // SAFETY: asks about a number.
                unsafe { libc::fcntl(fd, libc::F_GETFD) },
            )
            .map_err(|e| SysError::new("write", fd.to_string(), e))
            .and_then(|_| {
                // SAFETY: it is open, and was opened for us to be written once and closed.
                let mut file = unsafe { File::from_raw_fd(fd) };
                let written = file.write_all(b"\n");
                if fd <= libc::STDERR_FILENO {
                    // the standard streams stay
                    std::mem::forget(file);
                }
                written.map_err(|e| SysError::from_io("write", fd.to_string(), &e))
            });
            told?;
        }
        self.tell("READY=1")
    }

    /// The daemon ends. Nobody listening any more is no harm.
    pub fn stopping(&self) {
        let _ = self.tell("STOPPING=1");
    }

    fn tell(&self, word: &str) -> Result<(), SysError> {
        let Some(name) = &self.socket else { return Ok(()) };
        let failed = |e: std::io::Error| SysError::from_io("sendto", name.clone(), &e);
        let path = match name.strip_prefix('@') {
            Some(rest) => format!("\0{rest}"),
            None if name.starts_with('/') => name.clone(),
            None => return Err(SysError::new("sendto", name.clone(), Errno::EINVAL)),
        };
        let address = SockAddr::unix(path).map_err(failed)?;
        let socket = Socket::new_raw(Domain::UNIX, Type::DGRAM, None).map_err(failed)?;
        socket.send_to(word.as_bytes(), &address).map(drop).map_err(failed)
    }
}

/// Sockets that were passed and are not yet taken.
static PASSED: Mutex<Vec<Socket>> = Mutex::new(Vec::new());

/// Notes the UDP sockets among the descriptors that `$LISTEN_FDS` counts, if `$LISTEN_PID` means this process. From now on a
/// socket that is opened on the address of one of them is that one. To be called once, before anything is opened.
pub fn adopt(listen_pid: Option<&str>, listen_fds: Option<&str>) {
    let number = |text: Option<&str>| text.and_then(|t| t.parse::<i32>().ok());
    if number(listen_pid) != i32::try_from(std::process::id()).ok() {
        return;
    }
    let count = number(listen_fds).unwrap_or(0).clamp(0, MOST);
    for fd in FIRST..FIRST + count {
        // SAFETY: only asked about; an error for a number that is not open.
        let probe = unsafe { BorrowedFd::borrow_raw(fd) };
        let datagrams = getsockopt(&probe, sockopt::SockType).is_ok_and(|kind| kind == SockType::Datagram);
        if datagrams && fcntl(probe, FcntlArg::F_SETFD(FdFlag::FD_CLOEXEC)).is_ok() {
            // SAFETY: it was passed to this process for its use, and nothing else here uses it.
            let socket = unsafe { Socket::from_raw_fd(fd) };
            PASSED.lock().unwrap_or_else(PoisonError::into_inner).push(socket);
        }
    }
}

/// The passed socket that is bound to this address.
pub(super) fn passed(address: SocketAddr) -> Option<Socket> {
    let mut sockets = PASSED.lock().unwrap_or_else(PoisonError::into_inner);
    let found = |socket: &Socket| {
        // the kernel leaves the scope out of a global address
        let bound = socket.local_addr().ok()?.as_socket()?;
        (bound.ip() == address.ip() && bound.port() == address.port()).then_some(())
    };
    let place = sockets.iter().position(|socket| found(socket).is_some())?;
    Some(sockets.remove(place))
}

#[cfg(test)]
mod tests {
    use std::os::fd::{AsFd, AsRawFd, IntoRawFd};
    use std::os::linux::net::SocketAddrExt;
    use std::os::unix::net::UnixDatagram;

    use super::*;
    use crate::sys::net::{UdpOptions, UdpSocket};
    use crate::sys::testing::rerun;

    #[test]
    fn the_manager_is_told_by_path_name_and_descriptor() {
        let dir = std::env::temp_dir().join(format!("ntpbox-notify-{}", std::process::id()));
        std::fs::create_dir_all(&dir).unwrap();
        let path = dir.join("notify");
        let abstract_name = format!("ntpbox-notify-{}", std::process::id());
        let by_path = UnixDatagram::bind(&path).unwrap();
        let address = std::os::unix::net::SocketAddr::from_abstract_name(&abstract_name).unwrap();
        let by_name = UnixDatagram::bind_addr(&address).unwrap();
        for (listener, name) in
            [(by_path, path.to_str().unwrap().to_owned()), (by_name, format!("@{abstract_name}"))]
        {
            let (read, write) = nix::unistd::pipe().unwrap();
            let supervisor = Supervisor { socket: Some(name), fd: Some(write.into_raw_fd()) };
            supervisor.ready().unwrap();
            supervisor.stopping();
            let mut buffer = [0; 32];
            for word in ["READY=1", "STOPPING=1"] {
                let len = listener.recv(&mut buffer).unwrap();
                assert_eq!(&buffer[..len], word.as_bytes());
            }
            let mut text = String::new();
            std::io::Read::read_to_string(&mut File::from(read), &mut text).unwrap();
            assert_eq!(text, "\n", "one line feed, then closed");
        }
        std::fs::remove_dir_all(&dir).unwrap();
        assert_eq!(Supervisor::default().ready(), Ok(()));
        let error = |socket: Option<&str>, fd| {
            Supervisor { socket: socket.map(str::to_owned), fd }.ready().unwrap_err().errno
        };
        assert_eq!(error(Some("relative"), None), Errno::EINVAL);
        assert_eq!(error(Some("/no-such/socket"), None), Errno::ENOENT);
        assert_eq!(error(None, Some(9999)), Errno::EBADF);
    }

    /// In a child: descriptor 3 belongs to others here.
    #[test]
    fn passed_sockets_are_taken_over() {
        if rerun("sys::supervisor::tests::passed_sockets_are_taken_over", &["env"]).is_some() {
            return;
        }
        let theirs = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
        let address = theirs.local_addr().unwrap();
        // SAFETY: a descriptor that is open, and numbers.
        let high = unsafe { libc::fcntl(theirs.as_raw_fd(), libc::F_DUPFD, 50) };
        drop(theirs);
        // SAFETY: what 3 and 4 were before is of no use to this test; 4 is no socket now.
        let placed = unsafe {
            libc::close(4);
            (libc::dup2(high, 3), libc::close(high))
        };
        assert_eq!(placed, (3, 0));
        let options = UdpOptions::server(address);
        assert_eq!(UdpSocket::open(&options).unwrap_err().errno, Errno::EADDRINUSE);
        adopt(Some("1"), Some("2"));
        assert_eq!(UdpSocket::open(&options).unwrap_err().errno, Errno::EADDRINUSE);
        adopt(Some(&std::process::id().to_string()), Some("2"));
        let ours = UdpSocket::open(&options).unwrap();
        assert_eq!((ours.as_fd().as_raw_fd(), ours.local_address().unwrap()), (3, address));
        assert_eq!(UdpSocket::open(&options).unwrap_err().errno, Errno::EADDRINUSE);
    }
}
