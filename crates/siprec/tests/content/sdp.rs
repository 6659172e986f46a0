//! Rules 4, 5, 9 and 20: offers and their answers.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use siprec::answer::{Acceptance, AnswerError, AnswerWriter, StreamAcceptance};
use siprec::codec::{Codec, Encoding};
use siprec::crypto::{OfferedCrypto, SrtpKey, SrtpSuite};
use siprec::offer::{
    Direction, Offer, OfferError, Protocol, STREAMS_MAX, SrtpPolicy, StreamRefusal,
};

use crate::stored::read_invite;

const ADDRESS: IpAddr = IpAddr::V4(Ipv4Addr::new(192, 0, 2, 10));

fn offer(lines: &str) -> Offer {
    let head = "v=0\r\no=- 1 1 IN IP4 192.0.2.1\r\ns=-\r\nc=IN IP4 192.0.2.1\r\nt=0 0\r\n";
    Offer::parse(format!("{head}{}", lines.replace('\n', "\r\n")).as_bytes()).unwrap()
}

/// What a recorder decides that takes everything it can.
fn accept(offer: &Offer) -> Acceptance {
    let mut port = 36_000;
    let mut decide = |stream: &siprec::offer::OfferedStream| {
        let Ok(selection) = stream.select(&Codec::ALL, SrtpPolicy::Offered) else {
            return StreamAcceptance::Refused;
        };
        port += 2;
        StreamAcceptance::Accepted { port: port - 2, selection }
    };
    Acceptance { address: ADDRESS, streams: offer.streams.iter().map(&mut decide).collect() }
}

fn answer(writer: &mut AnswerWriter, offer: &Offer) -> String {
    let bytes = writer.write(offer, &accept(offer)).unwrap();
    String::from_utf8(bytes.to_vec()).unwrap()
}

fn writer() -> AnswerWriter {
    AnswerWriter::new(7, [9; 32])
}

/// The lines of an answer that begin with one of `starts`.
fn lines<'a>(text: &'a str, starts: &[&str]) -> Vec<&'a str> {
    text.lines().filter(|line| starts.iter().any(|start| line.starts_with(start))).collect()
}

#[test]
fn an_offer_of_a_real_client_is_read() {
    let (offer, _) = read_invite("01-opensips-rtpengine26-invite-tcp.sip");
    let stream = &offer.streams[0];
    assert_eq!(offer.streams.len(), 2);
    assert_eq!((stream.media.as_str(), stream.port, stream.rtcp_port), ("audio", 30_820, 30_821));
    assert_eq!(stream.address, Some(IpAddr::V4(Ipv4Addr::LOCALHOST)));
    assert_eq!((stream.label.as_deref(), stream.packet_ms), (Some("0"), Some(20)));
    assert_eq!((stream.direction, &stream.protocol), (Direction::SendOnly, &Protocol::Avp));
    let payloads: Vec<_> = stream.payloads.iter().map(|p| (p.number, p.encoding)).collect();
    assert_eq!(payloads, [(8, Encoding::Audio(Codec::Pcma)), (101, Encoding::TelephoneEvent)]);
    assert_eq!(stream.payloads[1].parameters.as_deref(), Some("0-15"));
}

#[test]
fn payload_types_have_their_static_meaning_without_an_rtpmap() {
    let offer = offer("m=audio 4000 RTP/AVP 0 8 9 18 13 3 96 0\na=rtpmap:9 L16/44100/2\n");
    let encodings: Vec<_> =
        offer.streams[0].payloads.iter().map(|p| (p.number, p.encoding)).collect();
    let expected = [
        (0, Encoding::Audio(Codec::Pcmu)),
        (8, Encoding::Audio(Codec::Pcma)),
        (9, Encoding::Unknown),
        (18, Encoding::Audio(Codec::G729)),
        (13, Encoding::ComfortNoise),
    ];
    assert_eq!(encodings, expected);
}

#[test]
fn dynamic_payload_types_are_read_by_name() {
    let offer = offer(
        "m=audio 4000 RTP/AVP 96 97 98 99 100\na=rtpmap:96 OPUS/48000/2\na=fmtp:96 stereo=1\n\
         a=rtpmap:97 pcmu/16000\na=rtpmap:98 telephone-event/48000\na=rtpmap:99 cn/16000\n\
         a=rtpmap:100 PCMA/8000/2\n",
    );
    let encodings: Vec<_> = offer.streams[0].payloads.iter().map(|p| p.encoding).collect();
    let unknown = Encoding::Unknown;
    let (opus, event) = (Encoding::Audio(Codec::Opus), Encoding::TelephoneEvent);
    assert_eq!(encodings, [opus, unknown, event, Encoding::ComfortNoise, unknown]);
    assert_eq!(offer.streams[0].payloads[0].channels, 2);
}

#[test]
fn lines_that_a_recorder_does_not_read_cost_nothing() {
    let text =
        b"v=0\r\no=- 99999999999999999999999999 x\r\ns=\r\nb=nonsense\r\nc=IN IP4 192.0.2.1\r\n\
        c=IN IP4 192.0.2.2\r\nt=now\r\n\r\nno line at all\r\na=\xff\xfe\r\na=inactive\r\n\
        m=audio 4000 RTP/AVP 0\r\nc=IN IP4\r\na=label:1\r\na=3gOoBTC\r\n";
    let offer = Offer::parse(text).unwrap();
    assert_eq!(offer.streams[0].address, Some(IpAddr::V4(Ipv4Addr::new(192, 0, 2, 1))));
    assert_eq!(offer.streams[0].direction, Direction::Inactive);
    assert_eq!(offer.streams[0].label.as_deref(), Some("1"));
}

#[test]
fn unusable_offers_are_typed_errors() {
    let syntax = |text: &[u8]| matches!(Offer::parse(text), Err(OfferError::Syntax(_)));
    assert!(syntax(b"") && syntax(b"hello") && syntax(b"m=audio 1 RTP/AVP 0\r\n"));
    assert!(syntax(b"v=0\r\nm=audio x RTP/AVP 0\r\n") && syntax(b"v=0\r\nm=audio\r\n"));
    assert_eq!(Offer::parse(b"v=0\r\ns=-\r\n"), Err(OfferError::NoMedia));
    let streams = |count: usize| format!("v=0\r\n{}", "m=audio 1 RTP/AVP 0\r\n".repeat(count));
    assert_eq!(Offer::parse(streams(STREAMS_MAX).as_bytes()).unwrap().streams.len(), STREAMS_MAX);
    let result = Offer::parse(streams(STREAMS_MAX + 1).as_bytes());
    assert_eq!(result, Err(OfferError::TooManyStreams { count: STREAMS_MAX + 1 }));
}

#[test]
fn rule_4_the_answer_mirrors_number_order_and_labels() {
    let offer = offer(
        "m=video 5000 RTP/AVP 96 97\na=label:v\nm=audio 4000 RTP/AVP 8 0 101\na=label:1\n\
         a=rtpmap:101 telephone-event/8000\na=fmtp:101 0-15\na=sendonly\n\
         m=audio 4004 UDP/TLS/RTP/SAVPF 0\na=label:dtls\nm=audio 0 RTP/AVP 0\na=label:off\n\
         m=audio 4002 RTP/AVP 3 18\na=label:0\na=fmtp:18 annexb=no\na=inactive\n",
    );
    let text = answer(&mut writer(), &offer);
    let expected = "v=0\r\no=- 7 1 IN IP4 192.0.2.10\r\ns=-\r\nc=IN IP4 192.0.2.10\r\nt=0 0\r\n\
        m=video 0 RTP/AVP 96 97\r\na=label:v\r\n\
        m=audio 36000 RTP/AVP 8 0 101\r\na=rtpmap:8 PCMA/8000\r\na=rtpmap:0 PCMU/8000\r\n\
        a=rtpmap:101 telephone-event/8000\r\na=fmtp:101 0-15\r\na=recvonly\r\na=label:1\r\n\
        m=audio 0 UDP/TLS/RTP/SAVPF 0\r\na=label:dtls\r\n\
        m=audio 0 RTP/AVP 0\r\na=label:off\r\n\
        m=audio 36002 RTP/AVP 18\r\na=rtpmap:18 G729/8000\r\na=fmtp:18 annexb=no\r\na=inactive\r\n\
        a=label:0\r\n";
    assert_eq!(text, expected);
}

#[test]
fn rule_4_the_answers_to_a_real_client_keep_its_labels() {
    let (offer, _) = read_invite("08-opensips-rtpengine10-invite-udp-labels-swapped.sip");
    let text = answer(&mut writer(), &offer);
    let expected = [
        "m=audio 36000 RTP/AVP 8 101",
        "a=recvonly",
        "a=label:1",
        "m=audio 36002 RTP/AVP 8 101",
        "a=recvonly",
        "a=label:0",
    ];
    assert_eq!(lines(&text, &["m=", "a=recvonly", "a=label"]), expected);
}

#[test]
fn rule_9_each_direction_follows_from_this_offer_alone() {
    let stream = |direction: &str| offer(&format!("m=audio 4000 RTP/AVP 0\na={direction}\n"));
    let answers = [
        ("inactive", "a=inactive"),
        ("sendonly", "a=recvonly"),
        ("sendrecv", "a=recvonly"),
        ("recvonly", "a=inactive"),
        ("inactive", "a=inactive"),
        ("sendonly", "a=recvonly"),
    ];
    let mut writer = writer();
    for (offered, answered) in answers {
        let text = answer(&mut writer, &stream(offered));
        assert_eq!(lines(&text, &["a=recvonly", "a=inactive", "a=send"]), [answered], "{offered}");
    }
}

#[test]
fn the_version_goes_up_only_on_change() {
    let (first, _) = read_invite("01-opensips-rtpengine26-invite-tcp.sip");
    let (hold, _) = read_invite("03-reinvite-hold-one-stream-inactive.sip");
    let (resume, _) = read_invite("04-reinvite-resume.sip");
    let mut writer = writer();
    let version = |text: &str| lines(text, &["o="])[0].split(' ').nth(2).unwrap().to_owned();
    let mut versions = Vec::new();
    for offer in [&first, &first, &hold, &hold, &resume] {
        versions.push(version(&answer(&mut writer, offer)));
        // The state goes through a restart.
        writer = writer.clone();
    }
    assert_eq!(versions, ["1", "1", "2", "2", "3"]);
}

#[test]
fn rule_20_savp_is_answered_with_one_key_of_ours() {
    let (offer, _) = read_invite("10-opensips-rtpengine26-invite-savp-sdes-and-dtls.sip");
    let stream = &offer.streams[0];
    let suites: Vec<_> = stream.crypto.iter().map(|line| (line.tag, line.key.suite())).collect();
    let expected = [
        (1, SrtpSuite::AeadAes256Gcm),
        (7, SrtpSuite::AesCm128HmacSha1_80),
        (8, SrtpSuite::AesCm128HmacSha1_32),
    ];
    assert_eq!(suites, expected);
    let mut writer = writer();
    let text = answer(&mut writer, &offer);
    let media = lines(&text, &["m="]);
    assert!(media.iter().all(|line| line.contains(" RTP/SAVP 8 101")), "{media:?}");
    let keys = lines(&text, &["a=crypto"]);
    assert_eq!(keys.len(), 2);
    for (key, stream) in keys.iter().zip(&offer.streams) {
        let own = OfferedCrypto::parse(key.strip_prefix("a=crypto:").unwrap()).unwrap();
        assert_eq!((own.tag, own.key.suite()), (1, SrtpSuite::AeadAes256Gcm));
        assert_ne!(own.key, stream.crypto[0].key);
    }
    assert_ne!(keys[0], keys[1]);
    // Rule 21: a hold changes no key.
    let again = answer(&mut writer, &offer);
    assert_eq!(lines(&again, &["a=crypto"]), keys);
    // No DTLS is answered.
    assert!(lines(&text, &["a=setup", "a=fingerprint"]).is_empty());
}

#[test]
fn rule_20_one_line_may_be_avp_and_the_other_savp() {
    let key = "A".repeat(40);
    let offer = offer(&format!(
        "m=audio 4000 RTP/AVP 0\na=label:1\nm=audio 4002 RTP/SAVP 0\na=label:2\n\
         a=crypto:5 AES_CM_128_HMAC_SHA1_80 inline:{key}|2^20\n"
    ));
    let text = answer(&mut writer(), &offer);
    assert_eq!(lines(&text, &["m="]), ["m=audio 36000 RTP/AVP 0", "m=audio 36002 RTP/SAVP 0"]);
    let keys = lines(&text, &["a=crypto"]);
    assert!(keys.len() == 1 && keys[0].starts_with("a=crypto:5 AES_CM_128_HMAC_SHA1_80 inline:"));
}

#[test]
fn streams_that_cannot_be_recorded_say_why() {
    let key = "A".repeat(40);
    let savp = format!("m=audio 4 RTP/SAVP 0\na=crypto:1 AES_CM_128_HMAC_SHA1_80 inline:{key}\n");
    let null = "m=audio 4 RTP/SAVP 0\na=crypto:1 NULL_HMAC_SHA1_80 inline:AAAA\n";
    let (off, offered, required) = (SrtpPolicy::Off, SrtpPolicy::Offered, SrtpPolicy::Required);
    let samples = [
        ("m=audio 0 RTP/AVP 0\n", offered, StreamRefusal::Disabled),
        ("m=video 4 RTP/AVP 0\n", offered, StreamRefusal::NotAudio),
        ("m=audio 4 RTP/AVPF 0\n", offered, StreamRefusal::Protocol),
        (
            "m=audio 4 RTP/AVP 3 101\na=rtpmap:101 telephone-event/8000\n",
            offered,
            StreamRefusal::Codec,
        ),
        (&savp, off, StreamRefusal::SrtpOff),
        ("m=audio 4 RTP/AVP 0\n", required, StreamRefusal::SrtpRequired),
        (null, offered, StreamRefusal::Crypto),
    ];
    for (lines, policy, refusal) in samples {
        let result = offer(lines).streams[0].select(&[Codec::Pcmu], policy);
        assert_eq!(result.unwrap_err(), refusal, "{lines}");
    }
    let selection = offer(&savp).streams[0].select(&[Codec::Pcmu], required).unwrap();
    assert_eq!(selection.crypto.unwrap().tag, 1);
    let refused = offer("m=audio 4 RTP/AVP 0\n").streams[0].select(&[Codec::Pcma], off);
    assert_eq!(refused.unwrap_err(), StreamRefusal::Codec);
}

#[test]
fn weak_or_unreadable_crypto_lines_are_left_out() {
    let key = "A".repeat(40);
    let usable = [
        format!("1 AES_CM_128_HMAC_SHA1_80 inline:{key}"),
        format!("2 aes_cm_128_hmac_sha1_32 inline:{key}|2^31 WSH=128 KDR=0 -x"),
        format!("3 AEAD_AES_256_GCM inline:{}=", "A".repeat(59)),
    ];
    let useless = [
        format!("1 AES_CM_128_HMAC_SHA1_80 inline:{key}|2^20|1:4"),
        format!("1 AES_CM_128_HMAC_SHA1_80 inline:{key}|1:4"),
        format!("1 AES_CM_128_HMAC_SHA1_80 inline:{key} UNENCRYPTED_SRTP"),
        format!("1 AES_CM_128_HMAC_SHA1_80 inline:{key} UNAUTHENTICATED_SRTP"),
        format!("1 AES_CM_128_HMAC_SHA1_80 inline:{key} KDR=8"),
        format!("1 AES_CM_128_HMAC_SHA1_80 inline:{}", &key[1..]),
        format!("1 AES_CM_128_HMAC_SHA1_80 inline:{}*", &key[1..]),
        format!("1 AES_256_CM_HMAC_SHA1_80 inline:{key}"),
        format!("x AES_CM_128_HMAC_SHA1_80 inline:{key}"),
        String::from("1 AES_CM_128_HMAC_SHA1_80"),
        String::new(),
    ];
    for line in usable {
        assert!(OfferedCrypto::parse(&line).is_some(), "{line}");
    }
    for line in useless {
        assert_eq!(OfferedCrypto::parse(&line), None, "{line}");
    }
}

#[test]
fn keys_are_written_as_they_are_read_and_never_shown() {
    for suite in SrtpSuite::ALL {
        let key = SrtpKey::generate(suite, |bytes| {
            for (byte, value) in bytes.iter_mut().zip(1_u8..) {
                *byte = value;
            }
        });
        assert_eq!((key.key().len(), key.salt().len()), (suite.key_bytes(), suite.salt_bytes()));
        assert_eq!(usize::from(key.salt()[0]), suite.key_bytes() + 1);
        let text = key.to_base64();
        assert_eq!(SrtpKey::from_base64(suite, &text), Some(key.clone()));
        assert_eq!(format!("{key:?}"), format!("SrtpKey({})", suite.name()));
    }
}

#[test]
fn an_ipv6_address_is_answered_as_such() {
    let offer = offer("m=audio 4000 RTP/AVP 0\n");
    let address = IpAddr::V6(Ipv6Addr::LOCALHOST);
    let acceptance = Acceptance { address, ..accept(&offer) };
    let bytes = writer().write(&offer, &acceptance).unwrap();
    let text = String::from_utf8(bytes.to_vec()).unwrap();
    assert_eq!(lines(&text, &["o=", "c="]), ["o=- 7 1 IN IP6 ::1", "c=IN IP6 ::1"]);
}

#[test]
fn a_decision_that_does_not_fit_is_refused_and_changes_nothing() {
    let offer = offer("m=audio 4000 RTP/AVP 0\nm=audio 4002 RTP/SAVP 0\na=crypto:1 x\n");
    let mut writer = writer();
    let before = writer.clone();
    let none = Acceptance { address: ADDRESS, streams: Vec::new() };
    let wrong_count = AnswerError::StreamCount { offered: 2, decided: 0 };
    assert_eq!(writer.write(&offer, &none).unwrap_err(), wrong_count);
    let selection = offer.streams[0].select(&Codec::ALL, SrtpPolicy::Off).unwrap();
    for (first, second, index) in [(0, 0, 0), (4_000, 4_002, 1)] {
        let accepted = |port| StreamAcceptance::Accepted { port, selection: selection.clone() };
        let streams = vec![accepted(first), accepted(second)];
        let result = writer.write(&offer, &Acceptance { address: ADDRESS, streams });
        assert_eq!(result.unwrap_err(), AnswerError::Incomplete { index });
    }
    assert_eq!(writer, before);
}
