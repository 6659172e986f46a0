//! Captures of RTP legs in the classic pcap format, for sipp.

use super::{RtpLeg, RtpPacket};
use std::path::Path;

/// UDP port of the first leg. sipp keeps the distance of each packet's port to the lowest one.
const FIRST_PORT: u16 = 5_004;

/// Writes legs into one capture: the second leg two ports above the first one, and so on.
pub fn write(path: &Path, legs: &[&RtpLeg]) {
    let mut packets: Vec<(u64, u16, RtpPacket)> = Vec::new();
    for (port, leg) in (FIRST_PORT..).step_by(2).zip(legs) {
        packets.extend(leg.packets().into_iter().map(|packet| (packet.at_us, port, packet)));
    }
    packets.sort_by_key(|(at_us, _, _)| *at_us);
    // Magic number, version 2.4, time zone, accuracy, snapshot length, Ethernet.
    let mut file = Vec::new();
    file.extend(0xa1b2_c3d4_u32.to_le_bytes());
    [2_u16, 4].iter().for_each(|word| file.extend(word.to_le_bytes()));
    [0_u32, 0, 65_535, 1].iter().for_each(|word| file.extend(word.to_le_bytes()));
    for (at_us, port, packet) in packets {
        let frame = frame(port, &packet.bytes);
        let length = u32::try_from(frame.len()).unwrap();
        let seconds = u32::try_from(at_us / 1_000_000).unwrap();
        let micros = u32::try_from(at_us % 1_000_000).unwrap();
        [seconds, micros, length, length].iter().for_each(|word| file.extend(word.to_le_bytes()));
        file.extend(frame);
    }
    std::fs::write(path, file).unwrap();
}

/// An Ethernet frame with an IPv4 datagram from loopback to loopback.
fn frame(port: u16, payload: &[u8]) -> Vec<u8> {
    let length = |header: usize| u16::try_from(header + payload.len()).unwrap().to_be_bytes();
    let mut ip = vec![0x45, 0];
    ip.extend(length(28));
    ip.extend([0, 0, 0, 0, 64, 17, 0, 0, 127, 0, 0, 1, 127, 0, 0, 1]);
    let checksum = checksum(&ip);
    ip[10..12].copy_from_slice(&checksum.to_be_bytes());
    let mut frame = vec![0; 12];
    frame.extend([8, 0]);
    frame.extend(ip);
    frame.extend(port.to_be_bytes());
    frame.extend(port.to_be_bytes());
    frame.extend(length(8));
    frame.extend([0, 0]);
    frame.extend(payload);
    frame
}

/// The checksum of an IPv4 header (RFC 1071).
fn checksum(header: &[u8]) -> u16 {
    let words = header.chunks(2).map(|pair| u32::from(u16::from_be_bytes([pair[0], pair[1]])));
    let sum: u32 = words.sum();
    !u16::try_from((sum & 0xffff) + (sum >> 16)).unwrap()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rtp::{FRAME, PCMU};

    #[test]
    fn a_capture_has_both_legs_in_the_order_of_time() {
        let (mut one, mut two) = (RtpLeg::new(PCMU, 1), RtpLeg::new(PCMU, 2));
        one.send_audio(&[1; 2 * FRAME]);
        two.pause(1).send_audio(&[2; FRAME]);
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("legs.pcap");
        write(&path, &[&one, &two]);
        let bytes = std::fs::read(path).unwrap();
        let size = 16 + 14 + 28 + 12 + FRAME;
        assert_eq!(bytes.len(), 24 + 3 * size);
        let ports: Vec<_> =
            bytes[24..].chunks(size).map(|record| &record[16 + 34..][..2]).collect();
        assert_eq!(ports, [5_004_u16, 5_004, 5_006].map(u16::to_be_bytes));
        // The checksum over a header with its checksum is 0.
        assert_eq!(checksum(&bytes[24 + 16 + 14..][..20]), 0);
    }
}
