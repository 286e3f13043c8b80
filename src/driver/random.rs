//! The kernel's random numbers for the engine.

use crate::engine::rng::Rng;
use crate::sys::random;

/// Random bits of the kernel, fetched some at a time; what would be predictable without them checks [`Self::failed`].
#[derive(Debug, Default)]
pub struct KernelRng {
    pool: Vec<u64>,
    failed: bool,
}

impl KernelRng {
    /// Whether the kernel gave none at some time.
    pub fn failed(&self) -> bool {
        self.failed
    }
}

impl KernelRng {
    #[cold]
    fn refill(&mut self) -> u64 {
        let mut bytes = [0; 1024];
        self.failed |= random::fill(&mut bytes).is_err();
        self.pool.extend(bytes.as_chunks::<8>().0.iter().map(|c| u64::from_ne_bytes(*c)));
        self.pool.pop().unwrap_or_default()
    }
}

impl Rng for KernelRng {
    fn next_u64(&mut self) -> u64 {
        match self.pool.pop() {
            Some(number) => number,
            None => self.refill(),
        }
    }
}
