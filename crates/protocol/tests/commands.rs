//! Every form of every command, and every refusal of a malformed line.

#![allow(clippy::expect_used)]

use protocol::{Code, Command, Direction, Kind, Level, MediaPart, Purpose, table};
use std::borrow::Cow;

/// One line for every form in the table, with all its arguments.
const EVERY_FORM: &[&str] = &[
    "alarm clear 7",
    "alarms",
    "blackout start lead_ms=2500",
    "blackout start agent=jdoe lead_ms=0",
    "blackout stop",
    "blackout stop agent=jdoe",
    "call hold device=1001 call=c-1",
    "call resume device=1001 call=c-1",
    "call start device=1001 call=c-1 of=c-0 ani=+49891234 dnis=800 direction=in group=sales \
     gate=\"gate 1\" agent=jdoe",
    "call stop device=1001 call=c-1",
    "call update call=c-1 device=1001 ani=- direction=out",
    "calls",
    "channels",
    "clients",
    "clock confirm 2026-11-30",
    "clock show",
    "config check",
    "config listen 0.0.0.0:7441 tls",
    "config pin field pin=2468 new=yes",
    "config reload confirm=yes",
    "config restore",
    "config set box.time_zone Europe/Berlin",
    "delete abcdefghijklmnop",
    "disk",
    "enrol WS-042 kinds=screen,agent,screen",
    "enrol code=ABCD-EFGH",
    "hello agent user=jdoe domain=ACME machine=WS-042 client=desk/0.1 pin=1234 via=portal",
    "help record start",
    "keys",
    "log level debug",
    "media abcdefghijklmnop from=4096 for=export",
    "meters from=17 limit=8",
    "ping",
    "protect abcdefghijklmnop off",
    "quit",
    "reboot",
    "record start",
    "record start device=1001",
    "record stop",
    "record stop device=1001",
    "records from=2026-11-22T00:00:00Z to=2026-11-23T00:00:00+01:00 agent=jdoe device=1001 \
     call=c-1 ani=5551234 dnis=800 limit=10",
    "redact abcdefghijklmnop from_ms=1500 to_ms=7500 reason=\"card data\"",
    "revoke WS-042",
    "screen start",
    "screen stop",
    "segment recording=abcdefghijklmnop start=2026-11-22T12:00:00.000Z duration_ms=2000",
    "selftest",
    "show abcdefghijklmnop",
    "shutdown",
    "sip",
    "stats",
    "status",
    "update 3 \"about the \\\"invoice\\\"\" call=c-1 call_number=17",
    "watch",
];

/// The first form that begins with `start`.
fn find_form(start: &str) -> &'static str {
    EVERY_FORM.iter().find(|line| line.starts_with(start)).expect(start)
}

fn parse_refused(line: &str) -> protocol::Refusal {
    Command::parse(line).expect_err(line)
}

#[test]
fn table_every_form_parses() {
    assert_eq!(EVERY_FORM.len(), table::TABLE.len(), "one line per form");
    for (line, entry) in EVERY_FORM.iter().zip(table::TABLE) {
        assert!(line.starts_with(entry.verb), "{line}: {}", entry.verb);
        let command = Command::parse(line).expect(line);
        assert_eq!(command.wants_data(), entry.data, "{line}");
        assert_eq!(command.verb(), entry.verb, "{line}");
        for kind in Kind::ALL {
            let answer = Command::parse_for(line, Some(kind));
            match entry.is_for(Some(kind)) {
                true => assert_eq!(answer.as_ref(), Ok(&command), "{line}"),
                false => assert_eq!(answer.expect_err(line).code, Code::Denied, "{line}"),
            }
        }
        match entry.before_hello {
            true => assert_eq!(Command::parse_for(line, None), Ok(command)),
            false => {
                let answer = Command::parse_for(line, None).expect_err(line);
                assert_eq!(answer.code, Code::HelloFirst, "{line}");
            }
        }
    }
}

#[test]
fn parsed_commands_carry_their_arguments() {
    let text = |word: &'static str| Some(Cow::Borrowed(word));
    let parse = |line| Command::parse(line).expect(line);
    let Command::CallStart(call) = parse(find_form("call start")) else { panic!("no call start") };
    assert_eq!((call.device.as_ref(), call.call.as_ref()), ("1001", "c-1"));
    assert_eq!((call.of, call.ani, call.dnis), (text("c-0"), text("+49891234"), text("800")));
    assert_eq!((call.group, call.gate, call.agent), (text("sales"), text("gate 1"), text("jdoe")));
    assert_eq!(call.direction, Some(Direction::In));
    let Command::CallUpdate(call) = parse(find_form("call update")) else {
        panic!("no call update")
    };
    assert_eq!((call.ani, call.dnis, call.direction), (text(""), None, Some(Direction::Out)));
    let Command::Hello(hello) = parse(find_form("hello")) else { panic!("no hello") };
    assert_eq!((hello.kind, hello.via, hello.pin), (Kind::Agent, true, text("1234")));
    assert_eq!((hello.user, hello.domain), (text("jdoe"), text("ACME")));
    assert_eq!((hello.machine, hello.client), (text("WS-042"), text("desk/0.1")));
    let Command::Records(query) = parse(find_form("records")) else { panic!("no records") };
    assert_eq!((query.limit, query.agent, query.dnis), (Some(10), text("jdoe"), text("800")));
    assert_eq!(query.to, text("2026-11-23T00:00:00+01:00"));
    let value = Cow::Borrowed("about the \"invoice\"");
    let (call, call_number) = (text("c-1"), Some(17));
    let update = Command::Update { field: 3, value, call, call_number };
    assert_eq!(parse(find_form("update")), update);
    let blackout =
        |pressed_ms, lead_ms, agent| Command::BlackoutStart { pressed_ms, lead_ms, agent };
    assert_eq!(parse("blackout start lead_ms=2500"), blackout(0, Some(2500), None));
    assert_eq!(parse("blackout start pressed_ms=8000"), blackout(8000, None, None));
    assert_eq!(parse("blackout start agent=a"), blackout(0, None, text("a")));
    for nonsense in ["-1", "600001", "4294967296", "soon", "1.5"] {
        let line = format!("blackout start pressed_ms={nonsense}");
        let refusal = Command::parse(&line).expect_err(nonsense);
        assert_eq!(refusal.code, Code::BadArgument, "{line}");
    }
    let (device, call) = (None, text("c1"));
    assert_eq!(parse("record start call=c1"), Command::RecordStart { device, call });
    let kinds = vec![Kind::Agent, Kind::Screen];
    assert_eq!(
        parse(find_form("enrol WS")),
        Command::Enrol { machine: Cow::Borrowed("WS-042"), kinds }
    );
    assert_eq!(parse("help record start"), Command::Help { verb: text("record start") });
    assert_eq!(parse("help"), Command::Help { verb: None });
    assert_eq!(parse("log level warn"), Command::LogLevel { level: Level::Warn });
    let media = |purpose, part| Command::Media { id: Cow::Borrowed("x"), from: 0, purpose, part };
    assert_eq!(parse("media x"), media(Purpose::Play, MediaPart::Audio));
    let screen = parse("media x for=export part=screen");
    assert_eq!(screen, media(Purpose::Export, MediaPart::Screen));
    let protect = Command::Protect { id: Cow::Borrowed("x"), on: true };
    assert_eq!(parse("protect x on"), protect);
    let (id, reason) = (Cow::Borrowed("x"), Cow::Borrowed("card data"));
    let redact = Command::Redact { id, from_ms: 1500, to_ms: 7500, reason };
    assert_eq!(parse("redact x from_ms=1500 to_ms=7500 reason=\"card data\""), redact);
    for nonsense in [
        "from_ms=5 to_ms=5 reason=x",
        "from_ms=6 to_ms=5 reason=x",
        "from_ms=1 to_ms=5 reason=\" \"",
    ] {
        let refusal = Command::parse(&format!("redact x {nonsense}")).expect_err(nonsense);
        assert_eq!(refusal.code, Code::BadArgument, "{nonsense}");
    }
}

#[test]
fn unknown_verb_suggests_similar_verbs() {
    let cases = [
        ("recrod start", "record start"),
        ("record", "record stop"),
        ("PING", "ping"),
        ("blackout", "blackout stop"),
        ("call begin device=1", "call start"),
        ("alarm", "alarms"),
        ("Record Start", "record start"),
        ("recordstart", "record start"),
        ("pingg device=1", "ping"),
    ];
    for (line, near) in cases {
        let refusal = parse_refused(line);
        assert_eq!(refusal.code, Code::BadCommand, "{line}");
        let named = refusal.text.contains(near) && refusal.text.contains("help");
        assert!(named, "{line}: {refusal}");
    }
    assert_eq!(parse_refused("logout 5").text, "no command \"logout\". Send help for a list");
    for line in ["", "   ", "\"ping\"", "a=b", "\"record\" start", "record \"start\"", "data 5"] {
        assert_eq!(parse_refused(line).code, Code::BadCommand, "{line}");
    }
}

#[test]
fn invalid_argument_is_reported_with_allowed_values() {
    let cases = [
        ("ping x", "one word too many"),
        ("ping x=1", "no key x=; this command has no keys"),
        ("call stop device=1", "call= is missing"),
        ("call stop device=1 call=", "call with 0 bytes is not valid; allowed: 1 to 256 bytes"),
        ("call stop device=- call=1", "device with 1 bytes is not valid"),
        ("call start device=1 call=1 direction=up", "allowed: in or out"),
        ("call start device=1 call=1 colour=red", "allowed: device, call, of, ani, dnis"),
        ("call start device=1 device=1 call=1", "device= is given twice"),
        ("record start now", "one word too many"),
        ("record start devise=1", "no key devise="),
        ("blackout start lead_ms=-1", "lead_ms is \"-1\""),
        ("blackout start lead_ms=4294967296", "a plain number up to 4294967295"),
        ("blackout start lead_ms=+5", "lead_ms is"),
        ("blackout start agent=a lead_ms=x", "lead_ms is \"x\""),
        ("update", "N is missing"),
        ("update 1", "VALUE is missing"),
        ("update one x", "N is \"one\""),
        ("update 256 x", "a plain number up to 255"),
        ("update 01 x", "N is \"01\""),
        ("update 1 Jane Doe", "put text with spaces in \"quotes\""),
        ("update 1 a=b", "no key a="),
        ("hello", "KIND is missing"),
        ("hello boss", "agent, screen, cti"),
        ("hello agent", "user= is missing; hello agent needs it"),
        ("hello technician pin=1", "user= is missing"),
        ("hello agent user=a via=web", "allowed: portal"),
        ("hello cti via=portal", "via=portal is only for"),
        ("hello agent user=\"a\tb\"", "no control characters"),
        ("log level loud", "error, warn, info"),
        ("protect x maybe", "on or off"),
        ("enrol", "MACHINE is missing"),
        ("enrol x kinds=agent,", "some of agent"),
        ("enrol x code=y", "one word too many"),
        ("alarm clear", "N is missing"),
        ("media x from=y", "from is \"y\""),
        ("segment recording=x start=y", "duration_ms= is missing"),
        ("help a b c", "one word too many"),
    ];
    for (line, expected) in cases {
        let refusal = parse_refused(line);
        assert_eq!(refusal.code, Code::BadArgument, "{line}: {refusal}");
        assert!(refusal.text.contains(expected), "{line}: {refusal}");
        assert!(refusal.text.contains("Usage: "), "{line}: {refusal}");
    }
    for (key, limit) in [("ani", 128), ("dnis", 128), ("group", 128), ("of", 256), ("agent", 32)] {
        let line = |length| format!("call start device=1 call=1 {key}={}", "9".repeat(length));
        assert!(Command::parse(&line(limit)).is_ok(), "{key}");
        assert_eq!(parse_refused(&line(limit + 1)).code, Code::BadArgument, "{key}");
    }
}

#[test]
fn free_text_is_never_echoed_in_errors() {
    let secret = "4111111111111111".repeat(20);
    for line in [
        format!("update 1 {secret}"),
        format!("update 1 x {secret}"),
        format!("update 1 {secret}<"),
        format!("hello technician user=x pin={secret}"),
        format!("call start device=1 call=1 ani={secret}"),
    ] {
        assert!(!parse_refused(&line).text.contains("4111"), "{line}");
    }
}

#[test]
fn errors_follow_the_order_of_the_contract() {
    let code = |line, kind| Command::parse_for(line, kind).expect_err(line).code;
    assert_eq!(code("recrod start x=\"", None), Code::BadCommand);
    assert_eq!(code("recrod start", None), Code::BadCommand);
    assert_eq!(code("record start colour=red", None), Code::HelloFirst);
    assert_eq!(code("ping colour=red", None), Code::BadArgument);
    assert_eq!(code("enrol WS-1", None), Code::HelloFirst);
    assert_eq!(code("record start colour=red", Some(Kind::Monitor)), Code::BadArgument);
    assert_eq!(code("record start", Some(Kind::Monitor)), Code::Denied);
}

#[test]
fn wrong_form_is_answered_with_the_right_form() {
    let text = |line, kind| Command::parse_for(line, Some(kind)).expect_err(line).text;
    assert!(text("record start", Kind::Cti).ends_with("record start device=D"));
    assert!(text("record start device=1", Kind::Agent).ends_with("use: record start [call=ID]"));
    assert!(text("blackout stop", Kind::Supervisor).ends_with("blackout stop agent=USER"));
    assert!(text("shutdown", Kind::Agent).contains("is for technician"));
    assert!(text("enrol code=x", Kind::Agent).contains("before hello"));
}

#[test]
fn f4_update_value_is_validated_separately() {
    let value = |line: &str| match Command::parse(line).expect(line) {
        Command::Update { value, .. } => protocol::command::find_bad_character(&value),
        other => panic!("{other:?}"),
    };
    for bad in ['<', '>', '!', '=', '+', '%', '\u{7}', '\t', '\u{7f}', '\u{9b}'] {
        assert_eq!(value(&format!("update 1 \"a{bad}b\"")), Some(bad), "{bad:?}");
    }
    assert_eq!(value("update 1 a+b"), Some('+'));
    for good in ["update 1 \"\"", "update 1 \"Zoë Müller, 12/3 @ 4:5 (x); #7\"", "update 99 -"] {
        assert_eq!(value(good), None, "{good}");
    }
    for never in ["update 1 \"a\0\"", "update 1 \"a\r\"", "update 1 a\tb"] {
        assert_eq!(parse_refused(never).code, Code::BadCommand, "{never:?}");
    }
    let line = |length| format!("update 1 \"{}\"", "é".repeat(length));
    assert_eq!(value(&line(128)), None);
    assert_eq!(parse_refused(&line(129)).code, Code::BadArgument);
}
