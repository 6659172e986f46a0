//! Sequences of FreeSWITCH events, as its version 1.10 sends them, with made-up numbers.

use crate::test_feed::{Feed, box_call};

const CONFIG: &str = "[exchange]\nkind = 'freeswitch'\naddress = 'pbx:8021'\nsecret = 's'\n\
    [calls]\ndevices = ['1001', '1002']\n";

/// Events from lines of `Name: value` pairs, separated by `|`. A line that begins with
/// `|` continues the one above.
fn events(text: &str) -> String {
    let lines: Vec<&str> = text.lines().map(str::trim).filter(|line| !line.is_empty()).collect();
    let text = lines.join("\n").replace("\n|", "|");
    let lines = text.lines();
    let bodies = lines.map(|line| line.replace('|', "\n") + "\n\n");
    let message = |body: String| {
        format!("Content-Length: {}\nContent-Type: text/event-plain\n\n{body}", body.len())
    };
    bodies.map(message).collect()
}

fn list(json: &str) -> String {
    format!("Content-Type: api/response\nContent-Length: {}\n\n{json}", json.len())
}

/// The replies up to the list of channels.
fn log_in(feed: &mut Feed, json: &str) -> Vec<String> {
    assert!(feed.lines_after("Content-Type: auth/request\n\n").is_empty());
    assert_eq!(feed.output(), "auth s\n\n");
    let reply = "Content-Type: command/reply\nReply-Text: +OK accepted\n\n";
    assert!(feed.lines_after(reply).is_empty());
    assert!(feed.output().starts_with("event plain CHANNEL_CREATE "));
    assert!(feed.lines_after(reply).is_empty());
    assert_eq!(feed.output(), "api show channels as json\n\n");
    feed.lines_after(&list(json))
}

fn logged_in(config: &str) -> Feed {
    let mut feed = Feed::new(config);
    assert!(log_in(&mut feed, r#"{"row_count":0}"#).is_empty());
    feed
}

const CALL: &str = "
    Event-Name: CHANNEL_CREATE|Unique-ID: a1|Call-Direction: inbound
      |Channel-Name: sofia/external/5551234%40192.0.2.1|Caller-Caller-ID-Number: 5551234
      |Caller-Destination-Number: 800
    Event-Name: CHANNEL_CREATE|Unique-ID: b1|Call-Direction: outbound
      |Channel-Name: sofia/internal/1001%40192.0.2.9%3A5060
      |Channel-Presence-ID: 1001%40pbx.example|Caller-Caller-ID-Number: 5551234
      |Caller-Destination-Number: 1001|Other-Leg-Unique-ID: a1
      |Other-Leg-Destination-Number: 800|variable_cc_queue: support%40default
      |variable_cc_agent: jdoe%40default
    Event-Name: CHANNEL_PROGRESS|Unique-ID: b1|Call-Direction: outbound
      |Channel-Presence-ID: 1001%40pbx.example|Caller-Destination-Number: 1001";
const ANSWER: &str = "
    Event-Name: CHANNEL_ANSWER|Unique-ID: b1|Call-Direction: outbound
      |Channel-Presence-ID: 1001%40pbx.example|Caller-Destination-Number: 1001";

#[test]
fn queue_call_begins_at_the_answer_with_caller_number_and_queue() {
    let mut feed = logged_in(CONFIG);
    assert!(feed.lines_after(&events(CALL)).is_empty(), "it only rings");
    assert_eq!(
        feed.lines_after(&events(ANSWER)),
        ["call start device=1001 call=fs-b1 ani=5551234 dnis=800 direction=in group=support \
          gate=support"]
    );
    for (event, line) in [
        ("CHANNEL_HOLD", "call hold device=1001 call=fs-b1"),
        ("CHANNEL_UNHOLD", "call resume device=1001 call=fs-b1"),
        ("CHANNEL_HANGUP", "call stop device=1001 call=fs-b1"),
    ] {
        let text = format!("Event-Name: {event}|Unique-ID: b1|Call-Direction: outbound");
        assert_eq!(feed.lines_after(&events(&text)), [line]);
    }
    assert!(feed.lines_after(&events("Event-Name: CHANNEL_DESTROY|Unique-ID: b1")).is_empty());
}

#[test]
fn ringing_begins_a_call_and_a_member_owns_it_where_configured() {
    let mut feed = logged_in(&(CONFIG.to_owned() + "begin = 'ring'\nagents = true\n"));
    let lines = feed.lines_after(&events(CALL));
    assert_eq!(
        lines,
        ["call start device=1001 call=fs-b1 ani=5551234 dnis=800 direction=in group=support \
          gate=support agent=jdoe"]
    );
}

#[test]
fn outgoing_call_and_transfer_change_the_numbers() {
    let mut feed = logged_in(CONFIG);
    let text = "
        Event-Name: CHANNEL_CREATE|Unique-ID: c1|Call-Direction: inbound
          |Channel-Name: sofia/internal/1002%40pbx|Caller-Caller-ID-Number: 1002
          |Caller-Destination-Number: 0305559876
        Event-Name: CHANNEL_ANSWER|Unique-ID: c1|Call-Direction: inbound
          |Caller-Caller-ID-Number: 1002|Caller-Destination-Number: 0305559876";
    assert_eq!(
        feed.lines_after(&events(text)),
        ["call start device=1002 call=fs-c1 ani=1002 dnis=0305559876 direction=out"]
    );
    feed.lines_after(&events(&(CALL.to_owned() + ANSWER)));
    let bridge = "Event-Name: CHANNEL_BRIDGE|Unique-ID: b1|Call-Direction: outbound
      |Other-Leg-Caller-ID-Number: 5550000|Other-Leg-Unique-ID: z9";
    assert_eq!(
        feed.lines_after(&events(bridge)),
        ["call update device=1001 call=fs-b1 ani=5550000"]
    );
}

#[test]
fn restart_tells_the_difference_between_the_list_and_the_box() {
    let mut feed = Feed::new(CONFIG);
    let calls = [box_call("1001", "fs-b1", false), box_call("1002", "fs-old", true)];
    assert!(feed.reconnect_box(&calls).is_empty(), "nothing ends before the list is complete");
    let json = r#"{"row_count":2,"rows":[
        {"uuid":"a1","direction":"inbound","name":"sofia/external/5551234@192.0.2.1",
         "cid_num":"5551234","dest":"800","callstate":"ACTIVE","call_uuid":"a1"},
        {"uuid":"b1","direction":"outbound","name":"sofia/internal/1001@192.0.2.9",
         "cid_num":"5551234","dest":"1001","presence_id":"1001@pbx","callstate":"HELD",
         "call_uuid":"a1"}]}"#;
    let mut lines = log_in(&mut feed, json);
    lines.sort();
    assert_eq!(
        lines,
        [
            "call hold device=1001 call=fs-b1",
            "call stop device=1002 call=fs-old",
            "call update device=1001 call=fs-b1 ani=5551234 dnis=800 direction=in",
        ]
    );
    feed.session.begin();
    feed.output();
    let lines = log_in(&mut feed, r#"{"row_count":0}"#);
    assert_eq!(lines, ["call stop device=1001 call=fs-b1"], "it ended while nobody listened");
}
