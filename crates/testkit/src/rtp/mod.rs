//! RTP as a recording client sends it: legs of G.711 with digits, losses, reordering, changes of
//! the SSRC, jumps of the time stamps and a clock that runs too fast or too slow.
//!
//! An `RtpLeg` is a list of packets with the time when each is sent. `pcap` writes legs for sipp;
//! `play` sends them in real time.

pub mod pcap;
pub mod play;

/// Samples, and bytes of G.711, in a packet of 20 ms.
pub const FRAME: usize = 160;
/// Time between two packets.
const FRAME_US: u64 = 20_000;
/// The payload type of telephone events.
pub const EVENT_TYPE: u8 = 101;
/// G.711 µ-law.
pub const PCMU: u8 = 0;

/// A packet and the time since the start of the leg when it is sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RtpPacket {
    pub at_us: u64,
    pub bytes: Vec<u8>,
}

/// One leg of a call. Every method appends what happens next.
#[derive(Clone, Debug)]
pub struct RtpLeg {
    payload_type: u8,
    ssrc: u32,
    sequence: u16,
    timestamp: u32,
    /// When the next packet is sent, by the recording client's clock.
    now_us: u64,
    /// How much faster than ours the recording client's clock runs, in parts per million.
    skew_ppm: i32,
    /// Whether the next packet starts a talk spurt.
    marks: bool,
    packets: Vec<RtpPacket>,
}

impl RtpLeg {
    pub fn new(payload_type: u8, ssrc: u32) -> RtpLeg {
        RtpLeg {
            payload_type,
            ssrc,
            sequence: 65_500,
            timestamp: u32::MAX - 4_000,
            now_us: 0,
            skew_ppm: 0,
            marks: true,
            packets: Vec::new(),
        }
    }

    /// Lets the recording client's clock run faster from here on; slower if negative.
    pub fn skew(&mut self, ppm: i32) -> &mut RtpLeg {
        self.skew_ppm = ppm;
        self
    }

    /// Sends audio, 20 ms in a packet.
    pub fn send_audio(&mut self, payload: &[u8]) -> &mut RtpLeg {
        assert_eq!(payload.len() % FRAME, 0, "whole packets");
        for frame in payload.chunks(FRAME) {
            self.push(self.payload_type, frame);
            self.advance();
        }
        self
    }

    /// Loses packets on the way: numbers and time go on.
    pub fn lose(&mut self, packets: u16) -> &mut RtpLeg {
        for _ in 0..packets {
            self.sequence = self.sequence.wrapping_add(1);
            self.advance();
        }
        self
    }

    /// Sends nothing for some packets, as in a pause (DTX) or on hold: only the time goes on.
    pub fn pause(&mut self, packets: u16) -> &mut RtpLeg {
        (0..packets).for_each(|_| self.advance());
        self.marks = true;
        self
    }

    /// Sends the level of comfort noise (RFC 3389) and then nothing for some packets.
    pub fn comfort_noise(&mut self, level: u8, packets: u16) -> &mut RtpLeg {
        self.push(13, &[level]);
        self.pause(packets)
    }

    /// Sends a digit of so many packets, with three end packets (RFC 4733 2.5.1.4).
    pub fn send_digit(&mut self, digit: u8, packets: u16) -> &mut RtpLeg {
        let samples = u16::try_from(FRAME).unwrap();
        let event = |end: u8, duration: u16| {
            let [high, low] = duration.to_be_bytes();
            [digit, end | 10, high, low]
        };
        self.marks = true;
        let began = self.timestamp;
        for number in 1..=packets {
            let timestamp = std::mem::replace(&mut self.timestamp, began);
            self.push(EVENT_TYPE, &event(0, number * samples));
            self.timestamp = timestamp;
            self.advance();
        }
        let timestamp = std::mem::replace(&mut self.timestamp, began);
        (0..3).for_each(|_| self.push(EVENT_TYPE, &event(0x80, packets * samples)));
        self.timestamp = timestamp;
        self
    }

    /// Exchanges the times of the last two packets.
    pub fn swap_last_two(&mut self) -> &mut RtpLeg {
        let last = self.packets.len() - 1;
        let at_us = self.packets[last].at_us;
        self.packets[last].at_us = self.packets[last - 1].at_us;
        self.packets[last - 1].at_us = at_us;
        self
    }

    /// Sends the last packet later.
    pub fn delay_last(&mut self, ms: u64) -> &mut RtpLeg {
        self.packets.last_mut().unwrap().at_us += ms * 1_000;
        self
    }

    /// Sends the last packet once more.
    pub fn repeat_last(&mut self) -> &mut RtpLeg {
        let last = self.packets.last().unwrap().clone();
        self.packets.push(last);
        self
    }

    /// Goes on as another source, with other numbers and time stamps.
    pub fn change_ssrc(&mut self, ssrc: u32) -> &mut RtpLeg {
        (self.ssrc, self.sequence) = (ssrc, self.sequence.wrapping_add(30_000));
        self.timestamp = self.timestamp.wrapping_mul(7).wrapping_add(ssrc);
        self
    }

    /// Lets the time stamps jump, forward or back, without a mark.
    pub fn jump_timestamp(&mut self, samples: i32) -> &mut RtpLeg {
        self.timestamp = self.timestamp.wrapping_add_signed(samples);
        self
    }

    /// The packets in the order in which they are sent.
    pub fn packets(&self) -> Vec<RtpPacket> {
        let mut packets = self.packets.clone();
        packets.sort_by_key(|packet| packet.at_us);
        packets
    }

    fn push(&mut self, payload_type: u8, payload: &[u8]) {
        let mark = if std::mem::take(&mut self.marks) { 0x80 } else { 0 };
        let mut bytes = vec![0x80, mark | payload_type];
        bytes.extend(self.sequence.to_be_bytes());
        bytes.extend(self.timestamp.to_be_bytes());
        bytes.extend(self.ssrc.to_be_bytes());
        bytes.extend(payload);
        self.sequence = self.sequence.wrapping_add(1);
        // A clock that runs fast sends early.
        let million = 1_000_000;
        let at = i64::try_from(self.now_us).unwrap();
        let at = at - at * i64::from(self.skew_ppm) / million;
        self.packets.push(RtpPacket { at_us: u64::try_from(at).unwrap(), bytes });
    }

    fn advance(&mut self) {
        self.timestamp = self.timestamp.wrapping_add(u32::try_from(FRAME).unwrap());
        self.now_us += FRAME_US;
    }
}

/// The sample of a byte of µ-law (ITU-T G.711).
pub fn ulaw_sample(byte: u8) -> i16 {
    let code = !byte;
    let magnitude = ((i16::from(code & 0x0f) << 3) + 0x84) << ((code & 0x70) >> 4);
    if code & 0x80 == 0 { magnitude - 0x84 } else { 0x84 - magnitude }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Number, time stamp, time and payload type of each packet.
    fn seen(leg: &RtpLeg) -> Vec<(u16, u32, u64, u8)> {
        let packets = leg.packets();
        let fields = |packet: &RtpPacket| {
            let bytes = &packet.bytes;
            let sequence = u16::from_be_bytes(bytes[2..4].try_into().unwrap());
            let timestamp = u32::from_be_bytes(bytes[4..8].try_into().unwrap());
            (sequence.wrapping_sub(65_500), timestamp.wrapping_add(4_001), packet.at_us, bytes[1])
        };
        packets.iter().map(fields).collect()
    }

    #[test]
    fn numbers_and_time_follow_what_happens() {
        let mut leg = RtpLeg::new(PCMU, 1);
        leg.send_audio(&[1; 2 * FRAME]).lose(2).send_audio(&[2; FRAME]).pause(5);
        leg.send_audio(&[3; 2 * FRAME]).swap_last_two();
        let expected = [
            (0, 0, 0, 0x80),
            (1, 160, 20_000, 0),
            (4, 640, 80_000, 0),
            (6, 1_760, 200_000, 0),
            (5, 1_600, 220_000, 0x80),
        ];
        assert_eq!(seen(&leg), expected);
    }

    #[test]
    fn a_digit_keeps_its_time_stamp_and_ends_three_times() {
        let mut leg = RtpLeg::new(PCMU, 1);
        leg.send_digit(5, 2).send_audio(&[1; FRAME]);
        let times: Vec<_> = seen(&leg).iter().map(|packet| (packet.1, packet.2)).collect();
        let end = (0, 40_000);
        assert_eq!(times, [(0, 0), (0, 20_000), end, end, end, (320, 40_000)]);
        let payloads: Vec<_> = leg.packets().iter().map(|p| p.bytes[12..].to_vec()).collect();
        assert_eq!(payloads[0], [5, 10, 0, 160]);
        assert_eq!(payloads[1], [5, 10, 1, 64]);
        assert_eq!(payloads[2..5], vec![[5, 0x8a, 1, 64]; 3]);
    }

    #[test]
    fn a_fast_clock_sends_early() {
        let mut leg = RtpLeg::new(PCMU, 1);
        leg.skew(500).send_audio(&[1; 101 * FRAME]);
        assert_eq!(leg.packets()[100].at_us, 2_000_000 - 1_000);
    }

    #[test]
    fn ulaw_is_decoded_by_the_standard() {
        // ITU-T G.711 table 2a.
        let samples = [(0xff, 0), (0x7f, 0), (0x80, 32_124), (0x00, -32_124), (0xf0, 120)];
        for (byte, sample) in samples {
            assert_eq!(ulaw_sample(byte), sample, "{byte:#x}");
        }
    }
}
