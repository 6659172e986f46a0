//! One memory of each press for a blackout, from the key to the box's receipt.
//!
//! While the box cannot be reached the client warns the agent at once that nothing is masked, and
//! connects again every second. It also warns when the box does not confirm a blackout soon, and
//! then repeats the command, each time with the age of the press: the box masks back to the press
//! as far as it can. After `BLACKOUT_TIMEOUT_MS` the client gives up: a mask that starts minutes
//! late protects no card number.
//!
//! The receipt of the last command decides whether the mask came late. A late mask is shown as a
//! text that stays until the agent has seen it. No other text replaces it.

use super::{Core, Now, PendingKind, Phase};
use crate::agent_request::AgentCommand;
use crate::core::notifications;
use crate::ui::client_state::format_not_masked;
use client::add_press_age;
use protocol::AgentState;
use protocol::client::{Failure, Pairs};

/// The time within which the box must confirm a blackout before the client warns.
pub const CONFIRM_TIMEOUT_MS: u64 = 1500;
/// The time after which the client repeats a command that the box has not confirmed.
pub const REPEAT_MS: u64 = 1000;
/// The most commands of one press that wait for a reply.
pub const REPEATS_MAX: u32 = 16;
/// The time after which the client gives up.
pub const BLACKOUT_TIMEOUT_MS: u64 = 60_000;
/// The time between two attempts to connect while a blackout is pending.
pub const BLACKOUT_RETRY_MS: u64 = 1000;
/// How long a refusal is shown.
pub const REFUSAL_SHOWN_MS: u64 = 30_000;

const UNREACHABLE: &str = "recorder unreachable, retrying";
const UNCONFIRMED: &str = "the recorder has not confirmed the blackout";

/// A press whose receipt has not come.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct PendingBlackout {
    requested_ms: u64,
    /// When the last command was sent over the present connection.
    sent_ms: Option<u64>,
    /// Commands sent over the present connection that wait for a reply.
    unanswered: u32,
    /// Why the agent was warned that nothing is masked.
    warning: Option<&'static str>,
    /// When the box first said that the mask is on.
    masked_ms: Option<u64>,
    /// Whether a blackout was on already when the agent pressed.
    was_on: bool,
}

impl PendingBlackout {
    pub(super) fn deadline_ms(&self) -> u64 {
        let end = self.requested_ms + BLACKOUT_TIMEOUT_MS;
        match (self.sent_ms, self.warning) {
            _ if self.masked_ms.is_some() => end,
            (Some(sent), None) => end.min(sent + CONFIRM_TIMEOUT_MS),
            (Some(sent), Some(_)) if self.unanswered < REPEATS_MAX => end.min(sent + REPEAT_MS),
            _ => end,
        }
    }

    /// Why nothing is masked, if the agent was warned.
    pub(super) fn warning(&self) -> Option<&str> {
        self.warning.filter(|_| self.masked_ms.is_none())
    }

    /// How old the press was when the last command was sent.
    fn sent_age_ms(&self) -> u64 {
        self.sent_ms.map_or(0, |sent| sent.saturating_sub(self.requested_ms))
    }

    /// How long after the press the mask began, in milliseconds. The box knows how far it could
    /// reach back, and the client how long the box took to confirm.
    fn late_ms(&self, receipt: &Receipt) -> u64 {
        if self.was_on {
            return 0;
        }
        let confirmed = self.masked_ms.unwrap_or(self.requested_ms) - self.requested_ms;
        let unreached = confirmed.saturating_sub(receipt.reach_ms);
        receipt.late_ms.max(if self.warning.is_some() { unreached } else { 0 })
    }
}

/// What the box's receipt says about time.
#[derive(Clone, Copy, Debug, Default)]
struct Receipt {
    /// How far before its arrival the press is masked, in milliseconds; 0 if unknown.
    reach_ms: u64,
    /// How much the mask could not reach, as far as the box knows.
    late_ms: u64,
}

impl Receipt {
    fn from_pairs(pairs: &Pairs) -> Receipt {
        let number = |key| pairs.get(key).and_then(|value| value.parse::<u64>().ok());
        let frames = number("at").zip(number("from")).map(|(at, from)| at.saturating_sub(from));
        let reach = frames
            .zip(number("rate"))
            .and_then(|(frames, rate)| frames.saturating_mul(1000).checked_div(rate));
        Receipt { reach_ms: reach.unwrap_or(0), late_ms: number("late_ms").unwrap_or(0) }
    }
}

impl Core {
    /// Requests a blackout, and connects if necessary.
    pub(super) fn request_blackout(&mut self, now: Now, requester: Option<u64>) {
        let was_on = self.agent_state.as_ref().is_some_and(|(state, _)| state.blackout);
        // A press while the last one waits asks for the same.
        self.pending_blackout.get_or_insert(PendingBlackout {
            requested_ms: now.ms,
            sent_ms: None,
            unanswered: 0,
            warning: None,
            masked_ms: None,
            was_on,
        });
        self.blackout_refusal = None;
        if self.is_connected() {
            self.send_blackout(now, requester);
            return;
        }
        self.warn_not_masked(now, UNREACHABLE);
        self.send_reply(requester, Err(format_not_masked(UNREACHABLE)));
        // The agent's request counts as a reconnect, even in standby.
        if matches!(self.phase, Phase::Retrying { .. } | Phase::Standby { .. }) {
            self.start_connecting(now, false);
        }
    }

    fn send_blackout(&mut self, now: Now, requester: Option<u64>) {
        let command = AgentCommand::BlackoutStart;
        let Some(pending) = &mut self.pending_blackout else { return };
        pending.sent_ms = Some(now.ms);
        pending.unanswered += 1;
        let age_ms = now.ms.saturating_sub(pending.requested_ms);
        let line = add_press_age(command.as_line(), age_ms).into_owned();
        let kind = PendingKind::Agent(command.required_ability(), requester);
        self.send_line(now.ms, line, kind);
    }

    /// Sends a pending blackout over a new session.
    pub(super) fn resend_blackout(&mut self, now: Now) {
        if self.pending_blackout.is_some() {
            self.send_blackout(now, None);
        }
    }

    /// The session is over, and the commands sent over it are lost.
    pub(super) fn mark_blackout_unsent(&mut self, now: Now) {
        let Some(pending) = &mut self.pending_blackout else { return };
        (pending.sent_ms, pending.unanswered) = (None, 0);
        // The box keeps a mask that it has confirmed; its receipt comes with the next session.
        if pending.masked_ms.is_none() && pending.warning != Some(UNREACHABLE) {
            self.warn_not_masked(now, UNREACHABLE);
        }
    }

    /// The pause before the next attempt to connect: short while a blackout is pending.
    pub(super) fn shorten_pause(&self, in_ms: u64) -> u64 {
        if self.pending_blackout.is_some() { in_ms.min(BLACKOUT_RETRY_MS) } else { in_ms }
    }

    /// A state says that the mask is on, before the receipt comes.
    pub(super) fn on_blackout_state(&mut self, now: Now, state: &AgentState) {
        if let Some(pending) = self.pending_blackout.as_mut().filter(|_| state.blackout) {
            pending.masked_ms.get_or_insert(now.ms);
        }
    }

    pub(super) fn on_blackout_confirmed(&mut self, now: Now, pairs: &Pairs, rows: &[Pairs]) {
        self.blackout_refusal = None;
        let Some(pending) = &mut self.pending_blackout else { return };
        pending.masked_ms.get_or_insert(now.ms);
        pending.unanswered = pending.unanswered.saturating_sub(1);
        if pending.unanswered > 0 {
            return;
        }
        let receipt = Receipt::from_pairs(pairs);
        let before_ms = receipt.reach_ms.saturating_sub(pending.sent_age_ms());
        let was_on = pending.was_on;
        if self.finish_press(now, &receipt) {
            return;
        }
        let notification = if was_on {
            notifications::masked_still_notification()
        } else {
            notifications::masked_notification(before_ms, pairs, rows)
        };
        self.notify(now.ms, notification);
    }

    /// Forgets the press. Returns whether its mask came late, and notifies the agent of that.
    fn finish_press(&mut self, now: Now, receipt: &Receipt) -> bool {
        let late_ms = self.pending_blackout.take().map_or(0, |pending| pending.late_ms(receipt));
        if late_ms > 0 {
            let notification = notifications::masked_late_notification(late_ms);
            self.late_blackout = Some(notification.body.clone());
            self.notify(now.ms, notification);
        }
        late_ms > 0
    }

    pub(super) fn on_blackout_refused(&mut self, now: Now, failure: &Failure) {
        let mut masked = failure.is_masked();
        if let Some(pending) = &mut self.pending_blackout {
            if masked {
                pending.masked_ms.get_or_insert(now.ms);
            }
            masked = pending.masked_ms.is_some();
            pending.unanswered = pending.unanswered.saturating_sub(1);
            if pending.unanswered > 0 {
                return;
            }
        }
        if !masked {
            self.pending_blackout = None;
            self.report_blackout_refused(now, &failure.text);
            return;
        }
        if failure.is_masked() {
            self.notify(now.ms, notifications::masked_not_stored_notification(&failure.text));
        }
        self.finish_press(now, &Receipt::default());
    }

    pub(super) fn check_blackout_timeout(&mut self, now: Now) {
        let Some(pending) = &self.pending_blackout else { return };
        if now.ms >= pending.requested_ms + BLACKOUT_TIMEOUT_MS {
            if pending.masked_ms.is_some() {
                self.finish_press(now, &Receipt::default());
            } else {
                self.pending_blackout = None;
                let seconds = BLACKOUT_TIMEOUT_MS / 1000;
                let reason = format!("recorder not reached within {seconds} s, press again");
                self.report_blackout_refused(now, &reason);
            }
        } else if now.ms >= pending.deadline_ms() {
            if pending.warning.is_none() {
                self.warn_not_masked(now, UNCONFIRMED);
            }
            self.send_blackout(now, None);
        }
    }

    /// The agent has seen that a blackout came late.
    pub(super) fn acknowledge_late_blackout(&mut self) {
        self.late_blackout = None;
    }

    fn report_blackout_refused(&mut self, now: Now, reason: &str) {
        self.blackout_refusal = Some((reason.to_owned(), now.ms + REFUSAL_SHOWN_MS));
        log::warn!("the blackout was refused: {reason}");
        self.notify(now.ms, notifications::not_masked_notification(reason));
    }

    fn warn_not_masked(&mut self, now: Now, reason: &'static str) {
        if let Some(pending) = &mut self.pending_blackout {
            pending.warning = Some(reason);
        }
        log::warn!("the blackout is not active: {reason}");
        self.notify(now.ms, notifications::not_masked_notification(reason));
    }
}
