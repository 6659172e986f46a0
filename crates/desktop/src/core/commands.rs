//! Presses and what becomes of them: every one is sent, and the box's answer is told.
//!
//! Without a connection the agent is told that nothing was done. Blackouts have rules of their own:
//! see `wish`. Nothing here decides what is permitted.

use super::{Act, Asked, Core, Moment, Phase};
use crate::action::{Action, Press};
use crate::core::messages;
use protocol::client::{Failure, Pairs};

impl Core {
    pub(super) fn press(&mut self, now: Moment, press: Press, asker: Option<u64>) {
        let state = self.state.as_ref().map(|(state, _)| state);
        match press.resolved(state) {
            Press::Do(Action::BlackoutStart) => self.wish_for(now, asker),
            Press::Do(action) => {
                if action == Action::BlackoutStop {
                    self.wish = None;
                }
                self.ask(now, action.line().to_owned(), Act::Do(action), asker);
            }
            Press::Update { field, value } => match messages::update(field, &value) {
                Ok(line) => self.ask(now, line, Act::Update(field), asker),
                Err(why) => self.answer(asker, Err(why)),
            },
            Press::Reconnect => {
                if matches!(self.phase, Phase::Retrying { .. } | Phase::Standby { .. }) {
                    self.retry.reconnect();
                    self.connect(now, true);
                }
                self.answer(asker, Ok("trying to connect".to_owned()));
            }
            Press::ToggleBlackout | Press::ToggleRecording => {}
        }
    }

    /// Sends a command, or says that nobody hears it.
    fn ask(&mut self, now: Moment, line: String, act: Act, asker: Option<u64>) {
        if self.is_connected() {
            self.send(now.ms, line, Asked::Act(act, asker));
        } else {
            self.act_lost(now, act, asker);
        }
    }

    /// A command that no box has answered, and none will.
    pub(super) fn act_lost(&mut self, now: Moment, act: Act, asker: Option<u64>) {
        if act != Act::Do(Action::BlackoutStart) {
            self.say(now.ms, messages::nobody_hears(act));
        }
        self.answer(asker, Err("not connected: nothing was confirmed".to_owned()));
    }

    pub(super) fn act_done(
        &mut self,
        now: Moment,
        (act, asker): (Act, Option<u64>),
        pairs: &Pairs,
        rows: &[Pairs],
    ) {
        log::info!("ok: {}", messages::name(act));
        if act == Act::Do(Action::BlackoutStart) {
            self.wish_granted(now, pairs, rows);
        } else if let Some(balloon) = messages::done(act, pairs, rows, asker.is_some()) {
            self.say(now.ms, balloon);
        }
        self.answer(asker, Ok(messages::words(pairs)));
    }

    pub(super) fn act_refused(
        &mut self,
        now: Moment,
        (act, asker): (Act, Option<u64>),
        failure: &Failure,
    ) {
        if act == Act::Do(Action::BlackoutStart) {
            self.wish_refused(now, failure);
        } else {
            self.say(now.ms, messages::refused(act, failure));
        }
        self.answer(asker, Err(format!("{}: {}", failure.word, failure.text)));
    }
}
