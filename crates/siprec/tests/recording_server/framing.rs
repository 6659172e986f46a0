//! Streams cut into messages.

use crate::support::*;
use siprec::limits::{HEAD_BYTES_MAX, MESSAGE_BYTES_MAX};
use siprec::{FramerError, StreamFramer, Transport};

/// All messages of a stream that comes in pieces of `size` bytes.
fn cut(stream: &[u8], size: usize) -> Result<Vec<Vec<u8>>, FramerError> {
    let mut framer = StreamFramer::new();
    let mut messages = Vec::new();
    for piece in stream.chunks(size) {
        framer.push(piece)?;
        while let Some(message) = framer.next_message()? {
            messages.push(message.to_vec());
        }
    }
    assert_eq!(framer.waiting_bytes(), 0);
    Ok(messages)
}

#[test]
fn messages_come_whole_whatever_the_pieces() {
    let names = ["01-opensips-rtpengine26-invite-tcp", "05-bye"];
    let mut messages: Vec<Vec<u8>> = names.iter().map(|name| stored(name)).collect();
    messages.push(b"\r\n\r\n".to_vec());
    messages.push(stored("10-opensips-rtpengine26-invite-savp-sdes-and-dtls"));
    let long =
        replace(&stored("12-sipp-update-partial-metadata"), "Content-Length:   293", "l : 293");
    messages.push(long);
    let stream = messages.concat();
    for size in [1, 2, 3, 4, 7, 100, 1_460, stream.len()] {
        assert_eq!(cut(&stream, size).unwrap(), messages, "pieces of {size}");
    }
    let spaced = [b"\r\n".as_slice(), &messages[0], b"\r\n", &messages[1]].concat();
    for size in [1, 5, spaced.len()] {
        assert_eq!(cut(&spaced, size).unwrap(), messages[..2], "a lone line end is skipped");
    }
}

#[test]
fn a_stream_without_end_is_given_up_within_its_bound() {
    let mut framer = StreamFramer::new();
    let mut pushed = 0;
    let error = loop {
        framer.push(&[b'x'; 4_096]).unwrap();
        pushed += 4_096;
        assert!(framer.waiting_bytes() <= 2 * MESSAGE_BYTES_MAX);
        match framer.next_message() {
            Ok(message) => assert_eq!(message, None),
            Err(error) => break error,
        }
    };
    assert_eq!((error, pushed), (FramerError::HeadTooLong, HEAD_BYTES_MAX + 4_096));
    framer = StreamFramer::new();
    let long = format!("BYE sip:a SIP/2.0\r\nX: {}\r\n\r\n", "x".repeat(HEAD_BYTES_MAX));
    framer.push(long.as_bytes()).unwrap();
    assert_eq!(framer.next_message(), Err(FramerError::HeadTooLong));
    let head = |value: &str| format!("BYE sip:a SIP/2.0\r\nContent-Length: {value}\r\n\r\n");
    for value in ["65536", "18446744073709551615"] {
        framer = StreamFramer::new();
        framer.push(head(value).as_bytes()).unwrap();
        assert!(
            matches!(framer.next_message(), Err(FramerError::MessageTooLong { .. })),
            "{value}"
        );
    }
    for value in ["", "x", "-1", "1 2", "99999999999999999999999", "1\r\nl: 2"] {
        framer = StreamFramer::new();
        framer.push(head(value).as_bytes()).unwrap();
        assert!(matches!(framer.next_message(), Err(FramerError::Length(_))), "{value}");
    }
    framer = StreamFramer::new();
    framer.push(&[b'x'; 2 * MESSAGE_BYTES_MAX]).unwrap();
    assert!(matches!(framer.push(b"x"), Err(FramerError::Overflow { .. })));
}

#[test]
fn a_keep_alive_is_answered_on_streams_only() {
    for (transport, answer) in [(Transport::Tcp, vec!["\r\n"]), (Transport::Udp, vec![])] {
        let mut bench = Bench::new(transport);
        let (sent, events) = bench.deliver(b"\r\n\r\n");
        assert_eq!(sent.iter().map(|sent| sent.text.as_str()).collect::<Vec<_>>(), answer);
        assert!(events.is_empty());
    }
}
