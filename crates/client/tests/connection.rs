//! A client and a scripted box on a loopback socket: requests, notifications, and every way in
//! which a box can fail to answer.

#![allow(clippy::unwrap_used, clippy::expect_used)]

use client::{Address, Connection, ConnectionError, Incoming, Notification};
use std::io::{BufRead, BufReader, Write};
use std::net::{TcpListener, TcpStream};
use std::os::unix::net::UnixListener;
use std::thread::JoinHandle;
use std::time::Duration;

const GREETING: &str = "hushbox 1 box=box-01 boot=37\n";
const TIMEOUT: Duration = Duration::from_secs(5);
const SHORT: Duration = Duration::from_millis(100);

/// A box that sends `begin`, then for each line it receives the next of `answers`, then closes.
fn scripted_box(
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
    let (address, server) = scripted_box(GREETING, answers);
    let mut connection = Connection::open(std::slice::from_ref(&address), TIMEOUT).unwrap();
    assert_eq!((connection.greeting().name.as_str(), connection.greeting().boot), ("box-01", 37));
    assert_eq!(connection.address(), &address);
    assert!(connection.request("hello monitor").unwrap().outcome.is_ok());
    let status = connection.request("status").unwrap();
    assert_eq!(status.rows[1].get("free"), Some("1"));
    let refused = connection.request("shutdown").unwrap().outcome.unwrap_err();
    assert_eq!((refused.word.as_str(), refused.text.as_str()), ("denied", "not permitted"));
    let mut notifications = Vec::new();
    while let Ok(Some(item)) = connection.next_notification(TIMEOUT) {
        notifications.push(item);
    }
    assert_eq!(notifications.len(), 3, "{notifications:?}");
    let Notification::Event(pairs) = &notifications[0] else { panic!("{notifications:?}") };
    assert_eq!(pairs.get("what"), Some("checkpoint"));
    assert!(matches!(&notifications[2], Notification::State(state) if !state.recording));
    assert!(matches!(connection.next_notification(TIMEOUT), Err(ConnectionError::Closed)));
    assert_eq!(server.join().unwrap(), ["hello monitor", "status", "shutdown"]);
}

#[test]
fn pipelined_commands_are_answered_in_order() {
    let answers: &[&str] = &["", "event seq=1\nok n=1\nerr denied \"no\"\n"];
    let (address, server) = scripted_box(GREETING, answers);
    let mut connection = Connection::open(&[address], TIMEOUT).unwrap();
    connection.send("record start").unwrap();
    connection.send("blackout start").unwrap();
    let mut incoming = Vec::new();
    while let Ok(Some(next)) = connection.recv(TIMEOUT) {
        incoming.push(next);
    }
    assert!(matches!(&incoming[0], Incoming::Reply(reply) if reply.outcome.is_ok()));
    assert!(matches!(&incoming[1], Incoming::Reply(reply) if reply.outcome.is_err()));
    assert!(matches!(&incoming[2], Incoming::Notification(Notification::Event(_))));
    assert!(matches!(connection.recv(TIMEOUT), Err(ConnectionError::Closed)));
    assert_eq!(server.join().unwrap(), ["record start", "blackout start"]);
}

#[test]
fn a7_servers_are_tried_in_order() {
    let closed = TcpListener::bind("127.0.0.1:0").unwrap();
    let refusing: Address = closed.local_addr().unwrap().to_string().parse().unwrap();
    drop(closed);
    let no_socket: Address = "unix:/nonexistent/box.sock".parse().unwrap();
    let (ssh, ssh_server) = scripted_box("SSH-2.0-OpenSSH\r\n", &[]);
    let (good, server) = scripted_box(GREETING, &["ok\n"]);
    let servers = [refusing.clone(), no_socket.clone(), ssh.clone(), good.clone()];
    let mut connection = Connection::open(&servers, TIMEOUT).unwrap();
    assert_eq!(connection.address(), &good);
    connection.request("ping").unwrap();
    ssh_server.join().unwrap();
    server.join().unwrap();
    let failed = Connection::open(&[refusing.clone(), no_socket], TIMEOUT).unwrap_err();
    assert_eq!(failed.attempts.len(), 2);
    let text = failed.to_string();
    assert!(text.contains(&refusing.to_string()) && text.contains("box.sock"), "{text}");
    assert_eq!(
        Connection::open(&[], TIMEOUT).unwrap_err().to_string(),
        "the list of servers is empty; name one"
    );
}

#[test]
fn server_that_is_not_hushbox_is_reported() {
    let open = |begin| {
        let (address, server) = scripted_box(begin, &[]);
        let mut error = Connection::open(&[address], SHORT).unwrap_err();
        server.join().unwrap();
        error.attempts.remove(0).error
    };
    assert!(matches!(open("SSH-2.0-OpenSSH\n"), ConnectionError::Protocol(_)));
    assert!(matches!(open("hushbox 2 box=b\n"), ConnectionError::Protocol(_)));
    assert!(matches!(open(""), ConnectionError::Closed));
    let full = open("err too-many \"come back later\"\n");
    assert!(full.to_string().contains("come back later"), "{full}");
}

#[test]
fn silent_server_times_out() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap().to_string().parse().unwrap();
    let error = Connection::open(&[address], SHORT).unwrap_err();
    assert!(matches!(error.attempts[0].error, ConnectionError::Silent { .. }), "{error}");
}

#[test]
fn server_that_closes_reports_the_reason() {
    let answers: &[&str] = &["ok\n", "err shutting-down \"connect again later\"\n"];
    let (address, server) = scripted_box(GREETING, answers);
    let mut connection = Connection::open(&[address], TIMEOUT).unwrap();
    connection.request("ping").unwrap();
    assert!(matches!(connection.next_notification(SHORT), Ok(None)));
    assert!(matches!(connection.request("x\ny"), Err(ConnectionError::Send(_))));
    assert!(connection.request("ping").unwrap().outcome.is_err());
    server.join().unwrap();
    assert!(matches!(
        connection.request("ping"),
        Err(ConnectionError::Closed | ConnectionError::Io(_))
    ));
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
    let reply = connection.request("media x").unwrap();
    assert_eq!((reply.data.as_slice(), reply.outcome.is_ok()), (&b"a\nb\0c"[..], true));
    assert_eq!(server.join().unwrap(), "media x\n");
    std::fs::remove_dir_all(&folder).unwrap();
}
