//! Log-ins and refusals, and what any bytes may do.

use super::*;
use crate::parse::{ami, csv, esl};
use crate::test_feed::Feed;
use proptest::prelude::*;

const ASTERISK: &str =
    "[exchange]\nkind = 'asterisk'\naddress = 'pbx:5038'\nuser = 'u'\nsecret = 's'\n";
const FREESWITCH: &str = "[exchange]\nkind = 'freeswitch'\naddress = 'pbx:8021'\nsecret = 's'\n";
const CSV: &str = "[exchange]\nkind = 'csv'\nstdin = true\n[csv]\n\
    columns = ['event', 'device', 'call', 'ani']\n[csv.events]\nstart = ['S']\nstop = ['E']\n";

#[test]
fn asterisk_log_in_asks_for_events_and_the_list() {
    let mut feed = Feed::new(ASTERISK);
    assert_eq!(
        feed.output(),
        "Action: Login\r\nActionID: hushbox-login\r\nUsername: u\r\nSecret: s\r\n\
         Events: call,agent\r\n\r\n"
    );
    feed.receive(b"Response: Success\r\nActionID: hushbox-login\r\n\r\n").unwrap();
    assert_eq!(feed.output(), "Action: CoreShowChannels\r\nActionID: hushbox-list\r\n\r\n");
    assert!(!feed.session.knows_calls());
    feed.receive(b"Event: CoreShowChannelsComplete\r\nActionID: hushbox-list\r\n\r\n").unwrap();
    assert!(feed.session.knows_calls());
    feed.session.queue_keep_alive();
    assert_eq!(feed.output(), "Action: Ping\r\n\r\n");
    feed.session.begin();
    assert!(!feed.session.knows_calls(), "another connection, another list");
}

#[test]
fn refusals_of_the_exchange_have_a_name() {
    let refused = [
        (
            ASTERISK,
            "Response: Error\r\nActionID: hushbox-login\r\n\r\n",
            SessionError::LoginRefused,
        ),
        (
            ASTERISK,
            "Response: Error\r\nActionID: hushbox-list\r\nMessage: Permission denied\r\n\r\n",
            SessionError::CommandRefused { command: "CoreShowChannels" },
        ),
        (ASTERISK, "Event: Shutdown\r\n\r\n", SessionError::Disconnected),
        (FREESWITCH, "Content-Type: text/rude-rejection\n\n", SessionError::LoginRefused),
        (
            FREESWITCH,
            "Content-Type: auth/request\n\nContent-Type: command/reply\nReply-Text: -ERR\n\n",
            SessionError::LoginRefused,
        ),
        (FREESWITCH, "Content-Type: text/disconnect-notice\n\n", SessionError::Disconnected),
    ];
    for (config, text, error) in refused {
        let mut feed = Feed::new(config);
        assert_eq!(feed.receive(text.as_bytes()), Err(error), "{text}");
    }
}

/// Words of all three formats, so that random input gets behind the first check.
const PIECES: [&str; 24] = [
    "Event: ",
    "Newchannel",
    "Newstate",
    "Hangup",
    "\r\n",
    "\r\n\r\n",
    "Uniqueid: 1",
    "Linkedid: 2",
    "Channel: PJSIP/1001-1",
    "ChannelState: 6",
    "Content-Length: 20",
    "Content-Length: ",
    "Content-Type: text/event-plain",
    "Content-Type: api/response",
    "\n\n",
    "\n",
    "Event-Name: CHANNEL_ANSWER",
    "Unique-ID: 1",
    "%41%",
    "{\"rows\":[{}]}",
    "S,1001,7,555",
    "E,1001,7",
    "\"",
    ",",
];

fn held_bytes(session: &ExchangeSession) -> usize {
    match session {
        ExchangeSession::Ami(session) => session.parser.held().0,
        ExchangeSession::Esl(session) => session.parser.held().0,
        ExchangeSession::Csv(session) => session.parser.held_bytes(),
    }
}

proptest! {
    #[test]
    fn any_bytes_do_no_harm_and_memory_is_bounded(
        pieces in prop::collection::vec(
            prop_oneof![
                prop::sample::select(PIECES.to_vec()).prop_map(|text| text.as_bytes().to_vec()),
                prop::collection::vec(any::<u8>(), 0..64),
            ],
            0..200,
        ),
        size in 1_usize..4096,
    ) {
        let bytes = pieces.concat();
        for config in [ASTERISK, FREESWITCH, CSV] {
            let mut feed = Feed::new(config);
            feed.reporter.mark_exchange_known();
            for piece in bytes.chunks(size) {
                let failed = feed.receive(piece).is_err();
                for line in feed.lines() {
                    prop_assert!(protocol::Command::parse(&line).is_ok(), "{line}");
                }
                prop_assert!(held_bytes(&feed.session) <= esl::BODY_BYTES_MAX + size);
                if failed {
                    feed.session.begin();
                    prop_assert_eq!(held_bytes(&feed.session), 0);
                }
            }
        }
    }
}

#[test]
fn endless_input_without_an_end_is_refused_at_the_limit() {
    for (config, most) in [
        (ASTERISK, ami::LINE_BYTES_MAX),
        (FREESWITCH, esl::LINE_BYTES_MAX),
        (CSV, csv::LINE_BYTES_MAX),
    ] {
        let mut feed = Feed::new(config);
        let error = SessionError::Parse(ParseError::LineTooLong { most });
        let refused = (0..1000).map(|_| feed.receive(&[b'a'; 1000])).find(Result::is_err);
        assert_eq!(refused, Some(Err(error)));
        assert!(held_bytes(&feed.session) <= most + 1000);
    }
}

#[test]
fn channels_without_an_end_are_counted_beyond_the_limit() {
    let mut feed = Feed::new(ASTERISK);
    for number in 0..=crate::translate::ami::CHANNELS_MAX {
        let text = format!("Event: Newchannel\r\nChannel: A/b-1\r\nUniqueid: {number}\r\n\r\n");
        feed.receive(text.as_bytes()).unwrap();
    }
    assert_eq!(feed.session.ignored_channels(), 1);
}
