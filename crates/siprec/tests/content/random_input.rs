//! Any bytes: no panic, and what is kept is bounded.

use proptest::prelude::*;
use siprec::address::Address;
use siprec::answer::{Acceptance, AnswerWriter, StreamAcceptance};
use siprec::body::Body;
use siprec::call_facts::CallFacts;
use siprec::codec::Codec;
use siprec::metadata::limits::{PARTICIPANT_SESSIONS_MAX, PARTICIPANTS_MAX, STREAMS_MAX};
use siprec::metadata::{Metadata, MetadataReport};
use siprec::offer::{Offer, SrtpPolicy};

use crate::stored::{offer_with_labels, read_file, read_message};

/// Stored messages, each with a few bytes replaced, removed or doubled.
fn damaged(texts: Vec<Vec<u8>>) -> impl Strategy<Value = Vec<u8>> {
    let edits = prop::collection::vec((any::<prop::sample::Index>(), 0..4, any::<u8>()), 0..12);
    (prop::sample::select(texts), edits).prop_map(|(mut text, edits)| {
        for (at, kind, byte) in edits {
            if text.is_empty() {
                break;
            }
            let at = at.index(text.len());
            match kind {
                0 => text[at] = byte,
                1 => drop(text.remove(at)),
                2 => text.truncate(at),
                _ => {
                    let end = (at + usize::from(byte)).min(text.len());
                    text.extend_from_within(at..end);
                }
            }
        }
        text
    })
}

fn documents() -> Vec<Vec<u8>> {
    let xml = ["legacy-audiocodes.xml", "legacy-oracle.xml", "legacy-ribbon.xml"];
    let (_, update) = read_message("12-sipp-update-partial-metadata.sip");
    xml.iter().map(|name| read_file(name)).chain([update]).collect()
}

fn descriptions() -> Vec<Vec<u8>> {
    let names = [
        "01-opensips-rtpengine26-invite-tcp.sip",
        "10-opensips-rtpengine26-invite-savp-sdes-and-dtls.sip",
    ];
    let sdp = |name| {
        let (content_type, bytes) = read_message(name);
        Body::parse(Some(&content_type), &bytes).unwrap().sdp.unwrap().to_vec()
    };
    names.into_iter().map(sdp).collect()
}

proptest! {
    #[test]
    fn any_body_is_read_or_refused(bytes in damaged(vec![
        read_message("01-opensips-rtpengine26-invite-tcp.sip").1,
        read_file("broadworks-mixed.body"),
    ]), boundary in "[a-zA-Z\";=\\\\-]{0,12}") {
        for name in ["OSS-unique-boundary-42", "uniqueBoundary", &boundary] {
            let content_type = format!("multipart/mixed;boundary={name}");
            if let Ok(body) = Body::parse(Some(&content_type), &bytes) {
                for part in [body.sdp, body.metadata].into_iter().flatten() {
                    prop_assert!(part.len() < bytes.len());
                }
            }
        }
    }

    #[test]
    fn any_offer_that_is_read_can_be_answered(bytes in damaged(descriptions())) {
        if let Ok(offer) = Offer::parse(&bytes) {
            let streams = offer.streams.iter().map(|stream| {
                match stream.select(&Codec::ALL, SrtpPolicy::Offered) {
                    Ok(selection) => StreamAcceptance::Accepted { port: 4_000, selection },
                    Err(_) => StreamAcceptance::Refused,
                }
            });
            let address = std::net::Ipv4Addr::LOCALHOST.into();
            let acceptance = Acceptance { address, streams: streams.collect() };
            let answer = AnswerWriter::new(1, [0; 32]).write(&offer, &acceptance).unwrap();
            let mirrored = Offer::parse(&answer).unwrap();
            prop_assert_eq!(mirrored.streams.len(), offer.streams.len());
            for (ours, theirs) in mirrored.streams.iter().zip(&offer.streams) {
                prop_assert_eq!(&ours.label, &theirs.label);
                prop_assert_eq!(&ours.media, &theirs.media);
                prop_assert_eq!(&ours.protocol, &theirs.protocol);
            }
        }
    }

    #[test]
    fn any_metadata_is_read_or_refused(
        first in damaged(documents()),
        second in damaged(documents()),
    ) {
        let report = MetadataReport::parse(Some(&first));
        prop_assert!(report.document.is_some_and(|document| document.as_bytes() == first));
        let Ok(mut metadata) = report.metadata else { return Ok(()) };
        if let Ok(update) = Metadata::parse(&second) {
            metadata.apply(update);
        }
        prop_assert!(metadata.participants.len() <= PARTICIPANTS_MAX);
        prop_assert!(metadata.streams.len() <= STREAMS_MAX);
        prop_assert!(metadata.participant_sessions.len() <= PARTICIPANT_SESSIONS_MAX);
        let facts = CallFacts::derive(&metadata, &offer_with_labels(&["1", "2"]), &|_| true);
        prop_assert_eq!(facts.streams.len(), 2);
    }

    #[test]
    fn any_text_is_an_address(text in "\\PC{0,80}", uri in "[\"<>@:;%\\\\sipA2+.-]{0,40}") {
        for text in [&text, &uri] {
            let address = Address::parse(text);
            prop_assert!(address.user().is_none_or(|user| user.len() <= 3 * text.len()));
        }
    }

    #[test]
    fn any_bytes_never_panic(bytes in prop::collection::vec(any::<u8>(), 0..600)) {
        let _ = Body::parse(Some("multipart/mixed;boundary=b"), &bytes);
        let _ = Offer::parse(&bytes);
        let _ = Metadata::parse(&bytes);
    }
}
