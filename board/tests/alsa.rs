//! ALSA boards against a virtual card, in real time: what is played is what is captured.
//!
//! Each test starts the rig (`crates/testkit/virtual-card.sh`) and then runs itself again in a
//! process of its own, because alsa-lib learns where the virtual card is from the environment. The
//! virtual card knows neither unplugging nor overruns; what stands for them here is a server that
//! dies and a reader that stalls.

#![allow(clippy::disallowed_methods, clippy::expect_used, clippy::unwrap_used)]

use board::{
    Board, BoardConfig, BoardError, BoardState, CaptureEvent, ChannelConfig, GapReason, SourceKind,
    TOKENS_MAX,
};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

const IN_RIG: &str = "BOARD_TEST_RIG";

/// A running virtual card; stops with the test, however that ends.
struct Rig(PathBuf);

impl Rig {
    fn run(verb: &str, folder: &Path) -> bool {
        let script =
            Path::new(env!("CARGO_MANIFEST_DIR")).join("../crates/testkit/virtual-card.sh");
        Command::new(script).arg(verb).arg(folder).status().unwrap().success()
    }

    fn start(name: &str) -> Rig {
        let folder = std::env::temp_dir().join(format!("rig-{name}-{}", std::process::id()));
        assert!(Rig::run("start", &folder), "the virtual card does not start");
        Rig(folder)
    }
}

impl Drop for Rig {
    fn drop(&mut self) {
        Rig::run("stop", &self.0);
        // What the test itself left there.
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// Runs `body` in a process that sees a virtual card of its own; gives it the rig's folder.
fn in_rig(name: &str, body: impl FnOnce(&Path)) {
    if let Some(folder) = std::env::var_os(IN_RIG) {
        return body(Path::new(&folder));
    }
    let rig = Rig::start(name);
    let text = std::fs::read_to_string(rig.0.join("env")).unwrap();
    let status = Command::new(std::env::current_exe().unwrap())
        .args([name, "--exact", "--nocapture"])
        .envs(text.lines().filter_map(|line| line.split_once('=')))
        .env(IN_RIG, &rig.0)
        .status()
        .unwrap();
    assert!(status.success(), "{name} failed inside the rig");
}

fn model(pcm: &str) -> BoardConfig {
    let channel = |id, slots: &[u16]| ChannelConfig {
        id,
        sides: u8::try_from(slots.len()).unwrap(),
        slots: slots.to_vec(),
        source: None,
    };
    BoardConfig {
        name: "virtual".to_owned(),
        kind: SourceKind::Alsa { pcm: pcm.to_owned(), period_ms: 20 },
        rate: 8000,
        buffer_ms: 200,
        channels: vec![channel(1, &[0, 1]), channel(2, &[1])],
    }
}

/// A board in a real poll, and all it said: lost frames are zeros.
struct Desk {
    board: Board,
    poll: mio::Poll,
    start: Instant,
    stereo: Vec<i16>,
    mono: Vec<i16>,
    lost: Vec<(u64, u64, GapReason)>,
    last_position: u64,
    /// Events that came for the board's tokens.
    woken: u32,
}

impl Desk {
    fn open() -> Desk {
        let board = Board::open(&model("cap"), 0).unwrap();
        let poll = mio::Poll::new().unwrap();
        let (start, last_position) = (Instant::now(), 0);
        let (stereo, mono, lost) = (Vec::new(), Vec::new(), Vec::new());
        let mut desk = Desk { board, poll, start, stereo, mono, lost, last_position, woken: 0 };
        desk.board.register(desk.poll.registry(), 10..10 + TOKENS_MAX).unwrap();
        desk
    }

    fn now_us(&self) -> u64 {
        u64::try_from(self.start.elapsed().as_micros()).unwrap()
    }

    /// One turn of a loop like the daemon's.
    fn turn(&mut self) {
        let wake_us = self.board.deadline_us().unwrap_or(u64::MAX).min(self.now_us() + 100_000);
        let wait = Duration::from_micros(wake_us.saturating_sub(self.now_us()));
        let mut events = mio::Events::with_capacity(8);
        self.poll.poll(&mut events, Some(wait)).unwrap();
        events.iter().for_each(|event| self.board.mark_ready(event.token().0));
        self.woken += u32::from(!events.is_empty());
        let now_us = self.now_us();
        let (stereo, mono, lost) = (&mut self.stereo, &mut self.mono, &mut self.lost);
        let mut visit = |reading: CaptureEvent<'_>| match reading {
            CaptureEvent::Period(period) => {
                let (heard, sides) =
                    if period.channel == 0 { (&mut *stereo, 2) } else { (&mut *mono, 1) };
                assert_eq!(heard.len() as u64, period.position * sides, "no gap, no overlap");
                heard.extend_from_slice(period.samples);
            }
            CaptureEvent::Lost { frames, position, why } => {
                assert_eq!(mono.len() as u64, position);
                let end = mono.len() + usize::try_from(frames).unwrap();
                stereo.resize(end * 2, 0);
                mono.resize(end, 0);
                lost.push((position, frames, why));
            }
            _ => panic!("an event that only RTP boards send"),
        };
        while self.board.read(now_us, 100, &mut visit) {}
        assert!(self.board.deadline_us().is_none_or(|deadline_us| deadline_us > now_us));
        assert_eq!(self.mono.len() as u64, self.board.position());
        assert!(self.board.position() >= self.last_position);
        self.last_position = self.board.position();
    }

    fn turn_for(&mut self, ms: u64) {
        let end_us = self.now_us() + ms * 1000;
        while self.now_us() < end_us {
            self.turn();
        }
    }

    /// Turns until `done`, for at most 10 s.
    fn turn_until(&mut self, what: &str, done: impl Fn(&Desk) -> bool) {
        let end_us = self.now_us() + 10_000_000;
        while !done(self) {
            assert!(self.now_us() < end_us, "not within 10 s: {what}; {:?}", self.board.state());
            self.turn();
        }
    }

    fn turn_until_running(&mut self) {
        self.turn_until("running", |desk| desk.board.state() == &BoardState::Running);
    }

    fn lost_frames(&self) -> u64 {
        self.lost.iter().map(|(_, frames, _)| frames).sum()
    }

    /// Where `sound` begins in what was captured, in frames.
    fn find(&self, sound: &[i16]) -> Option<usize> {
        let frames = self.stereo.chunks_exact(2).enumerate();
        let mut begins = frames.filter(|(_, frame)| **frame == sound[..2]);
        begins.find_map(|(at, _)| self.stereo[at * 2..].starts_with(sound).then_some(at))
    }
}

/// Noise, other for each seed, as a stereo WAV in `folder`.
fn noise_wav(folder: &Path, name: &str, mut seed: u32) -> (PathBuf, Vec<i16>) {
    let next = |_| {
        seed = seed.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        i16::from_le_bytes([seed.to_be_bytes()[0], seed.to_be_bytes()[1]]) / 4 * 2 + 1
    };
    let samples: Vec<i16> = (0..8000).map(next).collect();
    let spec = hound::WavSpec {
        channels: 2,
        sample_rate: 8000,
        bits_per_sample: 16,
        sample_format: hound::SampleFormat::Int,
    };
    let path = folder.join(name);
    let mut writer = hound::WavWriter::create(&path, spec).unwrap();
    // A sink that was idle may swallow the first moments of what is played.
    let silence = vec![0; 8000];
    let whole = silence.iter().chain(&samples);
    whole.for_each(|sample| writer.write_sample(*sample).unwrap());
    writer.finalize().unwrap();
    (path, samples)
}

fn play(path: &Path) -> Child {
    let mut aplay = Command::new("aplay");
    aplay.args(["-q", "-D", "play"]).arg(path).stdin(Stdio::null()).spawn().unwrap()
}

#[test]
fn capture_equals_what_was_played() {
    in_rig("capture_equals_what_was_played", |folder| {
        let mut desk = Desk::open();
        assert_eq!(desk.board.state(), &BoardState::Waiting);
        desk.turn_until_running();
        let (begin_us, begin) = (desk.now_us(), desk.board.position());
        let (path, sound) = noise_wav(folder, "a.wav", 1);
        let mut aplay = play(&path);
        desk.turn_until("the noise", |desk| desk.find(&sound).is_some());
        desk.turn_for(1000);
        assert!(aplay.wait().unwrap().success());

        let at = desk.find(&sound).unwrap();
        let right: Vec<i16> = sound.chunks_exact(2).map(|frame| frame[1]).collect();
        assert_eq!(desk.mono[at..at + right.len()], right, "slot 1 alone, as a mono channel");
        assert_eq!((desk.board.lost_frames(), &desk.lost[..]), (0, &[][..]));
        let (frames, us) = (desk.board.position() - begin, desk.now_us() - begin_us);
        assert!(frames.abs_diff(us * 8 / 1000) < 1600, "{frames} frames in {us} us");
    });
}

#[test]
fn capture_after_a_stall_counts_every_missing_frame() {
    in_rig("capture_after_a_stall_counts_every_missing_frame", |folder| {
        let mut desk = Desk::open();
        desk.turn_until_running();
        desk.turn_for(500);
        let (begin_us, begin) = (desk.now_us(), desk.board.position());
        std::thread::sleep(Duration::from_millis(1700));
        desk.turn_for(1000);
        let (frames, us) = (desk.board.position() - begin, desk.now_us() - begin_us);
        assert!(frames.abs_diff(us * 8 / 1000) < 1600, "{frames} frames in {us} us");
        assert_eq!(desk.board.lost_frames(), desk.lost_frames());
        assert!(desk.lost.iter().all(|(_, _, why)| *why == GapReason::Overrun), "{:?}", desk.lost);
        // And what is captured now is of now.
        let (path, sound) = noise_wav(folder, "b.wav", 2);
        let (played_us, position) = (desk.now_us(), desk.board.position());
        let mut aplay = play(&path);
        desk.turn_until("the noise", |desk| desk.find(&sound).is_some());
        assert!(aplay.wait().unwrap().success());
        let at = desk.find(&sound).unwrap() as u64;
        let whole_us = desk.now_us() - played_us;
        assert!(at >= position, "captured before it was played");
        assert!(at + 4000 <= position + whole_us * 8 / 1000 + 400);
    });
}

#[test]
fn card_removed_and_back_counts_the_gap_as_lost() {
    in_rig("card_removed_and_back_counts_the_gap_as_lost", |folder| {
        let mut desk = Desk::open();
        desk.turn_until_running();
        desk.turn_for(300);
        let (begin_us, begin) = (desk.now_us(), desk.board.position());
        assert!(Rig::run("stop", folder));
        desk.turn_until("failed", |desk| matches!(desk.board.state(), BoardState::Failed { .. }));
        let BoardState::Failed { text, .. } = desk.board.state().clone() else { unreachable!() };
        assert!(text.contains("virtual") && text.contains("cap"), "{text}");
        desk.turn_for(700);
        assert_eq!(desk.lost, [], "told when it is back");

        assert!(Rig::run("start", folder));
        desk.turn_until_running();
        desk.woken = 0;
        desk.turn_for(1000);
        assert!(desk.woken > 10, "{} wakes in a second: not registered again", desk.woken);
        let (frames, us) = (desk.board.position() - begin, desk.now_us() - begin_us);
        assert!(frames.abs_diff(us * 8 / 1000) < 1600, "{frames} frames in {us} us");
        let [(_, lost, why)] = desk.lost[..] else { panic!("{:?}", desk.lost) };
        assert_eq!((why, lost), (GapReason::Board, desk.board.lost_frames()));
        assert!(lost >= 700 * 8, "{lost} frames");
        let (path, sound) = noise_wav(folder, "c.wav", 3);
        let mut aplay = play(&path);
        desk.turn_until("the noise", |desk| desk.find(&sound).is_some());
        assert!(aplay.wait().unwrap().success());
        std::fs::remove_file(path).unwrap();
    });
}

#[test]
fn card_without_frames_is_closed_and_reopened() {
    in_rig("card_without_frames_is_closed_and_reopened", |_| {
        let suspend = |on: &str| {
            let pactl = Command::new("pactl").args(["suspend-sink", "vcard", on]).status();
            assert!(pactl.unwrap().success());
        };
        let mut desk = Desk::open();
        desk.turn_until_running();
        suspend("1");
        desk.turn_until("failed", |desk| matches!(desk.board.state(), BoardState::Failed { .. }));
        let BoardState::Failed { text, .. } = desk.board.state().clone() else { unreachable!() };
        assert!(text.contains("no audio for 10"), "{text}");
        suspend("0");
        desk.turn_until_running();
        assert_eq!(desk.lost.last().map(|(_, _, why)| *why), Some(GapReason::Board));
    });
}

fn refusal(model: &BoardConfig) -> BoardError {
    match Board::open(model, 0) {
        Err(error) => error,
        Ok(_) => panic!("it opened"),
    }
}

#[test]
fn pcm_that_fails_to_open_lists_available_cards() {
    in_rig("pcm_that_fails_to_open_lists_available_cards", |_| {
        let error = refusal(&model("hw:9,0"));
        assert!(matches!(error, BoardError::NoPcm { .. }), "{error}");
        let text = error.to_string();
        assert!(text.contains("`hw:9,0`") && text.contains("cap, "), "{text}");
        let text = refusal(&model("nonesuch")).to_string();
        assert!(text.contains("Unknown PCM nonesuch"), "{text}");
        assert!(matches!(refusal(&model("a\0b")), BoardError::NoPcm { .. }));
        let mut fast = model("cap");
        fast.rate = 500_000;
        assert!(matches!(refusal(&fast), BoardError::Config { .. }));
        let mut wide = model("cap");
        wide.channels[1].slots = vec![200];
        let error = refusal(&wide);
        assert!(matches!(error, BoardError::Slots { wanted: 201, offered: 32, .. }), "{error}");
        // A PCM that cannot wake a poll is refused when it is registered.
        let mut null = Board::open(&model("null"), 0).unwrap();
        let poll = mio::Poll::new().unwrap();
        let error = null.register(poll.registry(), 0..4).unwrap_err();
        assert!(error.to_string().contains("cannot be waited for"), "{error}");
    });
}
