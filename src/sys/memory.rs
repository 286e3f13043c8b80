//! Memory: large blocks with pages of their own, and what a start needed given back.

#![expect(unsafe_code, reason = "the allocator, malloc_trim and madvise have no safe binding")]

use std::alloc::{GlobalAlloc, Layout, System};
use std::ops::Range;
use std::ptr;

/// Blocks of this size and more have pages of their own.
const LARGE: usize = 16 << 10;
/// The smallest page that Linux has.
const PAGE: usize = 4096;
/// What is left of the free part of the stack: more than the calls take that give the rest back.
const STACK_MARGIN: usize = 8 << 10;

/// The allocator of the binary: that of the C library, but a large block is mapped by itself.
///
/// So a table that is zeroed costs only the pages that are used, wherever the heap has holes (`calloc` takes a hole and writes
/// zeroes to it), and a large block that is freed is given back at once.
#[derive(Debug, Clone, Copy, Default)]
pub struct Allocator;

const fn is_large(layout: Layout) -> bool {
    layout.size() >= LARGE && layout.align() <= PAGE
}

/// Zeroed pages; null when there are none.
#[cold]
fn map(size: usize) -> *mut u8 {
    let (protection, flags) = (libc::PROT_READ | libc::PROT_WRITE, libc::MAP_PRIVATE | libc::MAP_ANONYMOUS);
    // SAFETY: a new mapping, wherever the kernel likes.
    let at = unsafe { libc::mmap(ptr::null_mut(), size, protection, flags, -1, 0) };
    if at == libc::MAP_FAILED { ptr::null_mut() } else { at.cast() }
}

/// Gives such pages back.
///
/// # Safety
/// The block was mapped in this size and nobody uses it any more.
#[cold]
unsafe fn unmap(block: *mut u8, size: usize) {
    // SAFETY: as the caller promises.
    unsafe { libc::munmap(block.cast(), size) };
}

// SAFETY: a block's layout tells whether it was mapped or is of the system's allocator, and each is given to its own; mapped
// blocks begin at a page, are as long as was asked for, and belong to nobody else.
unsafe impl GlobalAlloc for Allocator {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        if is_large(layout) {
            return map(layout.size());
        }
        // SAFETY: as the caller promises.
        unsafe { System.alloc(layout) }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        if is_large(layout) {
            return map(layout.size());
        }
        // SAFETY: as the caller promises.
        unsafe { System.alloc_zeroed(layout) }
    }

    unsafe fn dealloc(&self, block: *mut u8, layout: Layout) {
        if is_large(layout) {
            // SAFETY: the block was mapped in this size and nobody uses it any more.
            unsafe { unmap(block, layout.size()) };
        } else {
            // SAFETY: as the caller promises.
            unsafe { System.dealloc(block, layout) };
        }
    }

    unsafe fn realloc(&self, block: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        // SAFETY: the caller promises that the size can be one of a layout.
        let new = unsafe { Layout::from_size_align_unchecked(size, layout.align()) };
        match (is_large(layout), is_large(new)) {
            // SAFETY: as the caller promises.
            (false, false) => unsafe { System.realloc(block, layout, size) },
            (true, true) => {
                // SAFETY: the block was mapped in this size; the old address is not used after a move.
                let at = unsafe { libc::mremap(block.cast(), layout.size(), size, libc::MREMAP_MAYMOVE) };
                if at == libc::MAP_FAILED { ptr::null_mut() } else { at.cast() }
            }
            _ => {
                // SAFETY: the size is not zero, as the caller promises.
                let moved = unsafe { self.alloc(new) };
                if !moved.is_null() {
                    // SAFETY: two different blocks, each at least as long as the shorter one; the old one is not used any more.
                    unsafe {
                        ptr::copy_nonoverlapping(block, moved, layout.size().min(size));
                        self.dealloc(block, layout);
                    }
                }
                moved
            }
        }
    }
}

/// Gives back what only the start needed: free pages of the heap, of the stack below what is in use, and the pages of the program and
/// its libraries, of which those that are used come back from the page cache with the next access. Afterwards what is resident is what
/// the daemon works with.
///
/// Nothing changes but that: only mappings of files are touched of which no page was ever written in this process (the kernel counts
/// none as anonymous) and none can be; the stack is that of the first thread, and only when it is that which calls. Where memory is
/// locked (`lock_all`) the kernel refuses and it stays. Takes half a millisecond; not being able to is no harm, hence no result.
pub fn give_back() {
    let smaps = std::fs::read_to_string("/proc/self/smaps").unwrap_or_default();
    let here = ptr::from_ref(&smaps).addr();
    // SAFETY: a number.
    let page = usize::try_from(unsafe { libc::sysconf(libc::_SC_PAGESIZE) }).unwrap_or(0);
    let mut free = unwritten(&smaps);
    free.extend(unused_stack(&smaps, here, page));
    drop(smaps);
    #[cfg(target_env = "gnu")]
    // SAFETY: a number.
    unsafe {
        libc::malloc_trim(0);
    }
    for range in free {
        // SAFETY: a private mapping of a file without a page of our own: each page reads the same afterwards. Or stack so far below
        // this function's frame that nothing is there: what the calls from here on put there, they put there anew.
        unsafe {
            libc::madvise(ptr::with_exposed_provenance_mut(range.start), range.len(), libc::MADV_DONTNEED)
        };
    }
}

/// The range `55d0c0a00000-55d0c0b00000` of a line of /proc/PID/smaps.
fn addresses(range: &str) -> Option<Range<usize>> {
    let address = |hex: &str| usize::from_str_radix(hex, 16).ok();
    let (start, end) = range.split_once('-')?;
    Some(address(start)?..address(end)?)
}

/// The pages of the first thread's stack that are free when `here` is an address in the youngest frame of whoever asks; `None` when
/// that is the stack of another thread.
fn unused_stack(smaps: &str, here: usize, page: usize) -> Option<Range<usize>> {
    let line = smaps.lines().find(|line| line.ends_with(" [stack]"))?;
    let stack = addresses(line.split_ascii_whitespace().next()?)?;
    let end = here.checked_sub(STACK_MARGIN)?;
    let end = end - end.checked_rem(page)?;
    (stack.contains(&here) && stack.contains(&end)).then_some(stack.start..end)
}

/// The mappings of /proc/PID/smaps that are private, of a file, not writable, and without a page that was written.
fn unwritten(smaps: &str) -> Vec<Range<usize>> {
    let mut found = Vec::new();
    let mut candidate = None;
    for line in smaps.lines() {
        let mut words = line.split_ascii_whitespace();
        match (words.next(), words.next()) {
            (Some("Anonymous:"), Some(kilobytes)) => {
                found.extend(candidate.take().filter(|_| kilobytes == "0"));
            }
            // 55d0c0a00000-55d0c0b00000 r-xp 00001000 fe:00 1234 /usr/sbin/chronyd
            (Some(range), Some("r--p" | "r-xp")) => {
                let (_offset, _device, inode) = (words.next(), words.next(), words.next());
                candidate = addresses(range).filter(|_| inode.is_some_and(|inode| inode != "0"));
            }
            (Some(word), _) if !word.ends_with(':') => candidate = None,
            _ => {}
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_comes_back_from_its_file_is_given_back() {
        let text = "\
1000-3000 r--p 00000000 fe:00 7 /usr/bin/ntpbox
Rss:                   8 kB
Anonymous:             0 kB
VmFlags: rd mr mw me
3000-5000 r-xp 00002000 fe:00 7 /usr/bin/ntp box (deleted)
Anonymous:             0 kB
5000-6000 r--p 00004000 fe:00 7 /usr/bin/ntpbox
Anonymous:             4 kB
6000-7000 rw-p 00005000 fe:00 7 /usr/bin/ntpbox
Anonymous:             0 kB
7000-8000 r--p 00000000 00:00 0 [vvar]
Anonymous:             0 kB
8000-9000 r--s 00000000 fe:00 9 /dev/shared
Anonymous:             0 kB
9000-a000 ---p 00000000 fe:00 7 /usr/bin/ntpbox
Anonymous:             0 kB
a000-b000 r--p 00000000 fe:00 7 /an/old/kernel/without/the/count
b000-zzzz r--p 00000000 fe:00 7 /x
Anonymous:             0 kB
";
        assert_eq!(unwritten(text), [0x1000..0x3000, 0x3000..0x5000]);
        assert_eq!(unwritten("Anonymous: 0 kB\n"), []);
    }

    #[test]
    fn the_stack_is_free_below_whoever_asks() {
        let text = "\
7fff00000000-7fff00021000 rw-p 00000000 00:00 0                          [stack]
Anonymous:            68 kB
7fff00030000-7fff00032000 r-xp 00000000 00:00 0                          [vdso]
";
        assert_eq!(unused_stack(text, 0x7fff_0001_f123, 4096), Some(0x7fff_0000_0000..0x7fff_0001_d000));
        assert_eq!(unused_stack(text, 0x7fff_0001_f123, 65536), Some(0x7fff_0000_0000..0x7fff_0001_0000));
        // nothing is left below, another thread's stack, no such line
        assert_eq!(unused_stack(text, 0x7fff_0000_1fff, 4096), None);
        assert_eq!(unused_stack(text, 0x7ffe_0001_f123, 4096), None);
        assert_eq!(unused_stack(text, 0x7fff_0002_1000, 4096), None);
        assert_eq!(unused_stack("", 0x7fff_0001_f123, 4096), None);
    }

    #[test]
    fn the_process_goes_on_afterwards() {
        let text = std::fs::read_to_string("/proc/self/smaps").unwrap();
        let before = text.clone();
        give_back();
        assert!(!unwritten(&text).is_empty(), "at least the program itself");
        assert_eq!((text, format!("{:.3}", 2.5_f64.exp())), (before, "12.182".to_owned()));
    }

    #[test]
    fn blocks_keep_their_contents_through_all_changes_of_size() {
        let layout = |size| Layout::from_size_align(size, 16).unwrap();
        let sizes = [100, LARGE - 1, LARGE, 5 * LARGE, 400 * LARGE, 2 * LARGE, LARGE - 1, 64];
        // SAFETY: each block is used within its size, and by its last layout.
        unsafe {
            let mut block = Allocator.alloc_zeroed(layout(sizes[0]));
            block.write_bytes(7, 50);
            for pair in sizes.windows(2) {
                block = Allocator.realloc(block, layout(pair[0]), pair[1]);
                assert!(!block.is_null() && block.addr() % 16 == 0);
                assert!((0..50).all(|i| *block.add(i) == 7));
                *block.add(pair[1] - 1) = 9;
            }
            Allocator.dealloc(block, layout(64));
            let zeroed = Allocator.alloc_zeroed(layout(3 * LARGE));
            assert!((0..3 * LARGE).all(|i| *zeroed.add(i) == 0));
            Allocator.dealloc(zeroed, layout(3 * LARGE));
        }
    }
}
