//! Requests: one table of codes, data layouts and lengths for both directions.

use super::field::{Field, Float, Ip, Name, Pad, Reader, Timespec};
use super::reply::{
    Activity, AuthData, ClientAccesses2, ClientAccesses3, ManualList, ManualTimestamp, NtpData, NtpDataOld,
    RtcReport, SelectData, ServerStats, ServerStats4, Smoothing, SourceData, SourceStats, Tracking,
};
use super::{
    MAX_PACKET, REPLY_HEADER, REQUEST_HEADER, Status, TYPE_REQUEST, VERSION, VERSION_UNPADDED, layout,
};

layout! {
    /// A subnet by its mask: which sources are meant. All ones: one address; both unspecified: all sources.
    AddressMask {
        /// Mask of the address's family; unspecified for "all" and for an ID.
        mask: Ip,
        /// Address or ID.
        address: Ip,
    }
}
layout! {
    /// Data of [`Request::Burst`].
    Burst {
        /// Which sources.
        sources: AddressMask,
        /// Good samples wanted.
        good: i32,
        /// Requests sent at most.
        total: i32,
    }
}
layout! {
    /// A source and a whole number.
    ModifyAddress {
        /// Address or ID.
        address: Ip,
        /// The value.
        value: i32,
    }
}
layout! {
    /// A source and a float.
    ModifyAddressFloat {
        /// Address or ID.
        address: Ip,
        /// The value.
        value: Float,
    }
}
layout! {
    /// An access rule's subnet; unspecified with 0 bits: everything.
    Subnet {
        /// Address.
        address: Ip,
        /// Leading bits that count: 0 … 32 or 128.
        bits: i32,
    }
}
layout! {
    /// Data of [`Request::ModifyMakestep`].
    MakestepLimits {
        /// Number of updates in which steps are allowed; negative: always.
        limit: i32,
        /// Smallest step, s.
        threshold: Float,
    }
}
layout! {
    /// Data of [`Request::Local2`] (chrony 2.4 … 4.5).
    Local2 {
        /// 0 off, else on.
        on: i32,
        /// Stratum that is served.
        stratum: i32,
        /// Root distance above which local mode answers, s.
        distance: Float,
        /// Whether orphan mode is on.
        orphan: i32,
    }
}
layout! {
    /// Data of [`Request::Local3`] (since 4.6; the two waits since 4.7).
    Local3 {
        /// The fields that 2.4 had.
        base: Local2,
        /// Root distance that must have been reached once, s; 0: none.
        activate: Float,
        /// Wait after synchronised start, s.
        wait_synced: Float,
        /// Wait after unsynchronised start, s.
        wait_unsynced: Float,
    }
}
layout! {
    /// Data of [`Request::ClientAccessesByIndex2`] (2.3 … 3.5).
    ClientsQuery2 {
        /// First record.
        first_index: u32,
        /// Records wanted, at most 8.
        n_clients: u32,
    }
}
layout! {
    /// Data of [`Request::ClientAccessesByIndex3`].
    ClientsQuery {
        /// First record.
        first_index: u32,
        /// Records wanted, at most 8.
        n_clients: u32,
        /// Fewest hits of any service that a record must have.
        min_hits: u32,
        /// Whether the counters of the scanned records are zeroed.
        reset: u32,
    }
}
layout! {
    /// Data of [`Request::ModifySelectOpts`].
    ModifySelectOpts {
        /// Address or ID; unspecified: the reference clock of `ref_id`.
        address: Ip,
        /// Reference clock.
        ref_id: u32,
        /// Which options change: [`select_options`].
        mask: u32,
        /// Their new values in the bits of [`flags`], not in those of the mask (as measured with the original).
        options: u32,
    }
}
layout! {
    /// Data of [`Request::ModifyOffset`].
    ModifyOffset {
        /// Address or ID; unspecified: the reference clock of `ref_id`.
        address: Ip,
        /// Reference clock.
        ref_id: u32,
        /// The source's new offset correction, s.
        offset: Float,
    }
}
layout! {
    /// Data of [`Request::AddSource2`] (since 4.9).
    AddSource2 {
        /// 1 server, 2 peer, 3 pool.
        kind: u32,
        /// Name or literal address.
        name: Name,
        /// UDP port.
        port: u32,
        /// log2 s.
        minpoll: i32,
        /// log2 s.
        maxpoll: i32,
        /// log2 s; 100: off.
        presend_minpoll: i32,
        /// Smallest stratum that is believed.
        min_stratum: u32,
        /// Samples that the poll interval aims at.
        poll_target: u32,
        /// NTP version; 0: default.
        version: u32,
        /// Members taken from a pool.
        max_sources: u32,
        /// −1: the daemon's default.
        min_samples: i32,
        /// −1: the daemon's default.
        max_samples: i32,
        /// Polls without answer after which the source is not selected.
        max_unreach: u32,
        /// Samples of a median filter; 0: none.
        filter_length: i32,
        /// Symmetric key; 0: none.
        authkey: u32,
        /// NTS-KE port.
        nts_port: u32,
        /// Set of trusted certificates.
        cert_set: u32,
        /// log2 s.
        max_nts_retry: i32,
        /// s.
        max_delay: Float,
        /// Ratio to the smallest delay; 0: off.
        max_delay_ratio: Float,
        /// Ratio to the deviation.
        max_delay_dev_ratio: Float,
        /// Quantile of delays; 0: off.
        max_delay_quant: Float,
        /// s.
        min_delay: Float,
        /// Jitter asymmetry −0.5 … 0.5; 1: estimate it.
        asymmetry: Float,
        /// Correction of the source's offset, s.
        offset: Float,
        /// [`flags`].
        flags: u32,
        /// To 408 bytes.
        reserved: Pad<32>,
    }
}
layout! {
    /// Data of [`Request::AddSource`] (4.0 … 4.8). Fields as in [`AddSource2`]; flags from 0x800 on are [`flags_old`].
    AddSource {
        /// 1 server, 2 peer, 3 pool.
        kind: u32,
        /// Name or literal address.
        name: Name,
        /// UDP port.
        port: u32,
        /// log2 s.
        minpoll: i32,
        /// log2 s.
        maxpoll: i32,
        /// log2 s; 100: off.
        presend_minpoll: i32,
        /// Smallest stratum that is believed.
        min_stratum: u32,
        /// Samples that the poll interval aims at.
        poll_target: u32,
        /// NTP version; 0: default.
        version: u32,
        /// Members taken from a pool.
        max_sources: u32,
        /// −1: the daemon's default.
        min_samples: i32,
        /// −1: the daemon's default.
        max_samples: i32,
        /// Symmetric key; 0: none.
        authkey: u32,
        /// NTS-KE port.
        nts_port: u32,
        /// s.
        max_delay: Float,
        /// Ratio; 0: off.
        max_delay_ratio: Float,
        /// Ratio.
        max_delay_dev_ratio: Float,
        /// s.
        min_delay: Float,
        /// Jitter asymmetry; 1: estimate it.
        asymmetry: Float,
        /// s.
        offset: Float,
        /// [`flags`] below 0x800, [`flags_old`] above.
        flags: u32,
        /// Since 3.4.
        filter_length: i32,
        /// Since 4.1.
        cert_set: u32,
        /// Since 4.3.
        max_delay_quant: Float,
        /// Since 4.8; 0 from older clients, which means the default.
        max_unreach: u32,
    }
}

/// Flags of [`AddSource2`]; those below 0x800 are the same in [`AddSource`].
pub mod flags {
    /// The source starts online.
    pub const ONLINE: u32 = 0x1;
    /// Goes offline when requests cannot be sent.
    pub const AUTO_OFFLINE: u32 = 0x2;
    /// Four quick requests at the start.
    pub const IBURST: u32 = 0x4;
    /// Preferred in selection.
    pub const PREFER: u32 = 0x8;
    /// Never selected.
    pub const NOSELECT: u32 = 0x10;
    /// Agrees with itself only.
    pub const TRUST: u32 = 0x20;
    /// Must be selectable for any update.
    pub const REQUIRE: u32 = 0x40;
    /// Interleaved mode.
    pub const INTERLEAVED: u32 = 0x80;
    /// Quick requests at every poll.
    pub const BURST: u32 = 0x100;
    /// Network Time Security.
    pub const NTS: u32 = 0x200;
    /// The server's reference ID and stratum are passed on.
    pub const COPY: u32 = 0x400;
    /// IPv4 only.
    pub const IPV4: u32 = 0x800;
    /// IPv6 only.
    pub const IPV6: u32 = 0x1000;
    /// Extension field: network correction.
    pub const EF_NET_CORRECTION: u32 = 0x1_0000;
    /// Extension field: experimental monotonic root.
    pub const EF_EXP_MONO_ROOT: u32 = 0x8000_0000;
    /// Those that both requests have at the same place.
    pub const COMMON: u32 = 0x7ff;
}

/// Flags of [`AddSource`] from 0x800 on.
pub mod flags_old {
    /// Since 4.2.
    pub const EF_EXP_MONO_ROOT: u32 = 0x800;
    /// Since 4.5.
    pub const EF_NET_CORRECTION: u32 = 0x1000;
    /// Since 4.6.
    pub const IPV4: u32 = 0x2000;
    /// Since 4.6.
    pub const IPV6: u32 = 0x4000;
}

/// Bits of the options in [`SelectData`] and in the mask of [`ModifySelectOpts`].
pub mod select_options {
    /// Never selected.
    pub const NOSELECT: u16 = 1;
    /// Preferred.
    pub const PREFER: u16 = 2;
    /// Trusted.
    pub const TRUST: u16 = 4;
    /// Required.
    pub const REQUIRE: u16 = 8;
}

/// Where a flag stands in the two generations of the request.
const MOVED_FLAGS: [(u32, u32); 4] = [
    (flags::EF_EXP_MONO_ROOT, flags_old::EF_EXP_MONO_ROOT),
    (flags::EF_NET_CORRECTION, flags_old::EF_NET_CORRECTION),
    (flags::IPV4, flags_old::IPV4),
    (flags::IPV6, flags_old::IPV6),
];

impl AddSource2 {
    /// The form of chrony 4.0 … 4.8; `max_nts_retry` has no place in it.
    pub fn to_older(&self) -> AddSource {
        let moved =
            MOVED_FLAGS.iter().filter(|(new, _)| self.flags & new != 0).fold(0, |all, (_, old)| all | old);
        AddSource {
            kind: self.kind,
            name: self.name.clone(),
            port: self.port,
            minpoll: self.minpoll,
            maxpoll: self.maxpoll,
            presend_minpoll: self.presend_minpoll,
            min_stratum: self.min_stratum,
            poll_target: self.poll_target,
            version: self.version,
            max_sources: self.max_sources,
            min_samples: self.min_samples,
            max_samples: self.max_samples,
            authkey: self.authkey,
            nts_port: self.nts_port,
            max_delay: self.max_delay,
            max_delay_ratio: self.max_delay_ratio,
            max_delay_dev_ratio: self.max_delay_dev_ratio,
            min_delay: self.min_delay,
            asymmetry: self.asymmetry,
            offset: self.offset,
            flags: self.flags & flags::COMMON | moved,
            filter_length: self.filter_length,
            cert_set: self.cert_set,
            max_delay_quant: self.max_delay_quant,
            max_unreach: self.max_unreach,
        }
    }
}

impl AddSource {
    /// The form of chrony 4.9; what it lacks gets its default (`max_nts_retry` 19, `max_unreach` 100000 for 0).
    pub fn to_newer(&self) -> AddSource2 {
        let moved =
            MOVED_FLAGS.iter().filter(|(_, old)| self.flags & old != 0).fold(0, |all, (new, _)| all | new);
        AddSource2 {
            kind: self.kind,
            name: self.name.clone(),
            port: self.port,
            minpoll: self.minpoll,
            maxpoll: self.maxpoll,
            presend_minpoll: self.presend_minpoll,
            min_stratum: self.min_stratum,
            poll_target: self.poll_target,
            version: self.version,
            max_sources: self.max_sources,
            min_samples: self.min_samples,
            max_samples: self.max_samples,
            max_unreach: if self.max_unreach == 0 { 100_000 } else { self.max_unreach },
            filter_length: self.filter_length,
            authkey: self.authkey,
            nts_port: self.nts_port,
            cert_set: self.cert_set,
            max_nts_retry: 19,
            max_delay: self.max_delay,
            max_delay_ratio: self.max_delay_ratio,
            max_delay_dev_ratio: self.max_delay_dev_ratio,
            max_delay_quant: self.max_delay_quant,
            min_delay: self.min_delay,
            asymmetry: self.asymmetry,
            offset: self.offset,
            flags: self.flags & flags::COMMON | moved,
            reserved: Pad,
        }
    }
}

/// Length of the largest reply that has data of this type.
const fn with<T: Field>() -> usize {
    REPLY_HEADER + T::SIZE
}

/// Length of a reply without data.
const NULL: usize = REPLY_HEADER;

/// Code, data, length of the largest success reply, length of the smallest one that any generation sends.
macro_rules! requests {
    ($($(#[$doc:meta])* $name:ident $(($body:ident: $type:ty))? = $code:literal, $reply:expr, $oldest:expr;)*) => {
        /// A request to the daemon.
        #[derive(Debug, Clone, PartialEq, Eq)]
        pub enum Request { $($(#[$doc])* $name $(($type))?,)* }

        impl Request {
            /// The command's number in the packet.
            pub const fn code(&self) -> u16 {
                match self { $(Self::$name { .. } => $code,)* }
            }

            fn read(code: u16, reader: &mut Reader<'_>) -> Option<Self> {
                Some(match code { $($code => Self::$name $((<$type as Field>::get(reader)))?,)* _ => return None })
            }

            fn write(&self, out: &mut Vec<u8>) {
                match self { $(Self::$name $(($body))? => { $(<$type as Field>::put($body, out);)? })* }
            }

            /// Lengths of a request: as the newest client sends it, and the least that a client of any generation sends.
            pub const fn lengths(code: u16) -> Option<(usize, usize)> {
                match code {
                    $($code => {
                        let data = REQUEST_HEADER $(+ <$type as Field>::SIZE)?;
                        Some((larger(data, $reply), larger(data, $oldest)))
                    })*
                    _ => None,
                }
            }

            /// Every code, ascending.
            pub const CODES: &[u16] = &[$($code),*];
        }
    };
}

const fn larger(a: usize, b: usize) -> usize {
    if a > b { a } else { b }
}

requests! {
    /// Sources go online.
    Online(sources: AddressMask) = 1, NULL, NULL;
    /// Sources go offline.
    Offline(sources: AddressMask) = 2, NULL, NULL;
    /// Quick requests to sources.
    Burst(burst: Burst) = 3, NULL, NULL;
    /// Smallest poll interval.
    ModifyMinpoll(modify: ModifyAddress) = 4, NULL, NULL;
    /// Largest poll interval.
    ModifyMaxpoll(modify: ModifyAddress) = 5, NULL, NULL;
    /// Samples are written to dumpdir.
    Dump = 6, NULL, NULL;
    /// Largest delay, s.
    ModifyMaxdelay(modify: ModifyAddressFloat) = 7, NULL, NULL;
    /// Largest ratio of delays.
    ModifyMaxdelayratio(modify: ModifyAddressFloat) = 8, NULL, NULL;
    /// Largest skew of an update, ppm.
    ModifyMaxupdateskew(skew: Float) = 9, NULL, NULL;
    /// The time as a human reads it.
    Settime(time: Timespec) = 11, with::<ManualTimestamp>(), with::<ManualTimestamp>();
    /// Manual input: 0 off, 1 on, 2 reset.
    Manual(option: i32) = 13, NULL, NULL;
    /// How many sources there are.
    NSources = 14, with::<u32>(), with::<u32>();
    /// A source by index.
    SourceData(index: i32) = 15, with::<SourceData>(), with::<SourceData>();
    /// Keys are read again.
    Rekey = 16, NULL, NULL;
    /// NTP access for a subnet.
    Allow(subnet: Subnet) = 17, NULL, NULL;
    /// The same, overriding rules below it.
    AllowAll(subnet: Subnet) = 18, NULL, NULL;
    /// No NTP access.
    Deny(subnet: Subnet) = 19, NULL, NULL;
    /// The same, overriding rules below it.
    DenyAll(subnet: Subnet) = 20, NULL, NULL;
    /// Command access.
    CmdAllow(subnet: Subnet) = 21, NULL, NULL;
    /// The same, overriding rules below it.
    CmdAllowAll(subnet: Subnet) = 22, NULL, NULL;
    /// No command access.
    CmdDeny(subnet: Subnet) = 23, NULL, NULL;
    /// The same, overriding rules below it.
    CmdDenyAll(subnet: Subnet) = 24, NULL, NULL;
    /// Whether an address has NTP access.
    Accheck(address: Ip) = 25, NULL, NULL;
    /// Whether an address has command access.
    CmdAccheck(address: Ip) = 26, NULL, NULL;
    /// Removes a source.
    DelSource(address: Ip) = 29, NULL, NULL;
    /// The RTC's parameters are written to the file.
    WriteRtc = 30, NULL, NULL;
    /// Adds to the frequency, ppm.
    Dfreq(ppm: Float) = 31, NULL, NULL;
    /// How well the clock follows.
    Tracking = 33, with::<Tracking>(), with::<Tracking>();
    /// Statistics of a source by index.
    SourceStats(index: u32) = 34, with::<SourceStats>(), with::<SourceStats>();
    /// The RTC's parameters.
    RtcReport = 35, with::<RtcReport>(), with::<RtcReport>();
    /// The RTC is set.
    TrimRtc = 36, NULL, NULL;
    /// Log files are closed and opened again.
    CycleLogs = 37, NULL, NULL;
    /// Times typed in by hand.
    ManualList = 41, with::<ManualList>(), with::<ManualList>();
    /// One of them is forgotten.
    ManualDelete(index: i32) = 42, NULL, NULL;
    /// The rest of the slew is stepped.
    Makestep = 43, NULL, NULL;
    /// How many sources are online.
    Activity = 44, with::<Activity>(), with::<Activity>();
    /// Smallest stratum.
    ModifyMinstratum(modify: ModifyAddress) = 45, NULL, NULL;
    /// Samples that the poll interval aims at.
    ModifyPolltarget(modify: ModifyAddress) = 46, NULL, NULL;
    /// Largest ratio of the delay to its deviation.
    ModifyMaxdelaydevratio(modify: ModifyAddressFloat) = 47, NULL, NULL;
    /// Selection is made anew.
    Reselect = 48, NULL, NULL;
    /// Distance that another source must win by, s.
    ReselectDistance(distance: Float) = 49, NULL, NULL;
    /// When steps are allowed.
    ModifyMakestep(limits: MakestepLimits) = 50, NULL, NULL;
    /// State of the smoothing of served time.
    Smoothing = 51, with::<Smoothing>(), with::<Smoothing>();
    /// Smoothing: 0 reset, 1 activate.
    Smoothtime(option: i32) = 52, NULL, NULL;
    /// Names are resolved again.
    Refresh = 53, NULL, NULL;
    /// Counters of the server.
    ServerStats = 54, with::<ServerStats4>(), with::<ServerStats>();
    /// Clients of the server (2.3 … 3.5).
    ClientAccessesByIndex2(query: ClientsQuery2) = 55, with::<ClientAccesses2>(), with::<ClientAccesses2>();
    /// Local mode (2.4 … 4.5).
    Local2(local: Local2) = 56, NULL, NULL;
    /// The last valid response of a source.
    NtpData(address: Ip) = 57, with::<NtpData>(), with::<NtpDataOld>();
    /// The daemon ends.
    Shutdown = 62, NULL, NULL;
    /// Sources go online or offline as there is a route.
    Onoffline = 63, NULL, NULL;
    /// A new source (4.0 … 4.8).
    AddSource(source: Box<AddSource>) = 64, NULL, NULL;
    /// The name that a source was configured with.
    NtpSourceName(address: Ip) = 65, with::<Name>(), with::<Name>();
    /// All samples are dropped.
    ResetSources = 66, NULL, NULL;
    /// Authentication of a source.
    AuthData(address: Ip) = 67, with::<AuthData>(), with::<AuthData>();
    /// Clients of the server.
    ClientAccessesByIndex3(query: ClientsQuery) = 68, with::<ClientAccesses3>(), with::<ClientAccesses3>();
    /// What selection thinks of a source by index.
    SelectData(index: u32) = 69, with::<SelectData>(), with::<SelectData>();
    /// *.sources files are read again.
    ReloadSources = 70, NULL, NULL;
    /// Adds to the offset that is slewed, s.
    Doffset2(offset: Float) = 71, NULL, NULL;
    /// Selection options of a source.
    ModifySelectOpts(options: ModifySelectOpts) = 72, NULL, NULL;
    /// Offset correction of a source.
    ModifyOffset(offset: ModifyOffset) = 73, NULL, NULL;
    /// Local mode (since 4.6).
    Local3(local: Local3) = 74, NULL, NULL;
    /// A new source (since 4.9).
    AddSource2(source: Box<AddSource2>) = 75, NULL, NULL;
}

impl Request {
    /// The datagram: padded to the length of the largest reply in version 6, bare in version 5.
    pub fn encode(&self, version: u8, sequence: u32, attempt: u16) -> Vec<u8> {
        let mut out = Vec::with_capacity(MAX_PACKET);
        out.extend_from_slice(&[version, TYPE_REQUEST, 0, 0]);
        self.code().put(&mut out);
        attempt.put(&mut out);
        sequence.put(&mut out);
        out.resize(REQUEST_HEADER, 0);
        self.write(&mut out);
        if version > VERSION_UNPADDED {
            let (length, _) = Self::lengths(self.code()).unwrap_or_default();
            out.resize(larger(length, out.len()), 0);
        }
        out
    }

    /// The form that daemons before 4.9 (75) or 4.6 (74) understand, if it differs.
    pub fn to_older(&self) -> Option<Self> {
        match self {
            Self::AddSource2(source) => Some(Self::AddSource(Box::new(source.to_older()))),
            Self::Local3(local) => Some(Self::Local2(local.base.clone())),
            _ => None,
        }
    }
}

/// A request as the daemon sees it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RequestPacket {
    /// To be echoed.
    pub sequence: u32,
    /// Length of the datagram: no reply may be longer, and it tells the client's generation.
    pub length: usize,
    /// What is asked.
    pub request: Request,
}

/// A request that gets no proper reply.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Refusal {
    /// Not even an answer is due.
    Silence,
    /// An empty reply with this status is due.
    Answer {
        /// To be echoed.
        command: u16,
        /// To be echoed.
        sequence: u32,
        /// Why.
        status: Status,
    },
}

/// Whether bytes have the length and the header of a request, of whatever version: what a daemon counts.
pub fn is_request(bytes: &[u8]) -> bool {
    (REPLY_HEADER..=MAX_PACKET).contains(&bytes.len())
        && matches!(bytes.get(1..4), Some([kind, 0, 0]) if *kind == TYPE_REQUEST)
}

/// Reads a request; judges in the order of the original: length, type, version, command, length for the command.
///
/// # Errors
/// What the daemon has to do instead of answering.
pub fn parse_request(bytes: &[u8]) -> Result<RequestPacket, Refusal> {
    let mut reader = Reader::new(bytes);
    let [version, ..] = <[u8; 4]>::get(&mut reader);
    if !is_request(bytes) || version < VERSION_UNPADDED {
        return Err(Refusal::Silence);
    }
    let command = u16::get(&mut reader);
    let _attempt = u16::get(&mut reader);
    let sequence = u32::get(&mut reader);
    Pad::<8>::get(&mut reader);
    let answer = |status| Refusal::Answer { command, sequence, status };
    if version != VERSION {
        return Err(answer(Status::BAD_VERSION));
    }
    let (_, least) = Request::lengths(command).ok_or(answer(Status::INVALID))?;
    if bytes.len() < least {
        return Err(answer(Status::BAD_LENGTH));
    }
    let request = Request::read(command, &mut reader).ok_or(answer(Status::INVALID))?;
    Ok(RequestPacket { sequence, length: bytes.len(), request })
}
