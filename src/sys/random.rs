//! Random numbers that nobody can guess: the kernel's.
#![expect(unsafe_code, reason = "getrandom through libc's symbol, which simulators replace by a seeded one")]

use std::io::Read;

use nix::errno::Errno;

use super::SysError;

/// Fills a buffer.
///
/// # Errors
/// `getrandom`, and on kernels before 3.17 `open` or `read` of /dev/urandom.
pub fn fill(buffer: &mut [u8]) -> Result<(), SysError> {
    let mut rest = buffer;
    while !rest.is_empty() {
        // SAFETY: the pointer is good for writes of that length.
        let got = Errno::result(unsafe { libc::getrandom(rest.as_mut_ptr().cast(), rest.len(), 0) });
        match got {
            Ok(count) => rest = rest.get_mut(usize::try_from(count).unwrap_or(0)..).unwrap_or_default(),
            Err(Errno::EINTR) => {}
            Err(Errno::ENOSYS) => return from_device(rest),
            Err(errno) => return Err(SysError::new("getrandom", "", errno)),
        }
    }
    Ok(())
}

/// 64 random bits.
///
/// # Errors
/// As [`fill`].
pub fn number() -> Result<u64, SysError> {
    let mut bytes = [0; 8];
    fill(&mut bytes)?;
    Ok(u64::from_ne_bytes(bytes))
}

fn from_device(buffer: &mut [u8]) -> Result<(), SysError> {
    const DEVICE: &str = "/dev/urandom";
    let mut file = std::fs::File::open(DEVICE).map_err(|e| SysError::from_io("open", DEVICE, &e))?;
    file.read_exact(buffer).map_err(|e| SysError::from_io("read", DEVICE, &e))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_byte_is_written_by_either_way() {
        for fill_by in [fill, from_device] {
            // a byte that stays 0 in 8 fills was not written (2⁻⁶⁴ by chance)
            let mut seen = [0_u8; 300];
            for _ in 0..8 {
                let mut bytes = [0; 300];
                fill_by(&mut bytes).unwrap();
                seen.iter_mut().zip(bytes).for_each(|(s, b)| *s |= b);
            }
            assert!(seen.iter().all(|&b| b != 0));
        }
        assert_ne!(number().unwrap(), number().unwrap());
    }
}
