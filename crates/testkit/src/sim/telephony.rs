//! SIP and RTP without a network: messages as bytes, and slots that play the usual pattern.
//!
//! An open slot captures like any channel, a closed one does not move. Each second the slots report
//! their legs, as the shell does; a muted leg has no packets.

use super::SimBox;
use hushbox::recorder::{Input, LegReport, Output, SlotCommand};
use hushbox::time::MonoTime;
use siprec::{Peer, Transmit};
use std::collections::{BTreeMap, BTreeSet, VecDeque};

const REPORT_MS: u64 = 1000;
/// Packets that a leg sends in a second, each of 20 ms.
const PACKETS_PER_REPORT: u64 = 50;

/// The telephony of a simulated box.
#[derive(Default)]
pub struct Telephony {
    /// What the box sent and nobody has read, with the board.
    pub sent: VecDeque<(usize, Transmit)>,
    /// Open slots by board, and which of their legs the box expects audio from.
    pub open: BTreeMap<(usize, usize), [Option<bool>; 2]>,
    /// Legs from which no packet comes: board, slot, leg.
    pub muted: BTreeSet<(usize, usize, usize)>,
    reports: BTreeMap<(usize, usize), [LegReport; 2]>,
    next_report: MonoTime,
}

impl Telephony {
    /// After a restart every slot is closed.
    pub(super) fn restart(&mut self) {
        *self = Telephony { muted: std::mem::take(&mut self.muted), ..Telephony::default() };
    }

    /// Whether the channel of a slot gets audio now.
    pub(super) fn is_open(&self, board: usize, slot: usize) -> bool {
        self.open.contains_key(&(board, slot))
    }
}

impl SimBox {
    /// Passes one SIP message to a board.
    pub fn send_sip(&mut self, board: usize, peer: Peer, bytes: &[u8]) {
        self.recorder.handle(self.now, Input::SipMessage { board, peer, bytes });
        self.settle();
    }

    /// Takes the oldest message that the box sent, as text.
    pub fn take_sip(&mut self) -> Option<String> {
        let (_, transmit) = self.telephony.sent.pop_front()?;
        Some(String::from_utf8_lossy(&transmit.bytes).into_owned())
    }

    pub(super) fn serve_telephony(&mut self, output: Output) {
        match output {
            Output::SipSend { board, transmit } => self.telephony.sent.push_back((board, transmit)),
            Output::Slot(
                SlotCommand::Open { board, slot, legs } | SlotCommand::Change { board, slot, legs },
            ) => {
                let sends = legs.map(|leg| leg.map(|leg| leg.is_sending));
                self.telephony.open.insert((board, slot), sends);
            }
            Output::Slot(SlotCommand::Close { board, slot }) => {
                let was_open = self.telephony.open.remove(&(board, slot));
                assert!(was_open.is_some(), "slot {slot} of board {board} was not open");
                self.telephony.reports.remove(&(board, slot));
                self.recorder.handle(self.now, Input::SlotClosed { board, slot });
            }
            other => panic!("{other:?} is not about telephony"),
        }
    }

    /// Reports the open slots, once a second.
    pub(super) fn report_slots(&mut self) {
        if self.now.mono < self.telephony.next_report {
            return;
        }
        self.telephony.next_report = self.now.mono.after_ms(REPORT_MS);
        let open: Vec<_> =
            self.telephony.open.iter().map(|(place, legs)| (*place, *legs)).collect();
        for ((board, slot), sends) in open {
            let reports = self.telephony.reports.entry((board, slot)).or_default();
            for (leg, report) in reports.iter_mut().enumerate() {
                let is_muted = self.telephony.muted.contains(&(board, slot, leg));
                if sends[leg] == Some(true) && !is_muted {
                    report.packets += PACKETS_PER_REPORT;
                    report.last_packet = Some(self.now.mono);
                }
            }
            let legs = [0, 1].map(|leg| sends[leg].map(|_| reports[leg]));
            self.recorder.handle(self.now, Input::SlotReport { board, slot, legs });
        }
    }
}
