//! The end of a client's input means `quit`: what it sent is answered, then the box closes. So
//! `printf 'hello cti\ncall start …\n' | nc -N` works.

use std::path::Path;
use testkit::daemon::client::{Client, Line};
use testkit::daemon::site::Site;
use testkit::daemon::{Daemon, await_ended, tls};

/// Sends these lines at once, ends the input, and returns what comes until the box closes.
fn send_and_end(mut client: Client, lines: &str) -> Vec<Line> {
    assert!(client.send_raw(lines.as_bytes()));
    client.end_sending();
    client.until_closed()
}

fn verbs(lines: &[Line]) -> Vec<&str> {
    lines.iter().map(Line::verb).filter(|verb| *verb != "event").collect()
}

#[test]
fn half_closed_feed_gets_every_reply_that_waits_for_a_sync() {
    let story = Daemon::start_new(Site::sim(&[1]));
    let mut watcher = story.client("hello monitor");
    watcher.ok("watch");
    for (number, client) in
        [Client::tcp(story.port), Client::unix(&story.socket())].into_iter().enumerate()
    {
        let lines = format!(
            "hello cti\ncall start device=1001 call=c{number}\nrecord start device=1001\n\
             call stop device=1001 call=c{number}\ncall start device=10"
        );
        let said = send_and_end(client, &lines);
        assert_eq!(verbs(&said), ["ok"; 4], "and half a line is none: {said:?}");
        await_ended(&mut watcher, &[said[2].get("recording")]);
    }
    story.assert_verified();
}

#[test]
fn half_closed_tls_client_is_answered() {
    let more = "[[listen]]\naddress = \"127.0.0.1:0\"\ntls = true\n".to_owned();
    let story = Daemon::start_new(Site { more, ..Site::sim(&[1]) });
    let config = tls::config(Path::new(&story.data().join("tls/ca.crt")), None);
    let said = send_and_end(Client::tls(story.tls_port, config), "ping\nhelp ping\nping\n");
    assert_eq!(verbs(&said), ["ok", "row", "ok", "ok"], "{said:?}");
}

#[test]
fn half_closed_watch_and_long_listing_end() {
    let story = Daemon::start_new(Site::sim(&[1]));
    let watch = send_and_end(story.client("hello monitor"), "watch\nchannels\n");
    assert_eq!(verbs(&watch), ["ok", "row", "ok"], "{watch:?}");
    let help = send_and_end(story.client_over_unix("hello monitor"), "help\n");
    assert_eq!(help.last().map(Line::verb), Some("ok"), "the whole list: {help:?}");
    // A client that sends nothing at all is closed at once, not after the time for its hello.
    assert_eq!(send_and_end(Client::tcp(story.port), ""), []);
}
