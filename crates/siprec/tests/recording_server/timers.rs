//! Repetition and its end (RFC 3261 §17, RFC 6026), by table.

use crate::support::*;
use siprec::{EndReason, Event, Problem, Refusal, Transport};

/// Doubling from T1 = 0.5 s to T2 = 4 s, until 64 × T1 = 32 s.
const REPEATS_MS: [u128; 10] =
    [500, 1_500, 3_500, 7_500, 11_500, 15_500, 19_500, 23_500, 27_500, 31_500];

#[test]
fn rule_24_an_answer_is_repeated_until_its_ack_and_given_up_with_a_bye() {
    for transport in [Transport::Udp, Transport::Tcp, Transport::Tls] {
        let mut bench = Bench::new(transport);
        let from = bench.now;
        let invite = bench.invite("a");
        let (first, events) = bench.ask(&invite);
        let Event::Offered { session, .. } = events[0] else { panic!("{events:?}") };
        let (sent, events) = bench.pass(31_999);
        assert_eq!(times(&sent, from), REPEATS_MS, "{transport}");
        assert!(sent.iter().all(|sent| sent.text == first[1].text), "the same bytes each time");
        assert!(events.is_empty(), "{events:?}");
        let (sent, events) = bench.pass(1);
        assert_eq!(sent[0].start(), "BYE sip:src@192.0.2.7:5080 SIP/2.0");
        assert_eq!(events, [Event::Ended { session, reason: EndReason::NotAcknowledged }]);
    }
}

#[test]
fn an_ack_stops_the_repetition_and_late_invites_are_absorbed() {
    let mut bench = Bench::new(Transport::Udp);
    let (_, tag) = bench.establish();
    // RFC 6026: the INVITE again, after its ACK, is neither answered nor a new session.
    let (sent, events) = bench.ask(&Ask::invite("first"));
    assert!(sent.is_empty() && events.is_empty(), "{sent:?} {events:?}");
    assert!(bench.pass(40_000).0.is_empty());
    assert_eq!(bench.server.statistics().transactions, 0);
    assert_eq!(bench.status(&Ask::plain("BYE", "b", 2, &tag)), 200);
}

#[test]
fn an_error_is_repeated_over_udp_only_and_ended_by_its_ack() {
    let expected = [(Transport::Udp, &REPEATS_MS[..]), (Transport::Tcp, &[])];
    for (transport, repeats) in expected {
        let mut bench = Bench::new(transport);
        bench.accepts = false;
        let from = bench.now;
        let refuse = |bench: &mut Bench, branch: &str| {
            let invite = Ask { call_id: branch, ..bench.invite(branch) };
            let (_, events) = bench.ask(&invite);
            let Event::Offered { session, .. } = events[0] else { panic!("{events:?}") };
            bench.server.refuse(bench.now, session, Refusal::NotAcceptable).unwrap();
            bench.drain()
        };
        let (sent, events) = refuse(&mut bench, "a");
        assert_eq!(sent[0].status(), 488);
        assert!(matches!(events[..], [Event::Ended { reason: EndReason::Refused, .. }]));
        let again = Ask { call_id: "a", ..bench.invite("a") };
        assert_eq!(bench.status(&again), 488, "the INVITE again gets the same error");
        let (sent, events) = bench.pass(60_000);
        assert_eq!(times(&sent, from), repeats, "timers G and H over {transport}");
        assert!(events.is_empty());

        let (sent, _) = refuse(&mut bench, "b");
        let tag = sent[0].to_tag();
        let ack = Ask { call_id: "b", ..bench.plain("ACK", "b", 1, &tag) };
        let (sent, events) = bench.ask(&ack);
        assert!(sent.is_empty() && events.is_empty());
        assert!(bench.pass(60_000).0.is_empty(), "no repetition after the ACK");
        assert_eq!(bench.server.statistics().transactions, 0);
    }
}

#[test]
fn timer_i_absorbs_for_5_s_over_udp() {
    let mut bench = Bench::new(Transport::Udp);
    let invite = Ask { headers: &[SDP], ..Ask::invite("a") };
    let (sent, _) = bench.ask(&invite);
    assert_eq!(sent[0].status(), 400, "no Contact");
    let tag = sent[0].to_tag();
    bench.ask(&Ask::plain("ACK", "a", 1, &tag));
    bench.pass(4_999);
    assert!(bench.ask(&invite).0.is_empty(), "absorbed");
    bench.pass(1);
    assert_eq!(bench.status(&invite), 400, "forgotten, so it is a new one");
}

#[test]
fn timer_j_answers_a_repeated_bye_for_32_s_over_udp() {
    let mut bench = Bench::new(Transport::Udp);
    let (_, tag) = bench.establish();
    let bye = Ask::plain("BYE", "bye", 2, &tag);
    let (first, events) = bench.ask(&bye);
    assert_eq!((first[0].status(), events.len()), (200, 1));
    bench.pass(31_999);
    let (again, events) = bench.ask(&bye);
    assert_eq!(again[0].text, first[0].text);
    assert!(events.is_empty(), "it ends once");
    bench.pass(1);
    assert_eq!(bench.status(&bye), 481);
    // Over TCP the timer is 0.
    let mut bench = Bench::new(Transport::Tcp);
    let (_, tag) = bench.establish();
    let bye = bench.plain("BYE", "bye", 2, &tag);
    assert_eq!((bench.status(&bye), bench.status(&bye)), (200, 481));
}

#[test]
fn a_repeated_invite_gets_100_while_the_host_decides() {
    let mut bench = Bench::new(Transport::Udp);
    bench.accepts = false;
    let invite = Ask::invite("a");
    let (first, events) = bench.ask(&invite);
    assert_eq!((first[0].status(), events.len()), (100, 1));
    assert!(!first[0].header("To").contains("tag"));
    let (again, events) = bench.ask(&invite);
    assert_eq!(again[0].text, first[0].text);
    assert!(events.is_empty(), "it is offered once");
    // A host that never decides does not hold the client for ever.
    let (sent, events) = bench.pass(32_000);
    assert_eq!(sent[0].status(), 500);
    assert!(matches!(events[..], [Event::Ended { reason: EndReason::NotAnswered, .. }]));
}

#[test]
fn a_bye_of_ours_is_repeated_by_timer_e_until_timer_f() {
    for (answered_at, repeats) in [(None, &REPEATS_MS[..]), (Some(4_000), &REPEATS_MS[..3])] {
        let mut bench = Bench::new(Transport::Udp);
        let (session, _) = bench.establish();
        let from = bench.now;
        bench.server.end_session(bench.now, session);
        let (sent, events) = bench.drain();
        assert_eq!(events, [Event::Ended { session, reason: EndReason::EndedHere }]);
        let bye = sent[0].clone();
        let (mut sent, _) = bench.pass(answered_at.unwrap_or(0));
        if answered_at.is_some() {
            let ok = bye.text.replacen(bye.start(), "SIP/2.0 200 OK", 1);
            bench.deliver(ok.as_bytes());
        }
        sent.extend(bench.pass(60_000).0);
        assert_eq!(times(&sent, from), repeats);
        assert!(sent.iter().all(|sent| sent.text == bye.text));
        assert_eq!(bench.server.poll_timeout(), None);
    }
}

#[test]
fn a_provisional_response_to_our_bye_slows_it_down_to_t2() {
    let mut bench = Bench::new(Transport::Udp);
    let (session, _) = bench.establish();
    let from = bench.now;
    bench.server.end_session(bench.now, session);
    let bye = bench.drain().0.remove(0);
    let trying = bye.text.replacen(bye.start(), "SIP/2.0 100 Trying", 1);
    bench.deliver(trying.as_bytes());
    let (sent, _) = bench.pass(10_000);
    assert_eq!(times(&sent, from), [500, 4_500, 8_500]);
}

#[test]
fn rule_22_a_session_whose_interval_ran_out_is_told_and_goes_on() {
    let timer = [
        ("Contact", "<sip:src@192.0.2.7:5080>"),
        ("Supported", "timer"),
        ("Session-Expires", "100;refresher=uas"),
        SDP,
    ];
    let mut bench = Bench::new(Transport::Udp);
    let (sent, events) = bench.ask(&Ask { headers: &timer, ..Ask::invite("a") });
    let Event::Offered { session, .. } = events[0] else { panic!("{events:?}") };
    assert_eq!(sent[1].header("Session-Expires"), "100;refresher=uac", "we never refresh");
    let tag = sent[1].to_tag();
    bench.ask(&Ask::plain("ACK", "ack", 1, &tag));
    // Any request in the dialog refreshes.
    bench.pass(99_000);
    assert_eq!(bench.status(&Ask::plain("INFO", "i", 2, &tag)), 200);
    let (_, events) = bench.pass(99_999);
    assert!(events.is_empty(), "{events:?}");
    let (sent, events) = bench.pass(1);
    assert_eq!(events, [Event::IntervalExpired { session }]);
    assert!(sent.is_empty(), "no BYE");
    assert!(bench.pass(500_000).1.is_empty(), "told once");
    assert_eq!(bench.status(&Ask::plain("OPTIONS", "o", 3, &tag)), 200, "the dialog lives");
    assert_eq!(bench.pass(100_000).1, [Event::IntervalExpired { session }], "refreshed by OPTIONS");
    // A refresh without Session-Expires turns the timer off (RFC 4028 §7.2).
    assert_eq!(bench.status(&Ask { cseq: 4, to_tag: &tag, ..Ask::invite("re") }), 200);
    bench.ask(&Ask::plain("ACK", "re-ack", 4, &tag));
    assert!(bench.pass(500_000).1.is_empty());
}

#[test]
fn a_session_that_was_confirmed_survives_a_lost_ack_of_a_re_invite() {
    let mut bench = Bench::new(Transport::Udp);
    let (session, tag) = bench.establish();
    assert_eq!(bench.status(&Ask { cseq: 2, to_tag: &tag, ..Ask::invite("re") }), 200);
    let (sent, events) = bench.pass(32_000);
    assert_eq!(sent.len(), REPEATS_MS.len());
    let problem = Problem::NotAcknowledged;
    assert_eq!(events, [Event::Problem { peer: bench.peer, session: Some(session), problem }]);
    assert_eq!(bench.server.statistics().sessions, 1);
}
