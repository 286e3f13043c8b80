//! Fragments of a reply: cutting one up, putting one together within bounds.

use super::{Align, Header, MAX_DATA, Packet};

/// Most fragments of a reply that are kept (ntpq 4.2.8: 32).
pub const MAX_FRAGMENTS: usize = 32;

/// What a fragment did to the reply.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fragment {
    /// Duplicate, overlapping, empty or one too many: it counts for nothing.
    Ignored,
    /// Kept; others are missing.
    Kept,
    /// The reply is complete.
    Last,
}

/// A reply that is being put together. Holds at most [`MAX_FRAGMENTS`] fragments without overlap, so that its size is
/// bounded by the 16-bit offset plus one packet, whatever a server sends.
#[derive(Debug, Default)]
pub struct Assembly {
    /// Sorted by offset.
    parts: Vec<(usize, Vec<u8>)>,
    /// Length of the whole, known once a fragment without "more" has come.
    end: Option<usize>,
    status: u16,
}

impl Assembly {
    /// Whether nothing has come yet.
    pub fn is_empty(&self) -> bool {
        self.parts.is_empty()
    }

    /// Takes a fragment that belongs to this reply.
    pub fn accept(&mut self, packet: &Packet<'_>) -> Fragment {
        let begin = usize::from(packet.header.offset);
        let end = begin + packet.data.len();
        if packet.header.more {
            if packet.data.is_empty() {
                return Fragment::Ignored;
            }
        } else if self.end.is_some() {
            return Fragment::Ignored;
        }
        let at = self.parts.partition_point(|(offset, _)| *offset < begin);
        let before = at.checked_sub(1).and_then(|i| self.parts.get(i));
        let overlaps_before = before.is_some_and(|(offset, data)| offset + data.len() > begin);
        let overlaps_after = self.parts.get(at).is_some_and(|(offset, _)| *offset < end || *offset == begin);
        let beyond = self.end.is_some_and(|known| end > known)
            || (!packet.header.more && self.parts.get(at).is_some());
        if overlaps_before || overlaps_after || beyond || self.parts.len() >= MAX_FRAGMENTS {
            return Fragment::Ignored;
        }
        if !packet.header.more {
            self.end = Some(end);
            self.status = packet.header.status;
        }
        self.parts.insert(at, (begin, packet.data.to_vec()));
        if self.is_complete() { Fragment::Last } else { Fragment::Kept }
    }

    /// Status word of the last fragment and the data; what has not come is missing in it.
    pub fn finish(self) -> (u16, Vec<u8>) {
        (self.status, self.parts.into_iter().flat_map(|(_, data)| data).collect())
    }

    fn is_complete(&self) -> bool {
        let mut next = 0;
        for (offset, data) in &self.parts {
            if *offset != next {
                return false;
            }
            next += data.len();
        }
        self.end == Some(next)
    }
}

/// Cuts a reply into packets of at most 468 data bytes, filled to the brim (4.2.8's way), without MACs.
/// What lies beyond the reach of the 16-bit offset is left out.
pub fn fragments(header: &Header, data: &[u8], align: Align) -> Vec<Vec<u8>> {
    if data.is_empty() {
        return vec![Header { more: false, offset: 0, ..*header }.emit(data, align)];
    }
    let chunks = data.chunks(MAX_DATA);
    let last = chunks.len() - 1;
    let mut packets = Vec::with_capacity(chunks.len());
    for (number, chunk) in chunks.enumerate() {
        let Ok(offset) = u16::try_from(number * MAX_DATA) else { break };
        packets.push(Header { more: number < last, offset, ..*header }.emit(chunk, align));
    }
    packets
}
