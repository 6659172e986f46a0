//! A client against a scripted box on a loopback socket: what is asked, what comes unasked, and
//! every way in which a box can fail to answer.

#![allow(clippy::unwrap_used, clippy::expect_used)]

use client::{Address, Connection, Heard, LinkError, News};
use std::io::{BufRead, BufReader, Write};
use std::net::{TcpListener, TcpStream};
use std::os::unix::net::UnixListener;
use std::thread::JoinHandle;
use std::time::Duration;

const GREETING: &str = "hushbox 1 box=box-01 boot=37\n";
const TIMEOUT: Duration = Duration::from_secs(5);
const SHORT: Duration = Duration::from_millis(100);

/// A box that says `begin`, then for each line it gets the next of `answers`, then closes.
fn box_that_says(
    begin: &'static str,
    answers: &'static [&'static str],
) -> (Address, JoinHandle<Vec<String>>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap().to_string().parse().unwrap();
    let thread = std::thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        stream.write_all(begin.as_bytes()).unwrap();
        serve(stream, answers)
    });
    (address, thread)
}

fn serve(mut stream: TcpStream, answers: &[&str]) -> Vec<String> {
    let mut heard = Vec::new();
    let mut lines = BufReader::new(stream.try_clone().unwrap()).lines();
    for answer in answers {
        heard.push(lines.next().unwrap().unwrap());
        stream.write_all(answer.as_bytes()).unwrap();
    }
    heard
}

#[test]
fn request_returns_reply_and_queues_notifications() {
    let answers: &[&str] = &[
        "ok session=1\nevent what=checkpoint seq=9\n",
        concat!(
            "row what=box\nrow what=disk free=1\n",
            "ok\n",
            "event seq=1\n",
            "state call=- direction=- recording=off recording_id=- reasons=- blackout=off ",
            "blackout_ms=0 screen=off can=- note=-\n",
        ),
        "err denied \"not permitted\"\n",
    ];
    let (address, server) = box_that_says(GREETING, answers);
    let mut connection = Connection::open(std::slice::from_ref(&address), TIMEOUT).unwrap();
    assert_eq!((connection.greeting().name.as_str(), connection.greeting().boot), ("box-01", 37));
    assert_eq!(connection.address(), &address);
    assert!(connection.ask("hello monitor").unwrap().outcome.is_ok());
    let status = connection.ask("status").unwrap();
    assert_eq!(status.rows[1].get("free"), Some("1"));
    let refused = connection.ask("shutdown").unwrap().outcome.unwrap_err();
    assert_eq!((refused.word.as_str(), refused.text.as_str()), ("denied", "not permitted"));
    let mut news = Vec::new();
    while let Ok(Some(item)) = connection.next_event(TIMEOUT) {
        news.push(item);
    }
    assert_eq!(news.len(), 3, "{news:?}");
    assert!(matches!(&news[0], News::Event(pairs) if pairs.get("what") == Some("checkpoint")));
    assert!(matches!(&news[2], News::State(state) if !state.recording));
    assert!(matches!(connection.next_event(TIMEOUT), Err(LinkError::Closed)));
    assert_eq!(server.join().unwrap(), ["hello monitor", "status", "shutdown"]);
}

#[test]
fn pipelined_commands_are_answered_in_order() {
    let answers: &[&str] = &["", "event seq=1\nok n=1\nerr denied \"no\"\n"];
    let (address, server) = box_that_says(GREETING, answers);
    let mut connection = Connection::open(&[address], TIMEOUT).unwrap();
    connection.send("record start").unwrap();
    connection.send("blackout start").unwrap();
    let mut heard = Vec::new();
    while let Ok(Some(next)) = connection.hear(TIMEOUT) {
        heard.push(next);
    }
    assert!(matches!(&heard[0], Heard::Reply(reply) if reply.outcome.is_ok()), "{heard:?}");
    assert!(matches!(&heard[1], Heard::Reply(reply) if reply.outcome.is_err()), "{heard:?}");
    assert!(matches!(&heard[2], Heard::News(News::Event(_))), "{heard:?}");
    assert!(matches!(connection.hear(TIMEOUT), Err(LinkError::Closed)));
    assert_eq!(server.join().unwrap(), ["record start", "blackout start"]);
}

#[test]
fn a7_servers_are_tried_in_order() {
    let closed = TcpListener::bind("127.0.0.1:0").unwrap();
    let nobody: Address = closed.local_addr().unwrap().to_string().parse().unwrap();
    drop(closed);
    let no_socket: Address = "unix:/nonexistent/box.sock".parse().unwrap();
    let (ssh, ssh_server) = box_that_says("SSH-2.0-OpenSSH\r\n", &[]);
    let (good, server) = box_that_says(GREETING, &["ok\n"]);
    let servers = [nobody.clone(), no_socket.clone(), ssh.clone(), good.clone()];
    let mut connection = Connection::open(&servers, TIMEOUT).unwrap();
    assert_eq!(connection.address(), &good);
    connection.ask("ping").unwrap();
    ssh_server.join().unwrap();
    server.join().unwrap();
    let failed = Connection::open(&[nobody.clone(), no_socket], TIMEOUT).unwrap_err();
    assert_eq!(failed.attempts.len(), 2);
    let text = failed.to_string();
    assert!(text.contains(&nobody.to_string()) && text.contains("box.sock"), "{text}");
    assert_eq!(Connection::open(&[], TIMEOUT).unwrap_err().to_string(), "no server is given");
}

#[test]
fn server_that_is_not_hushbox_is_reported() {
    let open = |begin| {
        let (address, server) = box_that_says(begin, &[]);
        let mut error = Connection::open(&[address], SHORT).unwrap_err();
        server.join().unwrap();
        error.attempts.remove(0).error
    };
    assert!(matches!(open("SSH-2.0-OpenSSH\n"), LinkError::Violation(_)));
    assert!(matches!(open("hushbox 2 box=b\n"), LinkError::Violation(_)));
    assert!(matches!(open(""), LinkError::Closed));
    let full = open("err too-many \"come back later\"\n");
    assert!(full.to_string().contains("come back later"), "{full}");
}

#[test]
fn silent_server_times_out() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap().to_string().parse().unwrap();
    let error = Connection::open(&[address], SHORT).unwrap_err();
    assert!(matches!(error.attempts[0].error, LinkError::Silent { .. }), "{error}");
}

#[test]
fn server_that_closes_reports_the_reason() {
    let answers: &[&str] = &["ok\n", "err shutting-down \"connect again later\"\n"];
    let (address, server) = box_that_says(GREETING, answers);
    let mut connection = Connection::open(&[address], TIMEOUT).unwrap();
    connection.ask("ping").unwrap();
    assert!(matches!(connection.next_event(SHORT), Ok(None)));
    assert!(matches!(connection.ask("x\ny"), Err(LinkError::Send(_))));
    assert!(connection.ask("ping").unwrap().outcome.is_err());
    server.join().unwrap();
    assert!(matches!(connection.ask("ping"), Err(LinkError::Closed | LinkError::Io(_))));
}

#[test]
fn unix_socket_is_served_like_tcp() {
    let folder = std::env::temp_dir().join(format!("hushbox-client-{}", std::process::id()));
    std::fs::create_dir_all(&folder).unwrap();
    let path = folder.join("box.sock");
    let listener = UnixListener::bind(&path).unwrap();
    let server = std::thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        // In pieces, as a slow line would bring them.
        for piece in GREETING.as_bytes().chunks(5) {
            stream.write_all(piece).unwrap();
        }
        let mut line = String::new();
        BufReader::new(stream.try_clone().unwrap()).read_line(&mut line).unwrap();
        stream.write_all(b"data 5\na\nb\0c\nok size=5\n").unwrap();
        line
    });
    let mut connection = Connection::open(&[Address::Unix(path)], TIMEOUT).unwrap();
    let reply = connection.ask("media x").unwrap();
    assert_eq!((reply.data.as_slice(), reply.outcome.is_ok()), (&b"a\nb\0c"[..], true));
    assert_eq!(server.join().unwrap(), "media x\n");
    std::fs::remove_dir_all(&folder).unwrap();
}
