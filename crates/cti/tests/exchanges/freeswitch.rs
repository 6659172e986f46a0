//! FreeSWITCH's event socket.

use crate::feed::{Exchange, Feed, await_call};
use testkit::daemon::Daemon;
use testkit::daemon::site::Site;

fn event(name: &str) -> String {
    let body = format!(
        "Event-Name: {name}\nUnique-ID: b-1\nCall-Direction: outbound\n\
         Channel-Presence-ID: 1001%40pbx\nCaller-Caller-ID-Number: 0305551234\n\
         Other-Leg-Destination-Number: 800\n\n"
    );
    format!("Content-Length: {}\nContent-Type: text/event-plain\n\n{body}", body.len())
}

fn log_in(exchange: &mut Exchange, list: &str) {
    exchange.accept();
    exchange.send("Content-Type: auth/request\n\n");
    exchange.await_text("auth s3\n\n");
    exchange.send("Content-Type: command/reply\nReply-Text: +OK accepted\n\n");
    exchange.await_text("event plain ");
    exchange.send("Content-Type: command/reply\nReply-Text: +OK event listener enabled plain\n\n");
    exchange.await_text("api show channels as json\n\n");
    let length = list.len();
    exchange.send(&format!("Content-Type: api/response\nContent-Length: {length}\n\n{list}"));
}

#[test]
fn call_is_known_held_and_ended_and_a_lost_connection_catches_up() {
    let daemon = Daemon::start_new(Site::sim(&[1]));
    let mut exchange = Exchange::new();
    let address = exchange.address();
    let config =
        format!("[exchange]\nkind = \"freeswitch\"\naddress = \"{address}\"\nsecret = \"s3\"\n");
    let mut feed = Feed::start(&daemon, &config);
    log_in(&mut exchange, r#"{"row_count":0}"#);
    let mut monitor = daemon.client("hello monitor");
    exchange.send(&(event("CHANNEL_CREATE") + event("CHANNEL_ANSWER").as_str()));
    await_call(&mut monitor, "1001", Some(("fs-b-1", "no")));
    exchange.send(&event("CHANNEL_HOLD"));
    await_call(&mut monitor, "1001", Some(("fs-b-1", "yes")));
    exchange.hang_up();
    let row =
        r#"{"uuid":"b-1","direction":"outbound","presence_id":"1001@pbx","callstate":"ACTIVE"}"#;
    log_in(&mut exchange, &format!(r#"{{"row_count":1,"rows":[{row}]}}"#));
    await_call(&mut monitor, "1001", Some(("fs-b-1", "no")));
    exchange.send(&event("CHANNEL_HANGUP"));
    await_call(&mut monitor, "1001", None);
    feed.terminate();
    assert!(!feed.log().contains("5551234"), "{}", feed.log());
}
