//! What the server refuses, and how a client learns why.

use crate::support::*;
use siprec::{Availability, Event, Problem, Refusal, Transport};

const CONTACT: (&str, &str) = ("Contact", "<sip:src@192.0.2.7:5080>");

fn refused(ask: &Ask<'_>) -> Sent {
    let mut bench = Bench::new(Transport::Udp);
    let (sent, events) = bench.ask(ask);
    let told = events.iter().all(|event| matches!(event, Event::Problem { .. }));
    assert!(told, "no session begins: {events:?}");
    assert_eq!(bench.server.statistics().sessions, 0);
    sent.into_iter().next_back().unwrap()
}

#[test]
fn methods_extensions_and_types_of_others_are_named_in_the_refusal() {
    let sent = refused(&Ask::plain("REGISTER", "a", 1, ""));
    assert_eq!(sent.status(), 405);
    assert_eq!(sent.header("Allow"), "INVITE, ACK, BYE, CANCEL, OPTIONS, UPDATE, INFO");
    assert_eq!(refused(&Ask::plain("INVITEX", "a", 1, "")).status(), 405);

    let headers = [CONTACT, ("Require", "siprec, 100rel"), ("Require", "timer, x"), SDP];
    let sent = refused(&Ask { headers: &headers, ..Ask::invite("a") });
    assert_eq!((sent.status(), sent.header("Unsupported")), (420, "100rel, x"));

    let headers = [CONTACT, ("Content-Type", "application/pidf+xml")];
    let sent = refused(&Ask { headers: &headers, ..Ask::invite("a") });
    assert_eq!(sent.status(), 415);
    assert!(sent.header("Accept").contains("application/sdp"));

    let headers = [CONTACT, SDP, ("Content-Encoding", "gzip")];
    let sent = refused(&Ask { headers: &headers, ..Ask::invite("a") });
    assert_eq!((sent.status(), sent.header("Accept-Encoding")), (415, "identity"));
}

#[test]
fn a_session_interval_below_90_s_gets_422() {
    let timer = ("Session-Expires", "60");
    let headers = [CONTACT, SDP, timer, ("k", "replaces,timer")];
    let sent = refused(&Ask { headers: &headers, ..Ask::invite("a") });
    assert_eq!((sent.status(), sent.header("Min-SE")), (422, "90"));
    // A proxy has added the header; the client cannot raise it.
    let mut bench = Bench::new(Transport::Udp);
    let headers = [CONTACT, SDP, timer];
    let (sent, _) = bench.ask(&Ask { headers: &headers, ..Ask::invite("a") });
    assert_eq!(sent[1].status(), 200);
    assert!(sent[1].headers("Session-Expires").is_empty(), "we do not refresh");
}

#[test]
fn offers_that_cannot_be_read_get_400_with_the_reason() {
    let rows = [
        ("", "session description"),
        ("v=0\r\no=- 1 1 IN IP4 192.0.2.7\r\ns=-\r\nt=0 0\r\n", "m= line"),
        ("nonsense", "session description"),
    ];
    for (body, reason) in rows {
        let sent = refused(&Ask { body, ..Ask::invite("a") });
        assert_eq!(sent.status(), 400, "{body}");
        assert!(sent.header("Warning").contains(reason), "{}", sent.text);
    }
    let headers = [CONTACT, ("Content-Type", "multipart/mixed;boundary=x")];
    assert_eq!(refused(&Ask { headers: &headers, ..Ask::invite("a") }).status(), 400);
    assert_eq!(refused(&Ask { headers: &[SDP], ..Ask::invite("a") }).status(), 400, "no Contact");
}

#[test]
fn rule_20_an_offer_without_a_stream_of_ours_gets_488_at_once() {
    let rows = [
        ("RTP/AVP 8", "RTP/AVP 97", "codec"),
        ("RTP/AVP", "RTP/SAVP", "a=crypto"),
        ("RTP/AVP", "UDP/TLS/RTP/SAVP", "protocol"),
        ("m=audio", "m=video", "audio"),
    ];
    for (old, new, reason) in rows {
        let body = OFFER.replace(old, new);
        let sent = refused(&Ask { body: &body, ..Ask::invite("a") });
        assert_eq!(sent.status(), 488, "{new}");
        assert!(sent.header("Warning").contains(reason), "{}", sent.text);
    }
    // One stream of two is enough: the other one is answered with port 0.
    let body = format!("{OFFER}m=video 30002 RTP/AVP 99\r\na=label:2\r\n");
    let (sent, _) = Bench::new(Transport::Udp).ask(&Ask { body: &body, ..Ask::invite("a") });
    assert_eq!(sent[1].status(), 200);
    assert!(sent[1].body().contains("m=video 0 RTP/AVP 99"), "{}", sent[1].body());
}

#[test]
fn malformed_requests_get_400_and_count() {
    let good = String::from_utf8(Ask::invite("a").write()).unwrap();
    let rows = [
        ("CSeq: 1 INVITE", "CSeq: x INVITE"),
        ("CSeq: 1 INVITE", "CSeq: 1 BYE"),
        ("CSeq: 1 INVITE", "CSeq: 2147483648 INVITE"),
        ("From: <sip:src@192.0.2.7>;tag=client", "From: <sip:src@192.0.2.7"),
        ("Max-Forwards: 70", "To: <sip:another@192.0.2.1>"),
        ("Content-Length: ", "Content-Length: 1"),
        ("Content-Length: ", "Content-Length: 1\r\nContent-Length: "),
    ];
    for (old, new) in rows {
        let mut bench = Bench::new(Transport::Udp);
        let (sent, events) = bench.deliver(&replace(good.as_bytes(), old, new));
        assert_eq!(sent.len(), 1, "{new}");
        assert_eq!(sent[0].status(), 400, "{new}");
        assert!(matches!(events[..], [Event::Problem { problem: Problem::Message(_), .. }]));
        assert_eq!(bench.server.statistics().unreadable, 1);
    }
    // Without what a response needs there is none, nor to an ACK.
    for (old, new) in [("Call-ID: ", "Call: "), ("Via: ", "Viaa: "), ("SIP/2.0\r", "SIP/3.0\r")] {
        let mut bench = Bench::new(Transport::Udp);
        let (sent, events) = bench.deliver(&replace(good.as_bytes(), old, new));
        assert_eq!((sent.len(), events.len()), (0, 1), "{new}");
    }
    let ack = String::from_utf8(Ask::plain("ACK", "a", 1, "x").write()).unwrap();
    let (sent, _) =
        Bench::new(Transport::Udp).deliver(&replace(ack.as_bytes(), "CSeq: 1", "CSeq: x"));
    assert!(sent.is_empty());
}

#[test]
fn lenient_forms_of_vendors_are_taken() {
    let text = "INVITE  sip:srs@192.0.2.1:5060  SIP/2.0\r\n\
        v: SIP / 2.0 / UDP my_host:5080 ;branch=z9hG4bKcompact\r\n\
        f: \"M\u{fc}ller, A. <x>\" <tel:+12025550123>\r\n ;tag=client\r\n\
        t: sip:srs@192.0.2.1\r\n\
        i: call-2\r\n\
        CSeq:\t 0001   INVITE\r\n\
        m: sip:src@my_host;+sip.src\r\n\
        c: application/sdp\r\n\
        Max-Forwards: 0\r\n\
        X-Unknown:\r\n\r\n";
    let mut bytes = text.replace('\u{fc}', "#").into_bytes();
    let place = bytes.iter().position(|byte| *byte == b'#').unwrap();
    bytes[place] = 0xfc; // Latin-1, not UTF-8.
    bytes.extend_from_slice(OFFER.as_bytes());
    for line_end in ["\r\n", "\n"] {
        let mut bench = Bench::new(Transport::Udp);
        let bytes: Vec<u8> = if line_end == "\n" {
            bytes.iter().copied().filter(|byte| *byte != b'\r').collect()
        } else {
            bytes.clone()
        };
        let (sent, events) = bench.deliver(&bytes);
        assert_eq!(sent.last().unwrap().status(), 200, "{events:?}");
        assert_eq!(sent[1].header("CSeq"), "0001   INVITE");
        assert!(sent[1].header("From").ends_with("<tel:+12025550123> ;tag=client"));
    }
}

#[test]
fn merged_requests_get_482_and_a_new_try_is_taken() {
    let mut bench = Bench::new(Transport::Udp);
    assert_eq!(bench.status(&Ask::invite("one-way")), 200);
    let (sent, events) = bench.ask(&Ask::invite("another-way"));
    assert_eq!((sent[0].status(), events.len()), (482, 0), "RFC 3261 §8.2.2.2");
    let again = Ask { cseq: 2, ..Ask::invite("again") };
    assert_eq!(bench.status(&again), 200, "a new INVITE with a higher CSeq is no merge");
    let fork = Ask { call_id: "fork@192.0.2.7", ..Ask::invite("fork") };
    assert_eq!(bench.status(&fork), 200, "the same session in a dialog of its own");
}

#[test]
fn rule_23_options_get_what_an_invite_would_get() {
    let mut bench = Bench::new(Transport::Udp);
    let options = |bench: &mut Bench, branch: &str| {
        let sent = bench.ask(&Ask::plain("OPTIONS", branch, 1, "")).0.remove(0);
        (sent.status(), sent)
    };
    let (status, sent) = options(&mut bench, "a");
    assert_eq!((status, sent.header("Supported")), (200, "siprec, timer"));
    assert!(sent.header("Accept").contains("application/rs-metadata+xml"));
    assert!(sent.header("Contact").ends_with("+sip.srs"));

    bench.server.set_availability(Availability::Unavailable { retry_after_s: 30 });
    let (status, sent) = options(&mut bench, "b");
    assert_eq!((status, sent.header("Retry-After")), (503, "30"));
    let (sent, events) = bench.ask(&Ask::invite("c"));
    assert_eq!((sent[0].status(), sent[0].header("Retry-After"), events.len()), (503, "30", 0));

    bench.server.set_availability(Availability::Ready);
    for number in 0..4 {
        let call_id = format!("full-{number}");
        assert_eq!(bench.status(&Ask { call_id: &call_id, ..Ask::invite(&call_id) }), 200);
    }
    assert_eq!(options(&mut bench, "d").0, 503, "all sessions are in use");
    let (sent, events) = bench.ask(&Ask { call_id: "more", ..Ask::invite("more") });
    assert_eq!(sent[0].status(), 503);
    let problem = Problem::SessionsExhausted { sessions_max: 4 };
    assert_eq!(events, [Event::Problem { peer: bench.peer, session: None, problem }]);
}

#[test]
fn running_sessions_go_on_while_new_ones_are_refused() {
    let mut bench = Bench::new(Transport::Udp);
    let (_, tag) = bench.establish();
    bench.server.set_availability(Availability::Unavailable { retry_after_s: 5 });
    assert_eq!(bench.status(&Ask { cseq: 2, to_tag: &tag, ..Ask::invite("re") }), 200);
    assert_eq!(bench.status(&Ask::plain("INFO", "i", 3, &tag)), 200);
    assert_eq!(bench.status(&Ask::plain("OPTIONS", "o", 4, &tag)), 200, "a keep-alive");
    assert_eq!(bench.status(&Ask::plain("BYE", "b", 5, &tag)), 200);
}

#[test]
fn the_host_refuses_with_the_status_of_its_reason() {
    let rows = [
        (Refusal::Busy { retry_after_s: 7 }, 503),
        (Refusal::Forbidden, 403),
        (Refusal::NotAcceptable, 488),
        (Refusal::ServerError, 500),
    ];
    for (refusal, status) in rows {
        let mut bench = Bench::new(Transport::Tcp);
        bench.accepts = false;
        let invite = bench.invite("a");
        let (_, events) = bench.ask(&invite);
        let Event::Offered { session, .. } = events[0] else { panic!("{events:?}") };
        bench.server.refuse(bench.now, session, refusal).unwrap();
        let (sent, _) = bench.drain();
        assert_eq!(sent[0].status(), status);
        let retry = sent[0].headers("Retry-After");
        assert_eq!(retry, if status == 503 { vec!["7"] } else { vec![] });
    }
}
