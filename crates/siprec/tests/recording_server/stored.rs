//! The stored messages of real recording clients, replayed.

use crate::support::*;
use siprec::offer::Direction;
use siprec::{EndReason, Event, Transport};

const FIRST_TCP: &str = "01-opensips-rtpengine26-invite-tcp";

fn ack_of(invite: &[u8], tag: &str, cseq: u32) -> Vec<u8> {
    let text = String::from_utf8(invite.to_vec()).unwrap();
    let line = |name: &str| {
        let start = format!("{name}: ");
        text.split("\r\n").find(|line| line.starts_with(&start)).unwrap().to_owned()
    };
    let to = line("To");
    let to = if to.contains("tag=") { to } else { format!("{to};tag={tag}") };
    format!(
        "ACK sip:srs@192.0.2.1 SIP/2.0\r\n{}-ack\r\n{}\r\n{to}\r\n{}\r\nCSeq: {cseq} ACK\r\n\r\n",
        line("Via"),
        line("From"),
        line("Call-ID"),
    )
    .into_bytes()
}

fn directions(events: &[Event]) -> Vec<Direction> {
    let offer = events.iter().find_map(|event| match event {
        Event::Offered { offer, .. } => Some(offer),
        Event::Changed { offer, .. } => offer.as_ref(),
        _ => None,
    });
    offer.unwrap().streams.iter().map(|stream| stream.direction).collect()
}

fn lines<'a>(sent: &'a Sent, start: &str) -> Vec<&'a str> {
    sent.body().lines().filter(|line| line.starts_with(start)).collect()
}

/// What OpenSIPS took from a dummy recorder stands in file 02; ours says the same.
#[test]
fn rules_4_5_9_answers_are_plain_sdp_that_mirror_labels_and_follow_each_offer() {
    let mut bench = Bench::new(Transport::Tcp);
    bench.peer.remote = "127.0.0.1:41000".parse().unwrap();
    let invite = stored(FIRST_TCP);
    let (sent, events) = bench.deliver(&invite);
    assert_eq!(sent.iter().map(Sent::status).collect::<Vec<u16>>(), [100, 200]);
    let Event::Offered { session, .. } = events[0] else { panic!("{events:?}") };
    let ok = &sent[1];
    let taken = String::from_utf8(stored("02-our-200-ok-that-opensips-takes")).unwrap();
    for name in ["Via", "From", "Call-ID", "CSeq", "Content-Type"] {
        let line = format!("{name}: {}", ok.header(name));
        assert!(taken.contains(&line), "{line}");
    }
    assert_eq!(ok.header("Contact"), "<sip:srs@192.0.2.1:5060;transport=tcp>;+sip.srs");
    assert_eq!(lines(ok, "a=label"), ["a=label:0", "a=label:1"]);
    assert_eq!(lines(ok, "m="), ["m=audio 36000 RTP/AVP 8 101", "m=audio 36002 RTP/AVP 8 101"]);
    let tag = ok.to_tag();
    let (_, events) = bench.deliver(&ack_of(&invite, &tag, 2));
    assert_eq!(events, [Event::Confirmed { session }]);

    let hold = replace(&stored("03-reinvite-hold-one-stream-inactive"), "srs076704", &tag);
    let (sent, events) = bench.deliver(&hold);
    assert_eq!(directions(&events), [Direction::SendOnly, Direction::Inactive]);
    let answered = ["a=recvonly", "a=inactive"];
    let direction = |sent: &Sent| -> Vec<String> {
        let all = sent.body().lines().filter(|line| answered.contains(line));
        all.map(str::to_owned).collect()
    };
    assert_eq!(direction(&sent[1]), answered);
    bench.deliver(&ack_of(&hold, &tag, 3));
    let resume = replace(&stored("04-reinvite-resume"), "srs076704", &tag);
    let (sent, events) = bench.deliver(&resume);
    assert_eq!(directions(&events), [Direction::SendOnly, Direction::SendOnly]);
    assert_eq!(direction(&sent[1]), ["a=recvonly", "a=recvonly"]);
    bench.deliver(&ack_of(&resume, &tag, 4));

    let bye = replace(&stored("05-bye"), "srs076704", &tag);
    let (sent, events) = bench.deliver(&bye);
    assert_eq!(sent[0].status(), 200);
    assert_eq!(events, [Event::Ended { session, reason: EndReason::Bye }]);
    assert_eq!(bench.server.statistics().sessions, 0);
}

#[test]
fn rule_8_labels_are_mirrored_in_the_order_of_the_offer() {
    let mut bench = Bench::new(Transport::Udp);
    let (sent, _) = bench.deliver(&stored("08-opensips-rtpengine10-invite-udp-labels-swapped"));
    assert_eq!(lines(&sent[1], "a=label"), ["a=label:1", "a=label:0"]);
}

/// A pause may come as an unchanged offer, or with all streams inactive, and BYE may follow.
#[test]
fn rules_10_24_pauses_are_answered_and_a_bye_in_mid_call_ends_the_session() {
    for (pause, tag, all) in [
        ("09-reinvite-pause-rtpengine10-unchanged-sdp", "srs600069", Direction::SendOnly),
        ("06-reinvite-pause-all-inactive", "srs152591", Direction::Inactive),
    ] {
        let mut bench = Bench::new(Transport::Udp);
        let pause = String::from_utf8(stored(pause)).unwrap();
        let value = |name: &str| {
            let start = format!("{name}: ");
            let line = pause.split("\r\n").find(|line| line.starts_with(&start));
            line.unwrap().to_owned()
        };
        // The first INVITE of the same dialog.
        let mut first = replace(pause.as_bytes(), &format!(";tag={tag}"), "");
        first = replace(&first, "CSeq: 3 INVITE", "CSeq: 2 INVITE");
        first = replace(&first, "z9hG4bK", "z9hG4bKfirst");
        let (sent, _) = bench.deliver(&first);
        let ours = sent[1].to_tag();
        bench.deliver(&ack_of(&first, &ours, 2));
        let (sent, events) = bench.deliver(&replace(pause.as_bytes(), tag, &ours));
        assert_eq!(sent.last().unwrap().status(), 200);
        assert_eq!(directions(&events), [all, all]);
        let bye = stored("07-bye-in-the-middle-of-the-call");
        let mut bye = String::from_utf8(bye).unwrap();
        for name in ["Call-ID", "From"] {
            let start = format!("{name}: ");
            let old = bye.split("\r\n").find(|line| line.starts_with(&start)).unwrap();
            bye = bye.replace(old, &value(name));
        }
        let (sent, events) = bench.deliver(&replace(bye.as_bytes(), "srs152591", &ours));
        assert_eq!(sent[0].status(), 200, "{bye}");
        assert!(matches!(events[0], Event::Ended { reason: EndReason::Bye, .. }));
    }
}

#[test]
fn rules_3_20_a_large_savp_offer_is_answered_with_savp_and_one_key() {
    let mut bench = Bench::new(Transport::Tcp);
    let invite = stored("10-opensips-rtpengine26-invite-savp-sdes-and-dtls");
    assert!(invite.len() > 5_000);
    let (sent, _) = bench.deliver(&invite);
    assert_eq!(sent[1].status(), 200);
    assert_eq!(lines(&sent[1], "m=").len(), 2);
    assert!(lines(&sent[1], "m=").iter().all(|line| line.contains("RTP/SAVP")));
    let keys = lines(&sent[1], "a=crypto");
    assert!(keys.len() == 2 && keys[0] != keys[1], "one key for each stream");
}

/// Half a message over UDP is refused, never recorded by half.
#[test]
fn rule_3_a_body_that_was_cut_gets_400() {
    let invite = stored(FIRST_TCP);
    for cut in [1, 100, 2_000] {
        let mut bench = Bench::new(Transport::Udp);
        let (sent, events) = bench.deliver(&invite[..invite.len() - cut]);
        assert_eq!(sent[0].status(), 400);
        assert!(sent[0].header("Warning").contains("TCP or TLS"), "{}", sent[0].text);
        assert!(matches!(events[..], [Event::Problem { .. }]));
    }
}

/// The text of the metadata is broken, missing or of another type: the call is recorded.
#[test]
fn rule_6_bad_metadata_is_told_and_never_refused() {
    let good = String::from_utf8(stored(FIRST_TCP)).unwrap();
    let (head, body) = good.split_once("\r\n\r\n").unwrap();
    for (old, new) in [
        ("<datamode>", "<<datamode>"),
        ("<?xml version=\"1.0\" encoding=\"UTF-8\"?>", "\u{fffd}"),
        ("application/rs-metadata+xml", "application/unknown"),
    ] {
        let body = body.replace(old, new);
        assert!(body != *good);
        let head = head.replace("Content-Length: 2295", &format!("Content-Length: {}", body.len()));
        let mut bench = Bench::new(Transport::Tcp);
        let (sent, events) = bench.deliver(format!("{head}\r\n\r\n{body}").as_bytes());
        assert_eq!(sent[1].status(), 200, "{new}");
        let Event::Offered { metadata, .. } = &events[0] else { panic!("{events:?}") };
        assert!(metadata.metadata.is_err(), "{new}");
    }
}

#[test]
fn rules_7_22_sipp_updates_metadata_and_refreshes_itself() {
    let mut bench = Bench::new(Transport::Udp);
    let invite = stored("11-sipp-invite-udp");
    let (sent, _) = bench.deliver(&invite);
    let ok = &sent[1];
    assert_eq!(ok.header("Session-Expires"), "1800;refresher=uac");
    assert_eq!(ok.header("Require"), "timer");
    let tag = ok.to_tag();
    bench.deliver(&ack_of(&invite, &tag, 1));
    let update = replace(&stored("12-sipp-update-partial-metadata"), "srs648929", &tag);
    let (sent, events) = bench.deliver(&update);
    assert_eq!((sent.len(), sent[0].status(), sent[0].body()), (1, 200, ""));
    let changed = events.iter().find_map(|event| match event {
        Event::Changed { offer, metadata, .. } => Some((offer.is_none(), metadata.is_some())),
        _ => None,
    });
    assert_eq!(changed, Some((true, true)));
}
