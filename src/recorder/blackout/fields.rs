//! Agents' texts about a call, in the fields that the configuration defines.

use super::visibility::NamedCall;
use crate::calls::directory::AgentIndex;
use crate::recorder::Recorder;
use crate::recorder::session::response::Response;
use crate::store::fact::{Fact, RecordReasons};
use crate::store::seal;
use crate::time::Now;
use protocol::command::find_bad_character;
use protocol::{Code, Refusal, reply};

/// A value for a field, and the call that it was typed for.
#[derive(Clone, Copy)]
pub(in crate::recorder) struct FieldSetting<'a> {
    pub field: u8,
    pub value: &'a str,
    pub call: NamedCall<'a>,
}

impl Recorder {
    /// Sets a user-defined field; the reply never shows the old value (F2).
    pub(in crate::recorder) fn update_field(
        &mut self,
        now: Now,
        agent: AgentIndex,
        setting: &FieldSetting<'_>,
    ) -> Result<Response, Refusal> {
        let FieldSetting { field, value, call } = *setting;
        let target = self.update_target(agent, &call)?;
        let (id, key) = (target.id, target.key.clone());
        if let Some(bad) = find_bad_character(value) {
            let text = format!("{bad:?} is not allowed in a field; nothing was changed");
            return Err(Refusal::new(Code::BadCharacters, text));
        }
        let by = self.directory.agent_at(agent).username.clone();
        let value = seal::seal_field(key.as_ref(), self.journal.storage.next_sequence(), value);
        let fact = Fact::FieldSet { id, field, by, value };
        let ticket = self.journal.append(now, fact);
        let mut bytes = Vec::new();
        reply::begin_ok(&mut bytes).pair("recording", id).end();
        Ok(Response::after_sync(ticket, bytes).depends_on(id, RecordReasons::default()))
    }
}
