//! Enrolments over several days: the journal decides who may connect, through power cuts, new days,
//! and a disk that is away.

use hushbox::id::SessionId;
use hushbox::job::{DiskError, Job};
use hushbox::limits;
use hushbox::recorder::{Input, Peer};
use protocol::Kind;
use testkit::sim::SimBox;

const CONFIG: &str = "
[box]
name = \"box-01\"
data = \"data\"
[[board]]
name = \"demo\"
kind = \"sim\"
rate = 8000
buffer_ms = 200
activity = \"cti\"
channels = [ { id = 1, device = \"1001\", sides = \"mono\", source = \"x.wav\" } ]
[[technician]]
name = \"field\"
pin = \"$argon2id$v=19$m=19456,t=2,p=1$\
BtIvqaj9XY7ZBxJ22c5iVw$TyjQ7ygFTOcEHsXrsnq57JJbStAteqOOA0/cG+bNoiU\"
";

const DAY_MS: i64 = 86_400_000;

fn a_box() -> SimBox {
    let mut sim = SimBox::new(CONFIG, 5);
    sim.serve_enrolment();
    sim
}

/// The last answer among what was said; empty: there is none.
fn answer(said: &[String]) -> &str {
    let answers = |line: &&String| line.starts_with("ok") || line.starts_with("err ");
    said.iter().rev().find(answers).map_or("", String::as_str)
}

fn technician(sim: &mut SimBox) -> u32 {
    let client = sim.client(&[Kind::Technician]);
    let said = sim.say(client, "hello technician user=field pin=2468");
    assert!(answer(&said).starts_with("ok "), "{said:?}");
    client
}

/// What the technician's code and this request bring: an answer, or none yet.
fn ask_for_certificate(sim: &mut SimBox, request: &[u8]) -> Vec<String> {
    let technician = technician(sim);
    let said = sim.say(technician, "enrol WS-042 kinds=monitor");
    let code =
        answer(&said).strip_prefix("ok code=").unwrap_or_else(|| panic!("{said:?}")).to_owned();
    let station = sim.connect_tls(None);
    let said = sim.say(station, &format!("enrol code={code}"));
    assert_eq!(answer(&said), "", "the answer comes after the block");
    sim.input(Input::Data { session: SessionId(station.into()), block: Ok(request) });
    sim.news(station)
}

fn enrolled(sim: &mut SimBox, request: &[u8]) -> [u8; 32] {
    let said = ask_for_certificate(sim, request);
    assert!(said.contains(&"data 3".to_owned()), "{said:?}");
    assert!(answer(&said).starts_with("ok machine=WS-042 kinds=monitor until="), "{said:?}");
    *blake3::hash(request).as_bytes()
}

/// The code of the refusal to let this certificate in; empty: it is let in.
fn refusal(sim: &mut SimBox, certificate: [u8; 32]) -> String {
    let client = sim.connect_tls(Some(certificate));
    let said = sim.say(client, "hello monitor");
    let last = said.last().unwrap();
    last.strip_prefix("err ")
        .map_or(String::new(), |rest| rest.split(' ').next().unwrap().to_owned())
}

/// Some days pass, a start on each.
fn days_pass(sim: &mut SimBox, days: u32) {
    for day in 0..days {
        sim.now.wall.0 += DAY_MS;
        sim.run_ms(2000);
        sim.restart(day % 2 == 0);
        sim.serve_enrolment();
        sim.run_ms(2000);
    }
}

#[test]
fn enrolment_lasts_over_days_until_revoked() {
    let mut sim = a_box();
    let first = enrolled(&mut sim, b"first");
    assert_eq!(refusal(&mut sim, first), "");
    days_pass(&mut sim, 4);
    assert_eq!(refusal(&mut sim, first), "", "closed days are not forgotten");
    let second = enrolled(&mut sim, b"second");
    assert_eq!(refusal(&mut sim, first), "not-enrolled", "replaced");
    days_pass(&mut sim, 3);
    assert_eq!(refusal(&mut sim, second), "");
    assert_eq!(refusal(&mut sim, first), "not-enrolled");
    let technician = technician(&mut sim);
    assert_eq!(answer(&sim.say(technician, "revoke ws-042")), "ok");
    assert_eq!(refusal(&mut sim, second), "not-enrolled");
    days_pass(&mut sim, 3);
    assert_eq!(refusal(&mut sim, second), "not-enrolled", "for good");
}

#[test]
fn no_code_is_made_for_a_name_with_characters_that_cannot_be_seen() {
    let mut sim = a_box();
    let technician = technician(&mut sim);
    for name in ["WS\u{200b}-042", "\u{202e}240-SW", "WS-042\u{feff}", "WS\u{ad}042"] {
        let said = sim.say(technician, &format!("enrol \"{name}\""));
        let refused = answer(&said);
        assert!(refused.starts_with("err bad-argument") && refused.contains("seen"), "{said:?}");
    }
    let said = sim.say(technician, "enrol \"PC Jörg 山田\"");
    assert!(answer(&said).starts_with("ok code="), "{said:?}");
}

#[test]
fn h4_disk_away_refuses_enrolment_and_revokes_at_once() {
    let mut sim = a_box();
    let certificate = enrolled(&mut sim, b"request");
    let open = sim.connect_tls(Some(certificate));
    sim.say(open, "hello monitor");
    let technician = technician(&mut sim);
    sim.disk.refuse = Some(Box::new(|job: &Job, _: &str| {
        let reads = matches!(job, Job::Read { .. } | Job::QueryFreeSpace);
        (!reads).then_some(DiskError::Failed(5))
    }));
    assert_eq!(answer(&sim.say(technician, "revoke WS-042")), "", "no ok that is not durable");
    assert!(sim.is_closed(open));
    assert_eq!(refusal(&mut sim, certificate), "not-enrolled");
    let said = ask_for_certificate(&mut sim, b"another");
    assert!(answer(&said).starts_with("err storage "), "{said:?}");
    sim.disk.refuse = None;
    sim.run_ms(4000);
    assert_eq!(answer(&sim.news(technician)), "ok");
    sim.restart(true);
    assert_eq!(refusal(&mut sim, certificate), "not-enrolled");
}

/// A technician's answer to a PIN, from one who comes in by this way.
fn said_to_pin(sim: &mut SimBox, from: &str, pin: &str) -> String {
    let kinds = vec![Kind::Technician];
    let client = sim.client_of(Peer { kinds, from: from.to_owned(), portal: false });
    let said = sim.say(client, &format!("hello technician user=field pin={pin}"));
    sim.gone(client);
    answer(&said).to_owned()
}

#[test]
fn h4_wrong_pins_lock_out_their_way_in_and_no_other() {
    let mut sim = a_box();
    for guess in 0..limits::LOCKOUT_ATTEMPTS {
        // On loopback every process has all the addresses of 127.0.0.0/8.
        let said = said_to_pin(&mut sim, &format!("127.0.0.{}", guess + 1), "1111");
        assert!(said.starts_with("err denied "), "{said}");
        let said = said_to_pin(&mut sim, "/dev/ttyS0", "1111");
        assert!(said.starts_with("err denied "), "{said}");
    }
    for locked in ["127.0.0.9", "10.0.0.1", "/dev/ttyS0"] {
        let said = said_to_pin(&mut sim, locked, "2468");
        assert!(said.starts_with("err locked "), "{locked}: {said}");
    }
    for other in ["unix:0", "/dev/ttyS1"] {
        let said = said_to_pin(&mut sim, other, "2468");
        assert!(said.starts_with("ok "), "{other}: {said}");
    }
    sim.run_ms(60_000);
    assert!(said_to_pin(&mut sim, "10.0.0.1", "2468").starts_with("ok "));
}

#[test]
fn h4_wrong_codes_of_a_stranger_keep_no_workstation_out() {
    let mut sim = a_box();
    let technician = technician(&mut sim);
    let said = sim.say(technician, "enrol WS-042 kinds=monitor");
    let code = answer(&said).strip_prefix("ok code=").unwrap().to_owned();
    for _ in 0..limits::LOCKOUT_ATTEMPTS {
        let stranger = sim.connect_tls_from("2001:db8::1", None);
        let said = sim.say_with(stranger, "enrol code=AAAA", b"request");
        assert!(answer(&said).starts_with("err denied "), "{said:?}");
    }
    let neighbour = sim.connect_tls_from("2001:db8::2", None);
    let said = sim.say_with(neighbour, &format!("enrol code={code}"), b"request");
    assert!(answer(&said).starts_with("err locked "), "{said:?}");
    let station = sim.connect_tls_from("2001:db8:0:1::2", None);
    let said = sim.say_with(station, &format!("enrol code={code}"), b"request");
    assert!(answer(&said).starts_with("ok machine=WS-042 "), "{said:?}");
}
