//! Rule 8 and I2: who, with whom and which way, by label and participant, never by order.

use siprec::body::Body;
use siprec::call_facts::{CallDirection, CallFacts, DirectionSource, Side, UnknownFact};
use siprec::metadata::Metadata;
use siprec::offer::Offer;
use siprec::personal::PersonalText;

use crate::stored::{offer_with_labels, read_file, read_invite, read_message};

fn derive(metadata: &Metadata, offer: &Offer) -> CallFacts {
    CallFacts::derive(metadata, offer, &|user| ["2001", "2002", "2003"].contains(&user))
}

fn text(text: &Option<PersonalText>) -> Option<&str> {
    text.as_ref().map(PersonalText::as_str)
}

fn sides(facts: &CallFacts) -> Vec<Side> {
    facts.streams.iter().map(|stream| stream.side).collect()
}

#[test]
fn i2_a_call_of_a_real_client() {
    let (offer, metadata) = read_invite("01-opensips-rtpengine26-invite-tcp.sip");
    let facts = derive(&metadata, &offer);
    assert_eq!(text(&facts.ani), Some("+12025550123"));
    assert_eq!(text(&facts.dnis), Some("2001"));
    assert_eq!(facts.direction, Some(CallDirection::Inbound));
    assert_eq!(facts.direction_source, DirectionSource::ParticipantOrder);
    assert_eq!(facts.unknowns, [UnknownFact::Direction]);
    let ours = facts.our_party.as_ref().unwrap();
    assert_eq!((text(&ours.user), text(&ours.name)), (Some("2001"), Some("Anna")));
    assert_eq!(text(&facts.other_party.as_ref().unwrap().user), Some("+12025550123"));
    assert_eq!(text(&facts.sip_session_id), Some("1-27523@127.0.0.1"));
    assert_eq!(text(&facts.session_id), Some("JhE+KhpNT1WEuVSzbJuzxA=="));
    assert_eq!(facts.group_id, None);
    assert_eq!(sides(&facts), [Side::Theirs, Side::Ours]);
    assert!(!facts.on_hold());
}

#[test]
fn rule_8_sides_follow_labels_when_the_streams_are_swapped() {
    let (offer, metadata) = read_invite("08-opensips-rtpengine10-invite-udp-labels-swapped.sip");
    let labels: Vec<_> = offer.streams.iter().map(|stream| stream.label.as_deref()).collect();
    assert_eq!(labels, [Some("1"), Some("0")]);
    let facts = derive(&metadata, &offer);
    // The client numbers its streams anew: the caller's has label 1 here.
    assert_eq!(sides(&facts), [Side::Theirs, Side::Ours]);
    let (mut offer, metadata) = read_invite("01-opensips-rtpengine26-invite-tcp.sip");
    offer.streams.reverse();
    let facts = derive(&metadata, &offer);
    assert_eq!(sides(&facts), [Side::Ours, Side::Theirs]);
    let users: Vec<_> = facts.streams.iter().map(|stream| text(&stream.user)).collect();
    assert_eq!(users, [Some("2001"), Some("+12025550123")]);
}

#[test]
fn rule_8_without_streams_the_sides_are_unknown_and_it_is_said() {
    let metadata = Metadata::parse(&read_file("opensips-without-streams.xml")).unwrap();
    let facts = derive(&metadata, &offer_with_labels(&["0", "1"]));
    assert_eq!(sides(&facts), [Side::Unknown, Side::Unknown]);
    assert_eq!(facts.unknowns, [UnknownFact::OurParty, UnknownFact::OtherParty, UnknownFact::Side]);
    assert_eq!(facts.direction, None);
}

#[test]
fn a_stated_caller_beats_the_order_of_participants() {
    let offer = offer_with_labels(&["16777227", "16777228"]);
    let metadata = Metadata::parse(&read_file("legacy-oracle.xml")).unwrap();
    let facts = derive(&metadata, &offer);
    assert_eq!(facts.direction, Some(CallDirection::Inbound));
    assert_eq!(facts.direction_source, DirectionSource::Stated);
    assert_eq!((text(&facts.ani), text(&facts.dnis)), (Some("12025550123"), Some("2001")));
    assert_eq!(sides(&facts), [Side::Ours, Side::Theirs]);
    assert_eq!(facts.unknowns, []);

    let metadata = Metadata::parse(&read_file("legacy-ribbon.xml")).unwrap();
    let facts = derive(&metadata, &offer_with_labels(&["1", "2"]));
    assert_eq!(facts.direction, Some(CallDirection::Outbound));
    assert_eq!(facts.direction_source, DirectionSource::Stated);
    assert_eq!((text(&facts.ani), text(&facts.dnis)), (Some("2001"), Some("12025550123")));
    assert_eq!(sides(&facts), [Side::Ours, Side::Theirs]);
    assert_eq!(text(&facts.group_id), Some("AAAAAAAAAAAAAAAAAAAAAQ=="));
}

#[test]
fn rule_2_one_mixed_stream_is_a_call() {
    let bytes = read_file("broadworks-mixed.body");
    let body = Body::parse(Some("multipart/mixed;boundary=uniqueBoundary"), &bytes).unwrap();
    let metadata = Metadata::parse(body.metadata.unwrap()).unwrap();
    let facts = derive(&metadata, &Offer::parse(body.sdp.unwrap()).unwrap());
    assert_eq!(sides(&facts), [Side::Mixed]);
    assert_eq!(facts.direction, Some(CallDirection::Inbound));
    assert_eq!(facts.direction_source, DirectionSource::Stated);
    assert_eq!((text(&facts.ani), text(&facts.dnis)), (Some("2025550123"), Some("2001")));
    let group = "urn:uuid:00000000-0000-4000-8000-000000000002";
    assert_eq!(text(&facts.group_id), Some(group));
    assert_eq!(facts.unknowns, []);
}

#[test]
fn audiocodes_legacy_gives_sides_without_associations_of_their_own() {
    let metadata = Metadata::parse(&read_file("legacy-audiocodes.xml")).unwrap();
    let facts = derive(&metadata, &offer_with_labels(&["2", "1"]));
    assert_eq!(sides(&facts), [Side::Ours, Side::Theirs]);
    assert_eq!(text(&facts.group_id), Some("00000000-0000-0000-0000-0000000000a1"));
}

#[test]
fn rules_9_and_10_hold_follows_from_the_newest_offer() {
    let (offer, metadata) = read_invite("03-reinvite-hold-one-stream-inactive.sip");
    let facts = derive(&metadata, &offer);
    let held: Vec<_> = facts.streams.iter().map(|stream| stream.on_hold).collect();
    assert_eq!((held, facts.on_hold()), (vec![false, true], false));
    let (offer, metadata) = read_invite("06-reinvite-pause-all-inactive.sip");
    assert!(derive(&metadata, &offer).on_hold());
    let (offer, metadata) = read_invite("04-reinvite-resume.sip");
    assert!(derive(&metadata, &offer).streams.iter().all(|stream| !stream.on_hold));
}

#[test]
fn i2_a_consultation_and_a_transfer_share_the_group() {
    let (offer, mut metadata) = read_invite("11-sipp-invite-udp.sip");
    let first = derive(&metadata, &offer);
    assert_eq!(text(&first.group_id), Some("7+OTCyoxTmqmqyA/1weDAg=="));
    let (content_type, bytes) = read_message("12-sipp-update-partial-metadata.sip");
    let part = Body::parse(Some(&content_type), &bytes).unwrap().metadata.unwrap();
    metadata.apply(Metadata::parse(part).unwrap());
    let second = derive(&metadata, &offer);
    assert_eq!(second.group_id, first.group_id);
    assert_eq!(second.session_id, first.session_id);
    assert_eq!(text(&second.our_party.as_ref().unwrap().user), Some("2002"));
    assert_eq!(text(&second.ani), Some("+12025550123"));
}

#[test]
fn i2_who_left_has_no_side_any_more() {
    let (offer, mut metadata) = read_invite("11-sipp-invite-udp.sip");
    let update = "<recording xmlns='urn:ietf:params:xml:ns:recording:1'>\
        <datamode>partial</datamode>\
        <participant participant_id='new'><nameID aor='sip:2003@example.com'/></participant>\
        <participantsessionassoc participant_id='zSfPoSvdSDCmU3A3TRDxAw==' \
        session_id='hVpd7YQgRW2nD22h7q60JQ=='>\
        <disassociate-time>2026-11-30T06:05:00Z</disassociate-time></participantsessionassoc>\
        <participantsessionassoc participant_id='new' session_id='hVpd7YQgRW2nD22h7q60JQ=='>\
        <associate-time>2026-11-30T06:05:00Z</associate-time></participantsessionassoc>\
        <participantstreamassoc participant_id='new'><send>i1Pz3to5hGk8fuXl+PbwCw==</send>\
        </participantstreamassoc></recording>";
    metadata.apply(Metadata::parse(update.as_bytes()).unwrap());
    let facts = derive(&metadata, &offer);
    assert_eq!(text(&facts.our_party.as_ref().unwrap().user), Some("2003"));
    assert_eq!(sides(&facts), [Side::Theirs, Side::Ours]);
    assert_eq!(text(&facts.streams[1].user), Some("2003"));
    assert_eq!(facts.direction, Some(CallDirection::Inbound));
}

#[test]
fn a_call_between_two_of_ours_is_internal() {
    let (offer, metadata) = read_invite("01-opensips-rtpengine26-invite-tcp.sip");
    let facts = CallFacts::derive(&metadata, &offer, &|_| true);
    assert_eq!(facts.direction, Some(CallDirection::Internal));
    assert_eq!(text(&facts.our_party.unwrap().user), Some("2001"));
    let facts = CallFacts::derive(&metadata, &offer, &|_| false);
    assert_eq!((facts.direction, facts.our_party), (None, None));
    assert_eq!((text(&facts.ani), text(&facts.dnis)), (Some("+12025550123"), Some("2001")));
}
