//! Calls by SIPREC on the real box, from sipp and from a recording client of our own.
//!
//! Every leg plays known noise in µ-law, and the box records with codec `ulaw`, so that an export
//! has exactly the decoded payload. The agent is on the left.

use std::net::{Ipv4Addr, SocketAddr, TcpListener, UdpSocket};
use std::path::Path;
use std::sync::atomic::{AtomicU16, Ordering};
use testkit::daemon::audio::read_wav;
use testkit::daemon::client::Client;
use testkit::daemon::site::Site;
use testkit::daemon::{Daemon, RATE, Record, let_pass};
use testkit::rng::Rng;
use testkit::rtp::play::play;
use testkit::rtp::{FRAME, PCMU, RtpLeg, pcap, ulaw_sample};
use testkit::sip::link::SipLink;
use testkit::sip::sipp::Sipp;

/// The phone of agent a1.
const AGENT: &str = "1001";
const CALLER: &str = "+12025550123";
/// Samples of a packet.
const PACKET: u64 = FRAME as u64;

/// A box with a SIP board, and a client that watches it.
struct SipBox {
    story: Daemon,
    server: SocketAddr,
    watcher: Client,
}

impl SipBox {
    fn start(calls: u16) -> SipBox {
        let server = free_port();
        let first = free_rtp_ports(calls * 4);
        let last = first + calls * 4 - 1;
        let more = format!(
            "[[board]]\nname = \"sbc\"\nkind = \"sip\"\n\
             listen = [\"udp:{server}\", \"tcp:{server}\"]\n\
             ports = \"{first}-{last}\"\ncalls = {calls}\n\
             [[schedule]]\nname = \"all\"\ntype = \"percentage\"\npercent = 100\n\
             retention_days = 30\n"
        );
        let story = Daemon::start_new(Site { codec: "ulaw", more, ..Site::sim(&[1]) });
        let watcher = watch(&story);
        SipBox { story, server, watcher }
    }

    /// The next recording that ends.
    fn ended(&mut self) -> String {
        let ended =
            self.watcher.await_news("the recording's end", |l| l.is("what", "recording-ended"));
        ended.get("recording").to_owned()
    }

    fn sipp(&self, scenario: &str, tcp: bool, (calls, rate): (u32, u32)) {
        let (server, folder) = (self.server, self.story.folder.path());
        Sipp { scenario, folder, server, tcp, calls, rate, words: &[("agent", AGENT)] }.run();
    }

    /// What was recorded: the record and both sides.
    fn recorded(&self, recording: &str) -> (Record, [Vec<i16>; 2]) {
        let record = self.story.show(recording);
        record.assert_ledger();
        let (path, _) = self.story.export(recording, "wav");
        let (samples, rate, sides) = read_wav(&path);
        assert_eq!((u64::from(rate), sides), (RATE, 2));
        let side = |side: usize| samples.iter().skip(side).step_by(2).copied().collect();
        (record, [side(0), side(1)])
    }
}

fn watch(story: &Daemon) -> Client {
    let mut watcher = story.client("hello monitor");
    watcher.ok("watch");
    watcher
}

/// An address that is free for UDP and TCP.
fn free_port() -> SocketAddr {
    loop {
        let udp = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let address = udp.local_addr().unwrap();
        if TcpListener::bind(address).is_ok() {
            return address;
        }
    }
}

/// The first of so many free UDP ports; even.
fn free_rtp_ports(count: u16) -> u16 {
    static NEXT: AtomicU16 = AtomicU16::new(0);
    loop {
        let start = u16::try_from(std::process::id() % 40).unwrap() * 250;
        let first = 20_000 + (start + NEXT.fetch_add(count, Ordering::Relaxed)) % 12_000;
        let is_free = |port| UdpSocket::bind((Ipv4Addr::LOCALHOST, port)).is_ok();
        if (first..first + count).all(is_free) {
            return first;
        }
    }
}

/// So many packets of noise in µ-law.
fn noise(seed: u64, packets: usize) -> Vec<u8> {
    let mut rng = Rng::new(seed);
    (0..packets * FRAME).map(|_| rng.byte()).collect()
}

/// Where decoded payload stands in a recording.
fn position_of(recorded: &[i16], payload: &[u8]) -> Option<u64> {
    let samples: Vec<i16> = payload.iter().map(|byte| ulaw_sample(*byte)).collect();
    let found = recorded.windows(samples.len()).position(|window| window == samples);
    found.map(|position| u64::try_from(position).unwrap())
}

/// The payload from packet `from` to packet `to`.
fn packets(payload: &[u8], from: usize, to: usize) -> &[u8] {
    &payload[from * FRAME..to * FRAME]
}

/// Writes the capture that sipp plays: the agent on the first stream, the caller on the second.
fn write_capture(folder: &Path, legs: [&RtpLeg; 2]) {
    pcap::write(&folder.join("legs.pcap"), &legs);
}

#[test]
fn i1_i2_i3_sipp_over_udp_and_tcp_is_recorded_bit_exact() {
    for tcp in [false, true] {
        let mut story = SipBox::start(4);
        let sounds = [noise(1, 200), noise(2, 200)];
        let mut legs = [RtpLeg::new(PCMU, 11), RtpLeg::new(PCMU, 22)];
        for (leg, sound) in legs.iter_mut().zip(&sounds) {
            leg.send_audio(sound);
        }
        write_capture(story.story.folder.path(), legs.each_ref());
        story.sipp("call.xml", tcp, (1, 1));
        let recording = story.ended();
        story.story.stop();
        let (record, sides) = story.recorded(&recording);
        for (side, sound) in sides.iter().zip(&sounds) {
            let began = position_of(side, sound);
            let began = began.unwrap_or_else(|| panic!("tcp {tcp}: {record:?}"));
            // The call goes on after the last packet, and what does not come is lost.
            let end = record.from() + began + 200 * PACKET;
            assert!(record.spans("lost").iter().all(|(from, _)| *from >= end - RATE / 10));
        }
        assert_eq!(record.text("/device"), AGENT);
        // The UPDATE of the scenario told another number.
        assert_eq!(record.text("/ani"), "+12025550199");
        assert_eq!(record.text("/call/direction"), "in");
        assert_eq!(record.number("/ledger/held"), 0);
    }
}

#[test]
fn i3_a_hold_is_a_span_and_the_time_goes_on() {
    let mut story = SipBox::start(4);
    let sounds = [noise(3, 250), noise(4, 250)];
    let mut legs = [RtpLeg::new(PCMU, 11), RtpLeg::new(PCMU, 22)];
    for (leg, sound) in legs.iter_mut().zip(&sounds) {
        leg.send_audio(sound);
    }
    write_capture(story.story.folder.path(), legs.each_ref());
    story.sipp("hold.xml", false, (1, 1));
    let recording = story.ended();
    story.story.stop();
    let (record, sides) = story.recorded(&recording);
    let held = record.number("/ledger/held");
    assert!((RATE..RATE * 4).contains(&held), "{record:?}");
    for (side, sound) in sides.iter().zip(&sounds) {
        let before = position_of(side, packets(sound, 10, 40)).expect("before the hold");
        let after = position_of(side, packets(sound, 210, 240)).expect("after the hold");
        assert_eq!(after - before, 200 * PACKET, "the packets of the hold took their time");
    }
}

#[test]
fn i3_loss_reordering_new_sources_and_jumps_cost_only_what_is_lost() {
    let mut story = SipBox::start(4);
    let mut link = SipLink::udp(5, story.server, [CALLER, AGENT]);
    let ports = link.call();
    let whole = noise(6, 360);
    let sound = noise(7, 300);
    let mut caller = RtpLeg::new(PCMU, 33);
    caller.send_audio(&whole);
    let mut agent = RtpLeg::new(PCMU, 44);
    agent.send_audio(packets(&sound, 0, 50)).lose(5);
    agent.send_audio(packets(&sound, 50, 100)).swap_last_two().repeat_last();
    agent.send_audio(packets(&sound, 100, 140)).delay_last(30);
    agent.send_audio(packets(&sound, 140, 150));
    agent.change_ssrc(55).send_audio(packets(&sound, 150, 200));
    agent.jump_timestamp(80_000).send_audio(packets(&sound, 200, 250));
    agent.jump_timestamp(-400_000).send_audio(packets(&sound, 250, 300));
    let to = ports.map(|port| SocketAddr::from((Ipv4Addr::LOCALHOST, port)));
    play(&[(&caller, &link.media[0], to[0]), (&agent, &link.media[1], to[1])]);
    let_pass(std::time::Duration::from_millis(500));
    assert_eq!(link.ask(|client| client.bye()), 200);
    let recording = story.ended();
    story.story.stop();
    let (record, [left, right]) = story.recorded(&recording);
    assert!(position_of(&right, &whole).is_some(), "the other leg lost nothing: {record:?}");
    let first = position_of(&left, packets(&sound, 0, 50)).expect("before the loss");
    let second = position_of(&left, packets(&sound, 50, 150)).expect("after the loss");
    assert_eq!(second - first, 55 * PACKET);
    let lost = record.number("/ledger/side_lost_by/agent/network");
    assert!(lost >= 5 * PACKET, "{record:?}");
    // A new source is placed by its arrival: its edges may meet those of the old one.
    let mut last = second;
    for from in [150, 200, 250] {
        let found = position_of(&left, packets(&sound, from + 10, from + 40));
        let found = found.unwrap_or_else(|| panic!("packet {from}: {record:?}"));
        assert!(found > last, "in order");
        last = found;
    }
    assert!(last - second < 300 * PACKET, "no jump of a time stamp is believed");
}

#[test]
fn i4_digits_open_a_blackout_on_both_legs() {
    let mut story = SipBox::start(4);
    let mut link = SipLink::tcp(8, story.server, [CALLER, AGENT]);
    let ports = link.call();
    let sounds = [noise(9, 400), noise(10, 400)];
    let [mut caller, mut agent] = [RtpLeg::new(PCMU, 66), RtpLeg::new(PCMU, 77)];
    caller.send_audio(packets(&sounds[0], 0, 100));
    for digit in [4, 1, 1, 1] {
        caller.send_digit(digit, 5).pause(3);
    }
    caller.send_audio(packets(&sounds[0], 132, 400));
    agent.send_audio(&sounds[1]);
    let to = ports.map(|port| SocketAddr::from((Ipv4Addr::LOCALHOST, port)));
    play(&[(&caller, &link.media[0], to[0]), (&agent, &link.media[1], to[1])]);
    let_pass(std::time::Duration::from_millis(500));
    assert_eq!(link.ask(|client| client.bye()), 200);
    let recording = story.ended();
    story.story.stop();
    let (record, [left, right]) = story.recorded(&recording);
    let blackouts = record.blackouts();
    assert!(!blackouts.is_empty(), "{record:?}");
    assert_eq!(record.text("/blackouts/0/holder"), "digits");
    let began = position_of(&right, packets(&sounds[0], 0, 50)).expect("before the digits");
    let digit = record.from() + began + 100 * PACKET;
    let masked = record.spans("masked");
    let is_masked = |at: u64| masked.iter().any(|(from, to)| (*from..*to).contains(&at));
    assert!(is_masked(digit - RATE * 3 / 10) && is_masked(digit + 27 * PACKET), "{record:?}");
    assert!(is_masked(digit + 27 * PACKET + RATE * 2), "until 3 s after the last one: {record:?}");
    assert!(!is_masked(digit + 29 * PACKET + RATE * 4), "{record:?}");
    for side in [&left, &right] {
        for (from, to) in &masked {
            let index = |at: u64| usize::try_from(at - record.from()).unwrap();
            assert!(side[index(*from)..index(*to)].iter().all(|sample| *sample == 0));
        }
    }
    let late = position_of(&right, packets(&sounds[0], 350, 390));
    assert!(late.is_some(), "the blackout ends: {record:?}");
}

#[test]
fn i5_call_goes_on_after_kill_9_and_stays_masked() {
    for is_masked in [false, true] {
        let mut story = SipBox::start(4);
        let mut link = SipLink::udp(12, story.server, [CALLER, AGENT]);
        let to = link.call().map(|port| SocketAddr::from((Ipv4Addr::LOCALHOST, port)));
        let sounds = [13, 14, 15].map(|seed| noise(seed, 250));
        let say = |link: &SipLink, sound: &[u8]| {
            let [mut caller, mut agent] = [RtpLeg::new(PCMU, 66), RtpLeg::new(PCMU, 77)];
            caller.send_audio(sound);
            agent.send_audio(sound);
            play(&[(&caller, &link.media[0], to[0]), (&agent, &link.media[1], to[1])]);
        };
        say(&link, &sounds[0]);
        if is_masked {
            story.story.client("hello agent user=a1").ok("blackout start");
        }
        story.story.kill();
        story.story.start();
        story.watcher = watch(&story.story);
        say(&link, &sounds[1]);
        if is_masked {
            story.story.client("hello agent user=a1").ok("blackout stop");
        }
        say(&link, &sounds[2]);
        assert_eq!(link.ask(|client| client.bye()), 200);
        let recording = story.ended();
        story.story.stop();
        let (record, [_, right]) = story.recorded(&recording);
        let (first, [_, before]) = story.recorded(record.text("/continues"));
        assert_eq!((first.text("/end"), record.text("/end")), ("power", "call-end"));
        assert_eq!(first.text("/call/id"), record.text("/call/id"));
        assert!(position_of(&before, packets(&sounds[0], 0, 40)).is_some(), "{first:?}");
        let has = |sound: &[u8]| position_of(&right, packets(sound, 100, 140)).is_some();
        assert_eq!((has(&sounds[1]), has(&sounds[2])), (!is_masked, true), "{record:?}");
    }
}

#[test]
fn i5_a_storm_of_invites_is_taken_or_refused_and_the_box_goes_on() {
    let mut story = SipBox::start(8);
    write_capture(story.story.folder.path(), [&RtpLeg::new(PCMU, 1), &RtpLeg::new(PCMU, 2)]);
    story.sipp("storm.xml", false, (40, 40));
    for _ in 0..8 {
        story.ended();
    }
    let mut link = SipLink::udp(11, story.server, [CALLER, AGENT]);
    link.call();
    assert_eq!(link.ask(|client| client.options()), 200);
    assert_eq!(link.ask(|client| client.bye()), 200);
    story.story.assert_verified();
    story.story.stop();
}
