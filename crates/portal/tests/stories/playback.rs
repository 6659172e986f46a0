//! Opened recordings: the recorder permits and journals each play, until the last byte.

use super::http::HttpClient;
use super::stack::{Stack, StackOptions, wait_for};
use super::supervisor::{count_plays, record_call};
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};

/// Permissions of the supervisors in the test configuration.
const SUPERVISOR_PERMISSIONS: &str =
    r#"["records.all", "play", "export", "protect", "monitor", "admin", "password"]"#;

/// Paths of a record's audio and what is derived from it.
fn media_paths(id: &str) -> [String; 3] {
    let path = format!("/records/{id}");
    [format!("{path}?listen=yes"), format!("{path}/sound"), format!("{path}/wave")]
}

#[test]
fn playback_again_is_journalled_and_its_ranges_are_not() {
    let stack = Stack::new(&StackOptions::default());
    let id = record_call(&stack);
    let [listen, sound, wave] = media_paths(&id);
    let mut boss = HttpClient::logged_in(&stack, "boss");
    assert_eq!(boss.get(&listen).status, 200);
    assert_eq!(count_plays(&stack, &id), 1);
    let pieces = |boss: &HttpClient| {
        for range in ["bytes=0-", "bytes=1000-1999", "bytes=-500", "bytes=2000-", "bytes=0-1"] {
            let mut player = boss.clone();
            player.headers = vec![format!("Range: {range}")];
            assert_eq!(player.get(&sound).status, 206, "{range}");
        }
        assert_eq!(boss.clone().get(&wave).status, 200);
    };
    pieces(&boss);
    assert_eq!(count_plays(&stack, &id), 1, "pieces of one play");
    // Played again while it is still open.
    assert_eq!(boss.get(&listen).status, 200);
    assert_eq!(count_plays(&stack, &id), 2);
    pieces(&boss);
    assert_eq!(boss.get(&listen).status, 200);
    assert_eq!(count_plays(&stack, &id), 3);
    let page = boss.get(&format!("/records/{id}")).text();
    assert_eq!(page.matches("Listened to").count(), 3, "{page}");
    assert!(stack.run_tool(&["verify"]).starts_with("clean: 1 records"));
}

#[test]
fn h6_opened_recording_is_gone_with_its_record() {
    let stack = Stack::new(&StackOptions { audio: "wrapup_s = 0", ..StackOptions::default() });
    let id = record_call(&stack);
    let [listen, sound, wave] = media_paths(&id);
    // Opened in two sessions; the idle one makes no further request.
    let mut boss = HttpClient::logged_in(&stack, "boss");
    let mut idle = HttpClient::logged_in(&stack, "boss");
    for hand in [&mut boss, &mut idle] {
        for path in [&listen, &sound, &wave] {
            assert_eq!(hand.get(path).status, 200, "{path}");
        }
    }
    let deleted = || {
        stack.send_as_supervisor("boss", &format!("delete {id}")).starts_with("ok").then_some(())
    };
    wait_for("its deletion", deleted);
    assert_eq!(boss.get(&listen).status, 404, "another play is refused at once");
    for path in [&sound, &wave] {
        assert_eq!(boss.get(path).status, 404, "{path}");
    }
    let csrf = boss.get("/records").csrf_token();
    let export = boss.post(&format!("/records/{id}/export"), &[("csrf", &csrf), ("kind", "wav")]);
    assert_eq!(export.status, 404);
    // The opened copy is dropped without a request.
    let gone = format!("recording {id} is not played to boss any more");
    wait_for("its end in memory", || (stack.count_in_log("portal.log", &gone) == 2).then_some(()));
    assert_eq!(idle.get(&sound).status, 404);
}

#[test]
fn d3_playback_ends_when_the_right_to_play_is_withdrawn() {
    let stack = Stack::new(&StackOptions::default());
    let id = record_call(&stack);
    let [listen, sound, wave] = media_paths(&id);
    let mut boss = HttpClient::logged_in(&stack, "boss");
    assert_eq!(boss.get(&listen).status, 200);
    assert_eq!(boss.get(&sound).status, 200);
    stack.change_box_config(SUPERVISOR_PERMISSIONS, r#"["records.all", "protect"]"#);
    // A play in progress is checked every few seconds.
    let mut player = boss.clone();
    player.headers = vec!["Range: bytes=1000-1999".to_owned()];
    wait_for("the end of the play", || (player.get(&sound).status == 403).then_some(()));
    assert_eq!(boss.get(&sound).status, 403);
    assert_eq!(boss.get(&wave).status, 404, "it is not open any more");
    let page = boss.get(&listen);
    assert!(page.status == 200 && !page.text().contains("id=\"player\""), "{}", page.text());
    assert_eq!(count_plays(&stack, &id), 1);
    let csrf = boss.get("/records").csrf_token();
    let export = boss.post(&format!("/records/{id}/export"), &[("csrf", &csrf), ("kind", "wav")]);
    assert_eq!(export.status, 403);
}

/// The media files below a folder, with their bytes.
fn media_files(folder: &Path) -> Vec<(PathBuf, Vec<u8>)> {
    let mut found = Vec::new();
    for path in std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()) {
        match path.is_dir() {
            true => found.extend(media_files(&path)),
            false => found.push((path.clone(), std::fs::read(path).unwrap())),
        }
    }
    found
}

#[test]
fn h5_media_file_of_another_recording_is_neither_played_nor_exported() {
    let house = Stack::new(&StackOptions::default());
    record_call(&house);
    record_call(&house);
    // The longer file lies in the place of the shorter one, so that the recorder reads all of it.
    let mut files = media_files(&house.path("data/media"));
    files.sort_by_key(|(_, bytes)| bytes.len());
    let [(mine, whole), (_, other)] = &files[..] else { panic!("two recordings") };
    let id = mine.file_stem().unwrap().to_str().unwrap();
    let [listen, sound, wave] = media_paths(id);
    let mut boss = HttpClient::logged_in(&house, "boss");
    let csrf = boss.get("/records").csrf_token();
    let mut export = |kind: &str| {
        boss.post(&format!("/records/{id}/export"), &[("csrf", &csrf), ("kind", kind)])
    };
    for (bytes, why) in [
        (&other[..], "This recording cannot be opened: this is the file of recording"),
        (&[&whole[..whole.len() - 1], b"?"].concat(), "This recording cannot be opened: "),
        (&whole[..whole.len() - 1], "cannot be read"),
        (&[], "cannot be read"),
    ] {
        std::fs::write(mine, bytes).unwrap();
        for kind in ["wav", "opus", "webm"] {
            let answer = export(kind);
            let text = answer.text();
            assert!(answer.status >= 400 && text.contains(why), "{kind} {}: {text}", answer.status);
        }
    }
    std::fs::write(mine, other).unwrap();
    let mut boss = HttpClient::logged_in(&house, "boss");
    for path in [&sound, &wave] {
        assert!(boss.get(path).status >= 400, "{path}");
    }
    let page = boss.get(&listen).text();
    assert!(!page.contains("id=\"player\""), "{page}");
    // The right file is played again.
    std::fs::write(mine, whole).unwrap();
    assert_eq!(boss.get(&listen).status, 200);
    assert_eq!(boss.get(&sound).status, 200);
}

/// Asserts that an event stream ends with this event.
fn assert_last_event(stream: impl std::io::Read, wanted: &str) {
    let mut lines = BufReader::new(stream).lines().map_while(Result::ok);
    let mut last = (String::new(), String::new());
    // A live view sends every second and checks the session every ten.
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
    let stack = Stack::new(&StackOptions::default());
    let mut boss = HttpClient::logged_in(&stack, "boss");
    let stream = boss.open_stream("/board/events");
    stack.change_box_config(SUPERVISOR_PERMISSIONS, r#"["records.all", "play"]"#);
    assert_last_event(stream, "event: gone data: denied");
    assert_eq!(boss.get("/board/events").status, 403);
    // A stream of the session state needs no right; it ends with the session.
    let stream = boss.open_stream("/session/events");
    let csrf = boss.get("/records").csrf_token();
    assert_eq!(boss.post("/logout", &[("csrf", &csrf)]).status, 303);
    assert_last_event(stream, "event: gone data: over");
}
