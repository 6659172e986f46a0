//! Requests within a session, and the ways that it ends.

use crate::support::*;
use siprec::{EndReason, Event, ReplyError, Transport};

#[test]
fn a_cancel_before_the_answer_gets_200_and_its_invite_487() {
    let mut bench = Bench::new(Transport::Udp);
    bench.accepts = false;
    let (_, events) = bench.ask(&Ask::invite("a"));
    let Event::Offered { session, .. } = events[0] else { panic!("{events:?}") };
    let (sent, events) = bench.ask(&Ask::plain("CANCEL", "a", 1, ""));
    assert_eq!(sent.iter().map(Sent::status).collect::<Vec<u16>>(), [200, 487]);
    assert_eq!((sent[0].header("CSeq"), sent[1].header("CSeq")), ("1 CANCEL", "1 INVITE"));
    assert_eq!(sent[0].to_tag(), sent[1].to_tag(), "RFC 3261 §9.2");
    assert_eq!(events, [Event::Ended { session, reason: EndReason::Cancelled }]);
    let late = bench.server.accept(bench.now, session, &acceptance_of_one());
    assert_eq!(late, Err(ReplyError::UnknownSession(session.number())));
}

#[test]
fn a_cancel_after_the_answer_changes_nothing() {
    let mut bench = Bench::new(Transport::Udp);
    let (sent, _) = bench.ask(&Ask::invite("a"));
    let tag = sent[1].to_tag();
    let (sent, events) = bench.ask(&Ask::plain("CANCEL", "a", 1, ""));
    assert_eq!((sent.len(), sent[0].status(), events.len()), (1, 200, 0));
    assert_eq!(bench.ask(&Ask::plain("ACK", "k", 1, &tag)).1.len(), 1, "the session lives");
    assert_eq!(bench.status(&Ask::plain("CANCEL", "unknown", 1, "")), 481);
}

#[test]
fn requests_of_unknown_dialogs_get_481_and_an_ack_nothing() {
    let mut bench = Bench::new(Transport::Udp);
    let (_, tag) = bench.establish();
    for method in ["BYE", "INFO", "UPDATE", "OPTIONS"] {
        assert_eq!(bench.status(&Ask::plain(method, method, 2, "strange")), 481, "{method}");
    }
    assert_eq!(bench.status(&Ask { to_tag: "strange", ..Ask::invite("i") }), 481);
    assert_eq!(bench.status(&Ask::plain("BYE", "no-tag", 2, "")), 481);
    let other = Ask { call_id: "other", ..Ask::plain("BYE", "o", 2, &tag) };
    assert_eq!(bench.status(&other), 481);
    let (sent, events) = bench.ask(&Ask::plain("ACK", "k", 9, "strange"));
    assert!(sent.is_empty() && events.is_empty());
    assert_eq!(bench.server.statistics().sessions, 1);
}

#[test]
fn an_old_request_that_comes_late_gets_500_and_changes_nothing() {
    let mut bench = Bench::new(Transport::Udp);
    let (_, tag) = bench.establish();
    assert_eq!(bench.status(&Ask::plain("INFO", "new", 10, &tag)), 200);
    assert_eq!(bench.status(&Ask::plain("BYE", "old", 9, &tag)), 500);
    assert_eq!(bench.server.statistics().sessions, 1);
    assert_eq!(bench.status(&Ask::plain("BYE", "newest", 11, &tag)), 200);
}

#[test]
fn an_offer_before_the_last_one_is_answered_gets_491() {
    let mut bench = Bench::new(Transport::Udp);
    let (session, tag) = bench.establish();
    bench.accepts = false;
    assert_eq!(bench.status(&Ask { cseq: 2, to_tag: &tag, ..Ask::invite("b") }), 100);
    assert_eq!(bench.status(&Ask { cseq: 3, to_tag: &tag, ..Ask::invite("c") }), 491);
    let update = Ask { method: "UPDATE", cseq: 4, to_tag: &tag, ..Ask::invite("d") };
    assert_eq!(bench.status(&update), 491);
    bench.server.accept(bench.now, session, &acceptance_of_one()).unwrap();
    let (sent, _) = bench.drain();
    assert_eq!((sent[0].status(), sent[0].header("CSeq")), (200, "2 INVITE"));
    let again = bench.server.accept(bench.now, session, &acceptance_of_one());
    assert_eq!(again, Err(ReplyError::NoOffer(session.number())));
}

#[test]
fn an_update_with_an_offer_is_answered_once_without_100() {
    let mut bench = Bench::new(Transport::Udp);
    let (_, tag) = bench.establish();
    let body = OFFER.replace("sendonly", "inactive");
    let update = Ask { method: "UPDATE", cseq: 2, to_tag: &tag, ..Ask::invite("u") };
    let update = Ask { body: &body, ..update };
    let (sent, events) = bench.ask(&update);
    assert_eq!(sent.iter().map(Sent::status).collect::<Vec<u16>>(), [200]);
    assert!(sent[0].body().contains("a=inactive"));
    assert!(matches!(events[0], Event::Changed { offer: Some(_), metadata: None, .. }));
    let (again, events) = bench.ask(&update);
    assert_eq!((again[0].text.as_str(), events.len()), (sent[0].text.as_str(), 0));
    assert!(bench.pass(31_999).0.is_empty(), "an answer to UPDATE needs no ACK");
}

/// The client asks for our description (RFC 3261 §14.2).
#[test]
fn a_re_invite_without_offer_is_answered_with_the_description_of_before() {
    let mut bench = Bench::new(Transport::Udp);
    let (sent, _) = bench.ask(&Ask::invite("a"));
    let (tag, description) = (sent[1].to_tag(), sent[1].body().to_owned());
    bench.ask(&Ask::plain("ACK", "k", 1, &tag));
    let (sent, events) = bench.ask(&Ask::plain("INVITE", "re", 2, &tag));
    assert_eq!(sent[1].body(), description);
    assert!(matches!(events[..], [Event::SnapshotChanged { .. }]));
    let (_, events) = bench.ask(&Ask::plain("ACK", "re-k", 2, &tag));
    assert!(matches!(events[..], [Event::Confirmed { .. }]));
}

#[test]
fn a_refused_change_leaves_the_session_as_it_was() {
    let mut bench = Bench::new(Transport::Udp);
    let (_, tag) = bench.establish();
    let bad = Ask { body: "v=0\r\n", cseq: 2, to_tag: &tag, ..Ask::invite("b") };
    let (sent, events) = bench.ask(&bad);
    assert_eq!(sent.last().unwrap().status(), 400);
    assert!(events.iter().all(|event| matches!(event, Event::Problem { .. })), "{events:?}");
    bench.accepts = false;
    let (_, events) = bench.ask(&Ask { cseq: 3, to_tag: &tag, ..Ask::invite("c") });
    let Event::Changed { session, .. } = events[0] else { panic!("{events:?}") };
    bench.server.refuse(bench.now, session, siprec::Refusal::NotAcceptable).unwrap();
    let (sent, events) = bench.drain();
    assert_eq!((sent[0].status(), events.len()), (488, 0));
    assert_eq!(bench.status(&Ask::plain("BYE", "bye", 4, &tag)), 200);
}

#[test]
fn rule_19_digits_by_info_are_told_without_their_value() {
    let mut bench = Bench::new(Transport::Udp);
    let (session, tag) = bench.establish();
    for (number, content_type) in
        ["application/dtmf-relay", "Application/DTMF ; x=y"].iter().enumerate()
    {
        let cseq = 2 + u32::try_from(number).unwrap();
        let headers = [("Content-Type", *content_type)];
        let body = "Signal=7\r\nDuration=160\r\n";
        let info = Ask {
            headers: &headers,
            body,
            ..Ask::plain("INFO", content_type_branch(number), cseq, &tag)
        };
        let (sent, events) = bench.ask(&info);
        assert_eq!(sent[0].status(), 200);
        assert_eq!(events, [Event::Digit { session }]);
        assert!(!format!("{events:?}{sent:?}").contains("Signal"));
        assert!(bench.ask(&info).1.is_empty(), "a repetition is not a second digit");
    }
    let headers = [("Content-Type", "application/unknown")];
    let other = Ask { headers: &headers, body: "x", ..Ask::plain("INFO", "o", 9, &tag) };
    let (sent, events) = bench.ask(&other);
    assert_eq!((sent[0].status(), events.len()), (415, 0));
    assert_eq!(sent[0].header("Accept"), "application/dtmf-relay, application/dtmf");
}

fn content_type_branch(number: usize) -> &'static str {
    ["digit-a", "digit-b"][number]
}

#[test]
fn an_end_before_the_ack_waits_for_it() {
    let mut bench = Bench::new(Transport::Udp);
    let (sent, events) = bench.ask(&Ask::invite("a"));
    let Event::Offered { session, .. } = events[0] else { panic!("{events:?}") };
    let tag = sent[1].to_tag();
    bench.server.end_session(bench.now, session);
    let (sent, events) = bench.drain();
    assert!(sent.is_empty(), "no BYE before the ACK (RFC 3261 §15)");
    assert_eq!(events, [Event::Ended { session, reason: EndReason::EndedHere }]);
    assert_eq!(bench.status(&Ask::plain("INFO", "i", 2, &tag)), 481);
    let (sent, events) = bench.ask(&Ask::plain("ACK", "k", 1, &tag));
    assert!(sent[0].start().starts_with("BYE ") && events.is_empty(), "{sent:?}");
    assert_eq!(bench.server.statistics().sessions, 0);
}

#[test]
fn an_end_before_the_answer_refuses_the_invite() {
    let mut bench = Bench::new(Transport::Udp);
    bench.accepts = false;
    let (_, events) = bench.ask(&Ask::invite("a"));
    let Event::Offered { session, .. } = events[0] else { panic!("{events:?}") };
    bench.server.end_session(bench.now, session);
    let (sent, events) = bench.drain();
    assert_eq!(sent[0].status(), 503);
    assert_eq!(events, [Event::Ended { session, reason: EndReason::EndedHere }]);
}

#[test]
fn our_bye_follows_the_record_route_and_names_the_dialog() {
    let headers = [
        ("Contact", "\"SRC\" <sip:src@198.51.100.4:5070;transport=udp>;+sip.src"),
        ("Record-Route", "<sip:192.0.2.33:5062;lr>, <sip:192.0.2.34;lr>"),
        ("Record-Route", "<sip:192.0.2.35;lr>"),
        SDP,
    ];
    let mut bench = Bench::new(Transport::Udp);
    let (sent, events) = bench.ask(&Ask { headers: &headers, ..Ask::invite("a") });
    let Event::Offered { session, .. } = events[0] else { panic!("{events:?}") };
    let ok = &sent[1];
    assert_eq!(ok.headers("Record-Route"), [headers[1].1, headers[2].1]);
    let tag = ok.to_tag();
    bench.ask(&Ask::plain("ACK", "k", 1, &tag));
    bench.server.end_session(bench.now, session);
    let bye = bench.drain().0.remove(0);
    assert_eq!(bye.start(), "BYE sip:src@198.51.100.4:5070;transport=udp SIP/2.0");
    let routes = ["<sip:192.0.2.33:5062;lr>", "<sip:192.0.2.34;lr>", "<sip:192.0.2.35;lr>"];
    assert_eq!(bye.headers("Route"), routes);
    assert_eq!(bye.peer.remote, "192.0.2.33:5062".parse().unwrap());
    assert_eq!(bye.header("From"), format!("<sip:srs@192.0.2.1>;tag={tag}"));
    assert_eq!(bye.header("To"), "<sip:src@192.0.2.7>;tag=client");
    assert_eq!((bye.header("Call-ID"), bye.header("CSeq")), ("call-1@192.0.2.7", "1 BYE"));
    assert!(bye.header("Via").starts_with("SIP/2.0/UDP 192.0.2.1:5060;branch=z9hG4bK"));
}

#[test]
fn responses_go_where_the_via_says() {
    let mut bench = Bench::new(Transport::Udp);
    bench.peer.remote = "203.0.113.5:61000".parse().unwrap();
    let (sent, _) = bench.ask(&Ask::plain("OPTIONS", "a", 1, ""));
    assert_eq!(sent[0].peer.remote, "203.0.113.5:5080".parse().unwrap());
    assert!(sent[0].header("Via").ends_with(";received=203.0.113.5"));
    let options = Ask::plain("OPTIONS", "b;rport", 1, "");
    let (sent, _) = bench.ask(&options);
    assert_eq!(sent[0].peer.remote, bench.peer.remote);
    assert!(sent[0].header("Via").ends_with(";received=203.0.113.5;rport=61000"));
    // All Vias come back, in their order.
    let headers = [("Via", "SIP/2.0/UDP 192.0.2.8;branch=z9hG4bKx, SIP/2.0/TCP 192.0.2.9")];
    let (sent, _) = bench.ask(&Ask { headers: &headers, ..Ask::plain("OPTIONS", "c", 1, "") });
    let vias = sent[0].headers("Via");
    assert_eq!(vias.len(), 3);
    assert_eq!(vias[1..], ["SIP/2.0/UDP 192.0.2.8;branch=z9hG4bKx", "SIP/2.0/TCP 192.0.2.9"]);
}

/// The connection of a client closes and another one takes its place (rule 3: TCP first).
#[test]
fn a_closed_connection_ends_no_session() {
    let mut bench = Bench::new(Transport::Tcp);
    let (session, tag) = bench.establish();
    bench.server.handle_closed(7);
    assert!(bench.pass(100_000).1.is_empty());
    bench.server.end_session(bench.now, session);
    let bye = bench.drain().0.remove(0);
    assert_eq!((bye.peer.connection, bye.peer.remote.port()), (0, 5080), "to the contact");
    let mut bench = Bench::new(Transport::Tcp);
    let (session, _) = bench.establish();
    bench.server.handle_closed(7);
    bench.peer.connection = 8;
    let info = bench.plain("INFO", "i", 2, &tag);
    assert_eq!(bench.status(&info), 200);
    bench.server.end_session(bench.now, session);
    assert_eq!(bench.drain().0[0].peer.connection, 8, "the newest connection");
}

fn acceptance_of_one() -> siprec::answer::Acceptance {
    acceptance(&siprec::offer::Offer::parse(OFFER.as_bytes()).unwrap())
}
