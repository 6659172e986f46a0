//! Checks open sessions again when the configuration changes.
//!
//! A session stays open only if its hello would be accepted now: its user exists and has a
//! permission for this kind of session, its machine is allowed, its kind may connect from where it
//! does. Any other session gets an `err` that says why, and is closed. Its calls, recordings and
//! blackouts continue: closing a session never unmasks anything.

use crate::calls::directory::AgentIndex;
use crate::id::SessionId;
use crate::recorder::{Principal, Recorder, Session};
use crate::time::Now;
use protocol::name::is_same_name;
use protocol::{Code, Hello, Kind, Refusal};

impl Recorder {
    /// Closes every session that could not say hello any more. `editor` is the technician's
    /// session that changed the configuration: a new PIN ends the technician's other sessions.
    pub(in crate::recorder) fn recheck_sessions(&mut self, now: Now, editor: Option<SessionId>) {
        let ids: Vec<SessionId> = self.sessions.iter().map(|session| session.id).collect();
        for id in ids {
            let Some(who) = self.sessions.get(id).and_then(|session| session.who.clone()) else {
                continue;
            };
            match self.recheck_hello(now, (id, &who), editor == Some(id)) {
                Ok(agent) if agent != who.agent => {
                    self.dismiss_session(id, Refusal::new(Code::UnknownUser, "log in again"));
                }
                Ok(_) => {
                    let pin = self.pin_hash_of(&who);
                    let session = self.sessions.get_mut(id);
                    if let Some(who) = session.and_then(|session| session.who.as_mut()) {
                        who.pin_hash = pin;
                    }
                }
                Err(refusal) => self.dismiss_session(id, refusal),
            }
        }
    }

    fn recheck_hello(
        &mut self,
        now: Now,
        (id, who): (SessionId, &Principal),
        is_editor: bool,
    ) -> Result<Option<AgentIndex>, Refusal> {
        if who.kind == Kind::Technician {
            let pin = self.pin_hash_of(who);
            if pin.is_none() || pin != who.pin_hash && !is_editor {
                let text = "this technician was removed, or has a new PIN; log in again";
                return Err(Refusal::new(Code::Denied, text));
            }
        }
        let hello = Hello {
            kind: who.kind,
            user: Some(who.user.as_str().into()),
            domain: who.domain.as_deref().map(Into::into),
            machine: who.machine.as_deref().map(Into::into),
            client: None,
            pin: None,
            via: who.via,
        };
        self.authorise_hello(now, id, &hello)
    }

    /// The PIN hash of a technician's session, as configured now.
    pub(in crate::recorder) fn pin_hash_of(&self, who: &Principal) -> Option<String> {
        let of = |name: &str| who.kind == Kind::Technician && is_same_name(name, &who.user);
        let known = self.config.technicians.iter().find(|technician| of(&technician.name));
        known.map(|technician| technician.pin.clone())
    }

    /// Stops a session's work and closes it, with the reason as its last line.
    fn dismiss_session(&mut self, id: SessionId, refusal: Refusal) {
        self.forget_reader(id);
        let Some(session) = self.sessions.get_mut(id).filter(|session| !session.closing) else {
            return;
        };
        if let Some(who) = &session.who {
            let (kind, user, text) = (who.kind, &who.user, &refusal.text);
            log::warn!("session {} ({kind} {user}) is closed after a reload: {text}", id.0);
        }
        (session.stream, session.watch) = (None, None);
        (session.piece, session.enrols_with) = (None, None);
        session.closing = true;
        session.close_reason = Some(refusal);
    }
}

impl Session {
    /// Queues the last line once all replies are on their way. Returns whether it was queued now.
    pub(super) fn queue_close_reason(&mut self) -> bool {
        let Some(refusal) =
            self.close_reason.take_if(|_| self.answers.is_empty() && !self.checking)
        else {
            return false;
        };
        let mut bytes = Vec::new();
        protocol::reply::begin_err(&mut bytes, &refusal).end();
        self.queue_reply(crate::job::Ticket(0), bytes, None);
        true
    }
}
