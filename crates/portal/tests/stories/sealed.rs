//! Numbers and fields where neither the box nor the portal holds a key: only an identity that a
//! supervisor hands in opens them, for that session, and the journal knows who read them.

use super::browser::{AtPortal, Browser};
use super::house::{Plan, Stack};
use super::supervisor::record;
use super::wire::Hand;
use std::path::{Path, PathBuf};

/// All files of a folder.
fn files(folder: &Path) -> Vec<PathBuf> {
    let paths = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    paths.flat_map(|path| if path.is_dir() { files(&path) } else { vec![path] }).collect()
}

/// A house with one recording whose owner keeps the identity elsewhere; the recording and it.
fn sealed_house() -> (Stack, String, String) {
    let mut house = Stack::new(&Plan::default());
    let id = record(&house);
    house.stop_portal();
    house.kill_box();
    let identity = house.path("data/keys/identity.txt");
    let text = std::fs::read_to_string(&identity).unwrap();
    std::fs::remove_file(identity).unwrap();
    let toml = std::fs::read_to_string(house.path("portal.toml")).unwrap();
    let without: Vec<&str> = toml.lines().filter(|line| !line.starts_with("identity")).collect();
    std::fs::write(house.path("portal.toml"), without.join("\n")).unwrap();
    house.start_box();
    house.start_portal();
    (house, id, text)
}

/// Another pair's private half.
fn stranger(house: &Stack) -> String {
    let path = house.path("stranger.txt");
    let mut command = std::process::Command::new(testkit::program("hushbox-cli", "hushbox"));
    let made = command.args(["keygen", "--out"]).arg(&path).output().unwrap();
    assert!(made.status.success(), "{made:?}");
    std::fs::read_to_string(path).unwrap()
}

/// Hands an identity in, to read only; where that leads.
fn give(hand: &mut Hand, id: &str, text: &str) -> Option<String> {
    let csrf = hand.get("/records").csrf();
    let fields = [("csrf", &*csrf), ("identity", text), ("then", "read")];
    let answer = hand.post(&format!("/records/{id}/identity"), &fields);
    answer.header("location").map(str::to_owned)
}

fn assert_sealed(page: &str) {
    assert!(page.contains("id=\"sealed\"") && page.contains("<dd>sealed</dd>"), "{page}");
    assert!(!page.contains("5551234") && !page.contains("Mr. Miller"), "{page}");
}

#[test]
fn f5_h5_identity_opens_numbers_fields_and_history() {
    let (house, id, identity) = sealed_house();
    let path = format!("/records/{id}");
    let mut boss = Hand::of(&house, "boss");
    let page = boss.get(&path).text();
    assert_sealed(&page);
    assert!(page.contains("Only open numbers and fields"), "{page}");
    assert!(!page.contains("Given numbers and fields, sealed"), "nothing was handed out: {page}");
    // Another's identity opens nothing, and the page says so and asks again.
    assert_eq!(give(&mut boss, &id, &stranger(&house)), Some(path.clone()));
    let page = boss.get(&path).text();
    assert_sealed(&page);
    assert!(page.contains("wrong key") && page.contains("AGE-SECRET-KEY-1"), "{page}");
    assert!(!page.contains("--identity"), "advice for a shell is none here: {page}");
    // The right one does, without a sound being opened.
    assert_eq!(give(&mut boss, &id, &identity), Some(path.clone()));
    let page = boss.get(&path).text();
    for wanted in ["<dd>5551234</dd>", "<dd>800</dd>", "<dd>Mr. Miller</dd>"] {
        assert!(page.contains(wanted), "{wanted}: {page}");
    }
    assert!(page.contains("Field 1: Mr. Miller") && !page.contains("id=\"sealed\""), "{page}");
    assert_eq!(page.matches("Given numbers and fields, sealed").count(), 1, "{page}");
    assert!(!page.contains("Listened to") && page.contains("id=\"listen\""), "{page}");
    assert!(boss.get(&format!("{path}/sound")).body.starts_with(b"RIFF"));
    // It is this session's, and whoever may not see the record sees it no more than before.
    assert_sealed(&Hand::of(&house, "boss").get(&path).text());
    assert_eq!(Hand::of(&house, "jdoe").get(&path).status, 403);
    let mut quiet = Hand::of(&house, "quiet");
    assert!(give(&mut quiet, &id, &identity).is_some());
    assert_eq!(quiet.get(&path).status, 404, "the record of another");
    let csrf = boss.get("/records").csrf();
    assert_eq!(boss.post("/logout", &[("csrf", &csrf)]).status, 303);
    assert_sealed(&Hand::of(&house, "boss").get(&path).text());
    let verified = house.tool(&["verify"]);
    assert!(verified.starts_with("clean: 1 records"), "{verified}");
    for file in files(house.folder.path()) {
        let bytes = std::fs::read(&file).unwrap_or_default();
        for clear in [&b"Mr. Miller"[..], b"5551234"] {
            let found = bytes.windows(clear.len()).any(|part| part == clear);
            assert!(!found, "opened in {}", file.display());
        }
    }
}

#[test]
fn h5_tampered_key_file_opens_nothing_and_is_reported() {
    let (house, id, identity) = sealed_house();
    let path = format!("/records/{id}");
    let mut boss = Hand::of(&house, "boss");
    assert!(give(&mut boss, &id, &identity).is_some());
    assert!(boss.get(&path).text().contains("Mr. Miller"));
    let media = files(&house.path("data/media"));
    let media = media.iter().find(|path| path.extension().is_some_and(|end| end == "hbm"));
    let media = media.expect("a media file");
    let whole = std::fs::read(media).unwrap();
    let stanza = whole.windows(9).position(|part| part == b"-> X25519").expect("a wrapped key");
    let mut forged = whole.clone();
    forged[stanza + 20] ^= 1;
    for bad in [&forged[..], &whole[..stanza]] {
        std::fs::write(media, bad).unwrap();
        let page = boss.get(&path).text();
        assert_sealed(&page);
        assert!(page.contains("cannot read the recording"), "{page}");
    }
    std::fs::write(media, whole).unwrap();
    assert!(boss.get(&path).text().contains("Mr. Miller"));
}

#[test]
fn h5_identity_opens_facts_without_playing_audio() {
    let (house, id, identity) = sealed_house();
    let browser = Browser::new(&house.url);
    browser.log_in("boss");
    browser.sees("location.pathname === '/records'");
    browser.open(&format!("/records/{id}"));
    browser.sees("document.getElementById('sealed').textContent.includes('Hand in your identity')");
    browser.assert_accessible("a sealed record");
    browser.picture("sealed");
    let key = identity.lines().find(|line| line.starts_with("AGE-SECRET-KEY-1")).unwrap();
    browser.types("#identity", key);
    browser.click("button[name=then]");
    browser.sees("document.querySelector('dl.facts').textContent.includes('Mr. Miller')");
    browser.sees("document.getElementById('sealed') === null");
    browser.assert_accessible("a record that was opened here");
    browser.sees("document.getElementById('player') === null");
    browser.click("#listen");
    browser.sees("document.getElementById('player').readyState >= 1");
    browser.sees("document.querySelector('dl.facts').textContent.includes('5551234')");
}
