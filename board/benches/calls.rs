//! What it costs to receive 1,000 calls of two legs: the board, beside bare reception.
//!
//! A thread sends 2,000 streams of 50 packets a second over loopback, spread over slots of 1 ms.
//! The main thread reads the board every 10 ms, then the same streams with nothing but `recv`.
//! The processor time is that of the reading thread; the kernel's work for loopback is charged to
//! the sender. Packets are G.711.

#![allow(clippy::disallowed_methods, reason = "a benchmark reads the clock, and sleeps")]
#![allow(clippy::expect_used, reason = "a benchmark stops at what it did not expect")]

use board::{
    Board, BoardConfig, CaptureEvent, ChannelConfig, LegConfig, RtpCodec, SourceKind, rtp_port,
};
use nix::sys::epoll::{Epoll, EpollCreateFlags, EpollEvent, EpollFlags, EpollTimeout};
use nix::sys::resource::{Resource, UsageWho, getrlimit, getrusage, setrlimit};
use nix::sys::time::TimeValLike as _;
use std::net::{IpAddr, Ipv4Addr, UdpSocket};
use std::time::{Duration, Instant};

const SLOTS: usize = 1000;
const LEGS: usize = SLOTS * 2;
const SECONDS: u64 = 5;
const FIRST_PORT: u16 = 20_000;
const ADDRESS: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);

/// Result of one way to receive.
struct Measured {
    packets: u64,
    sent: u64,
    cpu_us: u64,
}

fn main() {
    let (_, hard) = getrlimit(Resource::RLIMIT_NOFILE).expect("the limit of open files");
    setrlimit(Resource::RLIMIT_NOFILE, hard.min(8192), hard).expect("more open files");
    println!("calls: {LEGS} legs, 50 packets a second each, {SECONDS} s a run");
    for run in 1..=3 {
        let bare = receive_bare();
        let board = receive_with_board(false);
        let tones = receive_with_board(true);
        print_row(run, "bare recv", &bare, &bare);
        print_row(run, "board", &board, &bare);
        print_row(run, "board, tones", &tones, &bare);
    }
}

fn print_row(run: u32, name: &str, way: &Measured, bare: &Measured) {
    let each = |way: &Measured| to_f64(way.cpu_us) / to_f64(way.packets.max(1));
    let (share, ratio) = (to_f64(way.cpu_us) / to_f64(SECONDS * 10_000), each(way) / each(bare));
    let (lost, each) = (way.sent.saturating_sub(way.packets), each(way));
    println!(
        "run {run} | {name:<12} | {:>6} packets | {lost:>5} lost | {share:>5.1} % of a core | \
         {each:.2} µs/packet | ratio {ratio:.2}",
        way.packets
    );
}

fn to_f64(number: u64) -> f64 {
    u32::try_from(number).map_or(f64::MAX, f64::from)
}

/// Sends every leg's packets in a thread for `SECONDS`; returns the number sent.
fn send_streams() -> std::thread::JoinHandle<u64> {
    std::thread::spawn(|| {
        let socket = UdpSocket::bind((ADDRESS, 0)).expect("a socket");
        let ports: Vec<u16> = (0..LEGS).map(|leg| rtp_port(FIRST_PORT, leg / 2, leg % 2)).collect();
        let started = Instant::now();
        let mut sent = 0;
        let mut packet = [0x55_u8; 172];
        packet[..2].copy_from_slice(&[0x80, 0]);
        for slot in 0..SECONDS * 1000 {
            let due = started + Duration::from_millis(slot);
            std::thread::sleep(due.saturating_duration_since(Instant::now()));
            let n = u16::try_from(slot / 20).expect("few packets");
            packet[2..4].copy_from_slice(&n.to_be_bytes());
            packet[4..8].copy_from_slice(&(u32::from(n) * 160).to_be_bytes());
            let first = usize::try_from(slot % 20).expect("small");
            for leg in (first..LEGS).step_by(20) {
                sent += u64::from(socket.send_to(&packet, (ADDRESS, ports[leg])).is_ok());
            }
        }
        sent
    })
}

fn receive_with_board(detects_tones: bool) -> Measured {
    let channel = |id| ChannelConfig { id, sides: 2, slots: Vec::new(), source: None };
    let config = BoardConfig {
        name: "calls".to_owned(),
        kind: SourceKind::Rtp { bind: ADDRESS, first_port: FIRST_PORT, slots: SLOTS },
        rate: 8000,
        buffer_ms: 200,
        channels: (1..).take(SLOTS).map(channel).collect(),
    };
    let mut board = Board::open(&config, 0).expect("free ports");
    let leg = LegConfig {
        payloads: vec![(0, RtpCodec::Pcmu)],
        telephone_events: vec![101],
        crypto: None,
        expects_audio: true,
        sender: None,
        detects_tones,
    };
    let calls = board.as_rtp_mut().expect("an RTP board");
    for slot in 0..SLOTS {
        calls.open_slot(0, slot, &[leg.clone(), leg.clone()]).expect("a closed slot");
    }
    let mut heard = 0_i64;
    let (cpu_us, sent) = run_every_10_ms(|now_us| {
        let mut visit = |event: CaptureEvent<'_>| {
            if let CaptureEvent::Period(period) = event {
                heard += i64::from(period.samples[0]);
            }
        };
        while board.read(now_us, 24_000, &mut visit) {}
    });
    std::hint::black_box(heard);
    let calls = board.as_rtp_mut().expect("an RTP board");
    let statistics = (0..LEGS).filter_map(|leg| calls.leg_statistics(leg / 2, leg % 2));
    Measured { packets: statistics.map(|leg| leg.packets).sum(), sent, cpu_us }
}

/// The same sockets and epoll, and nothing else.
fn receive_bare() -> Measured {
    let bind = |leg: usize| {
        let socket = UdpSocket::bind((ADDRESS, rtp_port(FIRST_PORT, leg / 2, leg % 2)));
        let socket = socket.expect("a free port");
        socket.set_nonblocking(true).expect("non-blocking");
        socket
    };
    let sockets: Vec<UdpSocket> = (0..LEGS).map(bind).collect();
    let epoll = Epoll::new(EpollCreateFlags::empty()).expect("epoll");
    for (socket, index) in sockets.iter().zip(0..) {
        epoll.add(socket, EpollEvent::new(EpollFlags::EPOLLIN, index)).expect("added");
    }
    let mut events = vec![EpollEvent::empty(); 256];
    let (mut packets, mut buffer) = (0, [0; 2048]);
    let (cpu_us, sent) = run_every_10_ms(|_| {
        loop {
            let ready = epoll.wait(&mut events, EpollTimeout::ZERO).unwrap_or(0);
            if ready == 0 {
                break;
            }
            for event in &events[..ready] {
                let index = usize::try_from(event.data()).expect("an index");
                packets += u64::from(sockets[index].recv(&mut buffer).is_ok());
            }
        }
        std::hint::black_box(&buffer);
    });
    Measured { packets, sent, cpu_us }
}

/// Calls `read` every 10 ms while the sender sends, and once at the end. Returns the processor
/// time of this thread in microseconds, and the packets sent.
fn run_every_10_ms(mut read: impl FnMut(u64)) -> (u64, u64) {
    let cpu_us = || {
        let usage = getrusage(UsageWho::RUSAGE_THREAD).expect("usage");
        let us = usage.user_time().num_microseconds() + usage.system_time().num_microseconds();
        u64::try_from(us).unwrap_or(0)
    };
    let (before, started) = (cpu_us(), Instant::now());
    let sender = send_streams();
    let now_us = || u64::try_from(started.elapsed().as_micros()).unwrap_or(u64::MAX);
    for tick in 1.. {
        let due = started + Duration::from_millis(tick * 10);
        std::thread::sleep(due.saturating_duration_since(Instant::now()));
        read(now_us());
        if sender.is_finished() {
            break;
        }
    }
    read(now_us() + 10_000);
    (cpu_us() - before, sender.join().unwrap_or(0))
}
