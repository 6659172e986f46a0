//! Takes requests apart: repetitions, methods, extensions, and new sessions.

use super::{Server, TimerKey};
use crate::answer::AnswerWriter;
use crate::body::{Body, BodyError};
use crate::dialog::{
    Dialog, DialogHeaders, DialogId, DialogSnapshot, OfferRequest, PendingOffer, Phase,
};
use crate::event::{Availability, Event, Problem, SessionKey};
use crate::header::split_list;
use crate::limits::MIN_SESSION_INTERVAL_S;
use crate::message::{Method, Request};
use crate::metadata::MetadataReport;
use crate::offer::{Offer, StreamRefusal};
use crate::peer::Peer;
use crate::response::{ACCEPT, ALLOW, Reply, RequestEcho, SUPPORTED, Status};
use crate::session_timer::requested_interval;
use crate::transaction::{Outcome, TransactionKey};
use ezk_sip_types::Name;
use std::time::Duration;
use zeroize::Zeroizing;

/// When a client that came too fast may come again.
const RATE_RETRY_AFTER_S: u32 = 1;
/// When a client may come again after all sessions were in use.
const SESSIONS_RETRY_AFTER_S: u32 = 10;

/// Why a new session without an offer is refused.
const NO_DESCRIPTION: &str = "the INVITE of a recording client needs a session description";

/// The body of an INVITE or UPDATE.
pub(super) struct RequestBody {
    pub offer: Option<Offer>,
    pub metadata: Option<MetadataReport>,
    pub interval_s: Option<u32>,
}

/// A session that begins.
struct NewSession {
    snapshot: DialogSnapshot,
    offer: Offer,
    metadata: Option<MetadataReport>,
    interval_s: Option<u32>,
}

impl Server {
    pub(super) fn handle_request(&mut self, now: Duration, request: &Request<'_>) {
        let key = TransactionKey::of(request);
        if let Some(transaction) = self.transactions.get(&key) {
            if request.method != Method::Ack {
                self.statistics.peer_mut(request.peer.remote.ip(), now).repeated += 1;
                if transaction.repeat() == Outcome::Send {
                    self.transmits.push_back(transaction.transmit());
                }
                return;
            }
            if transaction.is_refused() {
                return self.acknowledge_transaction(now, key);
            }
        }
        self.statistics.count_request(request.peer.remote.ip(), now, request.method);
        match request.method {
            Method::Ack => return self.handle_ack(now, request),
            Method::Cancel => return self.handle_cancel(now, request),
            Method::Other => {
                let reply = Reply::new(Status::METHOD_NOT_ALLOWED).with("Allow", ALLOW);
                return self.reply_stateless(now, request, &reply);
            }
            Method::Invite | Method::Bye | Method::Options | Method::Update | Method::Info => {}
        }
        let unknown = unknown_extensions(request);
        if !unknown.is_empty() {
            let reply = Reply::new(Status::BAD_EXTENSION).with("Unsupported", &unknown);
            return self.reply_stateless(now, request, &reply);
        }
        let session = self.find_session(request);
        match (request.method, session) {
            (Method::Options, None) if request.to_tag.is_empty() => {
                self.handle_options(now, request);
            }
            (_, Some(session)) => self.handle_in_dialog(now, request, session),
            (Method::Invite, None) if request.to_tag.is_empty() => {
                self.handle_new_invite(now, request);
            }
            (_, None) => {
                let reply = Reply::new(Status::NO_SUCH_DIALOG);
                self.reply_stateless(now, request, &reply);
            }
        }
    }

    pub(super) fn find_session(&self, request: &Request<'_>) -> Option<SessionKey> {
        if request.to_tag.is_empty() {
            return None;
        }
        self.dialog_index.get(&DialogId::of_request(request)).copied()
    }

    /// OPTIONS gets what an INVITE would get, so that a client routes around a recorder that would
    /// refuse it (rule 23).
    fn handle_options(&mut self, now: Duration, request: &Request<'_>) {
        let reply = match self.refusal_of_new_session() {
            Some((reply, _)) => reply,
            None => self.add_contact(Reply::new(Status::OK), &request.peer),
        };
        let reply = add_capabilities(reply);
        self.reply_stateless(now, request, &reply);
    }

    /// Why a new session would be refused now.
    fn refusal_of_new_session(&self) -> Option<(Reply, Option<Problem>)> {
        if let Availability::Unavailable { retry_after_s } = self.availability {
            return Some((Reply::unavailable(retry_after_s), None));
        }
        let sessions_max = self.settings.sessions_max;
        if self.dialogs.len() >= sessions_max {
            let problem = Problem::SessionsExhausted { sessions_max };
            return Some((Reply::unavailable(SESSIONS_RETRY_AFTER_S), Some(problem)));
        }
        None
    }

    fn handle_new_invite(&mut self, now: Duration, request: &Request<'_>) {
        let merge_key = TransactionKey::merge_key(request);
        if self.merge_index.contains_key(&merge_key) {
            let reply = Reply::new(Status::LOOP_DETECTED);
            return self.reply_stateless(now, request, &reply);
        }
        if self.is_rate_exceeded(now, &request.peer) {
            let reply = Reply::unavailable(RATE_RETRY_AFTER_S);
            return self.reply_stateless(now, request, &reply);
        }
        if let Some((reply, problem)) = self.refusal_of_new_session() {
            if let Some(problem) = problem {
                self.push_problem(&request.peer, None, problem);
            }
            return self.reply_stateless(now, request, &reply);
        }
        let tag = self.new_tag(request);
        let headers = match DialogHeaders::read(&request.head) {
            Ok(headers) => headers,
            Err(error) => {
                self.note_unreadable(now, &request.peer, error);
                let reply = Reply::new(Status::BAD_REQUEST).with_warning(&error.to_string());
                return self.reply(now, request, &tag, &reply);
            }
        };
        match self.read_request_body(None, request) {
            Err(reply) => self.reply(now, request, &tag, &reply),
            Ok(body) => match self.usable_offer(&body) {
                Ok(offer) => {
                    let offer = offer.clone();
                    let snapshot = self.new_snapshot(request, headers, tag);
                    let (metadata, interval_s) = (body.metadata, body.interval_s);
                    let new = NewSession { snapshot, offer, metadata, interval_s };
                    self.open_session(now, request, new);
                }
                Err(reply) => self.reply(now, request, &tag, &reply),
            },
        }
    }

    /// The offer of a new session. `Err`: it has none, or no stream that we can record (rule 20).
    fn usable_offer<'b>(&self, body: &'b RequestBody) -> Result<&'b Offer, Reply> {
        let Some(offer) = &body.offer else {
            return Err(Reply::new(Status::BAD_REQUEST).with_warning(NO_DESCRIPTION));
        };
        let (codecs, srtp) = (&self.settings.codecs, self.settings.srtp);
        let refusals = offer.streams.iter().map_while(|stream| stream.select(codecs, srtp).err());
        let refusals: Vec<StreamRefusal> = refusals.collect();
        match refusals.first() {
            Some(refusal) if refusals.len() == offer.streams.len() => {
                Err(Reply::new(Status::NOT_ACCEPTABLE).with_warning(&refusal.to_string()))
            }
            _ => Ok(offer),
        }
    }

    /// A tag that no dialog has, even if the seed is not fresh.
    fn new_tag(&mut self, request: &Request<'_>) -> String {
        loop {
            let tag = self.random.next_token();
            if !self.dialog_index.contains_key(&DialogId::of_answered(request, &tag)) {
                return tag;
            }
        }
    }

    fn is_rate_exceeded(&mut self, now: Duration, peer: &Peer) -> bool {
        let per_second = self.settings.invites_per_second;
        let counters = self.statistics.peer_mut(peer.remote.ip(), now);
        let count = counters.count_invite(now);
        if count <= per_second {
            return false;
        }
        counters.rate_exceeded += 1;
        if count == per_second.saturating_add(1) {
            self.push_problem(peer, None, Problem::RateExceeded { per_second });
        }
        true
    }

    fn new_snapshot(
        &mut self,
        request: &Request<'_>,
        headers: DialogHeaders,
        local_tag: String,
    ) -> DialogSnapshot {
        let number = self.random.next_bytes();
        let mut session_id = [0; 8];
        session_id.copy_from_slice(&number[..8]);
        // Some clients read the session id of the `o=` line into 63 bits.
        let session_id = u64::from_be_bytes(session_id) >> 1;
        DialogSnapshot {
            call_id: request.call_id.clone(),
            local_tag,
            remote_tag: request.from_tag.clone(),
            local_address: headers.local_address,
            remote_address: headers.remote_address,
            remote_target: headers.remote_target,
            routes: headers.routes,
            local_cseq: 0,
            remote_cseq: request.cseq,
            peer: request.peer,
            interval_s: None,
            answers: AnswerWriter::new(session_id, *self.random.next_bytes()),
            local_description: Zeroizing::new(Vec::new()),
        }
    }

    fn open_session(&mut self, now: Duration, request: &Request<'_>, new: NewSession) {
        let NewSession { snapshot, offer, metadata, interval_s } = new;
        let peer = snapshot.peer;
        let Some(echo) = RequestEcho::of(request) else { return };
        let Some(key) = self.begin_transaction(now, request, &echo, &snapshot.local_tag) else {
            let reply = Reply::unavailable(SESSIONS_RETRY_AFTER_S);
            return self.reply_stateless(now, request, &reply);
        };
        self.last_session += 1;
        let session = SessionKey(self.last_session);
        let merge_key = TransactionKey::merge_key(request);
        if let Some(transaction) = self.transactions.get_mut(&key) {
            transaction.session = Some(session);
            transaction.merge_key = Some(merge_key);
        }
        self.merge_index.insert(merge_key, key);
        self.respond(now, key, &echo, &Reply::new(Status::TRYING));
        let request = OfferRequest {
            transaction: key,
            echo,
            method: Method::Invite,
            cseq: request.cseq,
            interval_s,
            remote_target: None,
        };
        let pending = PendingOffer { request, offer: offer.clone() };
        self.insert_dialog(
            session,
            Dialog {
                snapshot,
                phase: Phase::Offered,
                pending: Some(pending),
                unacknowledged: None,
            },
        );
        let metadata = metadata.unwrap_or_else(|| MetadataReport::parse(None));
        self.events.push_back(Event::Offered { session, peer, offer, metadata });
    }

    pub(super) fn insert_dialog(&mut self, session: SessionKey, dialog: Dialog) {
        self.dialog_index.insert(DialogId::of_snapshot(&dialog.snapshot), session);
        self.dialogs.insert(session, dialog);
    }

    pub(super) fn remove_dialog(&mut self, session: SessionKey) -> Option<Dialog> {
        let dialog = self.dialogs.remove(&session)?;
        self.dialog_index.remove(&DialogId::of_snapshot(&dialog.snapshot));
        self.timers.set(TimerKey::Session(session), None);
        Some(dialog)
    }

    /// Reads the body and the session timer of an INVITE or UPDATE. `Err`: the refusal. Metadata
    /// is never a reason to refuse (rule 6).
    pub(super) fn read_request_body(
        &mut self,
        session: Option<SessionKey>,
        request: &Request<'_>,
    ) -> Result<RequestBody, Reply> {
        let Ok(interval_s) = requested_interval(&request.head) else {
            let reply = Reply::new(Status::INTERVAL_TOO_SMALL);
            return Err(reply.with("Min-SE", &MIN_SESSION_INTERVAL_S.to_string()));
        };
        let encoding = request.head.value(&Name::CONTENT_ENCODING).unwrap_or("identity");
        if !encoding.eq_ignore_ascii_case("identity") {
            let reply = Reply::new(Status::UNSUPPORTED_MEDIA_TYPE);
            return Err(reply.with("Accept-Encoding", "identity"));
        }
        let content_type = request.head.value(&Name::CONTENT_TYPE);
        let body = match Body::parse(content_type, request.body) {
            Ok(body) => body,
            Err(error) => {
                self.push_problem(&request.peer, session, Problem::Body(error));
                return Err(refusal_of_body(error));
            }
        };
        let offer = match body.sdp.map(Offer::parse).transpose() {
            Ok(offer) => offer,
            Err(error) => {
                let text = error.to_string();
                self.push_problem(&request.peer, session, Problem::Offer(error));
                return Err(Reply::new(Status::BAD_REQUEST).with_warning(&text));
            }
        };
        let metadata = body.metadata.map(|part| MetadataReport::parse(Some(part)));
        Ok(RequestBody { offer, metadata, interval_s })
    }
}

fn refusal_of_body(error: BodyError) -> Reply {
    match error {
        BodyError::NoType | BodyError::UnsupportedType => {
            Reply::new(Status::UNSUPPORTED_MEDIA_TYPE).with("Accept", ACCEPT)
        }
        BodyError::NoBoundary
        | BodyError::NoParts
        | BodyError::Truncated
        | BodyError::TooManyParts => {
            Reply::new(Status::BAD_REQUEST).with_warning(&error.to_string())
        }
    }
}

/// The extensions in `Require` that we do not know, as `Unsupported` lists them.
fn unknown_extensions(request: &Request<'_>) -> String {
    let known = |tag: &&str| !SUPPORTED.iter().any(|ours| tag.eq_ignore_ascii_case(ours));
    let required = request.head.values(&Name::REQUIRE).flat_map(split_list);
    required.filter(known).collect::<Vec<&str>>().join(", ")
}

/// What we can do, for responses that open or describe a session.
pub(super) fn add_capabilities(reply: Reply) -> Reply {
    reply.with("Allow", ALLOW).with("Supported", &SUPPORTED.join(", ")).with("Accept", ACCEPT)
}
