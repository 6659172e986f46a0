//! One RTP stream (one SSRC): the order of its packets, and where its timestamps are on the
//! board's clock.
//!
//! The first packet anchors the stream: its timestamp is the position at its arrival plus the
//! reorder window. Later packets follow by their timestamps. A packet whose position differs by
//! more than a second from its arrival is not believed, and the caller anchors the stream anew.

/// Packets behind the newest within which duplicates are recognised.
const DUPLICATE_WINDOW: i16 = 64;

/// A larger step of the sequence number is a restart of the sender (RFC 3550, A.1).
const SEQUENCE_STEP_MAX: i16 = 3000;

/// Time over which the least delay is measured.
const SKEW_WINDOW_US: u64 = 4_000_000;

/// How a packet's sequence number compares with the newest one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum SequenceOrder {
    /// Newer, with this many numbers missing in between.
    Newer { missing: u16 },
    /// Older, and seen for the first time as far as is known.
    Older,
    /// Seen before.
    Duplicate,
    /// So far away that the sender began a new sequence.
    Restart,
}

pub(crate) struct Stream {
    pub ssrc: u32,
    /// Rate of the timestamps, in Hz.
    pub clock_rate: u32,
    board_rate: u32,
    newest_sequence: u16,
    /// Bit n: the packet with `newest_sequence - n` came.
    seen: u64,
    newest_timestamp: u32,
    /// The sequence number after that of the last packet that seemed far too old.
    after_stray: Option<u16>,
    /// `newest_timestamp`, as a count that does not wrap.
    newest_extended: i64,
    anchor_extended: i64,
    anchor_position: i64,
    skew: SkewEstimate,
    jitter: Jitter,
}

impl Stream {
    /// Anchors a new stream: the packet's first frame is `position`.
    pub fn new(ssrc: u32, rates: (u32, u32), packet: (u16, u32), position: u64) -> Stream {
        let (clock_rate, board_rate) = rates;
        let (sequence, timestamp) = packet;
        Stream {
            ssrc,
            clock_rate,
            board_rate,
            newest_sequence: sequence,
            seen: 1,
            newest_timestamp: timestamp,
            after_stray: None,
            newest_extended: 0,
            anchor_extended: 0,
            anchor_position: to_signed(position),
            skew: SkewEstimate::default(),
            jitter: Jitter::default(),
        }
    }

    /// Classifies a packet by its sequence number, without changing anything.
    pub fn compare_sequence(&self, sequence: u16) -> SequenceOrder {
        let step = sequence.wrapping_sub(self.newest_sequence).cast_signed();
        match step {
            0 => SequenceOrder::Duplicate,
            1..=SEQUENCE_STEP_MAX => SequenceOrder::Newer { missing: step.unsigned_abs() - 1 },
            _ if step.unsigned_abs() > SEQUENCE_STEP_MAX.unsigned_abs() => SequenceOrder::Restart,
            _ if -step < DUPLICATE_WINDOW && self.seen >> -step & 1 == 1 => {
                SequenceOrder::Duplicate
            }
            _ => SequenceOrder::Older,
        }
    }

    /// Records that a packet came. The timestamp of a newer one becomes the reference.
    pub fn note_packet(&mut self, sequence: u16, timestamp: u32) {
        let step = sequence.wrapping_sub(self.newest_sequence).cast_signed();
        if step > 0 {
            self.seen = self.seen.checked_shl(u32::from(step.unsigned_abs())).unwrap_or(0) | 1;
            self.newest_sequence = sequence;
            self.newest_extended = self.extend(timestamp);
            self.newest_timestamp = timestamp;
            self.after_stray = None;
        } else if step > -DUPLICATE_WINDOW {
            self.seen |= 1 << step.unsigned_abs();
        }
    }

    /// Whether a packet that seems far too old directly follows another one, with none between that
    /// is believed. Then the sender began a new sequence under its old SSRC, and the packets are
    /// not old at all (RFC 3550, A.1).
    pub fn follows_stray(&mut self, sequence: u16) -> bool {
        let follows = self.after_stray == Some(sequence);
        self.after_stray = (!follows).then(|| sequence.wrapping_add(1));
        follows
    }

    /// Position of a timestamp on the board's clock. Negative: before the slot's first frame.
    pub fn position_of(&self, timestamp: u32) -> i64 {
        let ticks = self.extend(timestamp) - self.anchor_extended;
        self.anchor_position
            + (ticks * i64::from(self.board_rate)).div_euclid(i64::from(self.clock_rate))
    }

    /// Moves all later positions by `frames`, and begins the measurement of the skew anew.
    pub fn shift(&mut self, frames: i64) {
        self.anchor_position += frames;
        self.skew = SkewEstimate::default();
    }

    /// Observes how far a packet's position is ahead of its arrival (in frames), for skew and
    /// jitter.
    pub fn note_deviation(&mut self, now_us: u64, deviation: i64) {
        self.skew.note(now_us, deviation);
        self.jitter.note(deviation);
    }

    /// How far the least delayed packets are ahead of their arrival, in frames.
    pub fn skew(&self) -> Option<i64> {
        self.skew.estimate
    }

    /// Interarrival jitter in microseconds.
    pub fn jitter_us(&self) -> u64 {
        let rate = u64::from(self.board_rate.max(1));
        self.jitter.sixteenths.unsigned_abs() * 1_000_000 / 16 / rate
    }

    fn extend(&self, timestamp: u32) -> i64 {
        let step = timestamp.wrapping_sub(self.newest_timestamp).cast_signed();
        self.newest_extended + i64::from(step)
    }
}

/// Largest deviation in each window: the packet with the least delay in the network. Its drift
/// over the windows is the drift of the clocks.
#[derive(Clone, Copy, Debug, Default)]
struct SkewEstimate {
    window_us: Option<u64>,
    best: i64,
    estimate: Option<i64>,
}

impl SkewEstimate {
    fn note(&mut self, now_us: u64, deviation: i64) {
        match self.window_us {
            Some(since_us) if now_us.saturating_sub(since_us) < SKEW_WINDOW_US => {
                self.best = self.best.max(deviation);
            }
            Some(_) => {
                self.estimate = Some(self.best.max(deviation));
                (self.window_us, self.best) = (Some(now_us), deviation);
            }
            None => (self.window_us, self.best) = (Some(now_us), deviation),
        }
    }
}

/// Interarrival jitter as of RFC 3550, 6.4.1, in sixteenths of a frame.
#[derive(Clone, Copy, Debug, Default)]
struct Jitter {
    last: Option<i64>,
    sixteenths: i64,
}

impl Jitter {
    fn note(&mut self, deviation: i64) {
        if let Some(last) = self.last {
            let difference = (deviation - last).abs();
            self.sixteenths += difference - (self.sixteenths + 8) / 16;
        }
        self.last = Some(deviation);
    }
}

/// Converts a position to the signed type of the mapping.
pub(crate) fn to_signed(position: u64) -> i64 {
    i64::try_from(position).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stream(sequence: u16, timestamp: u32) -> Stream {
        Stream::new(1, (8000, 8000), (sequence, timestamp), 1000)
    }

    #[test]
    fn positions_follow_timestamps_over_the_wrap() {
        let mut stream = stream(65_534, u32::MAX - 159);
        assert_eq!(stream.position_of(u32::MAX - 159), 1000);
        assert_eq!(stream.position_of(0), 1160);
        stream.note_packet(65_535, 0);
        stream.note_packet(0, 160);
        assert_eq!(stream.position_of(480), 1640);
        assert_eq!(stream.position_of(u32::MAX - 319), 840);
    }

    #[test]
    fn opus_timestamps_at_48_khz_keep_exact_positions_for_a_day() {
        let mut stream = Stream::new(1, (48_000, 8000), (0, 7), 480);
        let (mut sequence, mut timestamp) = (0_u16, 7_u32);
        for n in 1..=4_320_000_i64 {
            (sequence, timestamp) = (sequence.wrapping_add(1), timestamp.wrapping_add(960));
            assert_eq!(stream.position_of(timestamp), 480 + n * 160);
            stream.note_packet(sequence, timestamp);
        }
    }

    #[test]
    fn sequence_numbers_are_sorted_into_new_old_twice_and_restarted() {
        let mut stream = stream(65_530, 0);
        let cases = [
            (65_531, SequenceOrder::Newer { missing: 0 }),
            (3, SequenceOrder::Newer { missing: 8 }),
            (65_530, SequenceOrder::Duplicate),
            (65_529, SequenceOrder::Older),
            (10_000, SequenceOrder::Restart),
            (50_000, SequenceOrder::Restart),
            (65_530_u16.wrapping_add(0x8000), SequenceOrder::Restart),
        ];
        for (sequence, expected) in cases {
            assert_eq!(stream.compare_sequence(sequence), expected, "{sequence}");
        }
        stream.note_packet(2, 1280);
        assert_eq!(stream.compare_sequence(65_530), SequenceOrder::Duplicate);
        assert_eq!(stream.compare_sequence(65_531), SequenceOrder::Older);
        stream.note_packet(65_531, 160);
        assert_eq!(stream.compare_sequence(65_531), SequenceOrder::Duplicate);
        assert_eq!(stream.compare_sequence(65_400), SequenceOrder::Older, "too old to be known");
    }

    #[test]
    fn the_skew_is_that_of_the_least_delayed_packets() {
        let mut stream = stream(0, 0);
        for n in 0..600_u64 {
            // 500 ppm fast: one frame ahead in 250 ms; every other packet is 10 ms late.
            let ahead = to_signed(n * 20 / 250);
            stream.note_deviation(n * 20_000, ahead - if n % 2 == 0 { 80 } else { 0 });
        }
        let skew = stream.skew().unwrap();
        assert!((24..=48).contains(&skew), "{skew}");
        stream.shift(-skew);
        assert_eq!(stream.skew(), None, "measured anew");
        assert_eq!(stream.position_of(0), 1000 - skew);
        assert!((9_000..=10_000).contains(&stream.jitter_us()), "{}", stream.jitter_us());
    }
}
