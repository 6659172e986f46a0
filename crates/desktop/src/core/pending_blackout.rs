//! A blackout that was asked for and is not in force yet: shouted, retried, confirmed or denied.
//!
//! While the box cannot be reached the agent is told at once that nothing is masked; the client
//! tries again every second and says how it went. A press that the box does not confirm soon is
//! shouted too. After `WISH_MS` it is denied: a mask that comes minutes late helps nobody. Nothing
//! of this is ever only queued.

use super::{Act, Asked, Core, Moment, Phase};
use crate::action::Action;
use crate::core::messages;
use protocol::AgentState;
use protocol::client::{Failure, Pairs};

/// A confirmation takes so long at most, else it is shouted.
pub const CONFIRM_MS: u64 = 1500;
/// After so long it is denied.
pub const WISH_MS: u64 = 60_000;
/// Between two attempts while a blackout waits.
pub const HURRY_MS: u64 = 1000;
/// A denial is shown for so long.
pub const DENIED_MS: u64 = 30_000;

const UNREACHABLE: &str = "the box cannot be reached; it is tried again and again";
const UNCONFIRMED: &str = "the box has not confirmed the blackout";

/// A blackout that was asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Wish {
    since_ms: u64,
    /// Sent over the connection there is.
    sent_ms: Option<u64>,
    /// Why it is not in force, once that was shouted.
    shouted: Option<&'static str>,
}

impl Wish {
    pub(super) fn deadline_ms(&self) -> u64 {
        let end = self.since_ms + WISH_MS;
        match (self.sent_ms, self.shouted) {
            (Some(sent), None) => end.min(sent + CONFIRM_MS),
            _ => end,
        }
    }

    /// Why nothing is masked, if the agent was told so.
    pub(super) fn unmasked(&self) -> Option<&str> {
        self.shouted
    }
}

impl Core {
    /// Somebody wants a blackout.
    pub(super) fn wish_for(&mut self, now: Moment, asker: Option<u64>) {
        let since_ms = self.wish.as_ref().map_or(now.ms, |wish| wish.since_ms);
        let shouted = self.wish.as_ref().and_then(|wish| wish.shouted);
        self.denied = None;
        self.wish = Some(Wish { since_ms, sent_ms: None, shouted });
        if self.is_connected() {
            self.wish_send(now, asker);
            return;
        }
        self.shout(now, UNREACHABLE);
        self.answer(asker, Err(format!("NOT masked: {UNREACHABLE}. Stop the customer.")));
        // Trying is what was asked for, even in standby.
        if matches!(self.phase, Phase::Retrying { .. } | Phase::Standby { .. }) {
            self.connect(now, false);
        }
    }

    fn wish_send(&mut self, now: Moment, asker: Option<u64>) {
        if let Some(wish) = &mut self.wish {
            wish.sent_ms = Some(now.ms);
        }
        let action = Action::BlackoutStart;
        self.send(now.ms, action.line().to_owned(), Asked::Act(Act::Do(action), asker));
    }

    /// A new session has begun.
    pub(super) fn wish_again(&mut self, now: Moment) {
        if self.wish.is_some() {
            self.wish_send(now, None);
        }
    }

    /// The session is over, and with it what was sent.
    pub(super) fn wish_unsent(&mut self, now: Moment) {
        let Some(wish) = &mut self.wish else { return };
        wish.sent_ms = None;
        if wish.shouted != Some(UNREACHABLE) {
            self.shout(now, UNREACHABLE);
        }
    }

    /// The pause before the next attempt: short while a blackout waits.
    pub(super) fn hurried(&self, in_ms: u64) -> u64 {
        if self.wish.is_some() { in_ms.min(HURRY_MS) } else { in_ms }
    }

    pub(super) fn wish_news(&mut self, now: Moment, state: &AgentState) {
        if !state.blackout {
            return;
        }
        if let Some(wish) = self.wish.take().filter(|wish| wish.shouted.is_some()) {
            self.say(now.ms, messages::masked_late(now.ms - wish.since_ms));
        }
    }

    pub(super) fn wish_granted(&mut self, now: Moment, pairs: &Pairs, rows: &[Pairs]) {
        self.denied = None;
        let late = self.wish.take().filter(|wish| wish.shouted.is_some());
        match late {
            Some(wish) => self.say(now.ms, messages::masked_late(now.ms - wish.since_ms)),
            None => self.say(now.ms, messages::masked(pairs, rows)),
        }
    }

    pub(super) fn wish_refused(&mut self, now: Moment, failure: &Failure) {
        self.wish = None;
        if failure.masked() {
            self.say(now.ms, messages::masked_not_stored(&failure.text));
            return;
        }
        self.deny(now, &failure.text);
    }

    pub(super) fn wish_tick(&mut self, now: Moment) {
        let Some(wish) = &self.wish else { return };
        if now.ms >= wish.since_ms + WISH_MS {
            self.wish = None;
            let text = format!("the box was not reached within {} s; press again", WISH_MS / 1000);
            self.deny(now, &text);
        } else if now.ms >= wish.deadline_ms() {
            self.shout(now, UNCONFIRMED);
        }
    }

    fn deny(&mut self, now: Moment, text: &str) {
        self.denied = Some((text.to_owned(), now.ms + DENIED_MS));
        self.say(now.ms, messages::not_masked(text));
    }

    fn shout(&mut self, now: Moment, why: &'static str) {
        if let Some(wish) = &mut self.wish {
            wish.shouted = Some(why);
        }
        log::warn!("a blackout is not in force: {why}");
        self.say(now.ms, messages::not_masked(why));
    }
}
