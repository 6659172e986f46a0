//! Report rows of a self-test, and the recorder's signature over them.
//!
//! One row per test: `result=pass`, `fail`, or `skip` for a test that is impossible here. Figures
//! have their own keys; `text` explains. The last row signs all bytes before it.

use super::{RunningSelfTest, ToneResult};
use crate::alarm;
use crate::audio::channel::Channel;
use crate::recorder::Recorder;
use crate::selftest::{DiskResult, TONE_DB, latency_histogram};
use crate::store::sign::SignaturePurpose;
use crate::time::{Now, frames_of_ms};
use data_encoding::HEXLOWER;
use protocol::reply::{self, LineWriter};

/// Largest drift that passes, in ppm. Crystals are good to 100 ppm each.
const DRIFT_PPM: u64 = 200;
/// Highest crosstalk that passes, in dB.
const CROSSTALK_DB: i32 = -40;
/// Level of a line's quietest moment, in dBFS, above which the row reports noise.
const NOISE_DB: i32 = -40;
/// Longest sync that passes, in microseconds: half of the slack for a slow disk.
const SYNC_WORST_US: u64 = 1_500_000;

/// The rows so far, and the counts of results.
struct ReportRows {
    bytes: Vec<u8>,
    passed: u32,
    failed: u32,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum RowResult {
    Pass,
    Fail,
    Skip,
}

impl ReportRows {
    fn begin_row(&mut self, test: &str, result: RowResult) -> LineWriter<'_> {
        let word = match result {
            RowResult::Pass => {
                self.passed += 1;
                "pass"
            }
            RowResult::Fail => {
                self.failed += 1;
                "fail"
            }
            RowResult::Skip => "skip",
        };
        reply::begin_row(&mut self.bytes).pair("test", test).pair("result", word)
    }
}

fn pass_or_fail(good: bool) -> RowResult {
    if good { RowResult::Pass } else { RowResult::Fail }
}

impl Recorder {
    /// The complete report, signed.
    pub(super) fn signed_report(
        &self,
        now: Now,
        trial: &RunningSelfTest,
        found: &DiskResult,
    ) -> Vec<u8> {
        let mut rows = ReportRows { bytes: Vec::new(), passed: 0, failed: 0 };
        self.box_row(now, &mut rows);
        self.clock_rows(&mut rows);
        for (index, channel) in self.channels.iter().enumerate() {
            self.channel_row(trial, index, channel, &mut rows);
        }
        self.tone_rows(trial, found, &mut rows);
        match &trial.round_trip {
            Ok(()) => rows
                .begin_row("seal", RowResult::Pass)
                .pair("text", "sealed, opened, refused to others"),
            Err(text) => rows.begin_row("seal", RowResult::Fail).pair("text", text),
        }
        .end();
        disk_row(found, &mut rows);
        self.space_row(&mut rows);
        self.alarms_row(&mut rows);
        self.sign_rows(now, rows)
    }

    fn box_row(&self, now: Now, rows: &mut ReportRows) {
        let row =
            rows.begin_row("box", RowResult::Pass).pair("name", self.journal.storage.box_name());
        let row = row.pair("version", env!("CARGO_PKG_VERSION")).pair("boot", self.boot);
        let row = row.pair("time", now.wall).pair("time_sync", self.admin.about.time_sync.as_str());
        row.pair("uptime_s", now.mono.0 / 1_000_000).end();
    }

    fn clock_rows(&self, rows: &mut ReportRows) {
        for (board, drift) in self.config.boards.iter().zip(&self.admin.selftests.drift) {
            match drift.estimate_ppm() {
                Some((ppm, within)) => {
                    let good = ppm.unsigned_abs() <= DRIFT_PPM + within;
                    let row =
                        rows.begin_row("clock", pass_or_fail(good)).pair("board", &board.name);
                    row.pair("ppm", ppm).pair("within_ppm", within).end();
                }
                None => {
                    let row = rows.begin_row("clock", RowResult::Fail).pair("board", &board.name);
                    row.pair("text", "no audio has come from it").end();
                }
            }
        }
    }

    fn channel_row(
        &self,
        trial: &RunningSelfTest,
        index: usize,
        channel: &Channel,
        rows: &mut ReportRows,
    ) {
        let came =
            trial.heads_before.get(index).map_or(0, |before| channel.head().frames_since(*before));
        let lost = channel.lost_frames - trial.lost_before.get(index).copied().unwrap_or(0);
        let Some(heard) = trial.heard_on(index) else {
            let text = "blacked out: not measured";
            return add_channel_name(rows.begin_row("channel", RowResult::Skip), channel)
                .pair("text", text)
                .end();
        };
        let failed = self.boards[channel.board].is_some() || came < frames_of_ms(500, channel.rate);
        let (good, text) = match () {
            () if failed => (false, "no audio: board, cable?"),
            () if lost > 0 => (false, "lost: is the machine busy?"),
            () if !heard.has_signal => (false, "digital silence: connected?"),
            () if heard.is_clipping => (false, "clips: turn the input down"),
            () if heard.noise_db > NOISE_DB => (true, "noisy, or no pause in speech"),
            () => (true, "clean"),
        };
        let row = add_channel_name(rows.begin_row("channel", pass_or_fail(good)), channel)
            .pair("level_db", heard.level_db);
        let row = row.pair("peak_db", heard.peak_db).pair("noise_db", heard.noise_db);
        row.pair("lost", lost).pair("text", text).end();
    }

    fn tone_rows(&self, trial: &RunningSelfTest, found: &DiskResult, rows: &mut ReportRows) {
        let (index, masked) = match &trial.tone {
            ToneResult::Made { index, masked } => (*index, *masked),
            ToneResult::None(why) => return skip_tone_rows(why, rows),
            ToneResult::Chosen(_) | ToneResult::Making(_) => {
                return skip_tone_rows("it was not finished", rows);
            }
        };
        let id = self.channels[index].id;
        let proof = match &found.read_back {
            Some(Ok(proof)) => proof,
            Some(Err(text)) => {
                return rows
                    .begin_row("tone", RowResult::Fail)
                    .pair("channel", id)
                    .pair("text", text)
                    .end();
            }
            None => return skip_tone_rows("it was not written", rows),
        };
        let good = (proof.clear_tone_db - TONE_DB).abs() <= 1;
        let text =
            if good { "recorded, sealed, written, read back" } else { "not as it was fed in" };
        let row = rows.begin_row("tone", pass_or_fail(good)).pair("channel", id);
        row.pair("level_db", proof.clear_tone_db).pair("text", text).end();
        self.crosstalk_row(trial, index, rows);
        let good = proof.leak.is_none() && masked > 0 && proof.masked_frames == masked;
        let text = proof.leak.as_deref().unwrap_or(match good {
            true => "nothing of what was blacked out is in what was written",
            false => "the blackout is not as long as it was",
        });
        let row = rows.begin_row("blackout", pass_or_fail(good)).pair("channel", id);
        row.pair("masked_frames", proof.masked_frames).pair("text", text).end();
    }

    /// The loudest crosstalk of the tone on the board's other channels.
    fn crosstalk_row(&self, trial: &RunningSelfTest, tone: usize, rows: &mut ReportRows) {
        let amplitude = f64::from(crate::selftest::TONE_PEAK) / 32768.0;
        let board = self.channels[tone].board;
        let others = self.channels.iter().enumerate();
        let others = others.filter(|(index, channel)| *index != tone && channel.board == board);
        let (mut heard, mut worst) = (0, None);
        for (index, channel) in others {
            let Some(of) = trial.heard_on(index) else { continue };
            heard += 1;
            let db = of.crosstalk_db(amplitude);
            worst = worst.max(db.map(|db| (db, channel.id)));
        }
        match worst {
            _ if heard == 0 => {
                let text = "there is no other channel to hear it";
                rows.begin_row("crosstalk", RowResult::Skip).pair("text", text).end();
            }
            Some((db, id)) => {
                let row = rows
                    .begin_row("crosstalk", pass_or_fail(db <= CROSSTALK_DB))
                    .pair("channel", id);
                row.pair("worst_db", db).pair("heard", heard).end();
            }
            None => {
                let row = rows.begin_row("crosstalk", RowResult::Pass).pair("heard", heard);
                row.pair("text", "no other channel hears the tone").end();
            }
        }
    }

    fn space_row(&self, rows: &mut ReportRows) {
        let (free, total) = (self.journal.storage.free_bytes, self.journal.storage.total_bytes);
        let reserve = u64::from(self.config.store.reserve_mb) << 20;
        let days = |days: Option<u64>| days.map_or("-".to_string(), |days| days.to_string());
        let full = free.saturating_sub(reserve).checked_div(self.bytes_per_day());
        let row = rows
            .begin_row("space", pass_or_fail(free > reserve))
            .pair("free", free)
            .pair("total", total);
        row.pair("days_left", days(self.days_left())).pair("days_all_channels", days(full)).end();
    }

    /// Bytes per day if all channels were recorded without a pause.
    fn bytes_per_day(&self) -> u64 {
        use crate::config::CodecKind;
        let bits = |channel: &Channel| {
            let (rate, sides) = (u64::from(channel.rate), u64::from(channel.sides));
            sides
                * match self.config.audio.codec {
                    CodecKind::Opus => u64::from(self.config.audio.bitrate),
                    CodecKind::Ulaw => rate * 8,
                    CodecKind::Pcm => rate * 16,
                    CodecKind::Screen => 0,
                }
        };
        self.channels.iter().map(bits).sum::<u64>() / 8 * 86_400
    }

    fn alarms_row(&self, rows: &mut ReportRows) {
        let active = || self.journal.alarms.iter().filter(|alarm| alarm.is_active);
        let bad = |alarm: &&alarm::Alarm| alarm.code.severity() == alarm::Severity::Critical;
        let critical = active().filter(bad).count();
        let row =
            rows.begin_row("alarms", pass_or_fail(critical == 0)).pair("active", active().count());
        row.pair("critical", critical).end();
    }

    /// Signs all bytes so far and ends the reply.
    fn sign_rows(&self, now: Now, rows: ReportRows) -> Vec<u8> {
        let ReportRows { mut bytes, passed, failed } = rows;
        let digest = blake3::hash(&bytes);
        let (sig, key) = self.journal.storage.sign(SignaturePurpose::Selftest, digest.as_bytes());
        let row = reply::begin_row(&mut bytes).pair("test", "signature").pair("result", "pass");
        let row = row.pair("digest", HEXLOWER.encode(digest.as_bytes()));
        row.pair("sig", HEXLOWER.encode(&sig)).pair("key", HEXLOWER.encode(&key)).end();
        let passed = passed + 1;
        reply::begin_ok(&mut bytes).pair("passed", passed).pair("failed", failed).end();
        log::info!("the self-test ended at {}: {passed} passed, {failed} failed", now.wall);
        bytes
    }
}

fn add_channel_name<'a>(row: LineWriter<'a>, channel: &Channel) -> LineWriter<'a> {
    row.pair("channel", channel.id).pair("device", &channel.device)
}

fn skip_tone_rows(why: &str, rows: &mut ReportRows) {
    for test in ["tone", "crosstalk", "blackout"] {
        rows.begin_row(test, RowResult::Skip).pair("text", why).end();
    }
}

fn disk_row(found: &DiskResult, rows: &mut ReportRows) {
    let us = match &found.syncs_us {
        Ok(us) if !us.is_empty() => us,
        Ok(_) => {
            return rows
                .begin_row("disk", RowResult::Fail)
                .pair("text", "nothing was written")
                .end();
        }
        Err(text) => return rows.begin_row("disk", RowResult::Fail).pair("text", text).end(),
    };
    let at = |percent: usize| us[(us.len() - 1) * percent / 100];
    let classes: Vec<String> =
        latency_histogram(us).iter().map(|(ms, count)| format!("{ms}ms:{count}")).collect();
    let row =
        rows.begin_row("disk", pass_or_fail(at(100) <= SYNC_WORST_US)).pair("syncs", us.len());
    let row = row.pair("p50_us", at(50)).pair("p99_us", at(99)).pair("max_us", at(100));
    row.pair("histogram", classes.join(",")).end();
}
