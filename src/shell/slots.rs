//! Slots of RTP boards: opened, changed and closed as the recorder says, and reported to it.

use crate::recorder::{Input, LegReport, LegSettings, SlotCommand};
use crate::shell::capture;
use crate::shell::event_loop::Daemon;
use crate::time::{MonoTime, Now};
use board::{LEGS_MAX, LegConfig, LegStatistics, RtpCodec, SrtpKey, SrtpSuite};
use siprec::codec::{Codec, Encoding};
use siprec::crypto::SrtpSuite as OfferedSuite;
use std::collections::BTreeSet;
use zeroize::Zeroizing;

/// Interval between reports about the open slots, in milliseconds.
const REPORT_MS: u64 = 1000;

/// The slots that are open, by board.
#[derive(Default)]
pub(super) struct OpenSlots {
    slots: BTreeSet<(usize, usize)>,
    next_report: MonoTime,
}

impl Daemon {
    /// Does to a slot what the recorder decided.
    pub(super) fn command_slot(&mut self, now: Now, command: SlotCommand) {
        match command {
            SlotCommand::Open { board, slot, legs } => {
                let result = self.open_slot(now, (board, slot), legs);
                match result {
                    Ok(()) => drop(self.slots.slots.insert((board, slot))),
                    Err(why) => self.recorder.handle(now, Input::SlotFailed { board, slot, why }),
                }
            }
            SlotCommand::Change { board, slot, legs } => {
                if let Err(why) = self.change_slot(now, (board, slot), legs) {
                    self.recorder.handle(now, Input::SlotFailed { board, slot, why });
                }
            }
            SlotCommand::Close { board, slot } => self.close_slot(now, board, slot),
        }
    }

    fn open_slot(
        &mut self,
        now: Now,
        (board, slot): (usize, usize),
        legs: [Option<LegSettings>; LEGS_MAX],
    ) -> Result<(), String> {
        let place = self.boards.get_mut(board).and_then(|place| place.board.as_rtp_mut());
        let rtp = place.ok_or("its RTP ports are not open")?;
        rtp.open_slot(now.mono.0, slot, &to_leg_configs(legs)).map_err(|error| error.to_string())
    }

    fn change_slot(
        &mut self,
        now: Now,
        (board, slot): (usize, usize),
        legs: [Option<LegSettings>; LEGS_MAX],
    ) -> Result<(), String> {
        let place = self.boards.get_mut(board).and_then(|place| place.board.as_rtp_mut());
        let rtp = place.ok_or("its RTP ports are not open")?;
        rtp.change_slot(now.mono.0, slot, &to_leg_configs(legs)).map_err(|error| error.to_string())
    }

    /// Closes a slot, and passes the audio that has arrived.
    fn close_slot(&mut self, now: Now, board: usize, slot: usize) {
        self.report_slot(now, board, slot);
        self.slots.slots.remove(&(board, slot));
        let super::event_loop::Daemon { boards, recorder, .. } = self;
        if let Some(place) = boards.get_mut(board) {
            let first = place.first_channel.0;
            if let Some(rtp) = place.board.as_rtp_mut() {
                rtp.close_slot(now.mono.0, slot, &mut |event| {
                    capture::pass_event(recorder, now, (board, first), event);
                });
            }
        }
        recorder.handle(now, Input::SlotClosed { board, slot });
    }

    /// Reports the legs of all open slots, once a second.
    pub(super) fn report_slots(&mut self, now: Now) {
        if self.slots.slots.is_empty() || now.mono < self.slots.next_report {
            return;
        }
        self.slots.next_report = now.mono.after_ms(REPORT_MS);
        let open: Vec<(usize, usize)> = self.slots.slots.iter().copied().collect();
        open.into_iter().for_each(|(board, slot)| self.report_slot(now, board, slot));
    }

    fn report_slot(&mut self, now: Now, board: usize, slot: usize) {
        let Some(place) = self.boards.get_mut(board) else { return };
        let Some(rtp) = place.board.as_rtp_mut() else { return };
        let legs = [0, 1].map(|leg| rtp.leg_statistics(slot, leg).map(|found| to_report(&found)));
        self.recorder.handle(now, Input::SlotReport { board, slot, legs });
    }
}

fn to_report(found: &LegStatistics) -> LegReport {
    LegReport {
        packets: found.packets,
        lost: found.lost,
        late: found.late,
        reordered: found.reordered,
        duplicates: found.duplicates,
        kernel_dropped: found.kernel_dropped,
        foreign: found.foreign,
        unusable: found.malformed + found.unknown_payload + found.srtp_failures,
        ssrc_changes: found.ssrc_changes,
        digits: found.digits,
        jitter_us: found.jitter_us,
        last_packet: found.last_packet_us.map(MonoTime),
    }
}

/// The legs as the board opens them. A call whose only stream is the customer's has a silent leg
/// for the agent.
fn to_leg_configs(legs: [Option<LegSettings>; LEGS_MAX]) -> Vec<LegConfig> {
    let [first, second] = legs.map(|leg| leg.map(to_leg_config));
    let silent = |other: &LegConfig| LegConfig {
        expects_audio: false,
        crypto: None,
        sender: None,
        ..other.clone()
    };
    match (first, second) {
        (Some(first), Some(second)) => vec![first, second],
        (Some(first), None) => vec![first],
        (None, Some(second)) => vec![silent(&second), second],
        (None, None) => Vec::new(),
    }
}

fn to_leg_config(settings: LegSettings) -> LegConfig {
    let LegSettings { selection, is_sending, sender } = settings;
    let is_event = |encoding| matches!(encoding, Encoding::TelephoneEvent);
    let events = selection.payloads.iter().filter(|payload| is_event(payload.encoding));
    let codecs = selection.payloads.iter().filter_map(|payload| {
        let codec = match payload.encoding {
            Encoding::Audio(Codec::Pcmu) => RtpCodec::Pcmu,
            Encoding::Audio(Codec::Pcma) => RtpCodec::Pcma,
            Encoding::Audio(Codec::G722) => RtpCodec::G722,
            Encoding::Audio(Codec::G729) => RtpCodec::G729,
            Encoding::Audio(Codec::Opus) => RtpCodec::Opus { channels: payload.channels },
            Encoding::ComfortNoise => RtpCodec::ComfortNoise,
            Encoding::TelephoneEvent | Encoding::Unknown => return None,
        };
        Some((payload.number, codec))
    });
    LegConfig {
        payloads: codecs.take(board::PAYLOADS_MAX).collect(),
        telephone_events: events.map(|payload| payload.number).collect(),
        crypto: selection.crypto.as_ref().map(|crypto| SrtpKey {
            suite: match crypto.key.suite() {
                OfferedSuite::AeadAes256Gcm => SrtpSuite::AeadAes256Gcm,
                OfferedSuite::AesCm128HmacSha1_80 => SrtpSuite::AesCm128HmacSha1_80,
                OfferedSuite::AesCm128HmacSha1_32 => SrtpSuite::AesCm128HmacSha1_32,
            },
            key_and_salt: Zeroizing::new([crypto.key.key(), crypto.key.salt()].concat()),
        }),
        expects_audio: is_sending,
        sender,
        detects_tones: true,
    }
}

#[cfg(test)]
mod tests {
    use crate::recorder::leg_port;

    /// The recorder, which knows no board, answers SDP with these ports; the board binds them.
    #[test]
    fn i1_answered_ports_are_those_that_the_board_binds() {
        for (slot, leg) in [(0, 0), (0, 1), (1, 0), (499, 1), (16_383, 1)] {
            let (answered, bound) =
                (leg_port(20_000, slot, leg), board::rtp_port(20_000, slot, leg));
            assert_eq!(answered, bound, "slot {slot}, leg {leg}");
        }
    }
}
