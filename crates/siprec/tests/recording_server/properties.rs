//! Whatever comes, the server does not panic, and its memory stays bounded.

use crate::support::*;
use proptest::prelude::*;
use siprec::{Event, Server, StreamFramer, Transport};

const NAMES: [&str; 12] = [
    "01-opensips-rtpengine26-invite-tcp",
    "02-our-200-ok-that-opensips-takes",
    "03-reinvite-hold-one-stream-inactive",
    "04-reinvite-resume",
    "05-bye",
    "06-reinvite-pause-all-inactive",
    "07-bye-in-the-middle-of-the-call",
    "08-opensips-rtpengine10-invite-udp-labels-swapped",
    "09-reinvite-pause-rtpengine10-unchanged-sdp",
    "10-opensips-rtpengine26-invite-savp-sdes-and-dtls",
    "11-sipp-invite-udp",
    "12-sipp-update-partial-metadata",
];

/// What a client may do in a random story.
#[derive(Debug, Clone)]
enum Step {
    Ask { method: usize, branch: u8, call: u8, cseq: u8, tag: u8 },
    Pass(u16),
    End(u8),
    Refuse(bool),
    Close,
    Restart,
}

fn step() -> impl Strategy<Value = Step> {
    // Few calls and branches, so that requests meet what came before.
    let ask = (0..8_usize, 0..6_u8, 0..2_u8, 1..6_u8, 0..4_u8).prop_map(
        |(method, branch, call, cseq, tag)| Step::Ask { method, branch, call, cseq, tag },
    );
    prop_oneof![
        12 => ask,
        2 => (0..40_000_u16).prop_map(Step::Pass),
        1 => any::<u8>().prop_map(Step::End),
        1 => any::<bool>().prop_map(Step::Refuse),
        1 => Just(Step::Close),
        1 => Just(Step::Restart),
    ]
}

fn transport() -> impl Strategy<Value = Transport> {
    prop_oneof![Just(Transport::Udp), Just(Transport::Tcp), Just(Transport::Tls)]
}

/// The sessions by the events that were told: each begins once and ends once.
#[derive(Default)]
struct Sessions {
    open: std::collections::BTreeSet<u64>,
    keys: Vec<siprec::SessionKey>,
    snapshots: Vec<(u64, siprec::DialogSnapshot)>,
    tags: Vec<String>,
}

impl Sessions {
    fn note(&mut self, events: &[Event], sent: &[Sent]) {
        for event in events {
            match event {
                Event::Offered { session, .. } => {
                    assert!(self.open.insert(session.number()), "a key is used once");
                    self.keys.push(*session);
                }
                Event::Ended { session, .. } => {
                    assert!(self.open.remove(&session.number()), "a session ends once");
                    self.snapshots.retain(|(number, _)| *number != session.number());
                }
                Event::SnapshotChanged { session, snapshot } => {
                    self.snapshots.retain(|(number, _)| *number != session.number());
                    self.snapshots.push((session.number(), (**snapshot).clone()));
                }
                Event::Changed { session, .. }
                | Event::Confirmed { session }
                | Event::Digit { session }
                | Event::IntervalExpired { session } => {
                    assert!(self.open.contains(&session.number()), "{event:?} of no session");
                }
                Event::Problem { .. } => {}
            }
        }
        let tags = sent.iter().filter(|sent| sent.status() == 200);
        self.tags.extend(tags.filter(|sent| sent.header("To").contains("tag")).map(Sent::to_tag));
        self.tags.drain(..self.tags.len().saturating_sub(3));
    }
}

const METHODS: [&str; 8] = ["INVITE", "ACK", "BYE", "CANCEL", "OPTIONS", "UPDATE", "INFO", "REFER"];

fn run(transport: Transport, steps: &[Step]) {
    let mut bench = Bench::new(transport);
    let mut sessions = Sessions::default();
    let mut seed = 10;
    for step in steps {
        let (sent, events) = match step {
            Step::Ask { method, branch, call, cseq, tag } => {
                let tag = tag.checked_sub(1).and_then(|at| sessions.tags.get(usize::from(at)));
                let tag = tag.cloned().unwrap_or_default();
                let (branch, call) = (format!("b{branch}"), format!("c{call}"));
                let method = METHODS[*method];
                let offers = ["INVITE", "UPDATE"].contains(&method);
                let mut ask = bench.plain(method, &branch, u32::from(*cseq), &tag);
                ask.call_id = &call;
                if offers {
                    (ask.headers, ask.body) = (Ask::invite("").headers, OFFER);
                }
                bench.ask(&ask)
            }
            Step::Pass(count) => bench.pass(u64::from(*count)),
            Step::End(which) => {
                let at = usize::from(*which) % sessions.keys.len().max(1);
                if let Some(session) = sessions.keys.get(at) {
                    bench.server.end_session(bench.now, *session);
                }
                bench.drain()
            }
            Step::Refuse(accepts) => {
                bench.accepts = *accepts;
                Default::default()
            }
            Step::Close => {
                bench.server.handle_closed(7);
                bench.drain()
            }
            Step::Restart => {
                seed += 1;
                bench.server = Server::new(settings(), [seed; 32]);
                let snapshots = std::mem::take(&mut sessions.snapshots);
                sessions = Sessions { tags: sessions.tags, ..Sessions::default() };
                for (_, snapshot) in snapshots {
                    let session = bench.server.restore(bench.now, snapshot.clone());
                    sessions.open.insert(session.number());
                    sessions.keys.push(session);
                    sessions.snapshots.push((session.number(), snapshot));
                }
                Default::default()
            }
        };
        sessions.note(&events, &sent);
        assert!(bench.server.statistics().transactions <= 16);
        assert!(bench.server.statistics().sessions <= 4);
    }
    // In the end all is quiet: no timer runs for ever.
    let (sent, events) = bench.pass(200_000);
    sessions.note(&events, &sent);
    assert_eq!(bench.server.poll_timeout(), None);
    assert_eq!(bench.server.statistics().transactions, 0);
}

proptest! {
    #![proptest_config(ProptestConfig {
        cases: 400,
        failure_persistence: None,
        ..Default::default()
    })]

    #[test]
    fn any_bytes_never_panic(
        bytes in prop::collection::vec(any::<u8>(), 0..600),
        way in transport(),
    ) {
        let mut bench = Bench::new(way);
        bench.server.handle_message(bench.now, &bench.peer, &bytes);
        while bench.server.poll_event().is_some() {}
        let mut framer = StreamFramer::new();
        framer.push(&bytes).unwrap();
        while let Ok(Some(message)) = framer.next_message() {
            bench.server.handle_message(bench.now, &bench.peer, message);
        }
    }

    #[test]
    fn changed_messages_never_panic(
        name in 0..NAMES.len(),
        places in prop::collection::vec(
            (any::<prop::sample::Index>(), any::<u8>(), 0..3_u8),
            1..12,
        ),
        way in transport(),
    ) {
        let mut message = stored(NAMES[name]);
        for (place, byte, kind) in places {
            let at = place.index(message.len());
            match kind {
                0 => message[at] = byte,
                1 => message.insert(at, byte),
                _ => message.truncate(message.len().max(40) - at.min(30)),
            }
        }
        let mut bench = Bench::new(way);
        bench.server.handle_message(bench.now, &bench.peer, &message);
        bench.drain();
        bench.pass(100_000);
        prop_assert_eq!(bench.server.statistics().transactions, 0);
    }

    #[test]
    fn any_story_keeps_its_promises(
        way in transport(),
        steps in prop::collection::vec(step(), 1..80),
    ) {
        run(way, &steps);
    }
}
