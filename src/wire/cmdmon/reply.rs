//! Replies: their layouts, one struct each, and the table of codes.

use super::field::{Field, Float, Ip, Name, Pad, Reader, Reserved, Timespec};
use super::{REPLY_HEADER, Status, TYPE_REPLY, VERSION, layout};

layout! {
    /// A source (`chronyc sources`).
    SourceData {
        /// Address; a reference clock's ID as if it were an IPv4 address.
        address: Ip,
        /// log2 s.
        poll: i16,
        /// Of the source; 0: no sample, or a reference clock.
        stratum: u16,
        /// 0 selected, 1 nonselectable, 2 falseticker, 3 jittery, 4 combined, 5 selectable.
        state: u16,
        /// 0 client, 1 peer, 2 reference clock.
        mode: u16,
        /// 0 since 4.0; before: 1 noselect, 2 prefer, 4 trust, 8 require.
        flags: u16,
        /// Eight polls, newest in bit 0.
        reachability: u16,
        /// s since the last sample; all ones: never.
        since_sample: u32,
        /// s, as measured; **> 0: the local clock is ahead**.
        orig_latest_meas: Float,
        /// The same, adjusted for slews since.
        latest_meas: Float,
        /// Root distance of that sample, s.
        latest_meas_err: Float,
    }
}
layout! {
    /// How well the clock follows (`chronyc tracking`).
    Tracking {
        /// Reference ID; 7F7F0101: local mode; 0: unsynchronised.
        ref_id: u32,
        /// The selected source; unspecified for a reference clock, local mode and unsynchronised.
        address: Ip,
        /// Ours; 0: unsynchronised.
        stratum: u16,
        /// 0 normal, 1 insert, 2 delete, 3 unsynchronised.
        leap: u16,
        /// Of the last update.
        ref_time: Timespec,
        /// Not yet corrected, s; **> 0: the system clock is slow**.
        current_correction: Float,
        /// At the last update, s; **> 0: the local clock was ahead**.
        last_offset: Float,
        /// s.
        rms_offset: Float,
        /// ppm; > 0: the uncorrected clock runs fast.
        freq_ppm: Float,
        /// ppm.
        resid_freq_ppm: Float,
        /// ppm.
        skew_ppm: Float,
        /// s.
        root_delay: Float,
        /// s.
        root_dispersion: Float,
        /// s.
        last_update_interval: Float,
    }
}
layout! {
    /// Statistics of a source (`chronyc sourcestats`).
    SourceStats {
        /// Reference ID.
        ref_id: u32,
        /// Address; unspecified for a reference clock.
        address: Ip,
        /// Samples kept.
        n_samples: u32,
        /// Runs of residuals of equal sign.
        n_runs: u32,
        /// s.
        span_seconds: u32,
        /// Standard deviation, s.
        sd: Float,
        /// ppm; > 0: the local clock is fast of the source.
        resid_freq_ppm: Float,
        /// ppm.
        skew_ppm: Float,
        /// s; **> 0: the local clock is ahead**.
        est_offset: Float,
        /// s.
        est_offset_err: Float,
    }
}
layout! {
    /// The RTC's parameters (`chronyc rtcdata`).
    RtcReport {
        /// Of the last fit.
        ref_time: Timespec,
        /// Samples.
        n_samples: u16,
        /// Runs.
        n_runs: u16,
        /// s.
        span_seconds: u32,
        /// s.
        rtc_seconds_fast: Float,
        /// ppm.
        rtc_gain_rate_ppm: Float,
    }
}
layout! {
    /// How many sources are online (`chronyc activity`).
    Activity {
        /// Online.
        online: u32,
        /// Offline.
        offline: u32,
        /// In a burst, then online.
        burst_online: u32,
        /// In a burst, then offline.
        burst_offline: u32,
        /// Without address.
        unresolved: u32,
    }
}
layout! {
    /// Smoothing of served time (`chronyc smoothing`).
    Smoothing {
        /// 1 active, 2 leap seconds only.
        flags: u32,
        /// s; > 0: clients get time ahead of the truth.
        offset: Float,
        /// ppm.
        freq_ppm: Float,
        /// ppm per s.
        wander_ppm: Float,
        /// s.
        last_update_ago: Float,
        /// s.
        remaining_time: Float,
    }
}
layout! {
    /// Effect of a time typed in (`chronyc settime`).
    ManualTimestamp {
        /// s; **> 0: the clock was fast**.
        offset: Float,
        /// Change of frequency, ppm.
        dfreq_ppm: Float,
        /// New frequency, ppm.
        new_afreq_ppm: Float,
    }
}
layout! {
    /// A time typed in.
    ManualSample {
        /// When.
        when: Timespec,
        /// s, slewed along.
        slewed_offset: Float,
        /// s, as typed.
        orig_offset: Float,
        /// s.
        residual: Float,
    }
}
layout! {
    /// Times typed in (`chronyc manual list`).
    ManualList {
        /// How many of the slots are filled.
        n_samples: u32,
        /// The slots.
        samples: [ManualSample; 16],
    }
}
layout! {
    /// Authentication of a source (`chronyc authdata`).
    AuthData {
        /// 0 none, 1 symmetric key, 2 NTS.
        mode: u16,
        /// Number of the hash, cipher or AEAD.
        key_type: u16,
        /// Key, or number of key establishments.
        key_id: u32,
        /// Bits.
        key_length: u16,
        /// Key establishments tried since the last that worked.
        ke_attempts: u16,
        /// s; all ones: never.
        last_ke_ago: u32,
        /// NTS cookies left.
        cookies: u16,
        /// Bytes.
        cookie_length: u16,
        /// Whether an NTS NAK came.
        nak: u16,
        /// To a multiple of four.
        pad: Pad<2>,
    }
}
layout! {
    /// A client of the server (since 4.0).
    ClientAccess {
        /// Address; unspecified: the slot is empty.
        address: Ip,
        /// Requests.
        ntp_hits: u32,
        /// NTS-KE connections.
        nke_hits: u32,
        /// Commands.
        cmd_hits: u32,
        /// Of them not answered.
        ntp_drops: u32,
        /// Of them not answered.
        nke_drops: u32,
        /// Of them not answered.
        cmd_drops: u32,
        /// log2 s; 127: unknown.
        ntp_interval: i8,
        /// log2 s.
        nke_interval: i8,
        /// log2 s.
        cmd_interval: i8,
        /// Interval while limited, log2 s.
        ntp_timeout_interval: i8,
        /// s; all ones: never.
        last_ntp_hit_ago: u32,
        /// s.
        last_nke_hit_ago: u32,
        /// s.
        last_cmd_hit_ago: u32,
    }
}
layout! {
    /// Clients of the server (`chronyc clients`).
    ClientAccesses3 {
        /// Size of the table.
        n_indices: u32,
        /// Where to go on.
        next_index: u32,
        /// Filled slots.
        n_clients: u32,
        /// The slots.
        clients: [ClientAccess; 8],
    }
}
layout! {
    /// A client of the server (2.3 … 3.5).
    ClientAccess2 {
        /// Address; unspecified: the slot is empty.
        address: Ip,
        /// Requests.
        ntp_hits: u32,
        /// Commands.
        cmd_hits: u32,
        /// Of them not answered.
        ntp_drops: u32,
        /// Of them not answered.
        cmd_drops: u32,
        /// log2 s; 127: unknown.
        ntp_interval: i8,
        /// log2 s.
        cmd_interval: i8,
        /// Interval while limited, log2 s.
        ntp_timeout_interval: i8,
        /// To a multiple of four.
        pad: Pad<1>,
        /// s; all ones: never.
        last_ntp_hit_ago: u32,
        /// s.
        last_cmd_hit_ago: u32,
    }
}
layout! {
    /// Clients of the server (2.3 … 3.5).
    ClientAccesses2 {
        /// Size of the table.
        n_indices: u32,
        /// Where to go on.
        next_index: u32,
        /// Filled slots.
        n_clients: u32,
        /// The slots.
        clients: [ClientAccess2; 8],
    }
}
layout! {
    /// What selection thinks of a source (`chronyc selectdata`).
    SelectData {
        /// Reference ID.
        ref_id: u32,
        /// Address; unspecified for a reference clock.
        address: Ip,
        /// A letter.
        state: u8,
        /// Whether a key or NTS is configured.
        authentication: u8,
        /// 0 normal, 1 insert, 2 delete, 3 unsynchronised.
        leap: u8,
        /// Alignment.
        pad: Pad<1>,
        /// Options as configured: [`super::select_options`].
        conf_options: u16,
        /// Options in effect.
        eff_options: u16,
        /// s.
        last_sample_ago: u32,
        /// Against the selected source.
        score: Float,
        /// s; > 0: the local clock is ahead.
        lo_limit: Float,
        /// s; > 0: the local clock is ahead.
        hi_limit: Float,
    }
}
layout! {
    /// Counters of the server, 2.3 … 3.5.
    ServerStats {
        /// NTP requests.
        ntp_hits: u32,
        /// Commands.
        cmd_hits: u32,
        /// NTP requests not answered.
        ntp_drops: u32,
        /// Commands not answered.
        cmd_drops: u32,
        /// Records overwritten.
        log_drops: u32,
    }
}
layout! {
    /// Counters of the server, 4.0, 4.1.
    ServerStats2 {
        /// NTP requests.
        ntp_hits: u32,
        /// NTS-KE connections.
        nke_hits: u32,
        /// Commands.
        cmd_hits: u32,
        /// NTP requests not answered.
        ntp_drops: u32,
        /// NTS-KE connections refused.
        nke_drops: u32,
        /// Commands not answered.
        cmd_drops: u32,
        /// Records overwritten.
        log_drops: u32,
        /// Authenticated NTP requests.
        ntp_auth_hits: u32,
    }
}
layout! {
    /// Counters of the server, 4.2, 4.3.
    ServerStats3 {
        /// Those of 4.0.
        base: ServerStats2,
        /// Interleaved requests.
        ntp_interleaved_hits: u32,
        /// Timestamps held.
        ntp_timestamps: u32,
        /// s between the first and the last of them.
        ntp_span_seconds: u32,
    }
}
layout! {
    /// Counters of the server since 4.4 (`chronyc serverstats`).
    ServerStats4 {
        /// NTP requests.
        ntp_hits: u64,
        /// NTS-KE connections.
        nke_hits: u64,
        /// Commands.
        cmd_hits: u64,
        /// NTP requests not answered.
        ntp_drops: u64,
        /// NTS-KE connections refused.
        nke_drops: u64,
        /// Commands not answered.
        cmd_drops: u64,
        /// Records overwritten.
        log_drops: u64,
        /// Authenticated NTP requests.
        ntp_auth_hits: u64,
        /// Interleaved requests.
        ntp_interleaved_hits: u64,
        /// Timestamps held.
        ntp_timestamps: u64,
        /// s between the first and the last of them.
        ntp_span_seconds: u64,
        /// Stamps taken by the daemon, receive.
        ntp_daemon_rx: u64,
        /// Transmit.
        ntp_daemon_tx: u64,
        /// Stamps taken by the kernel, receive.
        ntp_kernel_rx: u64,
        /// Transmit.
        ntp_kernel_tx: u64,
        /// Stamps taken by the hardware, receive.
        ntp_hw_rx: u64,
        /// Transmit.
        ntp_hw_tx: u64,
        /// To 196 bytes.
        reserved: Reserved<32>,
    }
}
layout! {
    /// The last valid response of a source: what all generations have.
    NtpDataHead {
        /// The source.
        remote_address: Ip,
        /// Ours; unspecified before the first response.
        local_address: Ip,
        /// UDP port.
        remote_port: u16,
        /// 0 normal, 1 insert, 2 delete, 3 unsynchronised.
        leap: u8,
        /// NTP version.
        version: u8,
        /// 1 active, 2 passive, 4 server.
        mode: u8,
        /// Stratum.
        stratum: u8,
        /// log2 s.
        poll: i8,
        /// log2 s.
        precision: i8,
        /// s.
        root_delay: Float,
        /// s.
        root_dispersion: Float,
        /// Reference ID.
        ref_id: u32,
        /// Reference time.
        ref_time: Timespec,
        /// s; **> 0: the local clock is behind** (NTP's sign).
        offset: Float,
        /// s.
        peer_delay: Float,
        /// s.
        peer_dispersion: Float,
        /// Time from request to response in the server, s.
        response_time: Float,
        /// −0.5 … 0.5.
        jitter_asymmetry: Float,
        /// Bits 0 … 9 tests (bit 9 is test 1, bit 0 is test D), 0x4000 interleaved, 0x8000 authenticated.
        flags: u16,
        /// `D`, `K` or `H`.
        tx_source: u8,
        /// `D`, `K` or `H`.
        rx_source: u8,
        /// Requests sent.
        total_tx: u32,
        /// Packets received.
        total_rx: u32,
        /// Valid ones.
        total_valid: u32,
        /// Good ones; all ones: from a daemon before 4.3.
        total_good: u32,
    }
}
layout! {
    /// The last valid response, 3.0 … 4.5.
    NtpDataOld {
        /// The fields.
        head: NtpDataHead,
        /// To 152 bytes.
        reserved: Reserved<12>,
    }
}
layout! {
    /// The last valid response since 4.6 (`chronyc ntpdata`).
    NtpData {
        /// The fields of older generations.
        head: NtpDataHead,
        /// Stamps taken by the kernel, transmit.
        total_kernel_tx: u32,
        /// Receive.
        total_kernel_rx: u32,
        /// Stamps taken by the hardware, transmit.
        total_hw_tx: u32,
        /// Receive.
        total_hw_rx: u32,
        /// To 172 bytes.
        reserved: Reserved<16>,
    }
}

/// Code and data.
macro_rules! replies {
    ($($(#[$doc:meta])* $name:ident $(($body:ident: $type:ty))? = $code:literal;)*) => {
        /// The data of a reply.
        #[derive(Debug, Clone, PartialEq, Eq)]
        pub enum Reply {
            $($(#[$doc])* $name $(($type))?,)*
            /// A code that is not known.
            Unknown(u16),
        }

        impl Reply {
            /// The reply's number in the packet.
            pub const fn code(&self) -> u16 {
                match self { $(Self::$name { .. } => $code,)* Self::Unknown(code) => *code }
            }

            fn read(code: u16, reader: &mut Reader<'_>) -> Self {
                match code { $($code => Self::$name $((<$type as Field>::get(reader)))?,)* _ => Self::Unknown(code) }
            }

            fn write(&self, out: &mut Vec<u8>) {
                match self {
                    $(Self::$name $(($body))? => { $(<$type as Field>::put($body, out);)? })*
                    Self::Unknown(_) => {}
                }
            }

            /// Length of a reply of this code; `None` for unknown ones.
            pub const fn length(code: u16) -> Option<usize> {
                match code { $($code => Some(REPLY_HEADER $(+ <$type as Field>::SIZE)?),)* _ => None }
            }

            /// Every code, ascending.
            pub const CODES: &[u16] = &[$($code),*];
        }
    };
}

replies! {
    /// Nothing: an acknowledgement, or an error in the status.
    Null = 1;
    /// Number of sources: reference clocks, resolved and unresolved ones.
    NSources(n: u32) = 2;
    /// To [`super::Request::SourceData`].
    SourceData(data: SourceData) = 3;
    /// To [`super::Request::Tracking`].
    Tracking(data: Tracking) = 5;
    /// To [`super::Request::SourceStats`].
    SourceStats(data: SourceStats) = 6;
    /// To [`super::Request::RtcReport`].
    Rtc(data: RtcReport) = 7;
    /// To [`super::Request::Activity`].
    Activity(data: Activity) = 12;
    /// To [`super::Request::Smoothing`].
    Smoothing(data: Smoothing) = 13;
    /// To [`super::Request::ServerStats`] of 48 … 59 bytes.
    ServerStats(data: ServerStats) = 14;
    /// To [`super::Request::ClientAccessesByIndex2`].
    ClientAccessesByIndex2(data: Box<ClientAccesses2>) = 15;
    /// To [`super::Request::NtpData`] of 152 … 171 bytes.
    NtpDataOld(data: Box<NtpDataOld>) = 16;
    /// To [`super::Request::Settime`].
    ManualTimestamp2(data: ManualTimestamp) = 17;
    /// To [`super::Request::ManualList`].
    ManualList2(data: Box<ManualList>) = 18;
    /// To [`super::Request::NtpSourceName`].
    NtpSourceName(name: Name) = 19;
    /// To [`super::Request::AuthData`].
    AuthData(data: AuthData) = 20;
    /// To [`super::Request::ClientAccessesByIndex3`].
    ClientAccessesByIndex3(data: Box<ClientAccesses3>) = 21;
    /// To [`super::Request::ServerStats`] of 60 … 71 bytes.
    ServerStats2(data: ServerStats2) = 22;
    /// To [`super::Request::SelectData`].
    SelectData(data: SelectData) = 23;
    /// To [`super::Request::ServerStats`] of 72 … 195 bytes.
    ServerStats3(data: ServerStats3) = 24;
    /// To [`super::Request::ServerStats`] of 196 bytes and more.
    ServerStats4(data: Box<ServerStats4>) = 25;
    /// To [`super::Request::NtpData`] of 172 bytes and more.
    NtpData2(data: Box<NtpData>) = 26;
}

/// The header of a reply.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ReplyHeader {
    /// Version that the daemon speaks.
    pub version: u8,
    /// The command that is answered.
    pub command: u16,
    /// The daemon's verdict.
    pub status: Status,
    /// The request's number.
    pub sequence: u32,
}

/// Bytes that are no whole reply.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ReplyError {
    /// No header, not a reply, or reserved bytes set: not for us.
    NotAReply,
    /// The header is there, the data is cut short.
    Short {
        /// The header.
        header: ReplyHeader,
        /// Length that the code asks for.
        need: usize,
        /// Length of the datagram.
        got: usize,
    },
}

/// Reads a reply of any version; trailing bytes are ignored.
///
/// # Errors
/// [`ReplyError`].
pub fn parse_reply(bytes: &[u8]) -> Result<(ReplyHeader, Reply), ReplyError> {
    if bytes.len() < REPLY_HEADER {
        return Err(ReplyError::NotAReply);
    }
    let mut reader = Reader::new(bytes);
    let [version, kind, res1, res2] = <[u8; 4]>::get(&mut reader);
    if kind != TYPE_REPLY || res1 != 0 || res2 != 0 {
        return Err(ReplyError::NotAReply);
    }
    let [command, code, status] = <[u16; 3]>::get(&mut reader);
    Pad::<6>::get(&mut reader);
    let sequence = u32::get(&mut reader);
    Pad::<8>::get(&mut reader);
    let header = ReplyHeader { version, command, status: Status::new(status), sequence };
    match Reply::length(code) {
        Some(need) if bytes.len() < need => Err(ReplyError::Short { header, need, got: bytes.len() }),
        _ => Ok((header, Reply::read(code, &mut reader))),
    }
}

impl Reply {
    /// The datagram of this reply to a command.
    pub fn encode(&self, command: u16, sequence: u32, status: Status) -> Vec<u8> {
        let mut out = Vec::with_capacity(Self::length(self.code()).unwrap_or(REPLY_HEADER));
        out.extend_from_slice(&[VERSION, TYPE_REPLY, 0, 0]);
        command.put(&mut out);
        self.code().put(&mut out);
        status.get().put(&mut out);
        out.extend_from_slice(&[0; 6]);
        sequence.put(&mut out);
        out.extend_from_slice(&[0; 8]);
        self.write(&mut out);
        out
    }
}
