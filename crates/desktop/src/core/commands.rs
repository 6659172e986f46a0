//! The agent's requests: the client sends each one, and reports the box's reply.
//!
//! Without a connection the client reports that the command was not sent. Blackouts have their own
//! rules: see `pending_blackout`. The box decides what is permitted.

use super::{Core, Now, PendingKind, Phase};
use crate::agent_request::{AgentCommand, AgentRequest};
use crate::core::notifications;
use protocol::Ability;
use protocol::client::{Failure, Pairs};

impl Core {
    pub(super) fn handle_request(
        &mut self,
        now: Now,
        request: AgentRequest,
        requester: Option<u64>,
    ) {
        let state = self.agent_state.as_ref().map(|(state, _)| state);
        let call = state.and_then(|state| state.call.clone());
        match request.resolve_toggle(state) {
            AgentRequest::Command(AgentCommand::BlackoutStart) => {
                self.request_blackout(now, requester);
            }
            AgentRequest::Command(command) => {
                if command == AgentCommand::BlackoutStop {
                    self.pending_blackout = None;
                }
                let line = command.to_line(call.as_deref());
                self.send_command(now, line, command.required_ability(), requester);
            }
            AgentRequest::Update { field, value, call, call_number } => {
                let line = notifications::format_update_line(field, &value, (call, call_number));
                match line {
                    Ok(line) => self.send_command(now, line, Ability::Update(field), requester),
                    Err(reason) => self.send_reply(requester, Err(reason)),
                }
            }
            AgentRequest::Reconnect => {
                if matches!(self.phase, Phase::Retrying { .. } | Phase::Standby { .. }) {
                    self.retry.restart();
                    self.start_connecting(now, true);
                }
                self.send_reply(requester, Ok("connecting".to_owned()));
            }
            AgentRequest::Acknowledge => {
                self.acknowledge_late_blackout();
                self.send_reply(requester, Ok("acknowledged".to_owned()));
            }
            AgentRequest::ToggleBlackout | AgentRequest::ToggleRecording => {}
        }
    }

    /// Sends a command, or reports that there is no connection.
    fn send_command(&mut self, now: Now, line: String, command: Ability, requester: Option<u64>) {
        if self.is_connected() {
            self.send_line(now.ms, line, PendingKind::Agent(command, requester));
        } else {
            self.on_command_lost(now, command, requester);
        }
    }

    /// The box has not answered a command, and will not.
    pub(super) fn on_command_lost(&mut self, now: Now, command: Ability, requester: Option<u64>) {
        if command != Ability::BlackoutStart {
            self.notify(now.ms, notifications::not_sent_notification(command));
        }
        let text = "not connected to the box; the command was not confirmed";
        self.send_reply(requester, Err(text.to_owned()));
    }

    pub(super) fn on_command_confirmed(
        &mut self,
        now: Now,
        (command, requester): (Ability, Option<u64>),
        pairs: &Pairs,
        rows: &[Pairs],
    ) {
        log::info!("confirmed: {command}");
        if command == Ability::BlackoutStart {
            self.on_blackout_confirmed(now, pairs, rows);
        } else if command == Ability::BlackoutStop {
            let length_ms = self.blackout_ms(now.ms).or(self.last_blackout_ms);
            self.notify(now.ms, notifications::unmasked_notification(pairs, length_ms));
        } else if requester.is_none()
            && let Ability::Update(_) = command
        {
            self.notify(now.ms, notifications::updated_notification());
        }
        self.send_reply(requester, Ok(notifications::format_pairs(pairs)));
    }

    pub(super) fn on_command_refused(
        &mut self,
        now: Now,
        (command, requester): (Ability, Option<u64>),
        failure: &Failure,
    ) {
        if command == Ability::BlackoutStart {
            self.on_blackout_refused(now, failure);
        } else {
            self.notify(now.ms, notifications::refused_notification(command, failure));
        }
        self.send_reply(requester, Err(format!("{}: {}", failure.word, failure.text)));
    }
}
