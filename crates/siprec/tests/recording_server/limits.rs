//! Floods: memory stays bounded, and sessions that run are served.

use crate::support::*;
use siprec::limits::{PEERS_MAX, PROBLEMS_WAITING_MAX};
use siprec::{Event, Method, Problem, Settings, Transport};

#[test]
fn rule_23_an_invite_storm_is_refused_with_503_above_the_rate() {
    let settings = Settings { invites_per_second: 10, sessions_max: 1_000, ..settings() };
    let mut bench = Bench::with(settings, Transport::Udp);
    let mut statuses = Vec::new();
    let mut problems = 0;
    for number in 0..50 {
        let name = format!("storm-{number}");
        let (sent, events) = bench.ask(&Ask { call_id: &name, ..Ask::invite(&name) });
        statuses.push(sent.last().unwrap().status());
        let exceeded = |event: &&Event| {
            matches!(
                event,
                Event::Problem { problem: Problem::RateExceeded { per_second: 10 }, .. }
            )
        };
        problems += events.iter().filter(exceeded).count();
    }
    assert_eq!((&statuses[..10], &statuses[10..]), (&[200; 10][..], &[503; 40][..]));
    assert_eq!(problems, 1, "told once a second");
    // Another peer has its own rate, and the next second is a new one.
    bench.peer.remote = "192.0.2.99:5060".parse().unwrap();
    assert_eq!(bench.status(&Ask { call_id: "other", ..Ask::invite("other") }), 200);
    bench.peer = peer(Transport::Udp);
    bench.pass(1_000);
    assert_eq!(bench.status(&Ask { call_id: "later", ..Ask::invite("later") }), 200);
    let counters = &bench.server.statistics().peers[&bench.peer.remote.ip()];
    assert_eq!((counters.requests_of(Method::Invite), counters.rate_exceeded), (51, 40));
    assert_eq!((counters.responses[1], counters.responses[4]), (11, 40));
}

#[test]
fn a_flood_in_one_session_forgets_old_transactions_and_serves_all() {
    let mut bench = Bench::new(Transport::Udp);
    let (_, tag) = bench.establish();
    for cseq in 2..500 {
        let branch = format!("i{cseq}");
        assert_eq!(bench.status(&Ask::plain("INFO", &branch, cseq, &tag)), 200);
        assert!(bench.server.statistics().transactions <= 16, "4 × sessions_max");
    }
    assert_eq!(bench.status(&Ask::plain("BYE", "bye", 500, &tag)), 200);
    // Refused INVITEs that are never acknowledged give way, too.
    for number in 0..50 {
        let name = format!("bad-{number}");
        let bad = Ask { headers: &[SDP], call_id: &name, ..Ask::invite(&name) };
        assert_eq!(bench.status(&bad), 400);
        assert!(bench.server.statistics().transactions <= 16);
    }
    let (_, tag) = bench.establish();
    assert_eq!(bench.status(&Ask::plain("BYE", "bye2", 2, &tag)), 200);
}

#[test]
fn sessions_that_wait_for_their_ack_are_never_forgotten() {
    let mut bench = Bench::new(Transport::Udp);
    let mut tags = Vec::new();
    for name in ["a", "b", "c", "d"] {
        let (sent, _) = bench.ask(&Ask { call_id: name, ..Ask::invite(name) });
        tags.push((name, sent[1].to_tag()));
    }
    for number in 0..100 {
        let name = format!("more-{number}");
        assert_eq!(bench.status(&Ask { call_id: &name, ..Ask::invite(&name) }), 503);
        assert_eq!(bench.status(&Ask::plain("OPTIONS", &name, 1, "")), 503);
    }
    for (name, tag) in tags {
        let ack = Ask { call_id: name, ..Ask::plain("ACK", "k", 1, &tag) };
        assert!(matches!(bench.ask(&ack).1[..], [Event::Confirmed { .. }]), "{name}");
    }
}

#[test]
fn peers_and_problems_are_bounded() {
    let mut bench = Bench::new(Transport::Udp);
    for number in 0..500_u16 {
        let [high, low] = number.to_be_bytes();
        bench.peer.remote = format!("10.0.{high}.{low}:5060").parse().unwrap();
        bench.server.handle_message(bench.now, &bench.peer, b"nonsense\r\n\r\n");
        bench.now += millis(1);
    }
    let statistics = bench.server.statistics();
    assert_eq!((statistics.peers.len(), statistics.unreadable), (PEERS_MAX, 500));
    let newest = "10.0.1.243".parse().unwrap();
    assert!(statistics.peers.contains_key(&newest), "the one not seen for longest gives way");
    let (sent, events) = bench.drain();
    assert_eq!((sent.len(), events.len()), (0, PROBLEMS_WAITING_MAX));
    let untold = 500 - u64::try_from(PROBLEMS_WAITING_MAX).unwrap();
    assert_eq!(bench.server.statistics().problems_untold, untold);
    bench.deliver(b"nonsense\r\n\r\n");
    assert_eq!(bench.server.statistics().problems_untold, untold, "there is room again");
}
