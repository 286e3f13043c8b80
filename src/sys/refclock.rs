//! Where reference clocks are read: shared memory (the segment of ntpd's driver 28, as gpsd writes it), a Unix datagram socket
//! (chrony's SOCK), and the kernel's PPS devices (RFC 2783).
#![expect(unsafe_code, reason = "System V shared memory and the PPS ioctls; nix has neither")]

use std::fs::File;
use std::mem::size_of;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::ptr::NonNull;
use std::sync::atomic::{Ordering, fence};

use nix::errno::Errno;
use nix::sys::socket::{AddressFamily, MsgFlags, SockFlag, SockType, UnixAddr, bind, recv, socket};
use nix::unistd::unlink;

use super::SysError;
use crate::types::{Leap, TimeDelta, Timestamp};

/// Key of the first segment ("NTP0"); unit N adds N.
const SHM_KEY: i32 = 0x4e54_5030;
/// What a datagram has to carry ("SOCK").
const SOCK_MAGIC: i32 = 0x534f_434b;
/// Datagrams taken in a row.
const ROUND: usize = 64;
/// Capture of the leading edge.
const ASSERT: i32 = 0x01;
/// The trailing edge.
const CLEAR: i32 = 0x02;
/// Times are seconds and nanoseconds.
const TIMESPEC: i32 = 0x1000;

/// What was read.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct ClockRead {
    /// When, by the kernel's clock.
    pub at: Timestamp,
    /// The reference's time less the kernel's; of a pulse only the fraction of a second means something.
    pub offset: TimeDelta,
    /// Whether it is a pulse.
    pub pulse: bool,
    /// What it says about leap seconds.
    pub leap: Leap,
}

fn leap(code: i32) -> Leap {
    match code {
        1 => Leap::Add,
        2 => Leap::Delete,
        3 => Leap::Unsynchronised,
        _ => Leap::None,
    }
}

/// The layout that all writers of these segments share.
#[repr(C)]
#[derive(Clone, Copy)]
struct Segment {
    mode: libc::c_int,
    count: libc::c_int,
    clock_sec: libc::time_t,
    clock_usec: libc::c_int,
    receive_sec: libc::time_t,
    receive_usec: libc::c_int,
    leap: libc::c_int,
    precision: libc::c_int,
    samples: libc::c_int,
    valid: libc::c_int,
    clock_nsec: libc::c_uint,
    receive_nsec: libc::c_uint,
    unused: [libc::c_int; 8],
}

/// A segment of shared memory.
#[derive(Debug)]
pub struct SharedMemory {
    segment: NonNull<Segment>,
}

impl SharedMemory {
    /// Attaches the segment of a unit, and makes it with these permissions where it is missing.
    ///
    /// # Errors
    /// `shmget`, `shmat`: EACCES, EINVAL (another program's segment of that key is smaller).
    pub fn attach(unit: i32, permissions: i32) -> Result<Self, SysError> {
        let name = || format!("SHM {unit}");
        let key = SHM_KEY.checked_add(unit).ok_or_else(|| SysError::new("shmget", name(), Errno::EINVAL))?;
        // SAFETY: no pointers.
        let id = unsafe { libc::shmget(key, size_of::<Segment>(), libc::IPC_CREAT | permissions & 0o777) };
        let id = Errno::result(id).map_err(|errno| SysError::new("shmget", name(), errno))?;
        // SAFETY: the kernel chooses the address; the segment is at least as large as was asked for.
        let at = unsafe { libc::shmat(id, std::ptr::null(), 0) };
        if at.addr() == usize::MAX {
            return Err(SysError::new("shmat", name(), Errno::last()));
        }
        let segment = NonNull::new(at.cast::<Segment>());
        segment.map(|segment| Self { segment }).ok_or_else(|| SysError::new("shmat", name(), Errno::EINVAL))
    }

    /// Takes what the writer left; `None`: nothing new, or it is just being written.
    pub fn read(&self) -> Option<ClockRead> {
        let at = self.segment.as_ptr();
        // SAFETY: the segment stays attached as long as self; another process writes to it, hence volatile.
        let read = unsafe { at.read_volatile() };
        fence(Ordering::SeqCst);
        // SAFETY: as above.
        let count = unsafe { (&raw const (*at).count).read_volatile() };
        let torn = read.mode == 1 && read.count != count;
        if read.valid == 0 || torn || !(read.mode == 0 || read.mode == 1) {
            return None;
        }
        // SAFETY: as above.
        unsafe { (&raw mut (*at).valid).write_volatile(0) };
        let clock = stamp(read.clock_sec, read.clock_usec, read.clock_nsec)?;
        let receive = stamp(read.receive_sec, read.receive_usec, read.receive_nsec)?;
        Some(ClockRead { at: receive, offset: clock - receive, pulse: false, leap: leap(read.leap) })
    }
}

impl Drop for SharedMemory {
    fn drop(&mut self) {
        // SAFETY: attached by shmat, and nobody uses it any more.
        unsafe { libc::shmdt(self.segment.as_ptr().cast()) };
    }
}

/// Old writers give µs only; the ns count where they say the same.
fn stamp(secs: libc::time_t, micros: libc::c_int, nanos: libc::c_uint) -> Option<Timestamp> {
    let micros = u32::try_from(micros).ok().filter(|micros| *micros < 1_000_000)?;
    let fine = nanos < 1_000_000_000 && nanos / 1000 == micros;
    Some(Timestamp::from_unix(secs, if fine { nanos } else { micros * 1000 }))
}

/// A Unix datagram socket that samples are sent to; its path is removed when it is dropped.
#[derive(Debug)]
pub struct SampleSocket {
    socket: OwnedFd,
    path: PathBuf,
}

impl SampleSocket {
    /// Opens the socket; one that was left behind at that path is replaced.
    ///
    /// # Errors
    /// `socket`, `bind`: ENOENT, EACCES, ENAMETOOLONG.
    pub fn open(path: &Path) -> Result<Self, SysError> {
        let name = || path.display().to_string();
        let fd = socket(AddressFamily::Unix, SockType::Datagram, SockFlag::empty(), None)
            .map_err(|errno| SysError::new("socket", name(), errno))?;
        let address = UnixAddr::new(path).map_err(|errno| SysError::new("bind", name(), errno))?;
        let _ = unlink(path);
        bind(fd.as_raw_fd(), &address).map_err(|errno| SysError::new("bind", name(), errno))?;
        Ok(Self { socket: fd, path: path.to_owned() })
    }

    /// What came since the last call.
    pub fn read(&self) -> Vec<ClockRead> {
        let mut buffer = [0; 64];
        let mut reads = Vec::new();
        for _ in 0..ROUND {
            match recv(self.socket.as_raw_fd(), &mut buffer, MsgFlags::MSG_DONTWAIT) {
                Ok(length) => reads.extend(buffer.get(..length).and_then(sample)),
                Err(_) => break,
            }
        }
        reads
    }
}

impl AsFd for SampleSocket {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

impl Drop for SampleSocket {
    fn drop(&mut self) {
        let _ = unlink(&self.path);
    }
}

/// `struct timeval tv; double offset; int pulse, leap, _pad, magic`, in the host's own order.
fn sample(bytes: &[u8]) -> Option<ClockRead> {
    let mut rest = bytes;
    let mut long = || -> Option<[u8; 8]> {
        let (first, after) = rest.split_first_chunk::<8>()?;
        rest = after;
        Some(*first)
    };
    let (secs, micros) = (i64::from_ne_bytes(long()?), i64::from_ne_bytes(long()?));
    let offset = f64::from_ne_bytes(long()?);
    let integers: Vec<i32> =
        rest.chunks_exact(4).filter_map(|four| Some(i32::from_ne_bytes(four.try_into().ok()?))).collect();
    let [pulse, code, _, SOCK_MAGIC] = integers[..] else { return None };
    let micros = u32::try_from(micros).ok().filter(|micros| *micros < 1_000_000)?;
    Some(ClockRead {
        at: Timestamp::from_unix(secs, micros * 1000),
        offset: TimeDelta::from_secs_f64(offset)?,
        pulse: pulse != 0,
        leap: leap(code),
    })
}

/// An edge of the signal.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Edge {
    /// The leading one.
    Assert,
    /// The trailing one.
    Clear,
}

#[repr(C)]
#[derive(Clone, Copy, Default)]
struct PpsTime {
    sec: i64,
    nsec: i32,
    flags: u32,
}

#[repr(C)]
#[derive(Clone, Copy, Default)]
struct PpsParameters {
    version: libc::c_int,
    mode: libc::c_int,
    assert_offset: PpsTime,
    clear_offset: PpsTime,
}

#[repr(C)]
#[derive(Clone, Copy, Default)]
struct PpsFetch {
    assert_sequence: u32,
    clear_sequence: u32,
    assert: PpsTime,
    clear: PpsTime,
    mode: libc::c_int,
    timeout: PpsTime,
}

/// The ioctls of linux/pps.h: pointers are passed, and their size is in the number.
const PPS: u8 = b'p';

/// A PPS device.
#[derive(Debug)]
pub struct Pps {
    device: File,
    edge: Edge,
    sequence: Option<u32>,
}

impl Pps {
    /// Opens a device and switches the capture of this edge on.
    ///
    /// # Errors
    /// `open`: ENOENT, EACCES; `PPS_SETPARAMS`: ENOTTY (it is no PPS device), EINVAL (it cannot capture that edge).
    pub fn open(path: &Path, edge: Edge) -> Result<Self, SysError> {
        let name = || path.display().to_string();
        let device = File::options()
            .read(true)
            .write(true)
            .open(path)
            .map_err(|error| SysError::from_io("open", name(), &error))?;
        let mut parameters = PpsParameters::default();
        let get = nix::request_code_read!(PPS, 0xa1, size_of::<usize>());
        // SAFETY: the kernel fills the structure, which lives through the call.
        let done = unsafe { libc::ioctl(device.as_raw_fd(), get as _, &raw mut parameters) };
        Errno::result(done).map_err(|errno| SysError::new("PPS_GETPARAMS", name(), errno))?;
        parameters.mode |= TIMESPEC | if edge == Edge::Assert { ASSERT } else { CLEAR };
        let set = nix::request_code_write!(PPS, 0xa2, size_of::<usize>());
        // SAFETY: the kernel reads the structure, which lives through the call.
        let done = unsafe { libc::ioctl(device.as_raw_fd(), set as _, &raw const parameters) };
        Errno::result(done).map_err(|errno| SysError::new("PPS_SETPARAMS", name(), errno))?;
        Ok(Self { device, edge, sequence: None })
    }

    /// The last pulse; `None`: it was taken before, or there was none yet.
    pub fn read(&mut self) -> Option<ClockRead> {
        let mut fetch = PpsFetch::default();
        let request = nix::request_code_readwrite!(PPS, 0xa4, size_of::<usize>());
        // SAFETY: the kernel reads the time-out (zero: do not wait) and fills the rest of the structure, which lives through the call.
        let done = unsafe { libc::ioctl(self.device.as_raw_fd(), request as _, &raw mut fetch) };
        Errno::result(done).ok()?;
        let (sequence, time) = match self.edge {
            Edge::Assert => (fetch.assert_sequence, fetch.assert),
            Edge::Clear => (fetch.clear_sequence, fetch.clear),
        };
        if self.sequence.replace(sequence) == Some(sequence) || sequence == 0 {
            return None;
        }
        let nanos = u32::try_from(time.nsec).ok().filter(|nanos| *nanos < 1_000_000_000)?;
        let offset = TimeDelta::from_nanos(-i64::from(nanos));
        Some(ClockRead { at: Timestamp::from_unix(time.sec, nanos), offset, pulse: true, leap: Leap::None })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::net::UnixDatagram;

    fn datagram(offset: f64, magic: i32) -> Vec<u8> {
        let mut bytes = Vec::new();
        bytes.extend(1_795_000_000_i64.to_ne_bytes());
        bytes.extend(250_000_i64.to_ne_bytes());
        bytes.extend(offset.to_ne_bytes());
        for integer in [0, 1, 0, magic] {
            bytes.extend(i32::to_ne_bytes(integer));
        }
        bytes
    }

    #[test]
    fn samples_come_by_socket_and_rubbish_does_not() {
        let path = std::env::temp_dir().join(format!("ntpbox-sock-{}", std::process::id()));
        let socket = SampleSocket::open(&path).unwrap();
        let writer = UnixDatagram::unbound().unwrap();
        writer.connect(&path).unwrap();
        for bytes in
            [&datagram(0.5, SOCK_MAGIC)[..], &datagram(0.5, 1), &datagram(f64::NAN, SOCK_MAGIC), b"x"]
        {
            writer.send(bytes).unwrap();
        }
        let reads = socket.read();
        assert_eq!(reads.len(), 1, "{reads:?}");
        assert_eq!(reads[0].at, Timestamp::from_unix(1_795_000_000, 250_000_000));
        assert_eq!((reads[0].offset, reads[0].leap), (TimeDelta::from_millis(500), Leap::Add));
        let again = SampleSocket::open(&path).unwrap();
        assert!(again.read().is_empty());
        drop(again);
        assert!(!path.exists());
    }

    #[test]
    fn a_sample_in_shared_memory_is_taken_once() {
        // a unit of this process alone
        let unit = 0x0100_0000 + i32::try_from(std::process::id() & 0xf_ffff).unwrap();
        let Ok(memory) = SharedMemory::attach(unit, 0o600) else { return };
        let write = |segment: Segment| {
            // SAFETY: the segment is attached, and only this test knows it.
            unsafe { memory.segment.as_ptr().write_volatile(segment) };
        };
        let segment = Segment {
            mode: 1,
            count: 4,
            clock_sec: 1_795_000_001,
            clock_usec: 500_000,
            receive_sec: 1_795_000_000,
            receive_usec: 250_000,
            leap: 2,
            precision: -20,
            samples: 3,
            valid: 1,
            clock_nsec: 500_000_123,
            receive_nsec: 7,
            unused: [0; 8],
        };
        write(segment);
        let read = memory.read().unwrap();
        assert_eq!(read.offset, TimeDelta::from_nanos(1_250_000_123), "the second's ns do not fit its µs");
        assert_eq!(read.leap, Leap::Delete);
        assert_eq!(memory.read(), None);
        write(Segment { clock_usec: -1, ..segment });
        assert_eq!(memory.read(), None);
        // SAFETY: no pointers but null; the segment goes with the last that holds it.
        unsafe {
            let id = libc::shmget(SHM_KEY + unit, 0, 0);
            libc::shmctl(id, libc::IPC_RMID, std::ptr::null_mut());
        }
    }

    #[test]
    fn a_file_is_no_pps_device() {
        let error = Pps::open(Path::new("/dev/null"), Edge::Assert).unwrap_err();
        assert_eq!(error.errno, Errno::ENOTTY, "{error}");
        assert_eq!(Pps::open(Path::new("/nowhere"), Edge::Clear).unwrap_err().errno, Errno::ENOENT);
    }
}
