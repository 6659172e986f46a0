//! Opened recordings: each play is the box's to permit and to journal, until the last byte.

use super::house::{Plan, Stack, until};
use super::supervisor::{plays, record};
use super::wire::Hand;
use std::io::{BufRead, BufReader};

/// Permissions of the house's supervisors, as its configuration has them.
const SUPERVISOR: &str =
    r#"["records.all", "play", "export", "protect", "monitor", "admin", "password"]"#;

/// The pieces of a record that are sound, or are made of it.
fn parts(id: &str) -> [String; 3] {
    let path = format!("/records/{id}");
    [format!("{path}?listen=yes"), format!("{path}/sound"), format!("{path}/wave")]
}

#[test]
fn playback_again_is_journalled_and_its_ranges_are_not() {
    let house = Stack::new(&Plan::default());
    let id = record(&house);
    let [listen, sound, wave] = parts(&id);
    let mut boss = Hand::of(&house, "boss");
    assert_eq!(boss.get(&listen).status, 200);
    assert_eq!(plays(&house, &id), 1);
    let pieces = |boss: &Hand| {
        for range in ["bytes=0-", "bytes=1000-1999", "bytes=-500", "bytes=2000-", "bytes=0-1"] {
            let mut player = boss.clone();
            player.headers = vec![format!("Range: {range}")];
            assert_eq!(player.get(&sound).status, 206, "{range}");
        }
        assert_eq!(boss.clone().get(&wave).status, 200);
    };
    pieces(&boss);
    assert_eq!(plays(&house, &id), 1, "pieces of one play");
    // Listened to again, while it is still open.
    assert_eq!(boss.get(&listen).status, 200);
    assert_eq!(plays(&house, &id), 2);
    pieces(&boss);
    assert_eq!(boss.get(&listen).status, 200);
    assert_eq!(plays(&house, &id), 3);
    let page = boss.get(&format!("/records/{id}")).text();
    assert_eq!(page.matches("Listened to").count(), 3, "{page}");
    assert!(house.tool(&["verify"]).starts_with("clean: 1 records"));
}

#[test]
fn h6_opened_recording_is_gone_with_its_record() {
    let house = Stack::new(&Plan { audio: "wrapup_s = 0", ..Plan::default() });
    let id = record(&house);
    let [listen, sound, wave] = parts(&id);
    // One plays it, in two sessions; of the other's nobody asks any more.
    let mut boss = Hand::of(&house, "boss");
    let mut idle = Hand::of(&house, "boss");
    for hand in [&mut boss, &mut idle] {
        for path in [&listen, &sound, &wave] {
            assert_eq!(hand.get(path).status, 200, "{path}");
        }
    }
    let deleted =
        || house.supervise("boss", &format!("delete {id}")).starts_with("ok").then_some(());
    until("its deletion", deleted);
    assert_eq!(boss.get(&listen).status, 404, "another play is refused at once");
    for path in [&sound, &wave] {
        assert_eq!(boss.get(path).status, 404, "{path}");
    }
    let csrf = boss.get("/records").csrf();
    let export = boss.post(&format!("/records/{id}/export"), &[("csrf", &csrf), ("kind", "wav")]);
    assert_eq!(export.status, 404);
    // What lies in memory goes by itself.
    let gone = format!("recording {id} is not played to boss any more");
    until("its end in memory", || (house.logged("portal.log", &gone) == 2).then_some(()));
    assert_eq!(idle.get(&sound).status, 404);
}

#[test]
fn d3_playback_ends_when_the_right_to_play_is_withdrawn() {
    let house = Stack::new(&Plan::default());
    let id = record(&house);
    let [listen, sound, wave] = parts(&id);
    let mut boss = Hand::of(&house, "boss");
    assert_eq!(boss.get(&listen).status, 200);
    assert_eq!(boss.get(&sound).status, 200);
    house.reconfigure(SUPERVISOR, r#"["records.all", "protect"]"#);
    // A play that goes on is asked about every few seconds.
    let mut player = boss.clone();
    player.headers = vec!["Range: bytes=1000-1999".to_owned()];
    until("the end of the play", || (player.get(&sound).status == 403).then_some(()));
    assert_eq!(boss.get(&sound).status, 403);
    assert_eq!(boss.get(&wave).status, 404, "it is not open any more");
    let page = boss.get(&listen);
    assert!(page.status == 200 && !page.text().contains("id=\"player\""), "{}", page.text());
    assert_eq!(plays(&house, &id), 1);
    let csrf = boss.get("/records").csrf();
    let export = boss.post(&format!("/records/{id}/export"), &[("csrf", &csrf), ("kind", "wav")]);
    assert_eq!(export.status, 403);
}

/// Whether a stream of events ends with this one.
fn ends_with(stream: impl std::io::Read, wanted: &str) {
    let mut lines = BufReader::new(stream).lines().map_while(Result::ok);
    let mut last = (String::new(), String::new());
    // A board sends every second; it is told of the session every ten.
    for _ in 0..1000 {
        let Some(line) = lines.next() else { break };
        if line.starts_with("event: ") {
            last = (line, String::new());
        } else if line.starts_with("data: ") {
            last.1 = line;
        }
    }
    assert_eq!(format!("{} {}", last.0, last.1), wanted);
}

#[test]
fn d3_board_stream_ends_when_the_right_to_watch_is_withdrawn() {
    let house = Stack::new(&Plan::default());
    let mut boss = Hand::of(&house, "boss");
    let stream = boss.open("/board/events");
    house.reconfigure(SUPERVISOR, r#"["records.all", "play"]"#);
    ends_with(stream, "event: gone data: denied");
    assert_eq!(boss.get("/board/events").status, 403);
    // A page that only asks whether somebody is there needs no right; it ends with the session.
    let stream = boss.open("/session/events");
    let csrf = boss.get("/records").csrf();
    assert_eq!(boss.post("/logout", &[("csrf", &csrf)]).status, 303);
    ends_with(stream, "event: gone data: over");
}
