//! Calls that a recording client brings by SIPREC, with the stored messages of a real one.
//!
//! The client is OpenSIPS with rtpengine: a call from +12025550123 to phone 2001, which is Anna's.
//! Slots capture the usual pattern, so that every stored sample is known.

use hushbox::audio::span::Fate;
use hushbox::job::{DiskError, Job};
use hushbox::recorder::Input;
use hushbox::store::fact::{Fact, RecordingEnd};
use hushbox::store::index::Record;
use siprec::{Peer, Transport};
use testkit::sim::SimBox;
use testkit::sim::site::Site;

macro_rules! message {
    ($name:literal) => {
        include_str!(concat!("../../crates/siprec/tests/messages/", $name, ".sip"))
    };
}

const INVITE: &str = message!("01-opensips-rtpengine26-invite-tcp");
const ONE_INACTIVE: &str = message!("03-reinvite-hold-one-stream-inactive");
const RESUME: &str = message!("04-reinvite-resume");
const BYE: &str = message!("05-bye");
const CALL_ID: &str = "B2B.328.6068699.1796019611.1380209092";
const CLIENT_TAG: &str = "0a0aeb5610890ee184582741e25d54cd-ce21";
const SERVER_TAG: &str = "srs076704";
const SESSION: &str = "JhE+KhpNT1WEuVSzbJuzxA==";
const SIP_SESSION: &str = "1-27523@127.0.0.1";
const NUMBER: &str = "12025550123";

const TECHNICIAN: &str = "
[[technician]]
name = \"field\"
pin = \"$argon2id$v=19$m=19456,t=2,p=1$\
BtIvqaj9XY7ZBxJ22c5iVw$TyjQ7ygFTOcEHsXrsnq57JJbStAteqOOA0/cG+bNoiU\"
";

/// The board has the index 1: the site has two lines besides.
const BOARD: usize = 1;

fn site(keys: &str) -> Site {
    let site = Site::new().role("agent", "record.start record.stop blackout");
    site.agent("anna", "2001", "agent").full_time().more(TECHNICIAN).more(&format!(
        "[[board]]\nname = \"sbc\"\nkind = \"sip\"\nlisten = [\"tcp:127.0.0.1:5090\"]\n\
         ports = \"20000-20099\"\n{}{keys}",
        if keys.contains("calls") { "" } else { "calls = 25\n" }
    ))
}

fn sealed(keys: &str) -> SimBox {
    SimBox::new(&site(keys).store("seal = true").toml(), 7)
}

/// A session of the recording client. `number` tells sessions apart.
struct Client {
    number: u32,
    tag: String,
    cseq: u32,
    peer: Peer,
}

impl Client {
    fn new(number: u32) -> Client {
        let peer = Peer {
            transport: Transport::Tcp,
            remote: "127.0.0.1:5060".parse().unwrap(),
            local: "127.0.0.1:5090".parse().unwrap(),
            connection: 1,
        };
        Client { number, tag: String::new(), cseq: 1, peer }
    }

    /// A stored message as this session sends it. Texts of the body keep their length.
    fn message(&mut self, stored: &str) -> String {
        self.cseq += 1;
        let (number, cseq) = (self.number, self.cseq);
        let line = stored.lines().find(|line| line.starts_with("CSeq: ")).unwrap();
        let method = line.rsplit(' ').next().unwrap();
        stored
            .replace(line, &format!("CSeq: {cseq} {method}"))
            .replace(CALL_ID, &format!("call-{number}"))
            .replace(CLIENT_TAG, &format!("client-{number}"))
            .replace(SERVER_TAG, &self.tag)
            .replace("branch=z9hG4bK", &format!("branch=z9hG4bK{number}.{cseq}"))
            .replace(SESSION, &format!("session-{number:016}"))
            .replace(SIP_SESSION, &format!("1-{number:05}@127.0.0.1"))
    }

    /// Sends a message, and returns the final response.
    fn send(&mut self, sim: &mut SimBox, text: &str) -> String {
        while sim.take_sip().is_some() {}
        sim.send_sip(BOARD, self.peer, text.as_bytes());
        let mut last = String::new();
        while let Some(response) = sim.take_sip() {
            assert!(response.starts_with("SIP/2.0 "), "{response}");
            last = response;
        }
        last
    }

    /// Sends a stored message, and acknowledges a 200 to an INVITE.
    fn say(&mut self, sim: &mut SimBox, stored: &str) -> String {
        let text = self.message(stored);
        let response = self.send(sim, &text);
        if stored.starts_with("INVITE") && response.starts_with("SIP/2.0 200") {
            let to = response.lines().find(|line| line.starts_with("To: ")).unwrap();
            self.tag = to.split_once("tag=").unwrap().1.to_owned();
            let (number, cseq, tag) = (self.number, self.cseq, &self.tag);
            let ack = format!(
                "ACK sip:127.0.0.1:5090 SIP/2.0\r\n\
                 Via: SIP/2.0/TCP 127.0.0.1:5060;branch=z9hG4bKack{number}.{cseq}\r\n\
                 To: <sip:127.0.0.1:5090;transport=tcp>;tag={tag}\r\n\
                 From: <sip:127.0.0.1:5090;transport=tcp>;tag=client-{number}\r\n\
                 CSeq: {cseq} ACK\r\nCall-ID: call-{number}\r\nMax-Forwards: 70\r\n\
                 Content-Length: 0\r\n\r\n"
            );
            sim.send_sip(BOARD, self.peer, ack.as_bytes());
        }
        response
    }

    fn options(&mut self, sim: &mut SimBox) -> String {
        self.cseq += 1;
        let (number, cseq) = (self.number, self.cseq);
        let text = format!(
            "OPTIONS sip:127.0.0.1:5090 SIP/2.0\r\n\
             Via: SIP/2.0/TCP 127.0.0.1:5060;branch=z9hG4bKopt{number}.{cseq}\r\n\
             To: <sip:127.0.0.1:5090>\r\nFrom: <sip:127.0.0.1:5060>;tag=opt{number}\r\n\
             CSeq: {cseq} OPTIONS\r\nCall-ID: options-{number}\r\nMax-Forwards: 70\r\n\
             Content-Length: 0\r\n\r\n"
        );
        self.send(sim, &text)
    }
}

/// A hold as AudioCodes sends it: no stream is active.
fn all_inactive() -> String {
    RESUME.replace("a=sendonly", "a=inactive")
}

fn records(sim: &SimBox) -> Vec<Record> {
    let ids = sim.recordings();
    let index = sim.journal();
    ids.iter().filter_map(|id| index.record(*id)).cloned().collect()
}

fn call_count(sim: &mut SimBox, technician: u32) -> usize {
    sim.say(technician, "calls").iter().filter(|line| line.contains("device=")).count()
}

#[test]
fn i1_a_session_is_recorded_with_both_legs_from_answer_to_bye() {
    let mut sim = sealed("");
    let mut client = Client::new(1);
    let answer = client.say(&mut sim, INVITE);
    assert!(answer.starts_with("SIP/2.0 200 "), "{answer}");
    // Label 0 is the caller, who is not ours: right, so the second pair of ports.
    let media: Vec<&str> = answer.lines().filter(|line| line.starts_with("m=")).collect();
    assert_eq!(media, ["m=audio 20002 RTP/AVP 8 101", "m=audio 20000 RTP/AVP 8 101"], "{answer}");
    assert!(answer.contains("a=label:0") && answer.contains("a=recvonly"), "{answer}");
    sim.run_ms(10_000);
    assert!(client.say(&mut sim, BYE).starts_with("SIP/2.0 200 "));
    sim.run_ms(6000);
    let [record] = &records(&sim)[..] else { panic!("one record") };
    let call = &record.began.call;
    assert_eq!((call.device.as_str(), call.agent.as_deref()), ("2001", Some("anna")));
    assert_eq!(call.direction, Some(hushbox::config::Direction::In));
    assert_eq!(call.call, "1-00001@127.0.0.1", "the id that copies elsewhere have, too");
    assert_eq!((record.began.sides, record.began.channel), (2, hushbox::config::FIRST_SLOT_ID));
    let ended = record.ended.as_ref().expect("ended");
    assert_eq!(ended.end, RecordingEnd::CallEnd);
    let stored = sim.stored(&record.id().to_string());
    stored.check(&sim);
    assert_eq!(stored.ledger.stored, 10 * 8000, "{}", stored.stretches());
    assert!(sim.verify().is_clean(), "{:?}", sim.verify());
    assert!(sim.telephony.open.is_empty(), "the slot is closed");
}

#[test]
fn i2_numbers_and_the_document_are_kept_sealed() {
    let mut sim = sealed("");
    Client::new(1).say(&mut sim, INVITE);
    sim.run_ms(2000);
    let facts = sim.facts();
    let documents = facts.iter().filter(|fact| matches!(fact, Fact::CallMetadata { .. })).count();
    assert_eq!(documents, 1);
    assert!(facts.iter().any(|fact| matches!(fact, Fact::SipDialog(_))));
    let journal = format!("{facts:?}");
    assert!(!journal.contains(NUMBER), "numbers are sealed");
    let bytes: Vec<u8> = sim.disk.live.values().flatten().copied().collect();
    let has = |text: &str| bytes.windows(text.len()).any(|window| window == text.as_bytes());
    assert!(!has(NUMBER) && !has("Anna"), "not on the disk either");
    assert!(has("2001"), "the search finds what is there in clear text");
}

#[test]
fn i1_hold_is_a_held_span_and_one_inactive_stream_is_not() {
    let mut sim = sealed("");
    let mut client = Client::new(1);
    client.say(&mut sim, INVITE);
    sim.run_ms(2000);
    assert!(client.say(&mut sim, &all_inactive()).contains("a=inactive"));
    sim.run_ms(3000);
    let answer = client.say(&mut sim, RESUME);
    assert!(answer.contains("a=recvonly") && !answer.contains("a=inactive"), "{answer}");
    sim.run_ms(2000);
    let answer = client.say(&mut sim, ONE_INACTIVE);
    assert_eq!(answer.matches("a=inactive").count(), 1, "{answer}");
    sim.run_ms(1000);
    client.say(&mut sim, BYE);
    sim.run_ms(6000);
    let [record] = &records(&sim)[..] else { panic!("one record") };
    let ledger = &record.ended.as_ref().expect("ended").ledger;
    assert_eq!((ledger.stored, ledger.held), (5 * 8000, 3 * 8000));
}

#[test]
fn i5_a_full_board_refuses_at_once_and_options_says_the_same() {
    let mut sim = sealed("calls = 2\n");
    let technician = sim.hello("technician user=field pin=2468");
    let mut clients: Vec<Client> = (1..=3).map(Client::new).collect();
    assert!(clients[2].options(&mut sim).starts_with("SIP/2.0 200 "));
    for client in &mut clients[..2] {
        assert!(client.say(&mut sim, INVITE).starts_with("SIP/2.0 200 "));
    }
    for answer in [clients[2].say(&mut sim, INVITE), clients[2].options(&mut sim)] {
        assert!(answer.starts_with("SIP/2.0 503 "), "{answer}");
        assert!(answer.contains("Retry-After: 5\r\n"), "{answer}");
    }
    assert_eq!(call_count(&mut sim, technician), 2);
    let alarms = sim.say(technician, "alarms").join("\n");
    assert!(alarms.contains("alarm=210") && alarms.contains("all its 2 calls"), "{alarms}");
    assert!(clients[0].say(&mut sim, &all_inactive()).starts_with("SIP/2.0 200 "), "it goes on");
    clients[0].say(&mut sim, BYE);
    sim.run_ms(4000);
    let mut next = Client::new(4);
    assert!(next.say(&mut sim, INVITE).starts_with("SIP/2.0 200 "), "the slot is free again");
    let alarms = sim.say(technician, "alarms").join("\n");
    assert!(alarms.contains("alarm=210 code=sip-refused severity=critical"), "{alarms}");
}

#[test]
fn i5_a_stopping_box_refuses_new_sessions() {
    let mut sim = sealed("");
    let mut client = Client::new(1);
    client.say(&mut sim, INVITE);
    sim.run_ms(1000);
    sim.input(Input::Stop);
    let answer = Client::new(2).say(&mut sim, INVITE);
    assert!(answer.is_empty() || answer.starts_with("SIP/2.0 503 "), "{answer}");
    sim.run_ms(6000);
    assert!(sim.stopped);
}

#[test]
fn i5_when_down_refuse_sends_clients_to_the_next_recorder() {
    for (keys, wanted) in [("when_down = \"refuse\"\n", "503"), ("when_down = \"take\"\n", "200")] {
        let mut sim = sealed(keys);
        let mut running = Client::new(1);
        running.say(&mut sim, INVITE);
        sim.run_ms(1000);
        sim.disk.refuse = Some(Box::new(|_: &Job, _: &str| Some(DiskError::Failed(5))));
        sim.run_ms(3000);
        let answer = Client::new(2).say(&mut sim, INVITE);
        assert!(answer.starts_with(&format!("SIP/2.0 {wanted} ")), "{keys}{answer}");
        let answer = running.say(&mut sim, &all_inactive());
        assert!(answer.starts_with("SIP/2.0 200 "), "a running dialog is never refused: {answer}");
    }
}

#[test]
fn i6_a_call_goes_on_after_a_power_cut() {
    let mut sim = sealed("");
    let mut client = Client::new(1);
    client.say(&mut sim, INVITE);
    let mut other = Client::new(2);
    other.say(&mut sim, INVITE);
    other.say(&mut sim, BYE);
    sim.run_ms(10_000);
    sim.restart(true);
    let open: Vec<_> = sim.telephony.open.iter().map(|(place, legs)| (*place, *legs)).collect();
    assert_eq!(open, [((BOARD, 0), [Some(true); 2])], "the same ports");
    sim.run_ms(5000);
    let answer = client.say(&mut sim, &all_inactive());
    assert!(answer.starts_with("SIP/2.0 200 "), "the dialog is known: {answer}");
    assert!(answer.contains("m=audio 20002 "), "{answer}");
    client.say(&mut sim, RESUME);
    sim.run_ms(1000);
    assert!(client.say(&mut sim, BYE).starts_with("SIP/2.0 200 "));
    sim.run_ms(6000);
    let all = records(&sim);
    let mut of_call: Vec<&Record> =
        all.iter().filter(|record| record.began.call.call == "1-00001@127.0.0.1").collect();
    of_call.sort_by_key(|record| record.sequence);
    let [first, second] = of_call[..] else { panic!("two recordings: {}", of_call.len()) };
    assert_eq!(first.ended.as_ref().map(|ended| ended.end), Some(RecordingEnd::Power));
    assert_eq!(second.began.continues, Some(first.id()));
    assert_eq!(second.ended.as_ref().map(|ended| ended.end), Some(RecordingEnd::CallEnd));
    for record in [first, second] {
        sim.stored(&record.id().to_string()).check(&sim);
    }
    let documents = sim.facts().into_iter().filter_map(|fact| match fact {
        Fact::CallMetadata { id, .. } => Some(id),
        _ => None,
    });
    assert!(documents.collect::<Vec<_>>().contains(&second.id()), "the document, too");
    assert!(sim.verify().is_clean(), "{:?}", sim.verify());
}

#[test]
fn i6_a_blackout_stays_on_over_a_power_cut() {
    let mut sim = sealed("");
    Client::new(1).say(&mut sim, INVITE);
    let anna = sim.hello("agent user=anna");
    sim.run_ms(5000);
    sim.say(anna, "blackout start");
    sim.run_ms(1000);
    sim.restart(true);
    sim.run_ms(4000);
    let anna = sim.hello("agent user=anna");
    sim.say(anna, "blackout stop");
    sim.run_ms(8000);
    let all = records(&sim);
    let second = all.iter().find(|record| record.began.continues.is_some()).expect("it goes on");
    let span = second.blackouts.first().expect("masked");
    assert_eq!(span.from.0, 0, "from the first sample after the start");
    let stored = sim.stored(&second.id().to_string());
    stored.check(&sim);
    assert!(stored.stretches().contains("masked"), "{}", stored.stretches());
}

#[test]
fn the_same_session_twice_is_recorded_once() {
    let mut sim = sealed("");
    let technician = sim.hello("technician user=field pin=2468");
    let (mut first, mut second) = (Client::new(1), Client::new(2));
    first.say(&mut sim, INVITE);
    let copy =
        second.message(INVITE).replace("session-0000000000000002", "session-0000000000000001");
    let answer = second.send(&mut sim, &copy);
    assert!(answer.starts_with("SIP/2.0 200 ") && !answer.contains("m=audio 0 "), "{answer}");
    sim.run_ms(2000);
    assert_eq!(call_count(&mut sim, technician), 1);
    let rows = sim.say(technician, "sip").join("\n");
    assert!(rows.contains("state=copy") && rows.contains("copies=1"), "{rows}");
    assert!(rows.contains("what=leg slot=0 side=agent codec=PCMA"), "{rows}");
    assert!(!rows.contains(NUMBER), "no numbers for technicians");
    first.say(&mut sim, BYE);
    sim.run_ms(2000);
    assert_eq!(call_count(&mut sim, technician), 1, "the copy is recorded instead");
    assert!(sim.say(technician, "sip").join("\n").contains("state=recording"));
}

#[test]
fn silent_and_one_way_calls_are_alarms_until_audio_comes() {
    let mut sim = sealed("");
    let watcher = sim.hello("technician user=field pin=2468");
    sim.say(watcher, "watch");
    let mut client = Client::new(1);
    client.say(&mut sim, INVITE);
    sim.run_ms(8000);
    assert_eq!(sim.alarms(watcher), [0; 0]);
    sim.telephony.muted.insert((BOARD, 0, 1));
    sim.run_ms(8000);
    assert_eq!(sim.alarms(watcher), [208], "the customer is not heard");
    sim.telephony.muted.insert((BOARD, 0, 0));
    sim.run_ms(8000);
    assert_eq!(sim.alarms(watcher), [207, -208], "nobody is heard");
    sim.telephony.muted.clear();
    sim.run_ms(2000);
    assert_eq!(sim.alarms(watcher), [-207]);
    sim.telephony.muted.extend([(BOARD, 0, 0), (BOARD, 0, 1)]);
    client.say(&mut sim, &all_inactive());
    sim.run_ms(8000);
    assert_eq!(sim.alarms(watcher), [0; 0], "nothing is expected during a hold");
}

#[test]
fn a_session_without_bye_and_without_rtp_is_ended() {
    let config = site("").audio("stale_call_s = 60").toml();
    let mut sim = SimBox::new(&config, 3);
    let mut client = Client::new(1);
    client.say(&mut sim, INVITE);
    sim.run_ms(90_000);
    assert_eq!(records(&sim).len(), 1);
    assert!(records(&sim)[0].ended.is_none(), "RTP comes, however soft it is");
    sim.telephony.muted.extend([(BOARD, 0, 0), (BOARD, 0, 1)]);
    while sim.take_sip().is_some() {}
    sim.run_ms(70_000);
    let end = records(&sim)[0].ended.as_ref().map(|ended| ended.end);
    assert_eq!(end, Some(RecordingEnd::Stale));
    assert!(sim.take_sip().is_some_and(|text| text.starts_with("BYE ")), "the client is told");
    assert!(sim.telephony.open.is_empty());
}

#[test]
fn i4_a_digit_by_info_opens_a_blackout() {
    let mut sim = sealed("");
    let mut client = Client::new(1);
    client.say(&mut sim, INVITE);
    sim.run_ms(5000);
    client.cseq += 1;
    let (cseq, tag) = (client.cseq, &client.tag);
    let info = format!(
        "INFO sip:127.0.0.1:5090 SIP/2.0\r\n\
         Via: SIP/2.0/TCP 127.0.0.1:5060;branch=z9hG4bKinfo\r\n\
         To: <sip:127.0.0.1:5090;transport=tcp>;tag={tag}\r\n\
         From: <sip:127.0.0.1:5090;transport=tcp>;tag=client-1\r\n\
         CSeq: {cseq} INFO\r\nCall-ID: call-1\r\nMax-Forwards: 70\r\n\
         Content-Type: application/dtmf-relay\r\nContent-Length: 24\r\n\r\n\
         Signal=7\r\nDuration=160\r\n"
    );
    let answer = client.send(&mut sim, &info);
    assert!(answer.starts_with("SIP/2.0 200 "), "{answer}");
    sim.run_ms(10_000);
    client.say(&mut sim, BYE);
    sim.run_ms(6000);
    let [record] = &records(&sim)[..] else { panic!("one record") };
    let stored = sim.stored(&record.id().to_string());
    stored.check(&sim);
    let masked = stored.ledger.masked / 8;
    assert!((3300..=3400).contains(&masked), "{masked} ms: 300 before, 3000 after");
    let spans = &record.ended.as_ref().expect("ended").blackout_spans;
    assert!(spans.iter().any(|span| span.fate == Fate::Masked));
}

#[test]
fn i7_strangers_cost_a_counter_and_one_alarm() {
    let mut sim = sealed("");
    let technician = sim.hello("technician user=field pin=2468");
    for last in 1..=200 {
        let from = std::net::IpAddr::from([198, 51, 100, last]);
        sim.input(Input::SipStranger { board: BOARD, from });
    }
    sim.run_ms(1000);
    let alarms = sim.say(technician, "alarms").join("\n");
    assert_eq!(alarms.matches("alarm=306").count(), 1, "{alarms}");
    assert!(alarms.contains("198.51.100.200 sent SIP to board sbc"), "{alarms}");
    let facts = sim.facts();
    let raised = facts.iter().filter(|fact| matches!(fact, Fact::AlarmRaised { .. })).count();
    assert_eq!(raised, 1, "addresses may be forged: the journal does not grow");
    let stats = sim.say(technician, "stats").join("\n");
    assert!(
        stats.contains("hushbox_sip_strangers_total") && stats.contains("value=200"),
        "{stats}"
    );
}

#[test]
fn bad_metadata_costs_the_facts_and_never_the_call() {
    let mut sim = sealed("");
    let technician = sim.hello("technician user=field pin=2468");
    let mut client = Client::new(1);
    // As many bytes, but no XML any more.
    let text = client.message(INVITE).replace("</recording>", "<!recording>");
    let answer = client.send(&mut sim, &text);
    assert!(answer.starts_with("SIP/2.0 200 "), "{answer}");
    sim.run_ms(3000);
    let [record] = &records(&sim)[..] else { panic!("one record") };
    assert_eq!(record.began.call.device, "unknown");
    assert!(record.began.why.contains("no usable metadata"), "{}", record.began.why);
    let alarms = sim.say(technician, "alarms").join("\n");
    let alarm = alarms.lines().find(|line| line.contains("alarm=209")).expect("an alarm");
    assert!(alarm.contains("is recorded without its facts"), "{alarm}");
}
