//! Bytes of a real TLS session, damaged or replayed, sent to a real daemon: all are refused, and
//! the daemon keeps running.

use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use testkit::daemon::site::Site;
use testkit::daemon::{Daemon, TIMEOUT, tls};
use testkit::rng::Rng;

/// Streams that are tried; each costs the box a handshake at most.
const STREAMS: u64 = 300;

/// What a client without a certificate says in a session that is let in and pings, as it is on the
/// wire.
fn recorded(the_box: &Daemon) -> Vec<u8> {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let (port, to) = (listener.local_addr().unwrap().port(), the_box.tls_port);
    let between = std::thread::spawn(move || {
        let (mut client, _) = listener.accept().unwrap();
        let mut server = TcpStream::connect(("127.0.0.1", to)).unwrap();
        let (mut back, mut forth) = (server.try_clone().unwrap(), client.try_clone().unwrap());
        let answers = std::thread::spawn(move || drop(std::io::copy(&mut back, &mut forth)));
        let (mut said, mut piece) = (Vec::new(), [0; 4096]);
        while let Ok(count @ 1..) = client.read(&mut piece) {
            said.extend_from_slice(&piece[..count]);
            server.write_all(&piece[..count]).unwrap();
        }
        drop(server.shutdown(Shutdown::Both));
        answers.join().unwrap();
        said
    });
    let authority = the_box.data().join("tls/ca.crt");
    let mut client = testkit::daemon::client::Client::tls(port, tls::config(&authority, None));
    for _ in 0..20 {
        client.ok("ping");
    }
    drop(client);
    between.join().unwrap()
}

/// The stream with something wrong in it.
fn damaged(rng: &mut Rng, stream: &[u8]) -> Vec<u8> {
    let mut bytes = stream.to_vec();
    for _ in 0..=rng.below(4) {
        let at = rng.below(bytes.len());
        match rng.below(6) {
            0 => bytes[at] ^= 1 << rng.below(8),
            1 => bytes.truncate(at),
            2 => drop(bytes.remove(at)),
            3 => bytes.insert(at, bytes[at]),
            4 => {
                let to = (at + rng.below(64)).min(bytes.len());
                let again = bytes[at..to].to_vec();
                bytes.splice(at..at, again);
            }
            // A record that claims another length.
            _ => {
                let head = [22, 3, 3, bytes[at], 0xff];
                bytes.splice(at..at, head);
            }
        }
        if bytes.is_empty() {
            bytes.push(22);
        }
    }
    bytes
}

/// Says it, in pieces, and gives all that comes back.
fn say(port: u16, bytes: &[u8], step: usize) -> Vec<u8> {
    let mut socket = TcpStream::connect(("127.0.0.1", port)).unwrap();
    socket.set_nodelay(true).unwrap();
    socket.set_read_timeout(Some(TIMEOUT)).unwrap();
    // The box may close before it has heard all of it.
    let all = bytes.chunks(step.max(1)).all(|piece| socket.write_all(piece).is_ok());
    if all {
        drop(socket.shutdown(Shutdown::Write));
    }
    let mut heard = Vec::new();
    drop(socket.read_to_end(&mut heard));
    heard
}

#[test]
fn damaged_or_replayed_tls_stream_is_refused() {
    let more = "[[listen]]\naddress = \"127.0.0.1:0\"\ntls = true\n[limits]\n\
                handshakes_per_s = 10000\n";
    let mut the_box = Daemon::start_new(Site { more: more.into(), ..Site::sim(&[1]) });
    let stream = recorded(&the_box);
    assert!(stream.len() > 500 && stream[0] == 22, "{} bytes", stream.len());
    let sessions = |the_box: &Daemon| {
        let mut monitor = the_box.client_over_unix("hello monitor");
        let rows = monitor.ask("stats").rows;
        let row = rows.iter().find(|row| row.is("name", "hushbox_sessions_total")).unwrap();
        row.number("value")
    };
    let before = sessions(&the_box);
    let mut rng = Rng::new(0x5eed);
    for number in 0..STREAMS {
        let bytes = if number == 0 { stream.clone() } else { damaged(&mut rng, &stream) };
        let heard = say(the_box.tls_port, &bytes, 1 + rng.below(bytes.len()));
        let plain = heard.windows(7).any(|seven| seven == b"hushbox");
        assert!(!plain && heard.len() < 4096, "stream {number}: {heard:?}");
    }
    assert_eq!(sessions(&the_box), before + 1, "another client came in");
    the_box.client("hello monitor").ok("ping");
    the_box.stop();
}
