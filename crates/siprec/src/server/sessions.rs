//! What happens within a session: requests of the client, and what never came.

use super::requests::{RequestBody, add_capabilities};
use super::{Server, TimerKey};
use crate::dialog::{Dialog, OfferRequest, PendingOffer, Phase, Unacknowledged, read_contact};
use crate::event::{EndReason, Event, Problem, SessionKey};
use crate::message::{Method, Request};
use crate::response::{Reply, RequestEcho, Status};
use crate::session_timer::add_interval;
use crate::transaction::{ClientTransaction, TransactionKey};
use std::time::Duration;

/// Bodies of INFO that tell a digit. Only the type is read.
const DIGIT_TYPES: [&str; 2] = ["application/dtmf-relay", "application/dtmf"];

impl Server {
    pub(super) fn handle_in_dialog(
        &mut self,
        now: Duration,
        request: &Request<'_>,
        session: SessionKey,
    ) {
        let Some(dialog) = self.dialogs.get_mut(&session) else { return };
        if request.cseq < dialog.snapshot.remote_cseq {
            // An old request that came late (RFC 3261 §12.2.2).
            let reply = Reply::new(Status::SERVER_ERROR)
                .with_warning("CSeq is lower than that of the last request in the dialog");
            return self.reply_stateless(now, request, &reply);
        }
        if dialog.phase == Phase::Closing && request.method != Method::Bye {
            let reply = Reply::new(Status::NO_SUCH_DIALOG);
            return self.reply_stateless(now, request, &reply);
        }
        dialog.snapshot.remote_cseq = request.cseq;
        dialog.snapshot.peer = request.peer;
        let tag = dialog.snapshot.local_tag.clone();
        self.refresh_interval(now, session);
        match request.method {
            Method::Bye => {
                self.reply(now, request, &tag, &Reply::new(Status::OK));
                self.end_by_client(now, session);
            }
            Method::Info => self.handle_info(now, request, session),
            Method::Invite | Method::Update => self.handle_offer(now, request, session),
            Method::Options => {
                // Never 503: a client would take it for the end of the session.
                let reply = self.add_contact(Reply::new(Status::OK), &request.peer);
                self.reply(now, request, &tag, &add_capabilities(reply));
            }
            Method::Ack | Method::Cancel | Method::Other => {
                debug_assert!(false, "handled before");
            }
        }
    }

    /// Any request in the dialog is a refresh (rule 22).
    fn refresh_interval(&mut self, now: Duration, session: SessionKey) {
        let Some(dialog) = self.dialogs.get(&session) else { return };
        self.timers.set(TimerKey::Session(session), dialog.interval_deadline(now));
    }

    /// The client has sent BYE.
    fn end_by_client(&mut self, now: Duration, session: SessionKey) {
        let Some(dialog) = self.remove_dialog(session) else { return };
        if let Some(PendingOffer { request, .. }) = dialog.pending {
            let reply = Reply::new(Status::TERMINATED);
            self.respond(now, request.transaction, &request.echo, &reply);
        }
        if let Some(waiting) = dialog.unacknowledged {
            self.acknowledge_transaction(now, waiting.transaction);
        }
        if dialog.phase != Phase::Closing {
            self.events.push_back(Event::Ended { session, reason: EndReason::Bye });
        }
    }

    /// A digit's value is not read: no part of the recorder can tell it (rule 19).
    fn handle_info(&mut self, now: Duration, request: &Request<'_>, session: SessionKey) {
        let Some(dialog) = self.dialogs.get(&session) else { return };
        let tag = dialog.snapshot.local_tag.clone();
        let content_type = request.content_type().unwrap_or_default();
        let digit = DIGIT_TYPES.contains(&content_type.as_str());
        if !digit && !request.body.is_empty() {
            let reply = Reply::new(Status::UNSUPPORTED_MEDIA_TYPE);
            let reply = reply.with("Accept", &DIGIT_TYPES.join(", "));
            return self.reply(now, request, &tag, &reply);
        }
        self.reply(now, request, &tag, &Reply::new(Status::OK));
        if digit {
            self.events.push_back(Event::Digit { session });
        }
    }

    /// A re-INVITE or UPDATE.
    fn handle_offer(&mut self, now: Duration, request: &Request<'_>, session: SessionKey) {
        let Some(dialog) = self.dialogs.get(&session) else { return };
        let tag = dialog.snapshot.local_tag.clone();
        if dialog.pending.is_some() {
            return self.reply(now, request, &tag, &Reply::new(Status::PENDING));
        }
        let remote_target = match read_contact(&request.head) {
            Ok(remote_target) => remote_target,
            Err(error) => {
                self.note_unreadable(now, &request.peer, error);
                let reply = Reply::new(Status::BAD_REQUEST).with_warning(&error.to_string());
                return self.reply(now, request, &tag, &reply);
            }
        };
        let RequestBody { offer, metadata, interval_s } =
            match self.read_request_body(Some(session), request) {
                Ok(body) => body,
                Err(reply) => return self.reply(now, request, &tag, &reply),
            };
        let Some(echo) = RequestEcho::of(request) else { return };
        let Some(key) = self.begin_transaction(now, request, &echo, &tag) else {
            let reply = Reply::unavailable(1);
            return self.reply_stateless(now, request, &reply);
        };
        if let Some(transaction) = self.transactions.get_mut(&key) {
            transaction.session = Some(session);
        }
        if request.method == Method::Invite {
            // The client has our last answer, or it could not send this (its ACK was lost).
            self.take_acknowledgement(now, session);
            self.respond(now, key, &echo, &Reply::new(Status::TRYING));
        }
        let accepted = OfferRequest {
            transaction: key,
            echo,
            method: request.method,
            cseq: request.cseq,
            interval_s,
            remote_target,
        };
        match offer.clone() {
            Some(offer) => {
                let Some(dialog) = self.dialogs.get_mut(&session) else { return };
                dialog.pending = Some(PendingOffer { request: accepted, offer });
            }
            None => self.accept_without_offer(now, session, accepted),
        }
        if offer.is_some() || metadata.is_some() {
            self.events.push_back(Event::Changed { session, offer, metadata });
        }
    }

    /// Answers a request that refreshes the session or brings metadata only.
    fn accept_without_offer(&mut self, now: Duration, session: SessionKey, request: OfferRequest) {
        let Some(dialog) = self.dialogs.get(&session) else { return };
        let mut reply = Reply::new(Status::OK);
        if request.method == Method::Invite {
            // Our offer, which the ACK answers (RFC 3261 §14.2).
            reply = reply.with_description(&dialog.snapshot.local_description);
        }
        self.complete_offer(now, session, request, reply);
    }

    /// Sends the 200 to an INVITE or UPDATE, and keeps what it changes.
    pub(super) fn complete_offer(
        &mut self,
        now: Duration,
        session: SessionKey,
        request: OfferRequest,
        reply: Reply,
    ) {
        let Some(dialog) = self.dialogs.get_mut(&session) else { return };
        dialog.snapshot.interval_s = request.interval_s;
        if let Some(target) = request.remote_target {
            dialog.snapshot.remote_target = target;
        }
        if request.method == Method::Invite {
            let (transaction, cseq) = (request.transaction, request.cseq);
            dialog.unacknowledged = Some(Unacknowledged { transaction, cseq });
        }
        let snapshot = Box::new(dialog.snapshot.clone());
        let reply = self.add_contact(reply, &snapshot.peer);
        let reply = add_capabilities(add_interval(reply, request.interval_s));
        self.respond(now, request.transaction, &request.echo, &reply);
        self.refresh_interval(now, session);
        self.events.push_back(Event::SnapshotChanged { session, snapshot });
    }

    pub(super) fn handle_ack(&mut self, now: Duration, request: &Request<'_>) {
        let Some(session) = self.find_session(request) else { return };
        let Some(dialog) = self.dialogs.get_mut(&session) else { return };
        if dialog.unacknowledged.is_none_or(|waiting| waiting.cseq != request.cseq) {
            return;
        }
        dialog.snapshot.peer = request.peer;
        let closing = dialog.phase == Phase::Closing;
        self.refresh_interval(now, session);
        self.take_acknowledgement(now, session);
        if closing {
            self.send_bye(now, session);
        }
    }

    /// The client has our last 2xx.
    fn take_acknowledgement(&mut self, now: Duration, session: SessionKey) {
        let Some(dialog) = self.dialogs.get_mut(&session) else { return };
        let Some(waiting) = dialog.unacknowledged.take() else { return };
        if dialog.phase != Phase::Closing {
            dialog.phase = Phase::Confirmed;
            self.events.push_back(Event::Confirmed { session });
        }
        self.acknowledge_transaction(now, waiting.transaction);
    }

    pub(super) fn handle_cancel(&mut self, now: Duration, request: &Request<'_>) {
        let key = TransactionKey::of_cancelled(request);
        let Some(transaction) = self.transactions.get(&key) else {
            let reply = Reply::new(Status::NO_SUCH_DIALOG);
            return self.reply_stateless(now, request, &reply);
        };
        let (answered, tag) = (transaction.is_answered(), transaction.tag.clone());
        self.reply(now, request, &tag, &Reply::new(Status::OK));
        if !answered {
            let reply = Reply::new(Status::TERMINATED);
            self.refuse_pending(now, key, &reply, EndReason::Cancelled);
        }
    }

    /// Refuses the offer that waits in a transaction; a session that is new ends by it.
    pub(super) fn refuse_pending(
        &mut self,
        now: Duration,
        key: TransactionKey,
        reply: &Reply,
        reason: EndReason,
    ) {
        let Some(session) = self.session_of(key) else { return };
        let Some(dialog) = self.dialogs.get_mut(&session) else { return };
        let Some(pending) = dialog.pending.take_if(|pending| pending.request.transaction == key)
        else {
            return;
        };
        let new = dialog.phase == Phase::Offered;
        self.respond(now, key, &pending.request.echo, reply);
        if new {
            self.remove_dialog(session);
            self.events.push_back(Event::Ended { session, reason });
        }
    }

    /// The host has not answered within 32 s.
    pub(super) fn give_up_answer(&mut self, now: Duration, key: TransactionKey) {
        let reply = Reply::new(Status::SERVER_ERROR).with_warning("the recorder did not decide");
        self.refuse_pending(now, key, &reply, EndReason::NotAnswered);
        if self.transactions.get(&key).is_some_and(|transaction| !transaction.is_answered()) {
            self.end_transaction(key);
        }
    }

    /// The client has not acknowledged a 2xx within 32 s. A new session ends by it (RFC 3261
    /// §13.3.1.4); one that was acknowledged before goes on, because it may be recorded still.
    pub(super) fn give_up_ack(&mut self, now: Duration, key: TransactionKey) {
        let Some(session) = self.session_of(key) else { return };
        let Some(dialog) = self.dialogs.get_mut(&session) else { return };
        if dialog.unacknowledged.take_if(|waiting| waiting.transaction == key).is_none() {
            return;
        }
        let peer = dialog.snapshot.peer;
        match dialog.phase {
            Phase::Closing => self.send_bye(now, session),
            Phase::Offered | Phase::Accepted => {
                self.send_bye(now, session);
                let reason = EndReason::NotAcknowledged;
                self.events.push_back(Event::Ended { session, reason });
            }
            Phase::Confirmed => self.push_problem(&peer, Some(session), Problem::NotAcknowledged),
        }
    }

    /// Ends a dialog with BYE.
    pub(super) fn send_bye(&mut self, now: Duration, session: SessionKey) {
        let Some(mut dialog) = self.remove_dialog(session) else { return };
        self.forget_oldest_client();
        let branch = format!("z9hG4bK{}", self.random.next_token());
        let host = self.contact_host(&dialog.snapshot.peer);
        let client = ClientTransaction::new(now, Dialog::write_bye(&mut dialog, &branch, &host));
        self.transmits.push_back(client.transmit());
        let key = TransactionKey::of_branch(&branch);
        self.timers.set(TimerKey::Client(key), Some(client.deadline()));
        self.clients.insert(key, client);
    }

    /// Makes room for a BYE. One that was not answered for longest is given up.
    fn forget_oldest_client(&mut self) {
        if self.clients.len() < self.transactions_max() {
            return;
        }
        let oldest = self.timers.keys().find_map(|key| match key {
            TimerKey::Client(key) => Some(key),
            TimerKey::Server(_) | TimerKey::Session(_) => None,
        });
        if let Some(key) = oldest {
            self.clients.remove(&key);
            self.timers.set(TimerKey::Client(key), None);
        }
    }
}
