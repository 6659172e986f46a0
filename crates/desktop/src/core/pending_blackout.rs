//! A requested blackout that is not active yet: retried, confirmed or refused, with a warning.
//!
//! While the box cannot be reached the client warns the agent at once that nothing is masked, and
//! retries every second. It also warns when the box does not confirm a blackout soon. After
//! `BLACKOUT_TIMEOUT_MS` it gives up: a mask that starts minutes late protects no card number. The
//! client never only queues a blackout.

use super::{Core, Now, PendingKind, Phase};
use crate::agent_request::AgentCommand;
use crate::core::notifications;
use crate::ui::client_state::format_not_masked;
use protocol::AgentState;
use protocol::client::{Failure, Pairs};

/// The time within which the box must confirm a blackout before the client warns.
pub const CONFIRM_TIMEOUT_MS: u64 = 1500;
/// The time after which the client gives up.
pub const BLACKOUT_TIMEOUT_MS: u64 = 60_000;
/// The time between two attempts to connect while a blackout is pending.
pub const BLACKOUT_RETRY_MS: u64 = 1000;
/// How long a refusal is shown.
pub const REFUSAL_SHOWN_MS: u64 = 30_000;

const UNREACHABLE: &str = "recorder unreachable, retrying";
const UNCONFIRMED: &str = "the recorder has not confirmed the blackout";

/// A requested blackout that is not active yet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct PendingBlackout {
    requested_ms: u64,
    /// When it was sent over the present connection.
    sent_ms: Option<u64>,
    /// Why it is not active, once the agent was warned.
    warning: Option<&'static str>,
}

impl PendingBlackout {
    pub(super) fn deadline_ms(&self) -> u64 {
        let end = self.requested_ms + BLACKOUT_TIMEOUT_MS;
        match (self.sent_ms, self.warning) {
            (Some(sent), None) => end.min(sent + CONFIRM_TIMEOUT_MS),
            _ => end,
        }
    }

    /// Why nothing is masked, if the agent was warned.
    pub(super) fn warning(&self) -> Option<&str> {
        self.warning
    }
}

impl Core {
    /// Requests a blackout, and connects if necessary.
    pub(super) fn request_blackout(&mut self, now: Now, requester: Option<u64>) {
        let pending = self.pending_blackout.as_ref();
        let requested_ms = pending.map_or(now.ms, |pending| pending.requested_ms);
        let warning = pending.and_then(|pending| pending.warning);
        self.blackout_refusal = None;
        self.pending_blackout = Some(PendingBlackout { requested_ms, sent_ms: None, warning });
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
        if let Some(pending) = &mut self.pending_blackout {
            pending.sent_ms = Some(now.ms);
        }
        let command = AgentCommand::BlackoutStart;
        let kind = PendingKind::Agent(command.required_ability(), requester);
        self.send_line(now.ms, command.as_line().to_owned(), kind);
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
        pending.sent_ms = None;
        if pending.warning != Some(UNREACHABLE) {
            self.warn_not_masked(now, UNREACHABLE);
        }
    }

    /// The pause before the next attempt to connect: short while a blackout is pending.
    pub(super) fn shorten_pause(&self, in_ms: u64) -> u64 {
        if self.pending_blackout.is_some() { in_ms.min(BLACKOUT_RETRY_MS) } else { in_ms }
    }

    /// A state confirms a pending blackout too.
    pub(super) fn on_blackout_state(&mut self, now: Now, state: &AgentState) {
        if !state.blackout {
            return;
        }
        if let Some(pending) = self.pending_blackout.take().filter(|p| p.warning.is_some()) {
            let late_ms = now.ms - pending.requested_ms;
            self.notify(now.ms, notifications::masked_late_notification(late_ms));
        }
    }

    pub(super) fn on_blackout_confirmed(&mut self, now: Now, pairs: &Pairs, rows: &[Pairs]) {
        self.blackout_refusal = None;
        let late = self.pending_blackout.take().filter(|pending| pending.warning.is_some());
        let notification = match late {
            Some(pending) => notifications::masked_late_notification(now.ms - pending.requested_ms),
            None => notifications::masked_notification(pairs, rows),
        };
        self.notify(now.ms, notification);
    }

    pub(super) fn on_blackout_refused(&mut self, now: Now, failure: &Failure) {
        self.pending_blackout = None;
        if failure.is_masked() {
            self.notify(now.ms, notifications::masked_not_stored_notification(&failure.text));
            return;
        }
        self.report_blackout_refused(now, &failure.text);
    }

    pub(super) fn check_blackout_timeout(&mut self, now: Now) {
        let Some(pending) = &self.pending_blackout else { return };
        if now.ms >= pending.requested_ms + BLACKOUT_TIMEOUT_MS {
            self.pending_blackout = None;
            let seconds = BLACKOUT_TIMEOUT_MS / 1000;
            let reason = format!("recorder not reached within {seconds} s, press again");
            self.report_blackout_refused(now, &reason);
        } else if now.ms >= pending.deadline_ms() {
            self.warn_not_masked(now, UNCONFIRMED);
        }
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
