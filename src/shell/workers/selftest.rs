//! The disk part of a self-test, in a worker thread: keys, timed writes and the read-back check.
//!
//! The scratch file is unlinked right after creation, so nothing remains after a crash. It is
//! written in small pieces with pauses for a few seconds at most, because the disk thread works
//! at the same time. The test then reads it back, decrypts it with a key of its own, and searches
//! for the masked tone. No recording is touched.

use crate::audio::codec::Decoder;
use crate::selftest::probe::ChannelProbe;
use crate::selftest::{
    DiskResult, MASKED_TONE_HZ, ReadBackResult, SelfTestKeys, SelfTestRecording, TONE_PEAK,
};
use crate::store::media::MediaReader;
use crate::store::seal::{self, Envelope, Identity, Recipient};
use crate::time::Position;
use std::fs::{File, OpenOptions};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::time::{Duration, Instant};

/// Name of the scratch file between creation and unlink.
const SCRATCH_NAME: &str = "selftest.tmp";
/// Limits on the number of timed syncs and on their total duration.
const SYNCS_MAX: usize = 50;
const DURATION_MAX: Duration = Duration::from_secs(5);
/// Pause between two syncs, for other disk work.
const SYNC_PAUSE: Duration = Duration::from_millis(20);
const WRITE_BYTES: usize = 4096;
/// Consecutive samples by which a tone is recognised.
const WINDOW_FRAMES: u64 = 32;

/// Makes a key pair for one test, and checks that sealing to it and to the box's recipients
/// works.
pub fn generate_keys(recipients: &[Recipient], seal: bool) -> Result<SelfTestKeys, String> {
    let identity = Identity::generate();
    let mut random = [0; 42];
    getrandom::fill(&mut random).map_err(|error| format!("no random bits: {error}"))?;
    let round_trip = check_round_trip(&identity, recipients, random);
    let envelope = match seal {
        false => Envelope::without_key(random),
        true => {
            Envelope::for_recipients(random, &[identity.to_public()]).map_err(|e| e.to_string())?
        }
    };
    Ok(SelfTestKeys { identity, envelope, round_trip })
}

fn check_round_trip(
    identity: &Identity,
    recipients: &[Recipient],
    random: [u8; 42],
) -> Result<(), String> {
    let mut all = recipients.to_vec();
    all.truncate(seal::MAX_RECIPIENTS - 1);
    all.push(identity.to_public());
    let envelope = Envelope::for_recipients(random, &all).map_err(|error| error.to_string())?;
    let opened = seal::unwrap_key(&envelope.wrapped, std::slice::from_ref(identity));
    let opened = opened.map_err(|error| error.to_string())?;
    if Some(opened) != envelope.key {
        return Err("what was opened is not what was sealed".to_string());
    }
    let stranger = Identity::generate();
    match seal::unwrap_key(&envelope.wrapped, &[stranger]) {
        Err(_) => Ok(()),
        Ok(_) => Err("a stranger's key opens it".to_string()),
    }
}

/// Times the disk, and checks the test recording.
#[must_use]
pub fn run_disk_test(data: &Path, recording: Option<&SelfTestRecording>) -> DiskResult {
    let media = recording.map_or(&[][..], |recording| &recording.media);
    let written = write_and_read_back(data, media);
    let proof = |recording: &SelfTestRecording| match &written {
        Ok((_, read)) => verify_read_back(recording, read),
        Err(error) => Err(error.to_string()),
    };
    let proof = recording.map(proof);
    DiskResult {
        syncs_us: written.map(|(us, _)| us).map_err(|error| error.to_string()),
        read_back: proof,
    }
}

fn create_scratch_file(data: &Path) -> io::Result<File> {
    let path = data.join(SCRATCH_NAME);
    // Removes a file that a power cut left between the next two lines.
    drop(std::fs::remove_file(&path));
    let mut options = OpenOptions::new();
    let file = options.read(true).write(true).create_new(true).mode(0o600).open(&path)?;
    std::fs::remove_file(&path)?;
    Ok(file)
}

/// Writes the media, then padding with timed syncs. Returns the sync times, sorted, and the media
/// read back.
#[allow(clippy::disallowed_methods, reason = "it measures the disk, beside the loop")]
fn write_and_read_back(data: &Path, media: &[u8]) -> io::Result<(Vec<u64>, Vec<u8>)> {
    let mut file = create_scratch_file(data)?;
    file.write_all(media)?;
    let began = Instant::now();
    let piece = [0x5a; WRITE_BYTES];
    let mut us = Vec::with_capacity(SYNCS_MAX);
    while us.len() < SYNCS_MAX && began.elapsed() < DURATION_MAX {
        let start = Instant::now();
        file.write_all(&piece)?;
        file.sync_data()?;
        us.push(u64::try_from(start.elapsed().as_micros()).unwrap_or(u64::MAX));
        std::thread::park_timeout(SYNC_PAUSE);
    }
    us.sort_unstable();
    let mut read = Vec::with_capacity(media.len());
    file.seek(SeekFrom::Start(0))?;
    file.take(media.len() as u64).read_to_end(&mut read)?;
    Ok((us, read))
}

/// Decrypts the media that was read back, and searches it for both tones.
fn verify_read_back(recording: &SelfTestRecording, read: &[u8]) -> Result<ReadBackResult, String> {
    if read != recording.media {
        return Err("what was read back is not what was written".to_string());
    }
    let samples = decode_samples(recording, read)?;
    let sides = usize::from(recording.sides);
    let place = |position: Position| {
        usize::try_from(position.frames_since(recording.from))
            .unwrap_or(usize::MAX)
            .saturating_mul(sides)
    };
    let (from, to) = (place(recording.masked.0), place(recording.masked.1));
    if samples.len() != place(recording.to) || from >= to || to > samples.len() {
        return Err("it is not as long as it was".to_string());
    }
    let mut probe = ChannelProbe::new(recording.rate, recording.sides);
    probe.set_tone(true);
    probe.push_samples(&samples[..from]);
    let open = probe.result().map_or(0.0, |heard| heard.with_tone);
    let masked = samples[from..to].iter().filter(|sample| **sample == 0).count() / sides;
    let leak = find_leak(recording, read, &samples);
    Ok(ReadBackResult {
        clear_tone_db: crate::audio::meter::ratio_to_db(open),
        masked_frames: masked as u64,
        leak,
    })
}

fn decode_samples(recording: &SelfTestRecording, read: &[u8]) -> Result<Vec<i16>, String> {
    let reader = MediaReader::open(read).map_err(|error| error.to_string())?;
    let header = reader.header().clone();
    let key = match header.wrapped.is_empty() {
        true => None,
        false => {
            let opened =
                seal::unwrap_key(&header.wrapped, std::slice::from_ref(&recording.identity));
            Some(opened.map_err(|error| error.to_string())?)
        }
    };
    let decoder = Decoder::new(header.codec, header.rate, header.sides, header.delay);
    let mut decoder = decoder.map_err(|error| error.to_string())?;
    let (mut samples, mut wrong) = (Vec::new(), None);
    let tail = reader.for_each_chunk(key.as_ref(), |runs, payload| {
        wrong = wrong.take().or(decoder.decode_chunk(runs, payload, &mut samples).err());
    });
    tail.map_err(|error| error.to_string())?;
    decoder.finish(&mut samples);
    wrong.map_or(Ok(samples), |error| Err(error.to_string()))
}

/// Returns where the masked tone was found, in samples or in raw bytes.
fn find_leak(recording: &SelfTestRecording, read: &[u8], samples: &[i16]) -> Option<String> {
    let tone = board::TestTone { hz: MASKED_TONE_HZ, peak: TONE_PEAK };
    let sides = usize::from(recording.sides);
    // The tone is periodic, so these are all its possible phases.
    let period = u64::from(recording.rate / gcd(recording.rate, MASKED_TONE_HZ));
    for phase in 0..period {
        let window: Vec<i16> = (phase..phase + WINDOW_FRAMES)
            .flat_map(|at| std::iter::repeat_n(tone.sample_at(at, recording.rate), sides))
            .collect();
        let bytes: Vec<u8> = window.iter().flat_map(|sample| sample.to_le_bytes()).collect();
        let heard = samples.windows(window.len()).position(|found| found == window);
        if let Some(at) = heard {
            return Some(format!("blacked out audio is at frame {}", at / sides));
        }
        if let Some(at) = read.windows(bytes.len()).position(|found| found == bytes) {
            return Some(format!("blacked out audio is at byte {at}"));
        }
    }
    None
}

fn gcd(a: u32, b: u32) -> u32 {
    if b == 0 { a.max(1) } else { gcd(b, a % b) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::audio::codec::Encoder;
    use crate::audio::ring::Ring;
    use crate::config::CodecKind;
    use crate::selftest::CLEAR_TONE_HZ;
    use crate::store::fact::RecordingEnd;
    use crate::store::media::{MediaHeader, MediaWriter};
    use crate::time::WallTime;

    /// Makes a 0.3 s recording whose middle third holds the second tone; `dark` masks that part.
    fn test_recording(seal: bool, dark: bool) -> SelfTestRecording {
        let keys = generate_keys(&[], seal).unwrap();
        let mut ring = Ring::new(1, 4000, 160);
        let (mut mask, held) = <(crate::audio::mask::Mask, crate::audio::mask::Mask)>::default();
        if dark {
            mask.insert(Position(800), Position(1600));
        }
        let mut media = Vec::new();
        let header = MediaHeader {
            id: keys.envelope.id,
            codec: CodecKind::Pcm,
            rate: 8000,
            sides: 1,
            bitrate: 0,
            channel: 1,
            from: Position(0),
            began: WallTime(0),
            boot: 1,
            delay: 0,
            wrapped: keys.envelope.wrapped.clone(),
        };
        let mut writer = MediaWriter::create(&header, keys.envelope.key.clone(), &mut media);
        let mut encoder = Encoder::new(CodecKind::Pcm, 8000, 1, 0).unwrap();
        for grid in 0..15 {
            let secret = (5..10).contains(&grid);
            let hz = if secret { MASKED_TONE_HZ } else { CLEAR_TONE_HZ };
            let tone = board::TestTone { hz, peak: TONE_PEAK };
            let sound: Vec<i16> =
                (grid * 160..grid * 160 + 160).map(|at| tone.sample_at(at, 8000)).collect();
            ring.write(&sound, secret && dark);
            let cleared = ring.read_cleared(Position(grid * 160), 160, [&mask, &held]);
            let mut payload = Vec::new();
            encoder.encode_frame(&cleared, &mut payload);
            let runs = cleared.runs().to_vec();
            writer.append_chunk(&runs, &mut payload, &mut media);
        }
        writer.finish(RecordingEnd::Stop, &mut media);
        let dark = (Position(800), Position(1600));
        let (from, to) = (Position(0), Position(2400));
        SelfTestRecording {
            identity: keys.identity,
            media,
            from,
            masked: dark,
            to,
            rate: 8000,
            sides: 1,
        }
    }

    #[test]
    fn g1_h2_the_proof_sees_what_was_blacked_out_and_what_was_not() {
        let folder = tempfile::tempdir().unwrap();
        for seal in [true, false] {
            let found = run_disk_test(folder.path(), Some(&test_recording(seal, true)));
            let proof = found.read_back.unwrap().unwrap();
            assert_eq!(
                proof,
                ReadBackResult { clear_tone_db: -12, masked_frames: 800, leak: None }
            );
            assert_eq!(found.syncs_us.unwrap().len(), SYNCS_MAX);
            // Different media must not pass as what was written.
            assert!(
                verify_read_back(&test_recording(seal, false), &test_recording(seal, false).media)
                    .is_err()
            );
            let bare = test_recording(seal, false);
            let leak = verify_read_back(&bare, &bare.media).unwrap().leak.unwrap();
            assert!(leak.starts_with("blacked out audio is at "), "{leak}");
        }
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0, "nothing stays");
        assert!(run_disk_test(&folder.path().join("gone"), None).syncs_us.is_err());
    }
}
