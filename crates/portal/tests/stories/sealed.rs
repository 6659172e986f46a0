//! Sealed numbers and fields to which neither the recorder nor the portal holds a key. Only an
//! identity that a supervisor supplies opens them, for that session, and the journal records the
//! access.

use super::browser::{AtPortal, Browser};
use super::http::HttpClient;
use super::stack::{Stack, StackOptions};
use super::supervisor::record_call;
use std::path::{Path, PathBuf};

/// All files below a folder.
fn list_files(folder: &Path) -> Vec<PathBuf> {
    let paths = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    paths.flat_map(|path| if path.is_dir() { list_files(&path) } else { vec![path] }).collect()
}

/// A stack with one recording whose owner keeps the identity elsewhere; returns recording and
/// identity.
fn sealed_stack() -> (Stack, String, String) {
    let mut stack = Stack::new(&StackOptions::default());
    let id = record_call(&stack);
    stack.stop_portal();
    stack.kill_box();
    let identity = stack.path("data/keys/identity.txt");
    let text = std::fs::read_to_string(&identity).unwrap();
    std::fs::remove_file(identity).unwrap();
    let toml = std::fs::read_to_string(stack.path("portal.toml")).unwrap();
    let without: Vec<&str> = toml.lines().filter(|line| !line.starts_with("identity")).collect();
    std::fs::write(stack.path("portal.toml"), without.join("\n")).unwrap();
    stack.start_box();
    stack.start_portal();
    (stack, id, text)
}

/// Private half of another key pair.
fn other_identity(stack: &Stack) -> String {
    let path = stack.path("stranger.txt");
    let mut command = std::process::Command::new(testkit::program("hushbox-cli", "hushbox"));
    let made = command.args(["keygen", "--out"]).arg(&path).output().unwrap();
    assert!(made.status.success(), "{made:?}");
    std::fs::read_to_string(path).unwrap()
}

/// Supplies an identity for reading only; returns the redirect target.
fn post_identity(hand: &mut HttpClient, id: &str, text: &str) -> Option<String> {
    let csrf = hand.get("/records").csrf_token();
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
    let (stack, id, identity) = sealed_stack();
    let path = format!("/records/{id}");
    let mut boss = HttpClient::logged_in(&stack, "boss");
    let page = boss.get(&path).text();
    assert_sealed(&page);
    assert!(page.contains("Only open numbers and fields"), "{page}");
    assert!(!page.contains("Given numbers and fields, sealed"), "nothing was handed out: {page}");
    // Another identity opens nothing; the page says so and asks again.
    assert_eq!(post_identity(&mut boss, &id, &other_identity(&stack)), Some(path.clone()));
    let page = boss.get(&path).text();
    assert_sealed(&page);
    assert!(page.contains("wrong key") && page.contains("AGE-SECRET-KEY-1"), "{page}");
    assert!(!page.contains("--identity"), "advice for a shell is none here: {page}");
    // The right identity opens them without opening the audio.
    assert_eq!(post_identity(&mut boss, &id, &identity), Some(path.clone()));
    let page = boss.get(&path).text();
    for wanted in ["<dd>5551234</dd>", "<dd>800</dd>", "<dd>Mr. Miller</dd>"] {
        assert!(page.contains(wanted), "{wanted}: {page}");
    }
    assert!(page.contains("Field 1: Mr. Miller") && !page.contains("id=\"sealed\""), "{page}");
    assert_eq!(page.matches("Given numbers and fields, sealed").count(), 1, "{page}");
    assert!(!page.contains("Listened to") && page.contains("id=\"listen\""), "{page}");
    assert!(boss.get(&format!("{path}/sound")).body.starts_with(b"RIFF"));
    // It is valid for this session only, and other users see no more than before.
    assert_sealed(&HttpClient::logged_in(&stack, "boss").get(&path).text());
    assert_eq!(HttpClient::logged_in(&stack, "jdoe").get(&path).status, 403);
    let mut quiet = HttpClient::logged_in(&stack, "quiet");
    assert!(post_identity(&mut quiet, &id, &identity).is_some());
    assert_eq!(quiet.get(&path).status, 404, "the record of another");
    let csrf = boss.get("/records").csrf_token();
    assert_eq!(boss.post("/logout", &[("csrf", &csrf)]).status, 303);
    assert_sealed(&HttpClient::logged_in(&stack, "boss").get(&path).text());
    let verified = stack.run_tool(&["verify"]);
    assert!(verified.starts_with("clean: 1 records"), "{verified}");
    for file in list_files(stack.folder.path()) {
        let bytes = std::fs::read(&file).unwrap_or_default();
        for clear in [&b"Mr. Miller"[..], b"5551234"] {
            let found = bytes.windows(clear.len()).any(|part| part == clear);
            assert!(!found, "opened in {}", file.display());
        }
    }
}

#[test]
fn h5_tampered_key_file_opens_nothing_and_is_reported() {
    let (stack, id, identity) = sealed_stack();
    let path = format!("/records/{id}");
    let mut boss = HttpClient::logged_in(&stack, "boss");
    assert!(post_identity(&mut boss, &id, &identity).is_some());
    assert!(boss.get(&path).text().contains("Mr. Miller"));
    let media = list_files(&stack.path("data/media"));
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
    let (stack, id, identity) = sealed_stack();
    let browser = Browser::new(&stack.url);
    browser.log_in("boss");
    browser.sees("location.pathname === '/records'");
    browser.open(&format!("/records/{id}"));
    browser.sees("document.getElementById('sealed').textContent.includes('Paste your identity')");
    browser.assert_accessible("a sealed record");
    browser.save_screenshot("sealed");
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
