//! What the reporter sends after refusals and lost connections.

use super::*;
use protocol::Command;

fn key(call: &str) -> CallKey {
    CallKey { device: "1001".to_owned(), call: call.to_owned() }
}

fn state(ani: &str, held: bool) -> Option<CallState> {
    let facts = CallFacts { ani: Some(ani.to_owned()), ..CallFacts::default() };
    Some(CallState { facts, held })
}

fn connected() -> Reporter {
    let mut reporter = Reporter::new("x-");
    reporter.connect(Vec::new());
    reporter.mark_exchange_known();
    reporter
}

#[test]
fn a_call_has_one_line_without_a_reply_and_the_next_follows_it() {
    let mut reporter = connected();
    reporter.apply((key("x-1"), state("555", true)));
    let start = "call start device=1001 call=x-1 ani=555";
    assert_eq!(reporter.next_line(0).as_deref(), Some(start));
    assert_eq!(reporter.next_line(0), None, "its reply is awaited");
    reporter.apply((key("x-1"), None));
    assert_eq!(reporter.take_reply(0, None), LineOutcome::Confirmed);
    assert_eq!(reporter.next_line(0).as_deref(), Some("call stop device=1001 call=x-1"));
    reporter.take_reply(0, None);
    assert!(reporter.next_line(0).is_none() && reporter.is_idle());
    assert_eq!(reporter.take_reply(0, None), LineOutcome::Unexpected);
}

#[test]
fn a_refusal_that_may_pass_is_retried_and_any_other_is_not() {
    let mut reporter = connected();
    reporter.apply((key("x-1"), state("555", false)));
    let line = reporter.next_line(0);
    let outcome = reporter.take_reply(500, Some(Some(Code::Storage)));
    assert_eq!(outcome, LineOutcome::Retried { key: key("x-1") });
    assert_eq!(reporter.next_deadline(), Some(500 + RETRY_MS));
    assert_eq!(reporter.next_line(499 + RETRY_MS), None);
    assert_eq!(reporter.next_line(500 + RETRY_MS), line, "the same line again");
    let outcome = reporter.take_reply(2000, Some(Some(Code::NoChannel)));
    assert_eq!(outcome, LineOutcome::Refused { key: key("x-1") });
    reporter.apply((key("x-1"), state("556", false)));
    assert_eq!(reporter.next_line(1_000_000), None);
    reporter.connect(Vec::new());
    assert!(reporter.next_line(0).is_some(), "another connection, another try");
}

#[test]
fn a_call_that_the_box_has_lost_is_reported_anew() {
    let mut reporter = connected();
    reporter.apply((key("x-1"), state("555", false)));
    reporter.next_line(0);
    reporter.take_reply(0, None);
    reporter.apply((key("x-1"), state("555", true)));
    assert_eq!(reporter.next_line(0).as_deref(), Some("call hold device=1001 call=x-1"));
    let outcome = reporter.take_reply(0, Some(Some(Code::NoSuchCall)));
    assert_eq!(outcome, LineOutcome::Repeated { key: key("x-1") });
    let start = "call start device=1001 call=x-1 ani=555";
    assert_eq!(reporter.next_line(0).as_deref(), Some(start));
}

#[test]
fn a_lost_connection_forgets_lines_and_the_list_of_the_box_counts() {
    let mut reporter = connected();
    for (call, ani) in [("x-1", "1"), ("x-2", "2")] {
        reporter.apply((key(call), state(ani, false)));
    }
    assert!(reporter.next_line(0).is_some());
    reporter.disconnect();
    reporter.apply((key("x-2"), None));
    assert_eq!(reporter.next_line(0), None, "no connection");
    let listed = |call: &str| BoxCall { key: key(call), held: false };
    reporter.connect(vec![listed("x-1"), listed("x-2"), listed("other")]);
    let mut lines: Vec<String> = std::iter::from_fn(|| reporter.next_line(0)).collect();
    lines.sort();
    let wanted = ["call stop device=1001 call=x-2", "call update device=1001 call=x-1 ani=1"];
    assert_eq!(lines, wanted);
}

#[test]
fn not_more_lines_than_the_box_takes_are_without_a_reply() {
    let mut reporter = connected();
    for number in 0..IN_FLIGHT_MAX + 8 {
        reporter.apply((key(&format!("x-{number}")), state("1", false)));
    }
    let sent = std::iter::from_fn(|| reporter.next_line(0)).count();
    assert_eq!(sent, IN_FLIGHT_MAX);
    reporter.take_reply(0, None);
    assert!(reporter.next_line(0).is_some());
}

#[test]
fn values_of_any_length_and_kind_make_a_line_that_the_box_reads() {
    for value in ["\"; call stop", "a\nb", "=", "\u{202e}", &"é".repeat(500)] {
        let mut reporter = connected();
        let facts = CallFacts {
            ani: Some(value.to_owned()),
            gate: Some(value.to_owned()),
            agent: Some(value.to_owned()),
            of: Some("x-0".to_owned()),
            ..CallFacts::default()
        };
        reporter.apply((key("x-1"), Some(CallState { facts, held: false })));
        let line = reporter.next_line(0).unwrap();
        assert!(line.len() < 1024, "{line}");
        assert!(matches!(Command::parse(&line), Ok(Command::CallStart(_))), "{line}");
    }
}
