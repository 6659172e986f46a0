//! Rules 1, 6 and 7: metadata of three dialects, complete and partial, that never fails a call.

use siprec::body::Body;
use siprec::metadata::limits::{PARTICIPANTS_MAX, PROBLEMS_MAX};
use siprec::metadata::{
    DOCUMENT_BYTES_MAX, DataMode, Dialect, Metadata, MetadataError, MetadataProblem, MetadataReport,
};

use crate::stored::{read_file, read_invite, read_message};

fn document(content: &str) -> String {
    format!("<recording xmlns='urn:ietf:params:xml:ns:recording:1'>{content}</recording>")
}

fn parse(content: &str) -> Metadata {
    Metadata::parse(document(content).as_bytes()).unwrap()
}

#[test]
fn rfc_7865_is_read_from_a_real_client() {
    let (_, metadata) = read_invite("01-opensips-rtpengine26-invite-tcp.sip");
    assert_eq!((metadata.dialect, metadata.data_mode), (Dialect::Rfc7865, DataMode::Complete));
    assert_eq!(metadata.problems, []);
    let session = &metadata.sessions[0];
    assert_eq!(session.sip_session_ids[0].as_str(), "1-27523@127.0.0.1");
    let addresses: Vec<_> =
        metadata.participants.iter().map(|one| one.names[0].address.as_str()).collect();
    assert_eq!(addresses, ["sip:+12025550123@127.0.0.1", "sip:2001@example.com"]);
    assert_eq!(metadata.participants[1].names[0].name.as_ref().unwrap().as_str(), "Anna");
    let labels: Vec<_> = metadata.streams.iter().map(|one| one.label.as_deref()).collect();
    assert_eq!(labels, [Some("0"), Some("1")]);
    assert_eq!(metadata.participant_streams[1].send, [metadata.streams[1].id.clone()]);
    let began = metadata.participant_sessions[0].association.began.unwrap();
    assert_eq!(began.0, 1_796_019_611_000);
}

#[test]
fn each_dialect_gives_participants_streams_and_associations() {
    let broadworks = read_file("broadworks-mixed.body");
    let content_type = Some("multipart/mixed;boundary=uniqueBoundary");
    let broadworks = Body::parse(content_type, &broadworks).unwrap().metadata.unwrap().to_vec();
    let documents = [
        (broadworks, Dialect::BroadWorks, 1),
        (read_file("legacy-audiocodes.xml"), Dialect::Legacy, 2),
        (read_file("legacy-oracle.xml"), Dialect::Legacy, 2),
        (read_file("legacy-ribbon.xml"), Dialect::Legacy, 2),
    ];
    for (bytes, dialect, streams) in documents {
        let metadata = Metadata::parse(&bytes).unwrap();
        assert_eq!(metadata.dialect, dialect);
        assert_eq!(metadata.problems, [], "{dialect:?}");
        assert_eq!(metadata.sessions.len(), 1, "{dialect:?}");
        assert_eq!(metadata.participants.len(), 2, "{dialect:?}");
        assert_eq!(metadata.streams.len(), streams, "{dialect:?}");
        assert_eq!(metadata.participant_sessions.len(), 2, "{dialect:?}");
        assert_eq!(metadata.participant_streams.len(), 2, "{dialect:?}");
        let session = &metadata.sessions[0].id;
        assert!(metadata.participant_sessions.iter().all(|one| one.session == *session));
        assert!(metadata.streams.iter().all(|one| one.session.as_ref() == Some(session)));
        for association in &metadata.participant_streams {
            let id = &association.send[0];
            assert!(metadata.streams.iter().any(|stream| stream.id == *id), "{dialect:?}");
        }
    }
}

#[test]
fn rule_7_a_partial_document_is_merged_by_id() {
    let (_, mut metadata) = read_invite("11-sipp-invite-udp.sip");
    let before = metadata.clone();
    let (content_type, bytes) = read_message("12-sipp-update-partial-metadata.sip");
    let part = Body::parse(Some(&content_type), &bytes).unwrap().metadata.unwrap();
    metadata.apply(Metadata::parse(part).unwrap());
    assert_eq!(metadata.participants[0], before.participants[0]);
    let changed = &metadata.participants[1];
    assert_eq!(changed.names[0].address.as_str(), "sip:2002@example.com");
    assert_eq!(changed.names[0].name.as_ref().unwrap().as_str(), "Agent Berta");
    assert_eq!(metadata.streams, before.streams);
    assert_eq!(metadata.participant_streams, before.participant_streams);
    assert_eq!(metadata.sessions, before.sessions);
    assert_eq!(metadata.data_mode, DataMode::Partial);
}

#[test]
fn rule_7_a_complete_document_replaces() {
    let (_, mut metadata) = read_invite("11-sipp-invite-udp.sip");
    let (_, other) = read_invite("01-opensips-rtpengine26-invite-tcp.sip");
    metadata.apply(other.clone());
    assert_eq!(metadata, other);
}

#[test]
fn participants_who_left_make_room_for_new_ones() {
    let mut metadata = parse("<datamode>complete</datamode><session session_id='s'/>");
    for number in 0..3 * PARTICIPANTS_MAX {
        let leaves = number.checked_sub(1).map_or(String::new(), |before| {
            format!(
                "<participantsessionassoc participant_id='p{before}' session_id='s'>\
                 <disassociate-time>2026-11-30T06:00:00Z</disassociate-time>\
                 </participantsessionassoc>"
            )
        });
        let joins = format!(
            "<datamode>partial</datamode><participant participant_id='p{number}'>\
             <nameID aor='sip:{number}@example.com'/></participant>\
             <stream stream_id='t{number}' session_id='s'><label>1</label></stream>\
             <participantsessionassoc participant_id='p{number}' session_id='s'/>\
             <participantstreamassoc participant_id='p{number}'><send>t{number}</send>\
             </participantstreamassoc>{leaves}"
        );
        metadata.apply(parse(&joins));
        assert_eq!(metadata.problems, [], "participant {number}");
        let present: Vec<_> =
            metadata.participants.iter().filter(|p| !metadata.has_left(p)).collect();
        assert_eq!(present.len(), 1, "participant {number}");
        assert_eq!(present[0].id.as_str(), format!("p{number}"));
    }
    assert!(metadata.participants.len() <= PARTICIPANTS_MAX);
}

#[test]
fn rule_6_bad_metadata_is_a_typed_error_with_the_document_kept() {
    let dtd = "<!DOCTYPE r [<!ENTITY a 'aaaa'>]><recording>&a;</recording>";
    let attributes: String = (0..65).map(|n| format!(" a{n}=''")).collect();
    let namespaces: String = (0..129).map(|n| format!("<a xmlns:n{n}='u'/>")).collect();
    let many = format!("<recording>{}</recording>", "<a/>".repeat(9_000));
    let (line, column) = (1, 12);
    let samples = [
        ("", MetadataError::Syntax { line: 1, column: 1 }),
        ("<recording>", MetadataError::Syntax { line, column }),
        ("<other/>", MetadataError::Root),
        (dtd, MetadataError::Syntax { line: 1, column: 1 }),
        (&format!("<recording{attributes}/>"), MetadataError::TooComplex),
        (&format!("<recording>{namespaces}</recording>"), MetadataError::TooComplex),
        (&many, MetadataError::TooComplex),
    ];
    for (text, expected) in samples {
        let report = MetadataReport::parse(Some(text.as_bytes()));
        match (report.metadata.unwrap_err(), &expected) {
            // Where exactly is the business of the XML parser.
            (MetadataError::Syntax { .. }, MetadataError::Syntax { .. }) => {}
            (error, expected) => assert_eq!(error, *expected, "{text:.60}"),
        }
        let kept = report.document.map(|document| document.as_bytes().to_vec());
        let expected = (text.len() <= DOCUMENT_BYTES_MAX).then(|| text.as_bytes().to_vec());
        assert_eq!(kept, expected);
    }
    let absent = MetadataReport::parse(None);
    assert_eq!((absent.document, absent.metadata), (None, Err(MetadataError::Absent)));
}

#[test]
fn smaller_mistakes_cost_only_themselves() {
    let metadata = parse(
        "<datamode>whole</datamode><session session_id='s'><start-time>noon</start-time></session>\
         <participant><nameID aor='sip:1@example.com'/></participant>\
         <participant participant_id='p'><nameID aor='sip:2001@example.com'/></participant>\
         <stream stream_id='t'><label>1</label></stream>",
    );
    let problems = [
        MetadataProblem::DataMode,
        MetadataProblem::Time,
        MetadataProblem::Incomplete { element: "participant", lacks: "participant_id" },
    ];
    assert_eq!(metadata.problems, problems);
    assert_eq!((metadata.sessions.len(), metadata.participants.len()), (1, 1));

    let long = "9".repeat(65);
    let metadata = parse(&format!("<stream stream_id='t'><label>{long}</label></stream>"));
    assert_eq!(metadata.problems, [MetadataProblem::TooLong { element: "label", max: 64 }]);
    assert_eq!(metadata.streams[0].label, None);

    let latin_1 = document(
        "<participant participant_id='p'><nameID aor='a'><name>Ren\u{e9}</name>\
                            </nameID></participant>",
    );
    let latin_1: Vec<u8> = latin_1.chars().map(|c| u8::try_from(c).unwrap()).collect();
    let metadata = Metadata::parse(&latin_1).unwrap();
    assert_eq!(metadata.problems, [MetadataProblem::Encoding]);
    assert_eq!(metadata.participants[0].names[0].name.as_ref().unwrap().as_str(), "Ren\u{fffd}");
}

#[test]
fn lists_are_bounded_and_say_so() {
    let people: String = (0..40).map(|n| format!("<participant participant_id='{n}'/>")).collect();
    let metadata = parse(&people);
    assert_eq!(metadata.participants.len(), PARTICIPANTS_MAX);
    let problem = MetadataProblem::TooMany { element: "participant", max: PARTICIPANTS_MAX };
    assert_eq!(metadata.problems, [problem]);
    assert!(metadata.problems.len() <= PROBLEMS_MAX);
}

#[test]
fn a_document_that_is_too_long_is_read_but_not_kept() {
    let filler = format!("<!--{}-->", "x".repeat(DOCUMENT_BYTES_MAX));
    let text = document(&format!("{filler}<session session_id='s'/>"));
    let report = MetadataReport::parse(Some(text.as_bytes()));
    assert_eq!(report.document, None);
    let metadata = report.metadata.unwrap();
    assert_eq!(metadata.sessions.len(), 1);
    let bytes = text.len();
    assert_eq!(metadata.problems, [MetadataProblem::DocumentNotKept { bytes }]);
}

#[test]
fn debug_output_shows_no_person() {
    let (offer, _) = read_invite("01-opensips-rtpengine26-invite-tcp.sip");
    let (content_type, bytes) = read_message("01-opensips-rtpengine26-invite-tcp.sip");
    let part = Body::parse(Some(&content_type), &bytes).unwrap().metadata;
    let report = MetadataReport::parse(part);
    let facts =
        siprec::call_facts::CallFacts::derive(report.metadata.as_ref().unwrap(), &offer, &|user| {
            user == "2001"
        });
    let shown = format!("{report:?} {facts:?}");
    for word in ["2025550123", "2001", "Anna", "Caller", "27523", "JhE+", "example.com"] {
        assert!(!shown.contains(word), "{word} in {shown}");
    }
}
