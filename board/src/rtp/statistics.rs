//! Counters of one leg. They start at zero when the slot is opened and only grow.

/// What happened to the packets of one leg since its slot was opened.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct LegStatistics {
    /// RTP packets accepted from the sender, of any payload.
    pub packets: u64,
    /// Bytes of these packets, without UDP and IP headers.
    pub bytes: u64,
    /// Packets that the sequence numbers say are missing. A packet that comes later is taken off.
    pub lost: u64,
    /// Packets, or parts of them, that came after their place in time had passed.
    pub late: u64,
    /// Of these: packets that were too old to be delivered at all.
    pub late_dropped: u64,
    /// Packets that came after one with a higher sequence number.
    pub reordered: u64,
    /// Packets that came twice.
    pub duplicates: u64,
    /// Packets that the kernel dropped because the socket was full.
    pub kernel_dropped: u64,
    /// Packets of a sender that is not this leg's.
    pub foreign: u64,
    /// Packets that are no RTP, too long, or not decodable.
    pub malformed: u64,
    /// Packets with a payload type that was not agreed.
    pub unknown_payload: u64,
    /// Packets that SRTP refused: wrong key, changed, or replayed.
    pub srtp_failures: u64,
    /// Packets of the sender's former SSRC that came after the change.
    pub stragglers: u64,
    /// Changes of the SSRC after the first one.
    pub ssrc_changes: u64,
    /// Jumps of the timestamps or sequence numbers that the arrival time did not confirm.
    pub jumps: u64,
    /// Digits, by telephone event or tone.
    pub digits: u64,
    /// Frames of audio that had no place, because their place was taken.
    pub overlapped_frames: u64,
    /// Frames reported as lost.
    pub lost_frames: u64,
    /// Of these: frames that were delivered late.
    pub repaired_frames: u64,
    /// Frames of silence that were inserted because the sender's clock is slow.
    pub skew_inserted_frames: u64,
    /// Frames that were left out because the sender's clock is fast.
    pub skew_dropped_frames: u64,
    /// How much the sender's clock differs from ours, as measured since the last correction, in
    /// frames. Positive: fast.
    pub skew_frames: i64,
    /// Interarrival jitter (RFC 3550, 6.4.1), in microseconds.
    pub jitter_us: u64,
    /// RTCP packets: sender reports.
    pub rtcp_sender_reports: u64,
    /// RTCP packets: BYE.
    pub rtcp_byes: u64,
    /// Time of the last accepted RTP packet, in the board's microseconds.
    pub last_packet_us: Option<u64>,
    /// SSRC of the sender at present.
    pub ssrc: Option<u32>,
}
