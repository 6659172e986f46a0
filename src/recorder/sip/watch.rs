//! Watches the legs of calls by SIPREC: silent calls, one-way audio, and what was lost.
//!
//! Silence here means that no RTP packet comes; how soft they are does not matter. It never ends a
//! session whose dialog lives, but without a BYE and without RTP a call ends as any other
//! does whose stop was lost (`stale_call_s`).

use super::legs::LEGS_MAX;
use crate::alarm::AlarmCode;
use crate::recorder::Recorder;
use crate::store::fact::CallNumber;
use crate::time::{MonoTime, Now};

/// Without a packet for this time, an active leg is silent, in milliseconds.
const SILENT_MS: u64 = 5000;

/// What came on one leg since its slot was opened.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct LegReport {
    pub packets: u64,
    pub lost: u64,
    pub late: u64,
    pub reordered: u64,
    pub duplicates: u64,
    /// Packets that the kernel dropped.
    pub kernel_dropped: u64,
    /// Packets of another sender.
    pub foreign: u64,
    /// Packets that could not be read, or decrypted.
    pub unusable: u64,
    pub ssrc_changes: u64,
    pub digits: u64,
    /// Interarrival jitter (RFC 3550), in microseconds.
    pub jitter_us: u64,
    pub last_packet: Option<MonoTime>,
}

impl LegReport {
    /// Adds the counts of another leg.
    pub(super) fn add(&mut self, other: &LegReport) {
        self.packets += other.packets;
        self.lost += other.lost;
        self.late += other.late;
        self.reordered += other.reordered;
        self.duplicates += other.duplicates;
        self.kernel_dropped += other.kernel_dropped;
        self.foreign += other.foreign;
        self.unusable += other.unusable;
        self.ssrc_changes += other.ssrc_changes;
        self.digits += other.digits;
    }
}

/// What is known of the legs of a session.
#[derive(Clone, Debug)]
pub(in crate::recorder) struct LegWatch {
    /// Since when packets are expected.
    since: MonoTime,
    pub reports: [Option<LegReport>; LEGS_MAX],
}

impl LegWatch {
    pub fn new(now: MonoTime) -> LegWatch {
        LegWatch { since: now, reports: [None; LEGS_MAX] }
    }

    /// Expects packets from now on, as an answer has just said so.
    pub fn restart(&mut self, now: MonoTime) {
        self.since = now;
    }

    fn last_packet(&self, leg: usize) -> Option<MonoTime> {
        self.reports[leg].and_then(|report| report.last_packet)
    }

    fn is_silent(&self, leg: usize, now: MonoTime) -> bool {
        let heard = self.last_packet(leg).map_or(self.since, |last| last.max(self.since));
        now.since_ms(heard) >= SILENT_MS
    }

    /// Whether any leg had a packet in this time.
    pub fn was_heard_within(&self, now: MonoTime, ms: u64) -> bool {
        let last = (0..LEGS_MAX).filter_map(|leg| self.last_packet(leg)).max();
        last.is_some_and(|last| now.since_ms(last) < ms)
    }

    /// Takes new reports. Returns whether a packet has come since the last ones.
    fn update(&mut self, reports: [Option<LegReport>; LEGS_MAX]) -> bool {
        let packets = |reports: &[Option<LegReport>; LEGS_MAX]| -> u64 {
            reports.iter().flatten().map(|report| report.packets).sum()
        };
        let is_heard = packets(&reports) > packets(&self.reports);
        self.reports = reports;
        is_heard
    }
}

impl Recorder {
    /// Takes the reports of a slot's legs, and raises or clears the alarms about them.
    pub(super) fn handle_slot_report(
        &mut self,
        now: Now,
        (board, slot): (usize, usize),
        reports: [Option<LegReport>; LEGS_MAX],
    ) {
        let Some(sip) = self.sip.iter_mut().find(|sip| sip.board == board) else { return };
        let Some(key) = sip.by_slot.get(&slot) else { return };
        let Some(session) = sip.sessions.get_mut(key) else { return };
        let is_heard = session.watch.update(reports);
        let Some(number) = session.call else { return };
        let active = |leg: &usize| {
            let leg = session.legs[*leg].as_ref().and_then(|leg| leg.settings.as_ref());
            leg.is_some_and(|settings| settings.is_sending)
        };
        let active: Vec<usize> = (0..LEGS_MAX).filter(active).collect();
        let silent = active.iter().filter(|leg| session.watch.is_silent(**leg, now.mono));
        let silent: Vec<usize> = silent.copied().collect();
        if is_heard {
            self.calls.mark_heard(number, now.mono);
        }
        self.update_leg_alarms(now, number, (&active, &silent));
    }

    fn update_leg_alarms(
        &mut self,
        now: Now,
        number: CallNumber,
        (active, silent): (&[usize], &[usize]),
    ) {
        let Some(call) = self.calls.get(number).filter(|call| call.is_live()) else { return };
        let (device, subject) = (call.device.clone(), number.0.to_string());
        let is_silent = !silent.is_empty() && silent.len() == active.len();
        let is_one_way = !silent.is_empty() && !is_silent;
        let seconds = SILENT_MS / 1000;
        if is_silent {
            let text = format!("call {subject} on {device}: no RTP for {seconds} s");
            self.journal.raise_alarm(now, AlarmCode::SilentCall, &subject, text);
        } else {
            self.journal.clear_alarm(now, AlarmCode::SilentCall, &subject);
        }
        if let Some(leg) = silent.first().filter(|_| is_one_way) {
            let side = if *leg == 0 { "agent" } else { "customer" };
            let text = format!("call {subject} on {device}: no RTP of the {side} for {seconds} s");
            self.journal.raise_alarm(now, AlarmCode::OneWayAudio, &subject, text);
        } else {
            self.journal.clear_alarm(now, AlarmCode::OneWayAudio, &subject);
        }
    }

    pub(super) fn clear_leg_alarms(&mut self, now: Now, call: CallNumber) {
        let subject = call.0.to_string();
        for code in [AlarmCode::SilentCall, AlarmCode::OneWayAudio] {
            self.journal.clear_alarm(now, code, &subject);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn report(packets: u64, last_ms: u64) -> Option<LegReport> {
        let last_packet = Some(MonoTime(last_ms * 1000));
        Some(LegReport { packets, last_packet, ..LegReport::default() })
    }

    #[test]
    fn a_leg_is_silent_after_five_seconds_without_a_packet() {
        let at = |ms: u64| MonoTime(ms * 1000);
        let mut watch = LegWatch::new(at(1000));
        assert!(!watch.is_silent(0, at(5999)) && watch.is_silent(0, at(6000)));
        assert!(watch.update([report(1, 6000), None]), "the first packet");
        assert!(!watch.is_silent(0, at(10_999)) && watch.is_silent(0, at(11_000)));
        assert!(watch.is_silent(1, at(6000)), "the other leg has none");
        assert!(!watch.update([report(1, 6000), None]), "nothing new");
        assert!(watch.was_heard_within(at(6999), 1000) && !watch.was_heard_within(at(7000), 1000));
        watch.restart(at(20_000));
        assert!(!watch.is_silent(0, at(24_999)), "expected again from the answer on");
    }
}
