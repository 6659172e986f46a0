//! What the host decides: answers, refusals, ends, and dialogs of before a restart.

use super::{Server, TimerKey};
use crate::answer::Acceptance;
use crate::dialog::{Dialog, DialogId, DialogSnapshot, Phase};
use crate::event::{EndReason, Event, Refusal, ReplyError, SessionKey};
use crate::response::{Reply, Status};
use std::time::Duration;

impl Server {
    /// Answers the offer that waits in the session with 200.
    ///
    /// # Errors
    ///
    /// There is no such offer, or the answer does not fit it. Nothing is sent.
    pub fn accept(
        &mut self,
        now: Duration,
        session: SessionKey,
        acceptance: &Acceptance,
    ) -> Result<(), ReplyError> {
        let number = session.number();
        let dialog = self.dialogs.get_mut(&session).ok_or(ReplyError::UnknownSession(number))?;
        let pending = dialog.pending.as_ref().ok_or(ReplyError::NoOffer(number))?;
        let description = dialog.snapshot.answers.write(&pending.offer, acceptance);
        let description = description.map_err(|error| ReplyError::Answer(number, error))?;
        let pending = dialog.pending.take().ok_or(ReplyError::NoOffer(number))?;
        if dialog.phase == Phase::Offered {
            dialog.phase = Phase::Accepted;
        }
        let reply = Reply::new(Status::OK).with_description(&description);
        dialog.snapshot.local_description = description;
        self.complete_offer(now, session, pending.request, reply);
        self.check_invariants();
        Ok(())
    }

    /// Refuses the offer that waits in the session. A new session ends; a session that exists goes
    /// on as it was.
    ///
    /// # Errors
    ///
    /// There is no such offer.
    pub fn refuse(
        &mut self,
        now: Duration,
        session: SessionKey,
        refusal: Refusal,
    ) -> Result<(), ReplyError> {
        let number = session.number();
        let dialog = self.dialogs.get(&session).ok_or(ReplyError::UnknownSession(number))?;
        let pending = dialog.pending.as_ref().ok_or(ReplyError::NoOffer(number))?;
        let key = pending.request.transaction;
        self.refuse_pending(now, key, &reply_of(refusal), EndReason::Refused);
        self.check_invariants();
        Ok(())
    }

    /// Ends a session: with BYE, or with 503 if its first offer still waits. `Ended` follows at
    /// once. A session that is not known is over already.
    pub fn end_session(&mut self, now: Duration, session: SessionKey) {
        let Some(dialog) = self.dialogs.get_mut(&session) else { return };
        let reason = EndReason::EndedHere;
        if dialog.phase == Phase::Closing {
            return;
        }
        if let Some(key) = dialog.pending.as_ref().map(|pending| pending.request.transaction) {
            self.refuse_pending(now, key, &Reply::unavailable(0), reason);
        }
        let Some(dialog) = self.dialogs.get_mut(&session) else { return self.check_invariants() };
        if dialog.phase == Phase::Accepted {
            // A server sends no BYE before the ACK (RFC 3261 §15).
            dialog.phase = Phase::Closing;
            self.timers.set(TimerKey::Session(session), None);
        } else {
            self.send_bye(now, session);
        }
        self.events.push_back(Event::Ended { session, reason });
        self.check_invariants();
    }

    /// Goes on with a dialog after a restart. The session counts, also beyond `sessions_max`.
    pub fn restore(&mut self, now: Duration, snapshot: DialogSnapshot) -> SessionKey {
        if let Some(session) = self.dialog_index.get(&DialogId::of_snapshot(&snapshot)) {
            return *session;
        }
        self.last_session += 1;
        let session = SessionKey(self.last_session);
        let mut dialog =
            Dialog { snapshot, phase: Phase::Confirmed, pending: None, unacknowledged: None };
        // Connections do not outlive a restart.
        let connection = dialog.snapshot.peer.connection;
        dialog.forget_connection(connection);
        self.timers.set(TimerKey::Session(session), dialog.interval_deadline(now));
        self.insert_dialog(session, dialog);
        self.check_invariants();
        session
    }
}

fn reply_of(refusal: Refusal) -> Reply {
    match refusal {
        Refusal::Busy { retry_after_s } => Reply::unavailable(retry_after_s),
        Refusal::Forbidden => Reply::new(Status::FORBIDDEN),
        Refusal::NotAcceptable => Reply::new(Status::NOT_ACCEPTABLE),
        Refusal::ServerError => Reply::new(Status::SERVER_ERROR),
    }
}
