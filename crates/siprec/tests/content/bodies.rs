//! Rules 1, 3, 5 and 7: parts by type, in any order, never half a body.

use siprec::body::{Body, BodyError, PARTS_MAX};

use crate::stored::{read_file, read_message};

const SDP: &str = "v=0\r\nm=audio 1 RTP/AVP 0";
const XML: &str = "<recording/>";

/// A multipart body with CRLF line breaks.
fn multipart(parts: &[(&str, &str)]) -> String {
    let part =
        |(kind, text): &(&str, &str)| format!("--b\r\nContent-Type: {kind}\r\n\r\n{text}\r\n");
    let text: String = parts.iter().map(part).collect();
    text + "--b--\r\n"
}

fn parse<'a>(content_type: &str, text: &'a str) -> Result<Body<'a>, BodyError> {
    Body::parse(Some(content_type), text.as_bytes())
}

#[test]
fn parts_are_found_by_type_in_any_order() {
    let whole = Body { sdp: Some(SDP.as_bytes()), metadata: Some(XML.as_bytes()) };
    let kinds =
        ["application/rs-metadata+xml", "application/rs-metadata", "Application/RS-Metadata"];
    for kind in kinds {
        let parts = [(kind, XML), ("application/sdp", SDP), ("application/gtd", "IAM,")];
        for order in [[0, 1, 2], [1, 0, 2], [2, 1, 0], [2, 0, 1]] {
            let text = multipart(&order.map(|index| parts[index]));
            assert_eq!(parse("multipart/mixed;boundary=b", &text), Ok(whole), "{kind} {order:?}");
        }
    }
}

#[test]
fn boundaries_are_quoted_or_not() {
    let text = multipart(&[("application/sdp; charset=utf-8", SDP)]);
    let types = [
        "multipart/mixed;boundary=b",
        "multipart/mixed; boundary=\"b\"",
        "Multipart/Mixed ; charset=\"a;boundary=x\" ;  BOUNDARY = b ; x=y",
        "multipart/related;boundary=b",
    ];
    for content_type in types {
        let body = parse(content_type, &text).unwrap();
        assert_eq!(body.sdp, Some(SDP.as_bytes()), "{content_type}");
    }
    for content_type in ["multipart/mixed", "multipart/mixed;boundary=", "multipart/mixed;b=b"] {
        assert_eq!(parse(content_type, &text), Err(BodyError::NoBoundary), "{content_type}");
    }
    let long = format!("multipart/mixed;boundary={}", "b".repeat(71));
    assert_eq!(parse(&long, &text), Err(BodyError::NoBoundary));
    assert_eq!(parse("multipart/mixed;boundary=c", &text), Err(BodyError::NoParts));
}

#[test]
fn a_boundary_is_a_whole_line() {
    let text =
        "preamble\n--b  \nContent-Type: application/sdp\n\nv=0\n--bb\n--b-\n x --b\n\n--b-- \nrest";
    let body = parse("multipart/mixed;boundary=b", text).unwrap();
    assert_eq!(body.sdp, Some("v=0\n--bb\n--b-\n x --b\n".as_bytes()));
}

#[test]
fn headers_of_parts_may_be_folded_compact_or_absent() {
    let text =
        "--b\r\nC:\r\n application/sdp;\r\n\tx=y\r\nX-Y: z\r\n\r\nv=0\r\n--b\r\n\r\nplain\r\n--b--";
    let body = parse("multipart/mixed;boundary=b", text).unwrap();
    assert_eq!((body.sdp, body.metadata), (Some("v=0".as_bytes()), None));
    let text = "--b\r\nContent-Type: application/sdp\r\n--b--";
    assert_eq!(parse("multipart/mixed;boundary=b", text), Ok(Body::default()));
}

#[test]
fn the_first_part_of_a_type_counts() {
    let text = multipart(&[("application/sdp", "v=0"), ("application/sdp", "v=1")]);
    assert_eq!(parse("multipart/mixed;boundary=b", &text).unwrap().sdp, Some("v=0".as_bytes()));
}

#[test]
fn a_body_without_parts_is_read_by_its_type() {
    assert_eq!(parse("application/sdp", SDP).unwrap().sdp, Some(SDP.as_bytes()));
    assert_eq!(parse("application/rs-metadata", XML).unwrap().metadata, Some(XML.as_bytes()));
    assert_eq!(parse("text/plain", SDP), Err(BodyError::UnsupportedType));
    assert_eq!(Body::parse(None, SDP.as_bytes()), Err(BodyError::NoType));
    assert_eq!(Body::parse(None, b""), Ok(Body::default()));
}

#[test]
fn parts_and_their_depth_are_limited() {
    let many = |count| multipart(&vec![("text/plain", "x"); count]);
    assert_eq!(parse("multipart/mixed;boundary=b", &many(PARTS_MAX)), Ok(Body::default()));
    let result = parse("multipart/mixed;boundary=b", &many(PARTS_MAX + 1)).unwrap_err();
    assert_eq!(result, BodyError::TooManyParts);

    let nested = |depth: usize| {
        let mut text = String::from("Content-Type: application/sdp\r\n\r\nv=0");
        for level in 0..depth {
            let kind = format!("Content-Type: multipart/mixed;boundary=n{level}");
            text = format!("{kind}\r\n\r\n--n{level}\r\n{text}\r\n--n{level}--");
        }
        format!("--b\r\n{text}\r\n--b--\r\n")
    };
    for depth in 0..=2 {
        let text = nested(depth);
        let body = parse("multipart/mixed;boundary=b", &text).unwrap();
        assert_eq!(body.sdp, Some("v=0".as_bytes()), "depth {depth}");
    }
    assert_eq!(parse("multipart/mixed;boundary=b", &nested(3)), Err(BodyError::TooManyParts));
}

#[test]
fn a_truncated_body_never_gives_half_a_session_description() {
    let (content_type, bytes) = read_message("01-opensips-rtpengine26-invite-tcp.sip");
    let whole = Body::parse(Some(&content_type), &bytes).unwrap();
    let (mut refused, mut without_metadata) = (0, 0);
    for length in 0..bytes.len() {
        match Body::parse(Some(&content_type), &bytes[..length]) {
            Ok(body) => {
                assert!(body.sdp.is_none() || body.sdp == whole.sdp, "{length} bytes");
                without_metadata += usize::from(body.sdp.is_some() && body.metadata.is_none());
            }
            Err(BodyError::Truncated) => refused += 1,
            Err(error) => assert!(matches!(error, BodyError::NoParts), "{length} bytes: {error}"),
        }
    }
    assert!(refused > 300 && without_metadata > 50, "{refused} {without_metadata}");
}

#[test]
fn rule_1_broadworks_sends_the_metadata_first() {
    let bytes = read_file("broadworks-mixed.body");
    let body = Body::parse(Some("multipart/mixed;boundary=uniqueBoundary"), &bytes).unwrap();
    assert!(body.sdp.unwrap().starts_with(b"v=0") && body.sdp.unwrap().ends_with(b"sendonly"));
    assert!(body.metadata.unwrap().starts_with(b"<?xml"));
}
