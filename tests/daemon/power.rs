//! What a daemon still knows after it was killed, stopped, and killed again.
//!
//! An agent records and starts a blackout; in the middle of the blackout the daemon is killed. After
//! the restart the recording is closed (`power`) with an exact ledger, no more than the holdback and
//! one second of it is lost, the call is recorded again, and the blackout is on from the first sample,
//! although no client has connected. The same after an orderly stop, which loses nothing, and after a
//! kill during the start. Last, a daemon is killed twenty times right after an `ok`, or between a
//! command and its `ok`: everything that was acknowledged is there.

mod random_kills;

use nix::sys::signal::Signal;
use std::collections::BTreeMap;
use std::time::Duration;
use testkit::daemon::audio::{Needles, read_wav};
use testkit::daemon::client::{Client, Line};
use testkit::daemon::site::Site;
use testkit::daemon::{Daemon, RATE, Record, await_ended, await_position, let_pass, position_of};
use testkit::rng::Rng;

const AGENT: &str = "hello agent user=a1 machine=WS-1";

/// What channel 1 played, with zeros under the stretches of `masked`.
fn expected(sound: &[i16], (from, to): (u64, u64), masked: &[(u64, u64)]) -> Vec<i16> {
    let index = |position: u64| usize::try_from(position).unwrap();
    let mut expected = sound[index(from)..index(to)].to_vec();
    for (begin, end) in masked {
        let (begin, end) = ((*begin).max(from), (*end).min(to));
        expected[index(begin - from)..index(end.max(begin) - from)].fill(0);
    }
    expected
}

/// The export of a recording is what was played, but for what was masked.
fn assert_sound(story: &Daemon, record: &Record, sound: &[i16], masked: &[(u64, u64)]) {
    let (path, _) = story.export(record.text("/recording"), "wav");
    let (found, _, _) = read_wav(&path);
    let expected = expected(sound, (record.from(), record.to()), masked);
    assert_eq!(found.len(), expected.len());
    assert!(found == expected, "the export is not what was played, or not masked");
}

/// Of what was played between two positions nothing is in the data directory.
fn assert_nowhere(story: &Daemon, sound: &[i16], (from, to): (u64, u64)) {
    let index = |position: u64| usize::try_from(position).unwrap().min(sound.len());
    let hidden = Needles::of(&sound[index(from)..index(to)], 1);
    assert!(hidden.count() > 4000);
    for (path, bytes) in story.data_files() {
        assert_eq!(hidden.found_in(&bytes), 0, "masked audio in {}", path.display());
    }
}

/// The agent's state once the call is recorded (again).
fn recorded(agent: &mut Client) -> Line {
    agent.await_news("recording=on", |line| line.is("recording", "on"))
}

/// A box with a call that is recorded, and an agent who sees it; the recording's ID.
fn recording_box(seal: bool) -> (Daemon, Client, String) {
    let story = Daemon::start_new(Site { seal, ..Site::sim(&[1, 1]) });
    let mut pbx = story.client("hello cti");
    pbx.ok("call start device=1001 call=c1 ani=5551234 direction=in");
    let mut agent = story.client(AGENT);
    let recording = agent.ok("record start").get("recording").to_owned();
    (story, agent, recording)
}

#[test]
fn g1_g5_h3_kill_during_blackout_keeps_mask_and_ledger() {
    let (mut story, mut agent, first) = recording_box(false);
    let mut watcher = story.client("hello monitor");
    watcher.ok("watch");
    let finished = finished_recording(&story, &mut watcher);
    agent.ok("update 1 \"Jane Roe\"");
    await_position(&mut watcher, 1, RATE);
    let on = agent.ok("blackout start");
    await_position(&mut watcher, 1, on.number("at") + 2 * RATE);
    agent.ok("update 3 \"Claim 7\"");
    let before = position_of(&mut watcher, 1);
    story.kill();
    let sound = story.sounds[&1].clone();

    // It is killed again as soon as the call is recorded again: that recording is nearly empty.
    story.play_new_sounds();
    story.start();
    let second = recorded(&mut story.client(AGENT)).get("recording_id").to_owned();
    story.kill();

    story.play_new_sounds();
    story.start();
    let mut agent = story.client(AGENT);
    let state = recorded(&mut agent);
    assert_eq!((state.get("call"), state.get("blackout")), ("c1", "on"));
    assert!(state.get("can").contains("blackout.stop"), "{state:?}");
    let third = state.get("recording_id").to_owned();
    let mut watcher = story.client("hello monitor");
    watcher.ok("watch");
    await_position(&mut watcher, 1, RATE);
    let off = agent.ok("blackout stop");
    assert_eq!(off.number("from"), 0, "masked from the first sample");
    await_position(&mut watcher, 1, off.number("to") + RATE);
    story.client("hello cti").ok("call stop device=1001 call=c1");
    await_ended(&mut watcher, &[&third]);
    story.assert_verified();

    let record = story.show(&first);
    record.assert_ledger();
    assert_eq!(record.text("/end"), "power");
    assert_eq!(record.spans("masked"), [(on.number("from"), record.to())]);
    assert!(record.to() + (600 + 1000) * RATE / 1000 >= before, "more is gone: {before}");
    assert_eq!(record.text("/fields/1/value"), "Jane Roe");
    assert_eq!(record.text("/fields/3/value"), "Claim 7");
    assert_sound(&story, &record, &sound, &[(on.number("from"), u64::MAX)]);
    assert_nowhere(&story, &sound, (on.number("from"), before + 2 * RATE));

    let record = story.show(&second);
    record.assert_ledger();
    assert_eq!((record.text("/end"), record.text("/continues")), ("power", first.as_str()));
    assert_eq!(record.number("/ledger/stored"), 0);

    let record = story.show(&third);
    record.assert_ledger();
    assert_eq!((record.text("/end"), record.text("/continues")), ("call-end", second.as_str()));
    assert_eq!((record.from(), record.text("/ani")), (0, "5551234"));
    assert_eq!(record.blackouts(), [(0, off.number("to"))]);
    let masked = (0, off.number("to"));
    assert_sound(&story, &record, &story.sounds[&1], &[masked]);
    assert_nowhere(&story, &story.sounds[&1], masked);
    assert_eq!(story.show(&finished.0).0, finished.1.0, "a finished recording stays as it is");
    story.stop();
    story.assert_verified();
}

/// A short recording on the other phone, from beginning to end.
fn finished_recording(story: &Daemon, watcher: &mut Client) -> (String, Record) {
    let mut pbx = story.client("hello cti");
    pbx.ok("call start device=1002 call=x agent=a2");
    let mut agent = story.client("hello agent user=a2");
    let recording = agent.ok("record start").get("recording").to_owned();
    pbx.ok("call stop device=1002 call=x");
    await_ended(watcher, &[&recording]);
    // Its end is told when it is written; the next answer comes when it is durable.
    pbx.ok("call start device=1002 call=y");
    let record = story.show(&recording);
    (recording, record)
}

#[test]
fn g5_h1_orderly_stop_resumes_without_loss() {
    let (mut story, mut agent, first) = recording_box(true);
    let mut watcher = story.client("hello monitor");
    await_position(&mut watcher, 1, RATE / 2);
    let on = agent.ok("blackout start lead_ms=100");
    let off = agent.ok("blackout stop");
    await_position(&mut watcher, 1, off.number("to") + RATE);
    let before = position_of(&mut watcher, 1);
    story.stop();
    let sound = story.sounds[&1].clone();
    story.assert_verified();
    let record = story.show(&first);
    record.assert_ledger();
    assert_eq!(record.text("/end"), "shutdown");
    assert!(record.to() >= before, "the ring was not released: {} < {before}", record.to());
    let masked = (on.number("from"), off.number("to"));
    assert_eq!(record.spans("masked"), [masked]);
    assert_eq!(record.number("/ledger/lost"), 0);
    assert_sound(&story, &record, &sound, &[masked]);

    // Now in the middle of a blackout, and at once.
    story.play_new_sounds();
    story.start();
    let mut agent = story.client(AGENT);
    let state = recorded(&mut agent);
    assert_eq!(state.get("blackout"), "off");
    let second = state.get("recording_id").to_owned();
    agent.ok("blackout start");
    story.stop();
    story.start();
    let mut agent = story.client(AGENT);
    let state = recorded(&mut agent);
    assert_eq!(state.get("blackout"), "on");
    let third = state.get("recording_id").to_owned();
    agent.ok("record stop");
    story.stop();
    story.start();
    let calls = story.client("hello monitor").ask("calls").rows;
    assert_eq!((calls.len(), calls[0].get("recording")), (1, "-"), "a stop is for good");
    assert_eq!((calls[0].get("call"), calls[0].get("blackout")), ("c1", "on"));
    for (recording, end, before) in
        [(&second, "shutdown", first.as_str()), (&third, "stop", second.as_str())]
    {
        let record = story.show(recording);
        record.assert_ledger();
        assert_eq!((record.text("/end"), record.text("/continues")), (end, before));
    }
    story.stop();
    story.assert_verified();
}

#[test]
fn h4_interrupted_recording_resumes_when_disk_has_room() {
    let (mut story, _, first) = recording_box(true);
    story.kill();
    story.site.reserve_mb = 1 << 20;
    story.write_config();
    story.start();
    let mut agent = story.client(AGENT);
    agent.err("record start", "disk-full");
    // Longer than the ring remembers.
    let mut watcher = story.client("hello monitor");
    await_position(&mut watcher, 1, RATE * 39 / 10);
    story.site.reserve_mb = 1;
    story.write_config();
    story.signal(Signal::SIGHUP);
    let second = recorded(&mut agent).get("recording_id").to_owned();
    story.stop();
    let record = story.show(&second);
    record.assert_ledger();
    assert_eq!(record.text("/continues"), first);
    assert!(record.from() > 0, "from where the ring still had it");
    story.assert_verified();
}

/// What the agent and the call feed were told so far.
#[derive(Debug, Default)]
struct Acknowledged {
    call: Option<String>,
    recording: Option<String>,
    blackout: bool,
    /// By recording: what its field 1 may hold. More than one value: the last ones have no `ok`.
    fields: BTreeMap<String, Vec<String>>,
    /// Recordings in the order of their beginning, and whether they were stopped.
    recordings: Vec<String>,
    blackouts: u64,
}

impl Acknowledged {
    /// One random command that is answered with `ok`, and what that means.
    fn command(&mut self, rng: &mut Rng, pbx: &mut Client, agent: &mut Client, number: u64) {
        match (rng.below(7), &self.call, &self.recording) {
            (0, _, _) | (_, None, _) => {
                let call = format!("c{number}");
                pbx.ok(&format!("call start device=1001 call={call} ani=555{number}"));
                (self.call, self.recording) = (Some(call), None);
            }
            (1, Some(call), _) => {
                pbx.ok(&format!("call stop device=1001 call={call}"));
                (self.call, self.recording) = (None, None);
            }
            (_, Some(_), None) => {
                let recording = agent.ok("record start").get("recording").to_owned();
                self.recordings.push(recording.clone());
                self.recording = Some(recording);
            }
            (2, _, Some(recording)) => {
                let off = agent.ok("record stop");
                assert_eq!((off.get("recording"), off.get("state")), (recording.as_str(), "off"));
                self.recording = None;
            }
            (3 | 4, _, Some(_)) if !self.blackout => {
                agent.ok("blackout start");
                self.blackout = true;
                self.blackouts += 1;
            }
            (3, _, Some(_)) => {
                agent.ok("blackout stop");
                self.blackout = false;
            }
            (_, _, Some(recording)) => {
                let value = format!("value {number}");
                agent.ok(&format!("update 1 \"{value}\""));
                self.fields.insert(recording.clone(), vec![value]);
            }
        }
    }

    /// A command whose `ok` is not waited for.
    fn unanswered(&mut self, agent: &mut Client, number: u64) {
        let Some(recording) = &self.recording else { return };
        let value = format!("value {number}");
        agent.send(&format!("update 1 \"{value}\""));
        self.fields.entry(recording.clone()).or_default().push(value);
    }

    /// After a restart: all this is still so. The recording of a live call is a new one.
    fn assert_alive(&mut self, story: &Daemon, agent: &mut Client) {
        let calls = story.client("hello monitor").ask("calls").rows;
        let call = calls.first().map(|row| row.get("call"));
        assert_eq!(call, self.call.as_deref(), "{self:?}");
        let wanted = if self.recording.is_some() { "on" } else { "off" };
        let state = agent.await_news("the state", |line| line.is("recording", wanted));
        let blackout = if self.blackout { "on" } else { "off" };
        assert_eq!(state.get("blackout"), blackout, "{self:?}");
        if let Some(recording) = &mut self.recording {
            let continued = story.show(recording);
            assert_eq!(continued.text("/end"), "power");
            *recording = state.get("recording_id").to_owned();
            assert_eq!(story.show(recording).text("/continues"), continued.text("/recording"));
            self.recordings.push(recording.clone());
        }
    }

    /// At the end: every record is there, with the field it was given.
    fn assert_kept(&self, story: &Daemon) {
        for recording in &self.recordings {
            let record = story.show(recording);
            record.assert_ledger();
            let Some(values) = self.fields.get(recording) else { continue };
            let found = record.0.pointer("/fields/1/value").and_then(|value| value.as_str());
            let found = found.unwrap_or("nothing");
            let maybe_none = values.len() == 1 && self.never_acknowledged(recording, &values[0]);
            assert!(values.iter().any(|v| v == found) || maybe_none, "{found}: {self:?}");
        }
    }

    /// Whether a field's only value is one without an `ok`: odd numbers are.
    fn never_acknowledged(&self, recording: &str, value: &str) -> bool {
        let number: u64 = value.trim_start_matches("value ").parse().unwrap();
        assert!(self.fields.contains_key(recording));
        number % 2 == 1
    }
}

#[test]
fn h3_twenty_kills_after_ok_lose_nothing_acknowledged() {
    let mut story = Daemon::new(Site { holdback_ms: 200, lead_ms: 100, ..Site::sim(&[1]) });
    let mut rng = Rng::new(20);
    let mut known = Acknowledged::default();
    // Even numbers are acknowledged, odd ones are not.
    let mut number = 0;
    for _ in 0..20 {
        story.start();
        let mut pbx = story.client("hello cti");
        let mut agent = story.client(AGENT);
        known.assert_alive(&story, &mut agent);
        for _ in 0..=rng.below(8) {
            number += 2;
            known.command(&mut rng, &mut pbx, &mut agent, number);
        }
        if rng.below(2) == 0 {
            known.unanswered(&mut agent, number + 1);
            let_pass(Duration::from_micros(rng.below(4000)));
        }
        story.kill();
    }
    story.start();
    known.assert_alive(&story, &mut story.client(AGENT));
    story.stop();
    story.assert_verified();
    known.assert_kept(&story);
    assert!(known.recordings.len() > 10 && known.blackouts > 2 && !known.fields.is_empty());
}
