//! `config set`, `config listen`, `config pin`, `config restore`: setup and repair from a console,
//! without a network.
//!
//! The shell edits the file and applies what can change at runtime. The fact, without secrets, is
//! durable before the reply. A refused edit changes nothing.

use crate::config::edit::ConfigChange;
use crate::id::SessionId;
use crate::job::Ticket;
use crate::recorder::admin::reload::ReadResult;
use crate::recorder::session::response::Response;
use crate::recorder::{Output, Recorder};
use crate::store::fact::Fact;
use crate::time::Now;
use protocol::{Code, ConfigEdit, Refusal, reply};
use zeroize::Zeroizing;

/// The result of a configuration edit.
#[derive(Debug)]
pub struct ConfigEditResult {
    pub session: SessionId,
    /// The change, without secrets.
    pub what: String,
    /// Username of the technician.
    pub by: String,
    /// The key that changed, as reloads name it.
    pub key: String,
    pub result: ReadResult,
}

impl Recorder {
    pub(in crate::recorder) fn request_config_edit(
        &mut self,
        id: SessionId,
        asked: ConfigEdit<'_>,
        by: String,
    ) -> Response {
        if let Some(session) = self.sessions.get_mut(id) {
            session.checking = true;
        }
        let edit = match asked {
            ConfigEdit::Set { key, value } => {
                let (section, key) = key.split_once('.').unwrap_or(("box", &key));
                let (section, key) = (section.to_string(), key.to_string());
                ConfigChange::Set { section, key, value: value.into_owned() }
            }
            ConfigEdit::Listen { address, mode } => {
                let tls = (mode != "off").then_some(mode == "tls");
                ConfigChange::Listen { address: address.into_owned(), tls }
            }
            ConfigEdit::Restore => ConfigChange::Restore,
            ConfigEdit::Pin { name, pin, is_new } => {
                let (name, pin) = (name.into_owned(), Zeroizing::new(pin.into_owned()));
                ConfigChange::Pin { name, pin, is_new }
            }
        };
        self.outputs.push_back(Output::EditConfig { session: id, edit, by });
        Response::immediate(Vec::new())
    }

    /// Notes the edit and replies, or refuses the command.
    pub(in crate::recorder) fn finish_config_edit(&mut self, now: Now, edited: ConfigEditResult) {
        let ConfigEditResult { session, what, by, key, result } = edited;
        let mut bytes = Vec::new();
        let after = match result {
            Ok(file) => {
                log::warn!("the configuration was changed by {by}: {what}");
                let waits = self.apply_config(now, *file, Some(session)).waits;
                let restart = if waits.contains(&key.as_str()) { "yes" } else { "no" };
                reply::begin_ok(&mut bytes).pair("restart", restart).end();
                let fact = Fact::ConfigChanged { what, by };
                self.journal.append(now, fact)
            }
            Err(text) => {
                reply::begin_err(&mut bytes, &Refusal::new(Code::Config, text)).end();
                Ticket(0)
            }
        };
        let Some(session) = self.sessions.get_mut(session) else { return };
        session.checking = false;
        session.queue_reply(after, bytes, None);
    }
}
