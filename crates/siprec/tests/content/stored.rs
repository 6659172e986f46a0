//! Stored messages of recording clients and their parts.

use std::path::Path;

use siprec::body::Body;
use siprec::metadata::Metadata;
use siprec::offer::Offer;

/// A stored file.
pub fn read_file(name: &str) -> Vec<u8> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/messages").join(name);
    std::fs::read(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// The content type and the body of a stored message.
pub fn read_message(name: &str) -> (String, Vec<u8>) {
    let bytes = read_file(name);
    let text = String::from_utf8(bytes).unwrap();
    let (head, body) = text.split_once("\r\n\r\n").or(text.split_once("\n\n")).unwrap();
    let content_type = head.lines().find_map(|line| line.strip_prefix("Content-Type: ")).unwrap();
    (content_type.to_owned(), body.as_bytes().to_vec())
}

/// The offer and the metadata of a stored INVITE.
pub fn read_invite(name: &str) -> (Offer, Metadata) {
    let (content_type, bytes) = read_message(name);
    let body = Body::parse(Some(&content_type), &bytes).unwrap();
    let metadata = Metadata::parse(body.metadata.unwrap()).unwrap();
    (Offer::parse(body.sdp.unwrap()).unwrap(), metadata)
}

/// An offer of audio streams with these labels.
pub fn offer_with_labels(labels: &[&str]) -> Offer {
    let mut text = String::from("v=0\r\no=- 1 1 IN IP4 192.0.2.1\r\ns=-\r\nt=0 0\r\n");
    for label in labels {
        text += &format!("m=audio 4000 RTP/AVP 0\r\na=sendonly\r\na=label:{label}\r\n");
    }
    Offer::parse(text.as_bytes()).unwrap()
}
