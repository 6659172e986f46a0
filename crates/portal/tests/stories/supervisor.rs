//! Supervisors and administrators: search, playback, export, legal hold, live view, administration.

use super::browser::{AtPortal, Browser};
use super::http::{HttpClient, send_raw};
use super::stack::{PASSWORD, Stack, StackOptions, wait_for};
use std::io::Read;
use std::process::{Command, Stdio};

/// Samples of a WAV file.
fn wav_samples(wav: &[u8]) -> Vec<i16> {
    let data = wav.windows(4).position(|four| four == b"data").expect("a data chunk") + 8;
    wav[data..].chunks_exact(2).map(|two| i16::from_le_bytes([two[0], two[1]])).collect()
}

/// Looped audio of channel 1.
fn source_samples() -> Vec<i16> {
    let demo = concat!(env!("CARGO_MANIFEST_DIR"), "/../../board/models/demo/1001.wav");
    wav_samples(&std::fs::read(demo).unwrap())
}

/// Records a call on 1001 as Jane, with a blackout and a field; returns the recording.
pub fn record_call(stack: &Stack) -> String {
    let mut jane = HttpClient::logged_in(stack, "jdoe");
    let csrf = jane.get("/agent").csrf_token();
    stack.send_cti("call start device=1001 call=c-77 ani=5551234 dnis=800 direction=in");
    let mut act = |act: &str| {
        let answer = jane.post("/agent/do", &[("csrf", &csrf), ("act", act)]);
        assert_eq!(answer.header("location"), Some("/agent?said=done"), "{act}");
    };
    act("record.start");
    wait_for_frames(stack, 12_000);
    act("blackout.start");
    wait_for_frames(stack, 8_000);
    act("blackout.stop");
    wait_for_frames(stack, 12_000);
    let fields = [("csrf", &*csrf), ("n", "1"), ("value", "Mr. Miller")];
    assert_eq!(jane.post("/agent/field", &fields).header("location"), Some("/agent?said=saved"));
    stack.send_cti("call stop device=1001 call=c-77");
    let records: serde_json::Value =
        serde_json::from_str(&stack.run_tool(&["records", "--json"])).unwrap();
    let id = records[0]["recording"].as_str().expect("a recording").to_owned();
    wait_for("the recording's end", || {
        stack.show_recording(&id)["end"].as_str().map(str::to_owned)
    });
    id
}

/// Waits until the first channel has captured `frames` more frames.
pub fn wait_for_frames(stack: &Stack, frames: u64) {
    let position = || {
        let text = stack.send_command("monitor", "channels");
        let row = text.lines().find(|row| row.contains("device=1001")).expect("the channel");
        let after = row.split("position=").nth(1).expect("its position");
        after.split(' ').next().unwrap().parse::<u64>().unwrap()
    };
    let wanted = position() + frames;
    wait_for("the audio", || (position() >= wanted).then_some(()));
}

#[test]
fn supervisor_finds_plays_exports_and_protects() {
    let stack = Stack::new(&StackOptions { has_tls: true, ..StackOptions::default() });
    let id = record_call_over_tls(&stack);
    let manifest = stack.show_recording(&id);
    let browser = Browser::new(&stack.url);
    browser.log_in("boss");
    browser.sees("location.pathname === '/records'");
    browser.types("#agent", "JDOE");
    browser.types("#ani", "5551234");
    browser.types("#field", "miller");
    browser.click("form.search button");
    browser.sees(&format!("document.querySelector('tbody a').href.endsWith({id:?})"));
    browser.assert_accessible("the list of records");
    browser.save_screenshot("records");
    browser.click("tbody a");
    browser.sees("document.querySelectorAll('rect.masked').length === 1");
    let page = browser.js("return document.querySelector('main').innerText").to_string();
    for wanted in ["Mr. Miller", "5551234", "Blackout began (agent)", "jdoe", "call-end"] {
        assert!(page.contains(wanted), "{wanted}: {page}");
    }
    browser.assert_accessible("a record");
    browser.click("#listen");
    browser.sees("document.getElementById('player').readyState >= 1");
    browser.assert_accessible("an opened record");
    let seconds = browser.js("return document.getElementById('player').duration").as_f64().unwrap();
    let frames =
        manifest["audio"]["to"].as_u64().unwrap() - manifest["audio"]["from"].as_u64().unwrap();
    let wanted = f64::from(u32::try_from(frames).unwrap()) / 8000.0;
    assert!((seconds - wanted).abs() < 0.01, "{seconds} of {wanted}");
    // A click in the waveform seeks, and playback continues from there.
    browser.js("const p = document.getElementById('player'); p.muted = true; return p.play() && 1");
    browser.click("#wave");
    browser.sees(&format!("document.getElementById('player').currentTime > {}", wanted * 0.45));
    browser.sees("document.getElementById('now').getAttribute('d') !== 'M0 0V160'");
    browser.save_screenshot("record");
    assert_eq!(count_plays(&stack, &id), 1, "all that the player has fetched is one play");
    // The player's audio equals the source sample by sample, and is silent where it was masked.
    let sound = browser.js_later(
        "fetch(document.getElementById('player').src).then((a) => a.arrayBuffer()).then((b) => \
         done(Array.from(new Int16Array(b, 44))))",
    );
    let sound: Vec<i16> = sound
        .as_array()
        .unwrap()
        .iter()
        .map(|v| i16::try_from(v.as_i64().unwrap()).unwrap())
        .collect();
    assert_sound(&sound, &manifest);
    browser.click("form[action$='/protect'] button");
    browser.sees("document.body.innerText.includes('It is under legal hold.')");
    let records = stack.run_tool(&["records", "--json"]);
    let records: serde_json::Value = serde_json::from_str(&records).unwrap();
    assert_eq!(records[0]["protected"], true, "{records}");
}

/// Number of journalled plays of a recording.
pub fn count_plays(stack: &Stack, id: &str) -> usize {
    let record = stack.show_recording(id);
    let fetched = record["fetched"].as_array().unwrap();
    fetched.iter().filter(|fetch| fetch["for"] == "play").count()
}

/// Records a call through the browser, for a stack with TLS, which the HTTP client lacks.
pub fn record_call_over_tls(stack: &Stack) -> String {
    let browser = Browser::new(&stack.url);
    browser.log_in("jdoe");
    stack.send_cti("call start device=1001 call=c-77 ani=5551234 dnis=800 direction=in");
    browser.press("record.start");
    browser.sees("document.getElementById('agent').dataset.recording === 'true'");
    wait_for_frames(stack, 12_000);
    browser.press("blackout.start");
    browser.waits_for_text("blackout", "on");
    wait_for_frames(stack, 8_000);
    browser.press("blackout.stop");
    browser.waits_for_text("blackout", "off");
    browser.types("#field-1", "Mr. Miller");
    browser.press("save-1");
    browser.waits_for_text("said-1", "Saved.");
    wait_for_frames(stack, 12_000);
    stack.send_cti("call stop device=1001 call=c-77");
    let records: serde_json::Value =
        serde_json::from_str(&stack.run_tool(&["records", "--json"])).unwrap();
    let id = records[0]["recording"].as_str().expect("a recording").to_owned();
    wait_for("the recording's end", || {
        stack.show_recording(&id)["end"].as_str().map(str::to_owned)
    });
    id
}

/// Asserts that the samples equal the channel's, and zero in blackouts.
fn assert_sound(sound: &[i16], manifest: &serde_json::Value) {
    let from = usize::try_from(manifest["audio"]["from"].as_u64().unwrap()).unwrap();
    let masked: Vec<(usize, usize)> = manifest["spans"]
        .as_array()
        .unwrap()
        .iter()
        .filter(|span| span["fate"] == "masked")
        .map(|span| {
            let at = |key: &str| usize::try_from(span[key].as_u64().unwrap()).unwrap() - from;
            (at("from"), at("to"))
        })
        .collect();
    assert!(masked.iter().map(|(from, to)| to - from).sum::<usize>() > 8_000, "{masked:?}");
    let played = source_samples();
    assert!(sound.len() > 30_000, "{}", sound.len());
    for (at, sample) in sound.iter().enumerate() {
        let hidden = masked.iter().any(|(from, to)| (*from..*to).contains(&at));
        let wanted = if hidden { 0 } else { played[(from + at) % played.len()] };
        assert_eq!(*sample, wanted, "sample {at}");
    }
}

#[test]
fn exports_need_post_ranges_exact_others_records_absent() {
    let stack = Stack::new(&StackOptions::default());
    let id = record_call(&stack);
    let manifest = stack.show_recording(&id);
    let mut boss = HttpClient::logged_in(&stack, "boss");
    let csrf = boss.get(&format!("/records/{id}")).csrf_token();
    let export = |hand: &mut HttpClient, csrf: &str, kind: &str| {
        hand.post(&format!("/records/{id}/export"), &[("csrf", csrf), ("kind", kind)])
    };
    let wav = export(&mut boss, &csrf, "wav");
    assert_eq!(wav.header("content-type"), Some("audio/wav"));
    let name = format!("attachment; filename=\"{id}.wav\"");
    assert_eq!(wav.header("content-disposition"), Some(&*name));
    assert_sound(&wav_samples(&wav.body), &manifest);
    let opus = export(&mut boss, &csrf, "opus");
    assert!(opus.body.starts_with(b"OggS"));
    let decoded = pipe_through("opusdec", &["--quiet", "--force-wav", "-", "-"], &opus.body);
    assert!(wav_samples(&decoded).len() > 30_000, "a player of others plays it");
    // Byte ranges of the player.
    let path = format!("/records/{id}/sound");
    let all = boss.get(&path);
    assert_eq!((all.status, all.body.clone()), (200, wav.body));
    let mut piece = boss.clone();
    piece.headers = vec!["Range: bytes=1000-1999".to_owned()];
    let some = piece.get(&path);
    assert_eq!((some.status, &some.body[..]), (206, &all.body[1000..2000]));
    let whole = format!("bytes 1000-1999/{}", all.body.len());
    assert_eq!(some.header("content-range"), Some(&*whole));
    piece.headers = vec!["Range: bytes=99999999-".to_owned()];
    assert_eq!(piece.get(&path).status, 416);
    // A user without access gets the same refusal for every path.
    let mut quiet = HttpClient::logged_in(&stack, "quiet");
    let mut jane = HttpClient::logged_in(&stack, "jdoe");
    for path in [format!("/records/{id}"), path, format!("/records/{id}?listen=yes")] {
        assert_eq!(quiet.get(&path).status, 404, "{path}: the record of another");
        assert_eq!(jane.get(&path).status, 403, "{path}: an agent");
        assert_eq!(HttpClient::new(&stack).get(&path).status, 303, "{path}: without log-in");
    }
    let own = quiet.get("/records").csrf_token();
    assert!([403, 404].contains(&export(&mut quiet, &own, "wav").status));
    assert_eq!(export(&mut boss, "", "wav").status, 403);
    for odd in ["/records/..%2f..", "/records/a%20b", "/records/x%0aquit/sound"] {
        assert_eq!(boss.get(odd).status, 404, "{odd}");
    }
    // The journal has every play and export, and the page lists them.
    let page = boss.get(&format!("/records/{id}")).text();
    assert!(page.contains("Listened to") && page.contains("Exported"), "{page}");
    for path in ["/admin", "/board"] {
        assert_eq!(jane.get(path).status, 403, "{path}");
        assert_eq!(boss.get(path).status, 200, "{path}");
    }
    let folder = stack.folder.path().to_owned();
    let mut files = vec![folder];
    while let Some(path) = files.pop() {
        if path.is_dir() {
            files.extend(std::fs::read_dir(path).unwrap().map(|entry| entry.unwrap().path()));
        } else if let Ok(bytes) = std::fs::read(&path) {
            // Silence occurs everywhere: skip it.
            let mut parts = all.body[44..].chunks_exact(64);
            let loud = |part: &&[u8]| part.iter().filter(|byte| **byte != 0).count() > 48;
            let clear = parts.find(loud).expect("a part that is heard").to_vec();
            let found = bytes.windows(64).any(|part| part == clear);
            assert!(!found, "unsealed sound in {}", path.display());
        }
    }
}

/// Pipes bytes through a program.
fn pipe_through(program: &str, words: &[&str], bytes: &[u8]) -> Vec<u8> {
    let mut command = Command::new(program);
    command.args(words).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null());
    let mut child = command.spawn().unwrap_or_else(|e| panic!("{program}: {e}: `make setup`"));
    let mut stdin = child.stdin.take().unwrap();
    let bytes = bytes.to_vec();
    let giver = std::thread::spawn(move || drop(std::io::Write::write_all(&mut stdin, &bytes)));
    let mut out = Vec::new();
    child.stdout.take().unwrap().read_to_end(&mut out).unwrap();
    giver.join().unwrap();
    assert!(child.wait().unwrap().success(), "{program}");
    out
}

#[test]
fn supervisor_uploads_the_missing_identity() {
    let mut stack = Stack::new(&StackOptions::default());
    let id = record_call(&stack);
    let identity = std::fs::read_to_string(stack.path("data/keys/identity.txt")).unwrap();
    stack.stop_portal();
    let toml = std::fs::read_to_string(stack.path("portal.toml")).unwrap();
    let without: Vec<&str> = toml.lines().filter(|line| !line.starts_with("identity")).collect();
    std::fs::write(stack.path("portal.toml"), without.join("\n")).unwrap();
    stack.start_portal();
    let mut boss = HttpClient::logged_in(&stack, "boss");
    let page = boss.get(&format!("/records/{id}"));
    assert!(page.text().contains("AGE-SECRET-KEY-1") && !page.text().contains("id=\"listen\""));
    assert_eq!(boss.get(&format!("/records/{id}/sound")).status, 400, "it stays closed");
    let path = format!("/records/{id}/identity");
    let give = |hand: &mut HttpClient, text: &str| {
        let csrf = hand.get(&format!("/records/{id}")).csrf_token();
        hand.post(&path, &[("csrf", &csrf), ("identity", text)]).status
    };
    assert_eq!(give(&mut boss, "nonsense"), 400);
    assert_eq!(give(&mut boss, &identity), 303);
    let sound = boss.get(&format!("/records/{id}/sound"));
    assert_sound(&wav_samples(&sound.body), &stack.show_recording(&id));
    // The identity belongs to the session and ends with it.
    let mut other = HttpClient::logged_in(&stack, "boss");
    assert_eq!(other.get(&format!("/records/{id}/sound")).status, 400);
    let csrf = boss.get("/records").csrf_token();
    assert_eq!(boss.post("/logout", &[("csrf", &csrf)]).status, 303);
    let mut again = HttpClient::logged_in(&stack, "boss");
    assert_eq!(again.get(&format!("/records/{id}/sound")).status, 400);
}

#[test]
fn sealed_facts_are_named_and_search_reports_them() {
    let mut stack = Stack::new(&StackOptions::default());
    let id = record_call(&stack);
    let mut boss = HttpClient::logged_in(&stack, "boss");
    let open = boss.get(&format!("/records/{id}")).text();
    assert!(open.contains("5551234") && open.contains("Mr. Miller") && !open.contains("sealed"));
    let found = boss.get("/records?ani=5551234").text();
    assert!(found.contains(&id) && !found.contains("id=\"sealed\""), "{found}");
    // The owner removes the identity from the machine.
    stack.kill_box();
    let identity = stack.path("data/keys/identity.txt");
    std::fs::rename(identity, stack.path("identity.txt")).unwrap();
    stack.start_box();
    let page = boss.get(&format!("/records/{id}")).text();
    assert!(page.contains("id=\"sealed\"") && page.contains("<dd>sealed</dd>"), "{page}");
    assert!(!page.contains("5551234") && !page.contains("Mr. Miller"), "{page}");
    for question in ["ani=5551234", "field=miller"] {
        let found = boss.get(&format!("/records?{question}")).text();
        assert!(
            found.contains("id=\"sealed\">The portal could not search 1 more"),
            "{question}: {found}"
        );
        assert!(!found.contains(&id), "{question}: {found}");
    }
    assert!(boss.get("/records?agent=jdoe").text().contains(&id), "what is in clear is found");
}

#[test]
fn live_view_follows_and_admin_manages_users() {
    let stack = Stack::new(&StackOptions { has_tls: true, ..StackOptions::default() });
    let browser = Browser::new(&stack.url);
    browser.log_in("boss");
    browser.open("/board");
    browser.sees("document.querySelectorAll('#channels tbody tr').length === 2");
    stack.send_cti("call start device=1002 call=c-9 ani=5550000 direction=out");
    browser.sees("document.querySelector('#calls tbody').innerText.includes('c-9')");
    browser.assert_accessible("the live board");
    browser.save_screenshot("board");
    stack.send_cti("call stop device=1002 call=c-9");
    browser.sees("!document.querySelector('#calls tbody').innerText.includes('c-9')");
    browser.open("/admin");
    browser.sees("document.querySelector('#health').innerText.includes('days_left')");
    let lately = "document.querySelector('#happened').innerText";
    browser.sees(&format!("{lately}.includes('Call began') && {lately}.includes('c-9')"));
    assert!(!browser.js(&format!("return {lately}")).to_string().contains("5550000"), "no number");
    browser.assert_accessible("administration");
    browser.save_screenshot("admin");
    browser.types("#name", "newcomer");
    browser.types("#password", PASSWORD);
    browser.click("button[value=add]");
    browser.sees("document.querySelector('#accounts').innerText.includes('newcomer')");
    let list = stack.run_user_command(&["list"], "");
    assert!(list.contains("newcomer\tenabled"), "{list}");
}

#[test]
fn metrics_report_recorder_up_or_down() {
    let mut stack = Stack::new(&StackOptions::default());
    let get = |stack: &Stack, path: &str| {
        let request =
            format!("GET {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n\r\n");
        send_raw(stack.port, request.as_bytes())
    };
    assert_eq!(get(&stack, "/healthz").status, 200);
    let figures = get(&stack, "/metrics").text();
    assert!(figures.contains("hushbox_portal_box_up 1\nhushbox_"), "{figures}");
    stack.kill_box();
    let health = get(&stack, "/healthz");
    assert_eq!(health.status, 503);
    assert!(health.text().contains("\"box\":\"down\""));
    assert!(get(&stack, "/metrics").text().contains("hushbox_portal_box_up 0\n"));
}
