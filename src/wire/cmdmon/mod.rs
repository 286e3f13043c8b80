//! chrony's command and monitoring protocol, version 6 at the level of chrony 4.9 with the layouts of every older
//! generation since 2.2 (and the unpadded version 5 of 1.27 … 1.29 for the commands that did not change).
//!
//! One datagram is one request or one reply, all integers big endian. A request is as long as its largest reply: the
//! difference is zero padding, so that nobody is sent more bytes than he spent. Packets carry no authentication; what
//! may be asked is decided by the transport.
//!
//! Both directions, for our client and our daemon: [`Request::encode`]/[`parse_request`], [`Reply::encode`]/[`parse_reply`].

mod field;
mod reply;
mod request;
#[cfg(test)]
pub(crate) mod tests;

use std::fmt;

pub use field::{Field, Float, Ip, Name, Pad, Reader, Reserved, Timespec};
pub use reply::{
    Activity, AuthData, ClientAccess, ClientAccess2, ClientAccesses2, ClientAccesses3, ManualList,
    ManualSample, ManualTimestamp, NtpData, NtpDataHead, NtpDataOld, Reply, ReplyError, ReplyHeader,
    RtcReport, SelectData, ServerStats, ServerStats2, ServerStats3, ServerStats4, Smoothing, SourceData,
    SourceStats, Tracking, parse_reply,
};
pub use request::{
    AddSource, AddSource2, AddressMask, Burst, ClientsQuery, ClientsQuery2, Local2, Local3, MakestepLimits,
    ModifyAddress, ModifyAddressFloat, ModifyOffset, ModifySelectOpts, Refusal, Request, RequestPacket,
    Subnet, flags, flags_old, is_request, parse_request, select_options,
};

/// The protocol version that is spoken since chrony 1.29.1.
pub const VERSION: u8 = 6;
/// The oldest version that shares its header and most layouts; without padding.
pub const VERSION_UNPADDED: u8 = 5;
/// Length of a request's header.
pub const REQUEST_HEADER: usize = 20;
/// Length of a reply's header; also the shortest request that a daemon looks at.
pub const REPLY_HEADER: usize = 28;
/// The longest request that a daemon of level 4.9 accepts; also more than any reply.
pub const MAX_PACKET: usize = 896;

/// `packet_type` of a request and of a reply.
const TYPE_REQUEST: u8 = 1;
const TYPE_REPLY: u8 = 2;

/// The daemon's verdict on a request.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Status(u16);

impl Status {
    /// Done.
    pub const SUCCESS: Self = Self(0);
    /// Could not be done.
    pub const FAILED: Self = Self(1);
    /// Not permitted on this transport.
    pub const UNAUTHORISED: Self = Self(2);
    /// Unknown command or sub-code.
    pub const INVALID: Self = Self(3);
    /// No source of that address or index.
    pub const NO_SUCH_SOURCE: Self = Self(4);
    /// The facility is not configured.
    pub const NOT_ENABLED: Self = Self(6);
    /// Bits or family of a subnet make no sense.
    pub const BAD_SUBNET: Self = Self(7);
    /// Answer of accheck: allowed.
    pub const ACCESS_ALLOWED: Self = Self(8);
    /// Answer of accheck: denied.
    pub const ACCESS_DENIED: Self = Self(9);
    /// Answer of daemons before 2.2: no command access from this host.
    pub const NO_HOST_ACCESS: Self = Self(10);
    /// The source is there already.
    pub const SOURCE_KNOWN: Self = Self(11);
    /// The table of sources is full.
    pub const TOO_MANY_SOURCES: Self = Self(12);
    /// No RTC driver.
    pub const NO_RTC: Self = Self(13);
    /// The RTC file cannot be written.
    pub const BAD_RTC_FILE: Self = Self(14);
    /// Clients are not logged.
    pub const INACTIVE: Self = Self(15);
    /// No such manual sample.
    pub const BAD_SAMPLE: Self = Self(16);
    /// The family does not fit the source's options.
    pub const INVALID_FAMILY: Self = Self(17);
    /// Another protocol version.
    pub const BAD_VERSION: Self = Self(18);
    /// Shorter than the command needs.
    pub const BAD_LENGTH: Self = Self(19);
    /// A name that is none.
    pub const INVALID_NAME: Self = Self(21);

    /// From the number in the packet.
    pub const fn new(code: u16) -> Self {
        Self(code)
    }

    /// The number in the packet.
    pub const fn get(self) -> u16 {
        self.0
    }

    /// Whether the command did what it was asked (the answers of accheck included).
    pub const fn is_success(self) -> bool {
        matches!(self, Self::SUCCESS | Self::ACCESS_ALLOWED | Self::ACCESS_DENIED)
    }
}

impl fmt::Debug for Status {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Status({})", self.0)
    }
}

/// Defines a struct whose fields stand in the packet in this order and without gaps.
macro_rules! layout {
    ($(#[$meta:meta])* $name:ident { $($(#[$field_meta:meta])* $field:ident: $type:ty,)* }) => {
        $(#[$meta])*
        #[derive(Debug, Clone, PartialEq, Eq)]
        pub struct $name { $($(#[$field_meta])* pub $field: $type,)* }

        impl $crate::wire::cmdmon::Field for $name {
            const SIZE: usize = 0 $(+ <$type as $crate::wire::cmdmon::Field>::SIZE)*;
            fn get(reader: &mut $crate::wire::cmdmon::Reader<'_>) -> Self {
                Self { $($field: $crate::wire::cmdmon::Field::get(reader),)* }
            }
            fn put(&self, out: &mut Vec<u8>) {
                $($crate::wire::cmdmon::Field::put(&self.$field, out);)*
            }
        }
    };
}
use layout;
