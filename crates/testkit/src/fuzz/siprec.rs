//! Fuzz entry points of what SIP messages carry: bodies, offers and metadata.

use siprec::answer::AnswerWriter;
use siprec::body::{Body, PARTS_MAX};
use siprec::call_facts::CallFacts;
use siprec::metadata::{DOCUMENT_BYTES_MAX, Metadata, MetadataReport, limits};
use siprec::offer::{Offer, STREAMS_MAX};

/// A body of a SIP message; the first line is its content type. Every offer in it is answered, and
/// the answer mirrors the streams.
pub fn sip_body(data: &[u8]) {
    let at = data.iter().position(|byte| *byte == b'\n').unwrap_or(data.len());
    let (first, rest) = data.split_at(at);
    let Ok(content_type) = std::str::from_utf8(first) else { return };
    let bytes = rest.strip_prefix(b"\n").unwrap_or(rest);
    let Ok(body) = Body::parse(Some(content_type.trim()), bytes) else { return };
    assert!(PARTS_MAX > 1 && body.sdp.is_none_or(|sdp| sdp.len() <= bytes.len()));
    if let Some(part) = body.metadata {
        let report = MetadataReport::parse(Some(part));
        assert_eq!(report.document.is_some(), part.len() <= DOCUMENT_BYTES_MAX);
    }
    if let Some(Ok(offer)) = body.sdp.map(Offer::parse) {
        answer(&offer);
    }
}

/// Answers an offer as a recorder does that takes everything it can.
fn answer(offer: &Offer) {
    assert!((1..=STREAMS_MAX).contains(&offer.streams.len()));
    let acceptance = super::sip::accept_all(offer);
    let mut writer = AnswerWriter::new(1, [0; 32]);
    let text = writer.write(offer, &acceptance).expect("the decision fits the offer");
    let mirrored = Offer::parse(&text).expect("the answer is a session description");
    assert_eq!(mirrored.streams.len(), offer.streams.len());
    for (ours, theirs) in mirrored.streams.iter().zip(&offer.streams) {
        assert_eq!((&ours.label, &ours.media), (&theirs.label, &theirs.media));
        assert!(ours.port == 0 || !ours.direction.sends(), "a recorder never sends");
    }
}

/// Two metadata documents, separated by a byte 0: the second one is applied to the first.
pub fn metadata(data: &[u8]) {
    let at = data.iter().position(|byte| *byte == 0).unwrap_or(data.len());
    let (first, second) = data.split_at(at);
    let Ok(mut metadata) = Metadata::parse(first) else { return };
    if let Ok(update) = Metadata::parse(second.strip_prefix(&[0]).unwrap_or(second)) {
        metadata.apply(update);
    }
    assert!(metadata.groups.len() <= limits::GROUPS_MAX);
    assert!(metadata.sessions.len() <= limits::SESSIONS_MAX);
    assert!(metadata.participants.len() <= limits::PARTICIPANTS_MAX);
    assert!(metadata.streams.len() <= limits::STREAMS_MAX);
    let offer = Offer::parse(b"v=0\r\nm=audio 4000 RTP/AVP 0\r\na=label:1\r\n").expect("an offer");
    let facts = CallFacts::derive(&metadata, &offer, &|user| user.len() == 4);
    assert_eq!(facts.streams.len(), 1);
}
