//! The simulated board as a card: bit-exact, in real time, losing only what is not read in time.
//!
//! Time is a number here; only the last test waits for the timer to wake a real poll. The WAV
//! files are written with known samples, so every sample given can be traced to its place.

#![allow(clippy::disallowed_methods, clippy::expect_used, clippy::unwrap_used)]

use board::{
    Board, BoardConfig, BoardError, BoardState, CaptureEvent, ChannelConfig, GapReason, SourceKind,
    WavError,
};
use std::path::{Path, PathBuf};

/// A folder of its own for one test, removed at the end.
struct Folder(PathBuf);

impl Folder {
    fn new(name: &str) -> Folder {
        let path = std::env::temp_dir().join(format!("board-sim-{name}-{}", std::process::id()));
        std::fs::create_dir_all(&path).unwrap();
        Folder(path)
    }

    fn wav(&self, name: &str, sides: u16, samples: &[i16]) -> PathBuf {
        let spec = hound::WavSpec {
            channels: sides,
            sample_rate: 8000,
            bits_per_sample: 16,
            sample_format: hound::SampleFormat::Int,
        };
        let path = self.0.join(name);
        let mut writer = hound::WavWriter::create(&path, spec).unwrap();
        samples.iter().for_each(|sample| writer.write_sample(*sample).unwrap());
        writer.finalize().unwrap();
        path
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

fn model(sources: &[(&Path, u8)]) -> BoardConfig {
    let channels = sources.iter().zip(1..).map(|((path, sides), id)| ChannelConfig {
        id,
        sides: *sides,
        slots: Vec::new(),
        source: Some(path.to_path_buf()),
    });
    BoardConfig {
        name: "demo".to_owned(),
        kind: SourceKind::Sim,
        rate: 8000,
        buffer_ms: 200,
        channels: channels.collect(),
    }
}

/// What came, by channel; lost frames as `None`.
struct Heard {
    frames: Vec<Vec<Option<Vec<i16>>>>,
    lost: Vec<(u64, u64, GapReason)>,
}

impl Heard {
    fn new(channels: usize) -> Heard {
        Heard { frames: vec![Vec::new(); channels], lost: Vec::new() }
    }

    fn read(&mut self, board: &mut Board, model: &BoardConfig, now_us: u64, budget: u32) -> bool {
        board.read(now_us, budget, &mut |reading| match reading {
            CaptureEvent::Period(period) => {
                let frames = &mut self.frames[period.channel];
                assert_eq!(period.position, frames.len() as u64, "no gap, no overlap");
                let sides = usize::from(model.channels[period.channel].sides);
                frames.extend(period.samples.chunks(sides).map(|frame| Some(frame.to_vec())));
            }
            CaptureEvent::Lost { frames, position, why } => {
                self.lost.push((position, frames, why));
                for channel in &mut self.frames {
                    assert_eq!(position, channel.len() as u64);
                    channel.extend((0..frames).map(|_| None));
                }
            }
            _ => panic!("an event that only RTP boards send"),
        })
    }

    /// Everything heard is the file's, from sample 0 on, round and round.
    fn check(&self, channel: usize, sides: usize, samples: &[i16]) {
        let length = samples.len() / sides;
        for (at, frame) in self.frames[channel].iter().enumerate() {
            let place = at % length * sides;
            if let Some(frame) = frame {
                assert_eq!(frame, &samples[place..place + sides], "frame {at}");
            }
        }
    }
}

fn noise(count: usize, mut seed: u32) -> Vec<i16> {
    let next = |_| {
        seed = seed.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        i16::from_le_bytes([seed.to_be_bytes()[0], seed.to_be_bytes()[1]])
    };
    (0..count).map(next).collect()
}

#[test]
fn sim_files_of_any_length_loop_bit_exact() {
    let folder = Folder::new("loop");
    // Longer than a period, shorter than one, and a single frame.
    let (a, b, c) = (noise(5001, 1), noise(2 * 93, 2), noise(1, 3));
    let paths = [folder.wav("a", 1, &a), folder.wav("b", 2, &b), folder.wav("c", 1, &c)];
    let model = model(&[(&paths[0], 1), (&paths[1], 2), (&paths[2], 1)]);
    let mut board = Board::open(&model, 77_000).unwrap();
    let mut heard = Heard::new(3);
    assert_eq!(board.state(), &BoardState::Waiting);
    let mut now_us = 77_000;
    for step in noise(400, 4) {
        now_us += u64::from(step.unsigned_abs()) * 3;
        while heard.read(&mut board, &model, now_us, 111) {}
        let due = (now_us - 77_000) * 8 / 1000;
        assert!(due - board.position() < 160, "all whole periods that were due");
    }
    assert_eq!(heard.lost, []);
    assert_eq!(board.state(), &BoardState::Running);
    assert!(heard.frames[0].len() > 3 * 5001);
    heard.check(0, 1, &a);
    heard.check(1, 2, &b);
    heard.check(2, 1, &c);
}

#[test]
fn sim_chunks_of_odd_length_are_skipped_with_the_byte_that_pads_them() {
    let folder = Folder::new("pad");
    let samples = noise(500, 9);
    let path = folder.wav("a", 1, &samples);
    let plain = std::fs::read(&path).unwrap();
    // Before the format, between format and samples, and twice: titles of odd length.
    for places in [&[12][..], &[36], &[12, 36]] {
        let mut file = plain.clone();
        for at in places.iter().rev() {
            drop(file.splice(*at..*at, *b"LIST\x05\0\0\0INFOx\0"));
        }
        std::fs::write(&path, file).unwrap();
        let model = model(&[(&path, 1)]);
        let mut board = Board::open(&model, 0).unwrap();
        let mut heard = Heard::new(1);
        heard.read(&mut board, &model, 100_000, 700);
        assert!(heard.frames[0].len() > samples.len(), "{places:?}");
        heard.check(0, 1, &samples);
    }
}

#[test]
fn sim_stalled_reader_loses_exactly_the_excess() {
    let folder = Folder::new("stall");
    let samples = noise(4096, 5);
    let path = folder.wav("a", 1, &samples);
    let model = model(&[(&path, 1), (&path, 1)]);
    let mut board = Board::open(&model, 0).unwrap();
    let mut heard = Heard::new(2);
    heard.read(&mut board, &model, 100_000, 10_000);
    assert_eq!(board.position(), 800);
    // 200 ms more are just kept, ...
    heard.read(&mut board, &model, 300_000, 10_000);
    assert_eq!((board.position(), board.lost_frames()), (2400, 0));
    // ... of 1.0005 s all but the last 200 ms are lost.
    heard.read(&mut board, &model, 1_300_500, 10_000);
    assert_eq!(heard.lost, [(2400, 6404, GapReason::Overrun)]);
    assert_eq!((board.position(), board.lost_frames()), (10_400, 6404));
    assert_eq!(heard.frames[1].len(), 10_400, "the rest is no whole period yet");
    heard.check(0, 1, &samples);
    heard.check(1, 1, &samples);
}

#[test]
fn sim_read_keeps_its_budget_and_reports_the_rest() {
    let folder = Folder::new("budget");
    let path = folder.wav("a", 1, &noise(999, 6));
    let model = model(&[(&path, 1)]);
    let mut board = Board::open(&model, 0).unwrap();
    let mut heard = Heard::new(1);
    assert!(heard.read(&mut board, &model, 100_000, 0));
    assert!(heard.read(&mut board, &model, 100_000, 500));
    assert_eq!(board.position(), 500);
    assert!(!heard.read(&mut board, &model, 100_000, 10_000));
    assert!(
        !heard.read(&mut board, &model, 50_000, 10_000),
        "a clock that went back gives nothing"
    );
    assert_eq!(board.position(), 800);
}

#[test]
fn sim_truncated_file_fails_the_board_until_repaired() {
    let folder = Folder::new("cut");
    let samples = noise(8000, 7);
    let path = folder.wav("a", 1, &samples);
    let model = model(&[(&path, 1)]);
    let mut board = Board::open(&model, 0).unwrap();
    let mut heard = Heard::new(1);
    std::fs::OpenOptions::new().write(true).open(&path).unwrap().set_len(44 + 2 * 1000).unwrap();
    assert!(!heard.read(&mut board, &model, 200_000, 10_000));
    assert_eq!(board.position(), 960, "whole periods only");
    let BoardState::Failed { text, .. } = board.state() else { panic!("{:?}", board.state()) };
    assert!(text.contains("channel 1") && text.contains("cannot be read"), "{text}");
    assert_eq!(board.deadline_us(), Some(700_000));

    heard.read(&mut board, &model, 700_000, 10_000);
    let BoardState::Failed { text, .. } = board.state() else { panic!("{:?}", board.state()) };
    assert!(text.contains("16000 bytes of audio, 2000 are there"), "{text}");
    assert_eq!(board.deadline_us(), Some(1_700_000));

    folder.wav("a", 1, &samples);
    heard.read(&mut board, &model, 1_700_000, 10_000);
    assert_eq!(heard.lost, [(960, 12_640, GapReason::Board)]);
    assert_eq!(board.deadline_us(), None);
    heard.read(&mut board, &model, 1_800_000, 10_000);
    assert_eq!((board.state(), board.position()), (&BoardState::Running, 14_400));
    heard.check(0, 1, &samples);
}

fn refusal(path: &Path, sides: u8) -> (WavError, String) {
    match Board::open(&model(&[(path, sides)]), 0) {
        Err(error) => {
            let text = error.to_string();
            let BoardError::Wav { wrong, .. } = error else { panic!("{text}") };
            (wrong, text)
        }
        Ok(_) => panic!("{} was taken", path.display()),
    }
}

#[test]
fn sim_invalid_wav_is_refused_with_cause_and_remedy() {
    let folder = Folder::new("bad");
    let (wrong, text) = refusal(&folder.0.join("missing.wav"), 1);
    assert!(matches!(wrong, WavError::Read(_)), "{text}");
    assert!(text.contains("missing.wav"), "{text}");

    let path = folder.wav("mono.wav", 1, &noise(10, 8));
    let (wrong, text) = refusal(&path, 2);
    assert!(matches!(wrong, WavError::WrongFormat { .. }));
    assert!(text.contains("holds 16-bit PCM, 1 channel(s), 8000 Hz"), "{text}");
    assert!(text.contains("-r 8000 -c 2 converted.wav`"), "{text}");

    let (wrong, _) = refusal(&folder.wav("empty.wav", 1, &[]), 1);
    assert!(matches!(wrong, WavError::Empty { .. }));

    let whole = std::fs::read(&path).unwrap();
    let cut = folder.0.join("cut.wav");
    std::fs::write(&cut, &whole[..whole.len() - 5]).unwrap();
    let (wrong, text) = refusal(&cut, 1);
    assert!(matches!(wrong, WavError::Truncated { promised: 20, present: 15, .. }), "{text}");

    // 16 bits of a 32-bit container: block align 4, twice the bytes per second.
    let mut wide = whole.clone();
    wide[28..34].copy_from_slice(&[0, 0x7d, 0, 0, 4, 0]);
    std::fs::write(&cut, &wide).unwrap();
    let (_, text) = refusal(&cut, 1);
    assert!(text.contains("wider containers"), "{text}");

    // Never a panic, whatever the header says: every byte of it wrong in turn.
    for at in 0..44 {
        for value in [0, 1, 0x7f, 0xff] {
            let mut bytes = whole.clone();
            bytes[at] = value;
            std::fs::write(&cut, &bytes).unwrap();
            let _ = Board::open(&model(&[(&cut, 1)]), 0);
        }
    }
}

#[test]
fn sim_timer_wakes_every_poll() {
    let folder = Folder::new("wake");
    let path = folder.wav("a", 1, &noise(700, 9));
    let model = model(&[(&path, 1)]);
    let start = std::time::Instant::now();
    let now_us = || u64::try_from(start.elapsed().as_micros()).unwrap();
    let mut board = Board::open(&model, now_us()).unwrap();
    let mut poll = mio::Poll::new().unwrap();
    board.register(poll.registry(), 5..9).unwrap();
    let mut events = mio::Events::with_capacity(8);
    let mut heard = Heard::new(1);
    let mut wakes = 0;
    while heard.frames[0].len() < 4000 {
        poll.poll(&mut events, Some(std::time::Duration::from_secs(2))).unwrap();
        assert!(!events.is_empty(), "the timer stopped");
        events.iter().for_each(|event| board.mark_ready(event.token().0));
        while heard.read(&mut board, &model, now_us(), 10_000) {}
        wakes += 1;
    }
    assert!(wakes >= 3, "{wakes} wakes");
    assert!(now_us() >= 500_000, "not faster than real time");
}

#[test]
fn sim_demo_files_play() {
    let demo = Path::new(env!("CARGO_MANIFEST_DIR")).join("models/demo");
    let (one, two) = (demo.join("1001.wav"), demo.join("1002.wav"));
    let model = model(&[(&one, 1), (&two, 2)]);
    let mut board = Board::open(&model, 0).unwrap();
    let mut heard = Heard::new(2);
    for n in 1..=150 {
        heard.read(&mut board, &model, n * 200_000, u32::MAX);
    }
    for (channel, path) in [&one, &two].into_iter().enumerate() {
        let mut wav = hound::WavReader::open(path).unwrap();
        let sides = usize::from(wav.spec().channels);
        let samples: Vec<i16> = wav.samples().map(Result::unwrap).collect();
        heard.check(channel, sides, &samples);
    }
    // The customer reads the number on the right, while the left is silent.
    let number = &heard.frames[1][8 * 8550..8 * 14_880];
    assert!(number.iter().flatten().all(|frame| frame[0] == 0));
    assert!(number.iter().flatten().any(|frame| frame[1].unsigned_abs() > 8000));
}
