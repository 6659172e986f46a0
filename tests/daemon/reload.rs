//! Reloads of the real daemon: by signal, from a console, and of the keys to which recordings are
//! sealed.

use hushbox::store::seal::Identity;
use nix::sys::signal::Signal;
use std::path::Path;
use std::process::Command;
use testkit::daemon::audio::read_wav;
use testkit::daemon::client::Client;
use testkit::daemon::site::Site;
use testkit::daemon::{Daemon, await_ended, await_position, is_there, wait_for};

/// Name `field`, PIN 2468.
const TECHNICIAN: &str = "[[technician]]\nname = \"field\"\npin = \"$argon2id$v=19$m=19456,t=2,\
    p=1$BtIvqaj9XY7ZBxJ22c5iVw$TyjQ7ygFTOcEHsXrsnq57JJbStAteqOOA0/cG+bNoiU\"\n";
const HELLO: &str = "hello technician user=field pin=2468";

fn with_technician() -> Daemon {
    let mut site = Site::sim(&[1]);
    site.more.push_str(TECHNICIAN);
    Daemon::start_new(site)
}

fn edit(story: &Daemon, from: &str, to: &str) {
    let text = std::fs::read_to_string(story.config()).unwrap();
    assert!(text.contains(from), "{from}");
    std::fs::write(story.config(), text.replace(from, to)).unwrap();
}

/// The active alarms with this number.
fn alarm(technician: &mut Client, number: u32) -> Option<String> {
    let rows = technician.ask("alarms").rows;
    let is_wanted = |row: &&testkit::daemon::client::Line| {
        row.is("alarm", &number.to_string()) && row.is("state", "active")
    };
    rows.iter().find(is_wanted).map(|row| row.text.clone())
}

#[test]
fn h4_feed_that_local_turns_away_is_closed_and_calls_go_on() {
    let mut story = with_technician();
    let mut feed = story.client("hello cti");
    feed.ok("call start device=1001 call=c1");
    let mut agent = story.client("hello agent user=a1");
    let recording = agent.ok("record start").get("recording").to_owned();
    let mut watcher = story.client("hello monitor");
    watcher.ok("watch");
    edit(&story, "\"screen\", \"cti\",", "\"screen\",");
    story.signal(Signal::SIGHUP);
    let lines = feed.until_closed();
    assert_eq!(lines.last().map(|line| line.code()), Some("denied"), "{lines:?}");
    watcher.await_news("the alarm", |line| line.is("code", "cti-lost"));
    Client::tcp(story.port).err("hello cti", "denied");
    // The box's own user may be anything on the unix socket.
    let mut again = story.client_over_unix("hello cti");
    again.ok("call stop device=1001 call=c1");
    await_ended(&mut watcher, &[&recording]);
    story.stop();
    story.show(&recording).assert_ledger();
}

/// What is open stays open: only new connections go elsewhere.
#[test]
fn h2_listeners_are_opened_and_closed_by_a_reload() {
    let mut story = with_technician();
    let mut technician = story.client_over_unix(HELLO);
    let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let socket = story.path("second.sock");
    let more =
        format!("[[listen]]\naddress = \"127.0.0.1:{free}\"\n[[listen]]\nunix = \"second.sock\"\n");
    edit(&story, "[audio]\n", &format!("{more}[audio]\n"));
    assert!(technician.ok("config reload").is("applied", "listen"));
    let is_open = || std::net::TcpStream::connect(("127.0.0.1", free)).is_ok();
    wait_for("the new address", || is_open().then_some(()));
    wait_for("the new socket", || is_there(&socket).then_some(()));
    let mut first = Client::tcp(free);
    first.ok("hello monitor");
    Client::unix(&socket).ok("hello monitor");
    let off = format!("config listen 127.0.0.1:{free} off");
    assert!(technician.ok(&off).is("restart", "no"));
    assert!(!is_open(), "closed at once");
    first.ok("ping");
    story.client("hello monitor").ok("ping");
    edit(&story, "[[listen]]\nunix = \"second.sock\"\n", "");
    technician.ok("config reload");
    assert!(!is_there(&socket), "its file goes with it");
    assert!(technician.ask("alarms").rows.iter().all(|row| !row.is("state", "active")));
    // An address that cannot be had is an alarm, and putting the file back ends it.
    let other = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let taken = other.local_addr().unwrap();
    technician.ok(&format!("config listen {taken} plain"));
    wait_for("the alarm", || alarm(&mut technician, 508));
    technician.ok(&format!("config listen {taken} off"));
    assert_eq!(alarm(&mut technician, 508), None);
    story.stop();
}

/// The owner of a key that is in use would be shut out of everything recorded from now on.
#[test]
fn h5_recipients_that_leave_out_a_key_in_use_are_asked_about() {
    let mut story = with_technician();
    let mut technician = story.client_over_unix(HELLO);
    let other = Identity::generate().to_public().to_string();
    let own = technician.ask("keys").rows[1].get("public").to_owned();
    // A further recipient shuts no other recipient out.
    edit(&story, "recipients = []", &format!("recipients = [\"{own}\", \"{other}\"]"));
    assert!(technician.ok("config reload").is("applied", "store.recipients"));
    edit(&story, &format!("\"{own}\", "), "");
    for line in ["config check", "config reload"] {
        let refused = technician.ask(line).end;
        assert_eq!(refused.code(), "config", "{}", refused.text);
        assert!(refused.text.contains(&own) && refused.text.contains("confirm=yes"));
    }
    assert_eq!(technician.ask("keys").rows.len(), 3, "both keys are in use");
    assert!(alarm(&mut technician, 512).is_some());
    technician.ok("config reload confirm=yes");
    assert_eq!(technician.ask("keys").rows.len(), 2);
    assert!(alarm(&mut technician, 512).is_none());
    assert!(alarm(&mut technician, 407).is_some_and(|row| row.contains(&own)));
    // A restart cannot ask, so it says what it found.
    story.stop();
    edit(&story, &other, &own);
    story.start();
    let mut technician = story.client_over_unix(HELLO);
    assert!(alarm(&mut technician, 407).is_some_and(|row| row.contains(&other)));
    technician.ok("alarm clear 407");
    story.stop();
    story.start();
    let mut technician = story.client_over_unix(HELLO);
    assert!(alarm(&mut technician, 407).is_none(), "known since the start before");
}

/// A file of 20 s with a tone of 440 Hz.
#[allow(clippy::cast_possible_truncation, reason = "at most 8000")]
fn write_tone(path: &Path, rate: u32) {
    let spec = hound::WavSpec {
        channels: 1,
        sample_rate: rate,
        bits_per_sample: 16,
        sample_format: hound::SampleFormat::Int,
    };
    let mut wav = hound::WavWriter::create(path, spec).unwrap();
    let turn = std::f64::consts::TAU * 440.0 / f64::from(rate);
    for n in 0..rate * 20 {
        wav.write_sample(((f64::from(n) * turn).sin() * 8000.0) as i16).unwrap();
    }
    wav.finalize().unwrap();
}

/// Rising passages through zero in a second.
fn pitch(samples: &[i16], rate: u32) -> f64 {
    let rises = samples.windows(2).filter(|pair| pair[0] < 0 && pair[1] >= 0).count();
    rises as f64 * f64::from(rate) / samples.len() as f64
}

/// Every sample of an Opus file, at 48 kHz.
fn play_opus(path: &Path) -> Vec<i16> {
    let mut ffmpeg = Command::new("ffmpeg");
    ffmpeg.args(["-v", "error", "-i"]).arg(path).args(["-f", "s16le", "-ar", "48000", "-"]);
    let played = ffmpeg.output().unwrap();
    assert!(played.status.success(), "{}", String::from_utf8_lossy(&played.stderr));
    played.stdout.chunks_exact(2).map(|pair| i16::from_le_bytes([pair[0], pair[1]])).collect()
}

/// A card of 11.025 kHz has no whole number of frames in 20 ms.
#[test]
fn f3_sample_rates_of_usual_cards_are_recorded_and_exported() {
    for (rate, codec) in [(11_025_u32, "pcm"), (11_025, "ulaw"), (22_050, "ulaw"), (44_100, "pcm")]
    {
        let mut story = Daemon::new(Site { codec, ..Site::sim(&[1]) });
        edit(&story, "rate = 8000", &format!("rate = {rate}"));
        write_tone(&story.path("1.wav"), rate);
        story.start();
        let (mut feed, mut agent) =
            (story.client("hello cti"), story.client("hello agent user=a1"));
        feed.ok("call start device=1001 call=c1");
        let started = agent.ok("record start");
        let (recording, from) = (started.get("recording").to_owned(), started.number("from"));
        let mut watcher = story.client("hello monitor");
        watcher.ok("watch");
        await_position(&mut watcher, 1, from + u64::from(rate) * 2);
        feed.ok("call stop device=1001 call=c1");
        await_ended(&mut watcher, &[&recording]);
        story.stop();
        let record = story.show(&recording);
        record.assert_ledger();
        let stored = record.number("/ledger/stored");
        assert!(stored >= u64::from(rate) * 2 && record.number("/ledger/lost") == 0, "{rate}");
        let captured = record.number("/ledger/captured");
        let (samples, told, sides) = read_wav(&story.export(&recording, "wav").0);
        assert_eq!((samples.len() as u64, told, sides), (captured, rate, 1));
        let played = play_opus(&story.export(&recording, "opus").0);
        let exact = captured * 48_000 / u64::from(rate);
        assert!((played.len() as u64).abs_diff(exact) <= 4, "{rate}: {} {exact}", played.len());
        for found in [pitch(&samples, rate), pitch(&played, 48_000)] {
            assert!((found - 440.0).abs() < 2.0, "{rate} {codec}: {found} Hz");
        }
        story.assert_verified();
    }
}
