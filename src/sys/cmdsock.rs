//! The sockets on which a client talks to a chronyd: UDP, and Unix datagrams from a directory of the process's own; and the
//! daemon's Unix socket.
//!
//! A Unix client must have a path that the daemon can answer to, but nobody else may plant a link or a socket there. So: a
//! directory `chronyc.PID` (0711) beside the daemon's socket, which must be ours, in it one with a name that cannot be
//! guessed, and in that the socket (0666, since the daemon may run as another user). All three go when the socket is dropped.

use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::os::fd::{AsFd, BorrowedFd};
use std::path::{Path, PathBuf};

use nix::errno::Errno;
use nix::fcntl::{FcntlArg, FdFlag, OFlag, fcntl, open};
use nix::sys::socket::{MsgFlags, UnixAddr, recvfrom, sendto};
use nix::sys::stat::{FchmodatFlags, Mode, SFlag, fchmod, fchmodat, fstat, lstat, mkdirat};
use nix::unistd::{UnlinkatFlags, geteuid, mkdir, unlinkat};
use socket2::{Domain, SockAddr, Socket, Type};

use super::{SysError, random};

/// Permissions of both directories: to pass through, not to list.
const DIRECTORY_MODE: Mode = Mode::from_bits_truncate(0o711);
/// Permissions of the socket.
const SOCKET_MODE: Mode = Mode::from_bits_truncate(0o666);
/// Letters of the name that cannot be guessed.
const LETTERS: &[u8; 62] = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
/// How many of them.
const NAME_LENGTH: usize = 16;

/// Why there is no socket to a daemon's path. `Display` gives the original's lines.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum LocalError {
    /// The daemon's socket is not there, not ours to write to, or nobody listens: not worth a line.
    Unreachable(SysError),
    /// More than 107 bytes.
    PathTooLong(PathBuf),
    /// One of the steps failed.
    Step(&'static str, PathBuf, Errno),
    /// A directory of that name is there and is not what we would have made.
    Unexpected(&'static str, PathBuf),
    /// `bind` or `connect`.
    NotConnected(&'static str),
    /// `chmod`.
    Permissions(Errno),
}

impl fmt::Display for LocalError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unreachable(error) => fmt::Display::fmt(error, f),
            Self::PathTooLong(path) => write!(f, "Server socket path {} is too long", path.display()),
            Self::Step(what, path, errno) => {
                write!(f, "Could not {what} {} : {}", path.display(), super::errno_text(*errno))
            }
            Self::Unexpected(what, path) => write!(f, "Unexpected {what} of {}", path.display()),
            Self::NotConnected(call) => write!(f, "Could not {call} client Unix socket"),
            Self::Permissions(errno) => {
                write!(f, "Could not change socket or directory permissions : {}", super::errno_text(*errno))
            }
        }
    }
}

/// What became of a datagram.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sent {
    /// It is on its way.
    Yes,
    /// The daemon's queue is full: wait, then send it again.
    Full,
}

/// A connected datagram socket that never blocks.
#[derive(Debug)]
pub struct CommandSocket {
    socket: Socket,
    _place: Option<Place>,
}

/// Our directories and socket; removed on drop.
#[derive(Debug)]
struct Place {
    outer: PathBuf,
    inner: PathBuf,
    socket: PathBuf,
}

impl Drop for Place {
    fn drop(&mut self) {
        // what is not there any more needs no removing
        let _ = unlinkat(nix::fcntl::AT_FDCWD, &self.socket, UnlinkatFlags::NoRemoveDir);
        let _ = unlinkat(nix::fcntl::AT_FDCWD, &self.inner, UnlinkatFlags::RemoveDir);
        let _ = unlinkat(nix::fcntl::AT_FDCWD, &self.outer, UnlinkatFlags::RemoveDir);
    }
}

impl CommandSocket {
    /// A UDP socket that hears this address only.
    ///
    /// # Errors
    /// `socket` (the host lacks the family), `fcntl`, `connect` (no route).
    pub fn udp(address: SocketAddr) -> Result<Self, SysError> {
        let domain = if address.is_ipv4() { Domain::IPV4 } else { Domain::IPV6 };
        let socket = datagram_socket(domain)?;
        socket
            .connect(&SockAddr::from(address))
            .map_err(|e| SysError::from_io("connect", address.to_string(), &e))?;
        Ok(Self { socket, _place: None })
    }

    /// A Unix socket to the daemon's path.
    ///
    /// # Errors
    /// [`LocalError`]; nothing is left behind.
    pub fn local(server: &Path) -> Result<Self, LocalError> {
        let shown = server.to_path_buf();
        let address = SockAddr::unix(server).map_err(|_| LocalError::PathTooLong(shown))?;
        let unreachable = |operation, e: &io::Error| {
            LocalError::Unreachable(SysError::from_io(operation, server.to_string_lossy(), e))
        };
        let probe = datagram_socket(Domain::UNIX).map_err(LocalError::Unreachable)?;
        probe.connect(&address).map_err(|e| unreachable("connect", &e))?;
        let socket = datagram_socket(Domain::UNIX).map_err(LocalError::Unreachable)?;
        let place = make_place(server, &socket)?;
        socket.connect(&address).map_err(|_| LocalError::NotConnected("connect"))?;
        open_up(&place).map_err(LocalError::Permissions)?;
        Ok(Self { socket, _place: Some(place) })
    }

    /// Sends a datagram.
    ///
    /// # Errors
    /// `send`: ECONNREFUSED (also of an earlier datagram), EPIPE, ENETUNREACH …
    pub fn send(&self, bytes: &[u8]) -> Result<Sent, SysError> {
        match self.socket.send(bytes) {
            Ok(_) => Ok(Sent::Yes),
            Err(e) => match e.raw_os_error().map(Errno::from_raw) {
                Some(Errno::EAGAIN | Errno::ENOBUFS | Errno::EINTR) => Ok(Sent::Full),
                _ => Err(SysError::from_io("send", "", &e)),
            },
        }
    }

    /// Takes a datagram, cut to the buffer; `None` when there is none now.
    ///
    /// # Errors
    /// `recv`: ECONNREFUSED when nobody listens …
    pub fn receive<'b>(&self, buffer: &'b mut [u8]) -> Result<Option<&'b [u8]>, SysError> {
        match nix::sys::socket::recv(std::os::fd::AsRawFd::as_raw_fd(&self.socket), buffer, MsgFlags::empty())
        {
            Ok(length) => Ok(buffer.get(..length)),
            Err(Errno::EAGAIN | Errno::EINTR) => Ok(None),
            Err(errno) => Err(SysError::new("recv", "", errno)),
        }
    }
}

impl AsFd for CommandSocket {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

/// The daemon's end: a Unix socket at a path, which goes when this is dropped.
#[derive(Debug)]
pub struct ControlSocket {
    socket: Socket,
    path: PathBuf,
}

impl ControlSocket {
    /// Makes the socket; one that an earlier daemon left is replaced, any other file is not.
    ///
    /// # Errors
    /// `unlink`, `socket`, `bind` (EADDRINUSE: a file is in the way; EINVAL: more than 107 bytes).
    pub fn bind(path: &Path) -> Result<Self, SysError> {
        let shown = || path.display().to_string();
        let is_socket = |mode| SFlag::from_bits_truncate(mode) & SFlag::S_IFMT == SFlag::S_IFSOCK;
        if lstat(path).is_ok_and(|stat| is_socket(stat.st_mode)) {
            unlinkat(nix::fcntl::AT_FDCWD, path, UnlinkatFlags::NoRemoveDir)
                .map_err(|errno| SysError::new("unlink", shown(), errno))?;
        }
        let address = SockAddr::unix(path).map_err(|e| SysError::from_io("bind", shown(), &e))?;
        let socket = datagram_socket(Domain::UNIX)?;
        socket.bind(&address).map_err(|e| SysError::from_io("bind", shown(), &e))?;
        Ok(Self { socket, path: path.to_path_buf() })
    }

    /// Takes a datagram, cut to the buffer, and where an answer can be sent to; `None` when there is none now. A sender
    /// without a path cannot be answered: such datagrams are dropped here.
    ///
    /// # Errors
    /// `recvfrom`.
    pub fn receive<'b>(&self, buffer: &'b mut [u8]) -> Result<Option<(&'b [u8], PathBuf)>, SysError> {
        loop {
            match recvfrom::<UnixAddr>(std::os::fd::AsRawFd::as_raw_fd(&self.socket), buffer) {
                Ok((length, from)) => {
                    // a simulator of the network pads the path with NULs
                    let path = from.and_then(|from| from.path().map(Path::to_path_buf));
                    if let Some(path) = path.filter(|path| !path.as_os_str().is_empty()) {
                        return Ok(buffer.get(..length).map(|bytes| (bytes, path)));
                    }
                }
                Err(Errno::EAGAIN | Errno::EINTR) => return Ok(None),
                Err(errno) => return Err(SysError::new("recvfrom", "", errno)),
            }
        }
    }

    /// Sends an answer.
    ///
    /// # Errors
    /// `sendto`: the asker is gone (ECONNREFUSED, ENOENT), or does not read (EAGAIN).
    pub fn send_to(&self, bytes: &[u8], to: &Path) -> Result<(), SysError> {
        let failed = |errno| SysError::new("sendto", to.display().to_string(), errno);
        let address = UnixAddr::new(to).map_err(failed)?;
        sendto(std::os::fd::AsRawFd::as_raw_fd(&self.socket), bytes, &address, MsgFlags::empty())
            .map(drop)
            .map_err(failed)
    }
}

impl Drop for ControlSocket {
    fn drop(&mut self) {
        // what is not there any more needs no removing
        let _ = unlinkat(nix::fcntl::AT_FDCWD, &self.path, UnlinkatFlags::NoRemoveDir);
    }
}

impl AsFd for ControlSocket {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

fn datagram_socket(domain: Domain) -> Result<Socket, SysError> {
    let socket =
        Socket::new_raw(domain, Type::DGRAM, None).map_err(|e| SysError::from_io("socket", "", &e))?;
    // type flags are outside the portable set; a new socket has no other flags
    fcntl(&socket, FcntlArg::F_SETFD(FdFlag::FD_CLOEXEC)).map_err(|e| SysError::new("fcntl", "", e))?;
    fcntl(&socket, FcntlArg::F_SETFL(OFlag::O_RDWR | OFlag::O_NONBLOCK))
        .map_err(|e| SysError::new("fcntl", "", e))?;
    Ok(socket)
}

/// Makes the directories and binds the socket in them.
fn make_place(server: &Path, socket: &Socket) -> Result<Place, LocalError> {
    let parent = server.parent().unwrap_or(Path::new("/"));
    let outer = parent.join(format!("chronyc.{}", std::process::id()));
    let inner = outer.join(secret_name().map_err(LocalError::Unreachable)?);
    // from here on `place` cleans up
    let place = Place { socket: inner.join("sock"), outer, inner };
    let step = |what, path: &Path| {
        let path = path.to_path_buf();
        move |errno| LocalError::Step(what, path, errno)
    };
    match mkdir(&place.outer, DIRECTORY_MODE) {
        Ok(()) | Err(Errno::EEXIST) => {}
        Err(errno) => return Err(LocalError::Step("create", place.outer.clone(), errno)),
    }
    let flags = OFlag::O_RDONLY | OFlag::O_DIRECTORY | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC;
    let directory = open(&place.outer, flags, Mode::empty()).map_err(step("open", &place.outer))?;
    let stat = fstat(&directory).map_err(step("stat", &place.outer))?;
    let mode = Mode::from_bits_truncate(stat.st_mode);
    if !SFlag::from_bits_truncate(stat.st_mode).contains(SFlag::S_IFDIR) || !DIRECTORY_MODE.contains(mode) {
        return Err(LocalError::Unexpected("mode", place.outer.clone()));
    }
    if stat.st_uid != geteuid().as_raw() {
        return Err(LocalError::Unexpected("owner", place.outer.clone()));
    }
    let name = place.inner.file_name().unwrap_or_default();
    mkdirat(&directory, name, DIRECTORY_MODE).map_err(step("create", &place.inner))?;
    let address = SockAddr::unix(&place.socket).map_err(|_| LocalError::NotConnected("bind"))?;
    socket.bind(&address).map_err(|_| LocalError::NotConnected("bind"))?;
    // the umask may have taken the daemon's way in
    fchmod(&directory, DIRECTORY_MODE).map_err(LocalError::Permissions)?;
    Ok(place)
}

/// Lets the daemon in.
fn open_up(place: &Place) -> Result<(), Errno> {
    let chmod = |path: &Path, mode| fchmodat(nix::fcntl::AT_FDCWD, path, mode, FchmodatFlags::FollowSymlink);
    chmod(&place.socket, SOCKET_MODE)?;
    chmod(&place.inner, DIRECTORY_MODE)
}

fn secret_name() -> Result<String, SysError> {
    let mut bytes = [0; NAME_LENGTH];
    random::fill(&mut bytes)?;
    let letter = |byte: u8| LETTERS.get(usize::from(byte) % LETTERS.len()).copied().unwrap_or(b'0');
    Ok(bytes.into_iter().map(|byte| char::from(letter(byte))).collect())
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;
    use std::os::unix::net::UnixDatagram;

    use super::*;

    fn scratch(name: &str) -> PathBuf {
        let path = std::env::temp_dir().join(format!("ntpbox-cmdsock-{name}-{}", std::process::id()));
        let _ = std::fs::remove_dir_all(&path);
        std::fs::create_dir(&path).unwrap();
        path
    }

    fn receive(socket: &CommandSocket, buffer: &mut [u8]) -> Vec<u8> {
        for _ in 0..1000 {
            if let Some(bytes) = socket.receive(buffer).unwrap() {
                return bytes.to_vec();
            }
            std::thread::yield_now();
        }
        panic!("nothing came");
    }

    #[test]
    fn a_unix_daemon_answers_to_a_path_that_goes_away() {
        let directory = scratch("answer");
        let server = UnixDatagram::bind(directory.join("d.sock")).unwrap();
        let socket = CommandSocket::local(&directory.join("d.sock")).unwrap();
        assert_eq!(socket.send(b"question").unwrap(), Sent::Yes);
        let mut buffer = [0; 100];
        let (length, from) = server.recv_from(&mut buffer).unwrap();
        assert_eq!(&buffer[..length], b"question");
        let path = from.as_pathname().unwrap().to_owned();
        assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o666);
        for inner in [path.parent().unwrap(), path.parent().unwrap().parent().unwrap()] {
            assert_eq!(std::fs::metadata(inner).unwrap().permissions().mode() & 0o777, 0o711);
        }
        server.send_to(b"answer", &path).unwrap();
        assert_eq!(receive(&socket, &mut buffer), b"answer");
        drop(socket);
        let left: Vec<_> = std::fs::read_dir(&directory).unwrap().map(|e| e.unwrap().file_name()).collect();
        assert_eq!(left, ["d.sock"]);
        std::fs::remove_dir_all(&directory).unwrap();
    }

    #[test]
    fn a_control_socket_replaces_a_stale_one_answers_and_goes() {
        let directory = scratch("control");
        let path = directory.join("d.sock");
        drop(UnixDatagram::bind(&path).unwrap());
        let server = ControlSocket::bind(&path).unwrap();
        let client = CommandSocket::local(&path).unwrap();
        // one who has no path is passed over
        UnixDatagram::unbound().unwrap().send_to(b"nobody", &path).unwrap();
        client.send(b"question").unwrap();
        let mut buffer = [0; 100];
        let (bytes, from) = server.receive(&mut buffer).unwrap().unwrap();
        assert_eq!(bytes, b"question");
        server.send_to(b"answer", &from).unwrap();
        assert_eq!(server.receive(&mut [0; 9]).unwrap(), None);
        assert_eq!(receive(&client, &mut [0; 100]), b"answer");
        drop(client);
        assert!(server.send_to(b"late", &from).is_err());
        drop(server);
        assert!(!path.exists());
        std::fs::write(&path, "precious").unwrap();
        assert_eq!(ControlSocket::bind(&path).unwrap_err().errno, Errno::EADDRINUSE);
        assert_eq!(std::fs::read(&path).unwrap(), b"precious");
        std::fs::remove_dir_all(&directory).unwrap();
    }

    #[test]
    fn a_place_that_is_not_ours_is_refused() {
        let directory = scratch("refused");
        let _server = UnixDatagram::bind(directory.join("d.sock")).unwrap();
        let place = directory.join(format!("chronyc.{}", std::process::id()));
        std::fs::create_dir(&place).unwrap();
        std::fs::set_permissions(&place, std::fs::Permissions::from_mode(0o777)).unwrap();
        let error = CommandSocket::local(&directory.join("d.sock")).unwrap_err();
        assert_eq!(error, LocalError::Unexpected("mode", place.clone()));
        let _ = std::fs::remove_dir(&place);
        std::os::unix::fs::symlink("/tmp", &place).unwrap();
        let error = CommandSocket::local(&directory.join("d.sock")).unwrap_err();
        assert!(error.to_string().starts_with(&format!("Could not open {} : ", place.display())), "{error}");
        std::fs::remove_dir_all(&directory).unwrap();
    }

    #[test]
    fn nobody_there_is_silent_and_long_paths_are_named() {
        let missing = CommandSocket::local(Path::new("/nonexistent/d.sock")).unwrap_err();
        assert!(matches!(missing, LocalError::Unreachable(_)));
        let long = PathBuf::from(format!("/{}", "x".repeat(200)));
        assert_eq!(
            CommandSocket::local(&long).unwrap_err().to_string(),
            format!("Server socket path {} is too long", long.display())
        );
    }

    #[test]
    fn a_closed_port_refuses() {
        let free = std::net::UdpSocket::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        let socket = CommandSocket::udp(free).unwrap();
        let _ = socket.send(b"x");
        let mut refused = false;
        for _ in 0..1000 {
            refused |= socket.receive(&mut [0; 10]).is_err();
        }
        assert!(refused);
    }
}
