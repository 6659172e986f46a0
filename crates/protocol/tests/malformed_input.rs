//! Random lines and random splits: nothing that is sent makes either side panic or lose step.
//!
//! Deterministic: a failure names its seed. The words come from the command table, so that most
//! lines get past the first check.

#![allow(clippy::expect_used)]

use protocol::client::{Client, ClientEvent};
use protocol::{Assembler, Code, Command, Kind, Line, Piece, Refusal, reply, table};
use testkit::rng::Rng;

const VALUES: &[&str] = &[
    "",
    "-",
    "1",
    "255",
    "256",
    "4294967296",
    "agent",
    "portal",
    "on",
    "in",
    "jdoe",
    "x\"y",
    "\\",
    "\"",
    "a b",
    "\"a b\"",
    "\"\\\"",
    "\"open",
    "é",
    "\"é\u{7}\"",
    "\0",
    "\t",
    "agent,cti",
    "=",
    "k=v",
    "2026-11-22T00:00:00Z",
    "99999999999999999999999",
    "\u{9b}",
    "debug",
    "💥",
    "\"💥\\\\\"",
];

fn line(rng: &mut Rng) -> String {
    let entry = &table::TABLE[rng.below(table::TABLE.len())];
    let mut line = if rng.below(10) == 0 { String::new() } else { entry.verb.to_owned() };
    for arg in entry.args {
        if rng.below(8) == 0 {
            continue;
        }
        line.push(' ');
        if arg.keyed {
            line.push_str(arg.name);
            line.push('=');
        }
        line.push_str(*rng.pick(VALUES));
    }
    while rng.below(4) == 0 {
        let (key, value) = (rng.pick(VALUES), rng.pick(VALUES));
        line.push_str(&format!(" {key}{}{value}", rng.pick(&["", "=", " "])));
    }
    line
}

#[test]
fn random_lines_parse_or_are_refused() {
    let mut rng = Rng::new(1);
    let (mut understood, mut codes) = (0, Vec::new());
    for round in 0..200_000 {
        let line = line(&mut rng);
        let kind = [None].into_iter().chain(Kind::ALL.map(Some)).nth(rng.below(7)).flatten();
        match (Command::parse(&line), Command::parse_for(&line, kind)) {
            (Ok(command), Ok(same)) => {
                assert_eq!(command, same);
                understood += 1;
            }
            (first, Err(refusal)) => {
                assert!(refusal.code.order() <= Code::Denied.order(), "{line:?} {refusal}");
                let worse = first.is_ok() || refusal.code == Code::HelloFirst;
                assert!(worse || first.is_err_and(|f| f == refusal), "{line:?} {refusal}");
                if !codes.contains(&refusal.code) {
                    codes.push(refusal.code);
                }
                readable(&refusal);
            }
            (Err(refusal), Ok(_)) => panic!("round {round}: {line:?} {refusal}"),
        }
    }
    assert!(understood > 5_000, "only {understood} lines were commands");
    assert_eq!(codes.len(), 4, "{codes:?}");
}

/// A refusal, whatever it quotes, is one line that reads back.
fn readable(refusal: &Refusal) {
    let mut out = Vec::new();
    reply::err(&mut out, refusal).pair("n", 1).end();
    let text = std::str::from_utf8(&out).expect("UTF-8").strip_suffix('\n').expect("an end");
    let line = Line::parse(text).expect(text);
    assert_eq!((line.bare(1), line.get("n")), (Some(refusal.code.word()), Some("1")));
}

#[test]
fn random_values_round_trip() {
    let mut rng = Rng::new(2);
    let mut out = Vec::new();
    for _ in 0..50_000 {
        let value: String = (0..rng.below(6)).map(|_| *rng.pick(VALUES)).collect();
        out.clear();
        reply::row(&mut out).pair("k", &value).word(&value).end();
        let text = std::str::from_utf8(&out).expect("UTF-8").strip_suffix('\n').expect("an end");
        let line = Line::parse(text).expect(text);
        let tame = value.replace(['\0', '\t', '\u{7}'], " ").replace('\u{9b}', "  ");
        assert_eq!(line.get("k"), Some(tame.as_str()), "{text}");
        assert_eq!(line.words().len(), 3, "{text}");
    }
}

#[test]
fn random_bytes_never_stop_the_assembler() {
    let mut rng = Rng::new(3);
    let mut assembler = Assembler::new();
    let mut pieces = 0;
    for _ in 0..200_000 {
        let mut bytes = [0; 40];
        let length = rng.below(bytes.len());
        for byte in &mut bytes[..length] {
            *byte = *rng.pick(b"dat 3\n\r\"\xff=");
        }
        let mut input = &bytes[..length];
        while let Some(piece) = assembler.take(&mut input) {
            pieces += 1;
            if let Piece::Line(text) = piece {
                assert!(text.len() < 1024 && !text.contains('\n'));
                drop(Command::parse(text));
            }
        }
        assert!(input.is_empty());
    }
    assert!(pieces > 100_000, "{pieces}");
}

/// What the box says in one session, with everything that can come.
fn session() -> Vec<u8> {
    let mut out = Vec::new();
    reply::greeting(&mut out, "box-01", 37);
    reply::ok(&mut out).pair("session", 17).pair("agent", "Jane Doe").end();
    protocol::AgentState::default().write(&mut out);
    reply::row(&mut out).pair("recording", "abc").pair("call", "c \"1\"").end();
    reply::row(&mut out).pair("recording", "def").end();
    reply::ok(&mut out).end();
    reply::event(&mut out).pair("what", "checkpoint").pair("seq", 4).end();
    reply::data(&mut out, b"ok\nerr busy \"not a line\"\n\xff");
    reply::data(&mut out, b"");
    reply::data(&mut out, b"more\n");
    reply::ok(&mut out).pair("size", 31).end();
    reply::err(&mut out, &Refusal::from(Code::Storage).masked()).end();
    out.extend_from_slice(b"tomorrow's line=\"\r\n");
    out
}

fn heard(bytes: &[u8], mut split: impl FnMut(usize) -> usize) -> Vec<ClientEvent> {
    let mut client = Client::new();
    for command in ["hello agent user=jdoe", "records", "media abc", "blackout stop"] {
        client.send(command).expect(command);
    }
    let (mut events, mut rest) = (Vec::new(), bytes);
    while !rest.is_empty() {
        let (now, later) = rest.split_at(split(rest.len()));
        client.receive(now);
        events.extend(std::iter::from_fn(|| client.poll()));
        rest = later;
    }
    assert_eq!(client.unanswered(), 0);
    events
}

#[test]
fn client_reads_the_same_for_any_split() {
    let bytes = session();
    let whole = heard(&bytes, |left| left);
    assert_eq!(whole.len(), 7);
    let ClientEvent::Reply(records) = &whole[3] else { panic!("{:?}", whole[3]) };
    assert_eq!(records.rows.len(), 2);
    assert_eq!(records.rows[0].get("call"), Some("c \"1\""));
    let ClientEvent::Reply(media) = &whole[5] else { panic!("{:?}", whole[5]) };
    assert_eq!(media.data, b"ok\nerr busy \"not a line\"\n\xffmore\n");
    let ClientEvent::Reply(stop) = &whole[6] else { panic!("{:?}", whole[6]) };
    assert!(stop.outcome.as_ref().is_err_and(|f| f.masked() && f.code() == Some(Code::Storage)));
    for step in 1..bytes.len() {
        assert_eq!(heard(&bytes, |left| step.min(left)), whole, "in steps of {step}");
    }
    for seed in 0..500 {
        let mut rng = Rng::new(seed);
        assert_eq!(heard(&bytes, |left| 1 + rng.below(left.min(60))), whole, "seed {seed}");
    }
}

#[test]
fn random_bytes_end_a_session_at_most_once() {
    let bytes = session();
    for seed in 0..20_000 {
        let (mut rng, mut bytes) = (Rng::new(seed), bytes.clone());
        for _ in 0..=rng.below(4) {
            let at = rng.below(bytes.len());
            bytes[at] = rng.byte();
        }
        let mut client = Client::new();
        for _ in 0..4 {
            client.send("ping").expect("ping");
        }
        client.receive(&bytes);
        let events: Vec<ClientEvent> = std::iter::from_fn(|| client.poll()).collect();
        let ends = events.iter().filter(|e| matches!(e, ClientEvent::Violation(_))).count();
        let last = matches!(events.last(), Some(ClientEvent::Violation(_)));
        assert!(ends == 0 || (ends == 1 && last), "seed {seed}: {events:?}");
    }
}
