//! Sends RTP legs over UDP in real time.

#![allow(clippy::disallowed_methods, reason = "real programs live in real time")]

use super::RtpLeg;
use std::net::{SocketAddr, UdpSocket};
use std::time::{Duration, Instant};

/// Sends legs from sockets of their own, each to its address, until the last packet is sent.
pub fn play(legs: &[(&RtpLeg, &UdpSocket, SocketAddr)]) {
    let mut packets = Vec::new();
    for (index, (leg, ..)) in legs.iter().enumerate() {
        packets.extend(leg.packets().into_iter().map(|packet| (packet, index)));
    }
    packets.sort_by_key(|(packet, _)| packet.at_us);
    let began = Instant::now();
    for (packet, index) in packets {
        let due = began + Duration::from_micros(packet.at_us);
        std::thread::sleep(due.saturating_duration_since(Instant::now()));
        let (_, socket, to) = legs[index];
        socket.send_to(&packet.bytes, to).unwrap();
    }
}
