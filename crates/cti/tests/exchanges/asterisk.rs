//! Asterisk's manager interface.

use crate::feed::{Exchange, Feed, await_call};
use testkit::daemon::site::Site;
use testkit::daemon::{Daemon, wait_for};

const GREETING: &str = "Asterisk Call Manager/9.0.0\r\n";
const ACCEPTED: &str = "Response: Success\r\nActionID: hushbox-login\r\n\r\n";
const LIST_END: &str = "Event: CoreShowChannelsComplete\r\nActionID: hushbox-list\r\n\r\n";

/// A made-up number of a caller, which must reach no log.
const CALLER: &str = "0305551234";

fn event(pairs: &[(&str, &str)]) -> String {
    let lines: String = pairs.iter().map(|(name, value)| format!("{name}: {value}\r\n")).collect();
    lines + "\r\n"
}

fn channel(event_name: &str, state: &str) -> String {
    event(&[
        ("Event", event_name),
        ("ActionID", "hushbox-list"),
        ("Channel", "PJSIP/1001-00000002"),
        ("ChannelState", state),
        ("ConnectedLineNum", CALLER),
        ("Uniqueid", "7.2"),
        ("Linkedid", "7.1"),
    ])
}

fn hangup() -> String {
    event(&[("Event", "Hangup"), ("Channel", "PJSIP/1001-00000002"), ("Uniqueid", "7.2")])
}

fn config(exchange: &Exchange) -> String {
    let address = exchange.address();
    format!(
        "[exchange]\nkind = \"asterisk\"\naddress = \"{address}\"\nuser = \"u\"\nsecret = \"s3\"\n"
    )
}

/// Accepts a connection, its log-in, and lists these channels.
fn log_in(exchange: &mut Exchange, channels: &str) {
    exchange.accept();
    exchange.send(GREETING);
    exchange.await_text("Secret: s3\r\n");
    exchange.send(ACCEPTED);
    exchange.await_text("Action: CoreShowChannels\r\n");
    exchange.send(&format!("{channels}{LIST_END}"));
}

#[test]
fn call_is_known_recorded_held_and_ended_and_no_number_is_logged() {
    let daemon = Daemon::start_new(Site::sim(&[1]));
    let mut exchange = Exchange::new();
    let mut feed = Feed::start(&daemon, &config(&exchange));
    log_in(&mut exchange, "");
    let mut monitor = daemon.client("hello monitor");
    exchange.send(&(channel("Newchannel", "5") + channel("Newstate", "6").as_str()));
    await_call(&mut monitor, "1001", Some(("ast-7.2", "no")));
    let mut agent = daemon.client("hello agent user=a1 domain=ACME machine=WS-1");
    let recording = agent.ok("record start").get("recording").to_owned();
    exchange.send(&event(&[("Event", "Hold"), ("Uniqueid", "7.2")]));
    await_call(&mut monitor, "1001", Some(("ast-7.2", "yes")));
    exchange.send(&event(&[("Event", "Unhold"), ("Uniqueid", "7.2")]));
    await_call(&mut monitor, "1001", Some(("ast-7.2", "no")));
    exchange.send(&hangup());
    await_call(&mut monitor, "1001", None);
    let show = daemon.show_text(&recording);
    assert!(show.contains(CALLER) && show.contains("ast-7.2"), "{show}");
    feed.terminate();
    assert!(!feed.log().contains(CALLER), "{}", feed.log());
}

#[test]
fn killed_program_catches_up_with_what_it_missed() {
    let daemon = Daemon::start_new(Site::sim(&[1, 1]));
    let mut exchange = Exchange::new();
    let mut feed = Feed::start(&daemon, &config(&exchange));
    log_in(&mut exchange, &channel("CoreShowChannel", "6"));
    let mut monitor = daemon.client("hello monitor");
    await_call(&mut monitor, "1001", Some(("ast-7.2", "no")));
    feed.kill();
    wait_for("the loss of the feed", || daemon.log().contains("alarm 202").then_some(()));
    // A call of another feed, which is none of this program's business.
    let mut other = daemon.client("hello cti");
    other.ok("call start device=1002 call=other");
    let mut feed = Feed::start(&daemon, &config(&exchange));
    log_in(&mut exchange, &channel("CoreShowChannel", "6").replace("7.2", "8.2"));
    await_call(&mut monitor, "1001", Some(("ast-8.2", "no")));
    await_call(&mut monitor, "1002", Some(("other", "no")));
    // The connection to the exchange is lost, and the call ends meanwhile.
    exchange.hang_up();
    log_in(&mut exchange, "");
    await_call(&mut monitor, "1001", None);
    await_call(&mut monitor, "1002", Some(("other", "no")));
    feed.terminate();
}

#[test]
fn restarted_box_learns_what_it_missed() {
    let mut daemon = Daemon::start_new(Site::sim(&[1]));
    let mut exchange = Exchange::new();
    let mut feed = Feed::start(&daemon, &config(&exchange));
    log_in(&mut exchange, &channel("CoreShowChannel", "6"));
    await_call(&mut daemon.client("hello monitor"), "1001", Some(("ast-7.2", "no")));
    daemon.kill();
    feed.await_log("no connection to the box");
    exchange.send(&(hangup() + channel("Newstate", "6").as_str()));
    exchange.send(&channel("Newchannel", "6").replace("7.2", "9.2"));
    daemon.start();
    await_call(&mut daemon.client("hello monitor"), "1001", Some(("ast-9.2", "no")));
    feed.terminate();
}

#[test]
fn refused_log_in_is_logged_with_what_to_check_and_tried_again() {
    let daemon = Daemon::start_new(Site::sim(&[1]));
    let mut exchange = Exchange::new();
    let mut feed = Feed::start(&daemon, &config(&exchange));
    exchange.accept();
    exchange.send("Response: Error\r\nActionID: hushbox-login\r\n\r\n");
    feed.await_log("check user and secret");
    log_in(&mut exchange, "");
    feed.terminate();
    assert!(!feed.log().contains("s3"), "{}", feed.log());
}
