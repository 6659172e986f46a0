//! Dialogs that go on after a restart of the box.

use crate::support::*;
use siprec::{DialogSnapshot, EndReason, Event, Server, Transport};

fn last_snapshot(events: &[Event]) -> Option<DialogSnapshot> {
    events.iter().rev().find_map(|event| match event {
        Event::SnapshotChanged { snapshot, .. } => Some((**snapshot).clone()),
        _ => None,
    })
}

#[test]
fn a_dialog_goes_on_in_another_server() {
    let headers = [
        ("Contact", "<sip:src@192.0.2.7:5080;transport=tcp>"),
        ("Supported", "timer"),
        ("Session-Expires", "1800"),
        SDP,
    ];
    let mut bench = Bench::new(Transport::Tcp);
    let (sent, events) = bench.ask(&Ask { headers: &headers, ..bench.invite("a") });
    let snapshot = last_snapshot(&events).unwrap();
    let (tag, description) = (sent[1].to_tag(), sent[1].body().to_owned());
    assert_eq!(snapshot.local_description.as_slice(), description.as_bytes());

    bench.server = Server::new(settings(), [9; 32]);
    bench.peer.connection = 21;
    let session = bench.server.restore(bench.now, snapshot.clone());
    assert_eq!(bench.server.restore(bench.now, snapshot), session, "once");
    assert_eq!(bench.server.statistics().sessions, 1);
    // The ACK of before is late; CSeq goes on.
    let ack = bench.plain("ACK", "k", 1, &tag);
    assert!(bench.ask(&ack).0.is_empty());
    let body = OFFER.replace("sendonly", "inactive");
    let hold = Ask { body: &body, cseq: 2, to_tag: &tag, ..bench.invite("hold") };
    let (sent, events) = bench.ask(&hold);
    assert!(matches!(events[0], Event::Changed { session: s, .. } if s == session));
    let version = |text: &str| {
        let origin = text.lines().find(|line| line.starts_with("o=")).unwrap().to_owned();
        let words: Vec<u64> = origin.split(' ').filter_map(|word| word.parse().ok()).collect();
        (words[0], words[1])
    };
    let (before, after) = (version(&description), version(sent[1].body()));
    assert_eq!(after, (before.0, before.1 + 1), "the same session, the next version");
    let old = bench.plain("BYE", "old", 1, &tag);
    assert_eq!(bench.status(&old), 500);
    let ack = bench.plain("ACK", "hold-k", 2, &tag);
    bench.ask(&ack);
    bench.server.end_session(bench.now, session);
    let (sent, events) = bench.drain();
    assert_eq!((sent[0].header("CSeq"), sent[0].peer.connection), ("1 BYE", 21));
    assert_eq!(events, [Event::Ended { session, reason: EndReason::EndedHere }]);
}

#[test]
fn an_interval_counts_anew_after_a_restart_and_no_key_is_shown() {
    let headers = [
        ("Contact", "<sip:src@192.0.2.7:5080>"),
        ("Supported", "timer"),
        ("Session-Expires", "90"),
        SDP,
    ];
    let mut bench = Bench::new(Transport::Udp);
    let (_, events) = bench.ask(&Ask { headers: &headers, ..Ask::invite("a") });
    let snapshot = last_snapshot(&events).unwrap();
    let shown = format!("{snapshot:?}");
    assert!(!shown.contains("m=audio") && !shown.contains("sip:"), "{shown}");
    bench.server = Server::new(settings(), [9; 32]);
    let session = bench.server.restore(bench.now, snapshot);
    assert!(bench.pass(89_999).1.is_empty());
    assert_eq!(bench.pass(1).1, [Event::IntervalExpired { session }]);
}
