//! Answers to offers: a new session begins a call, a changed one holds, resumes or updates it.
//!
//! A session whose metadata is bad is recorded all the same: the facts are missing, and an alarm
//! says so. A session that is recorded already, because a client forks it twice to this box, is
//! answered and not recorded again; if the recorded one ends first, its copy is recorded.

use super::facts::SessionFacts;
use super::legs::{Legs, acceptance, assign_legs, board_legs, leg_port};
use super::watch::LegWatch;
use super::{FULL_RETRY_S, SipSession, SlotCommand, server_time};
use crate::audio::channel::ChannelIndex;
use crate::id::RecordingId;
use crate::recorder::{Output, Recorder};
use crate::store::fact::{CallNumber, Fact, SealedBytes};
use crate::store::seal::{DataKey, FactKind, seal_fact};
use crate::time::Now;
use siprec::metadata::{Document, Metadata, MetadataReport};
use siprec::offer::{Offer, StreamRefusal};
use siprec::{Peer, Refusal, SessionKey};

/// A place in `Recorder::sip`, and a session of it.
type SessionPlace = (usize, SessionKey);

impl Recorder {
    /// Answers a new session, and begins its call.
    pub(super) fn take_offer(
        &mut self,
        now: Now,
        place: SessionPlace,
        peer: Peer,
        (offer, report): (Offer, MetadataReport),
    ) {
        let (index, key) = place;
        if let Some((_, retry_after_s)) = self.sip_unavailability(index) {
            return self.refuse_offer(now, place, Refusal::Busy { retry_after_s });
        }
        let (metadata, document) = self.read_metadata(now, (index, &peer), report);
        let board = self.sip[index].board;
        let facts = self.derive_facts(board, metadata.as_ref(), &offer);
        let legs = match self.place_streams(index, &[None, None], &offer, &facts) {
            Ok(legs) => legs,
            Err(why) => {
                let text = format!("a call of {} was refused (488): {why}", peer.remote.ip());
                self.raise_sip_problem(now, index, text);
                return self.refuse_offer(now, place, Refusal::NotAcceptable);
            }
        };
        let Some(slot) = self.sip[index].free.pop_front() else {
            let refusal = Refusal::Busy { retry_after_s: FULL_RETRY_S };
            return self.refuse_offer(now, place, refusal);
        };
        let mut session = SipSession {
            slot,
            call: None,
            peer,
            since: now.wall,
            legs,
            offer,
            metadata,
            facts,
            document,
            snapshot: None,
            watch: LegWatch::new(now.mono),
        };
        if self.is_recorded(&session.facts) {
            log::info!("a copy of a session that is recorded already is answered only");
            self.sip[index].counters.copies += 1;
        } else if let Err(refusal) = self.begin_sip_call(now, index, &mut session) {
            self.sip[index].free.push_back(slot);
            return self.refuse_offer(now, place, refusal);
        }
        self.sip[index].counters.sessions += 1;
        self.accept_offer(now, place, &session);
        let call = session.call;
        self.sip[index].insert_session(key, session);
        self.note_documents(now, call);
        self.follow_hold(now, place, call);
    }

    fn refuse_offer(&mut self, now: Now, (index, key): SessionPlace, refusal: Refusal) {
        let sip = &mut self.sip[index];
        sip.counters.refused += 1;
        if let Err(error) = sip.server.refuse(server_time(now.mono), key, refusal) {
            log::error!("an offer could not be refused: {error}");
        }
    }

    fn accept_offer(&mut self, now: Now, (index, key): SessionPlace, session: &SipSession) {
        let sip = &mut self.sip[index];
        let named = self.config.boards[sip.board].sip().and_then(|sip| sip.address);
        let address = named.unwrap_or(session.peer.local.ip());
        let port = |leg| leg_port(sip.first_port, session.slot, leg);
        let answer = acceptance(address, &session.offer, &session.legs, [port(0), port(1)]);
        if let Err(error) = sip.server.accept(server_time(now.mono), key, &answer) {
            log::error!("an offer could not be answered: {error}");
        }
    }

    fn place_streams(
        &self,
        index: usize,
        known: &Legs,
        offer: &Offer,
        facts: &SessionFacts,
    ) -> Result<Legs, StreamRefusal> {
        let streams = facts.facts.as_ref().map_or(&[][..], |facts| &facts.streams);
        assign_legs(known, offer, streams, &self.sip[index].policy())
    }

    /// Reads the metadata of a message; what is wrong with it is an alarm, never the call's end.
    fn read_metadata(
        &mut self,
        now: Now,
        (index, peer): (usize, &Peer),
        report: MetadataReport,
    ) -> (Option<Metadata>, Option<Document>) {
        let MetadataReport { document, metadata } = report;
        let metadata = match metadata {
            Ok(metadata) => metadata,
            Err(error) => {
                let from = peer.remote.ip();
                let text = format!("a call of {from} is recorded without its facts: {error}");
                self.raise_sip_problem(now, index, text);
                return (None, document);
            }
        };
        if let Some(problem) = metadata.problems.first() {
            let from = peer.remote.ip();
            let text = format!("metadata of {from}: {problem}; the call is recorded");
            self.raise_sip_problem(now, index, text);
        }
        (Some(metadata), document)
    }

    /// Whether a session with these facts is recorded already, by any board.
    fn is_recorded(&self, facts: &SessionFacts) -> bool {
        self.sip.iter().any(|sip| {
            let mut recorded = sip.sessions.values().filter(|session| session.call.is_some());
            recorded.any(|session| facts.is_copy_of(&session.facts))
        })
    }

    /// Begins the call of a session on its slot.
    fn begin_sip_call(
        &mut self,
        now: Now,
        index: usize,
        session: &mut SipSession,
    ) -> Result<(), Refusal> {
        let (board, slot) = (self.sip[index].board, session.slot);
        let device = session.facts.device();
        let channel = match self.seize_channel(board, slot, &device) {
            Ok(channel) => channel,
            Err(error) => {
                log::error!("a call could not be recorded: {error}");
                return Err(Refusal::ServerError);
            }
        };
        match self.start_sip_call(now, channel, (&device, &session.facts)) {
            Ok(call) => session.call = Some(call),
            Err(refusal) => {
                log::warn!("a call could not be recorded: {refusal}");
                self.release_channel(channel);
                return Err(Refusal::Busy { retry_after_s: FULL_RETRY_S });
            }
        }
        let legs = board_legs(&session.legs);
        self.outputs.push_back(Output::Slot(SlotCommand::Open { board, slot, legs }));
        session.watch = LegWatch::new(now.mono);
        Ok(())
    }

    fn start_sip_call(
        &mut self,
        now: Now,
        channel: ChannelIndex,
        (device, facts): (&str, &SessionFacts),
    ) -> Result<CallNumber, protocol::Refusal> {
        let consulted = facts.group().and_then(|group| self.call_of_group(group));
        let unnamed = format!("{}-{}", self.channels[channel.0].id, now.wall.0);
        let call = facts.call_id().unwrap_or(&unnamed);
        let mut args = facts.to_args(device, call);
        args.of = consulted.filter(|other| other != call).map(Into::into);
        let (number, _) = self.start_call_on(now, channel, &args, facts.unknowns())?;
        Ok(number)
    }

    /// The id of the newest live call of a group: a consultation, or what a transfer left.
    fn call_of_group(&self, group: &str) -> Option<String> {
        let sessions = self.sip.iter().flat_map(|sip| sip.sessions.values());
        let members = sessions.filter(|session| session.facts.group() == Some(group));
        let newest = members.filter_map(|session| session.call).max()?;
        self.calls.get(newest).map(|call| call.id.clone())
    }

    /// Applies a re-INVITE or an UPDATE.
    pub(super) fn change_sip_session(
        &mut self,
        now: Now,
        place: SessionPlace,
        offer: Option<Offer>,
        report: Option<MetadataReport>,
    ) {
        let (index, key) = place;
        let Some(peer) = self.sip[index].sessions.get(&key).map(|session| session.peer) else {
            return;
        };
        if let Some(report) = report {
            let (update, document) = self.read_metadata(now, (index, &peer), report);
            self.update_metadata(now, place, update, document);
        }
        let Some(offer) = offer else { return };
        let sip = &self.sip[index];
        let Some(session) = sip.sessions.get(&key) else { return };
        let facts = self.derive_facts(sip.board, session.metadata.as_ref(), &offer);
        let legs = match self.place_streams(index, &session.legs, &offer, &facts) {
            Ok(legs) => legs,
            Err(why) => {
                let text = format!("a change by {} was refused (488): {why}", peer.remote.ip());
                self.raise_sip_problem(now, index, text);
                return self.refuse_offer(now, place, Refusal::NotAcceptable);
            }
        };
        let sip = &mut self.sip[index];
        let board = sip.board;
        let Some(session) = sip.sessions.get_mut(&key) else { return };
        let is_changed = session.legs != legs;
        (session.offer, session.legs, session.facts) = (offer, legs, facts);
        session.watch.restart(now.mono);
        let (slot, call, legs) = (session.slot, session.call, board_legs(&session.legs));
        if is_changed && call.is_some() && legs.iter().any(Option::is_some) {
            self.outputs.push_back(Output::Slot(SlotCommand::Change { board, slot, legs }));
        }
        if let Some(session) = self.sip[index].sessions.remove(&key) {
            self.accept_offer(now, place, &session);
            self.sip[index].sessions.insert(key, session);
        }
        self.follow_hold(now, place, call);
    }

    /// Holds or resumes the call of a session, as its streams say.
    fn follow_hold(&mut self, now: Now, (index, key): SessionPlace, call: Option<CallNumber>) {
        let Some(session) = self.sip[index].sessions.get(&key) else { return };
        let mut settings = session.legs.iter().flatten().filter_map(|leg| leg.settings.as_ref());
        let is_held = !settings.any(|settings| settings.is_sending);
        if let Some(call) = call {
            self.call_hold(now, call, is_held);
            self.clear_leg_alarms(now, call);
        }
    }

    /// Applies newer metadata to the call, and keeps the document with its recordings.
    fn update_metadata(
        &mut self,
        now: Now,
        (index, key): SessionPlace,
        update: Option<Metadata>,
        document: Option<Document>,
    ) {
        let sip = &mut self.sip[index];
        let board = sip.board;
        let Some(session) = sip.sessions.get_mut(&key) else { return };
        let is_new_document = document.is_some() && document != session.document;
        session.document = document.or(session.document.take());
        match (&mut session.metadata, update) {
            (Some(metadata), Some(update)) => metadata.apply(update),
            (metadata, Some(update)) => *metadata = Some(update),
            (_, None) => {}
        }
        let (metadata, offer) = (session.metadata.clone(), session.offer.clone());
        let facts = self.derive_facts(board, metadata.as_ref(), &offer);
        let Some(session) = self.sip[index].sessions.get_mut(&key) else { return };
        session.facts = facts.clone();
        let Some(number) = session.call else { return };
        self.update_sip_call(now, number, &facts);
        if is_new_document {
            self.note_documents(now, Some(number));
        }
    }

    /// Keeps the newest document with each running recording of the call.
    fn note_documents(&mut self, now: Now, call: Option<CallNumber>) {
        let Some(number) = call else { return };
        let running = self.recordings.of_call(number).filter(|one| one.is_running());
        let running: Vec<_> = running.map(|one| (one.id, one.key.clone())).collect();
        for (id, key) in running {
            self.note_call_metadata(now, number, (id, key.as_ref()));
        }
    }

    fn update_sip_call(&mut self, now: Now, number: CallNumber, facts: &SessionFacts) {
        let Some(call) = self.calls.get(number).filter(|call| call.is_live()) else { return };
        let (device, id) = (call.device.clone(), call.id.clone());
        let mut args = facts.to_args(&device, &id);
        // After a transfer another phone of ours takes part.
        let other = facts.our_user().filter(|user| *user != device || call.named_agent.is_some());
        let other = other.filter(|user| self.directory.find_by_phone(user).is_some());
        args.agent = other.map(Into::into);
        let is_same = |one: &Option<String>, other: &Option<std::borrow::Cow<'_, str>>| {
            other.is_none() || one.as_deref() == other.as_deref()
        };
        let direction = args.direction.map(Into::into);
        let is_known = args.agent.is_none()
            && is_same(&call.numbers.ani, &args.ani)
            && is_same(&call.numbers.dnis, &args.dnis)
            && (direction.is_none() || direction == call.direction);
        if is_known {
            return;
        }
        if let Err(refusal) = self.call_update(now, number, &args) {
            log::warn!("call {id}: its new metadata is not applied: {refusal}");
        }
    }

    /// Keeps the metadata document of a call, sealed, with one of its recordings.
    pub(in crate::recorder) fn note_call_metadata(
        &mut self,
        now: Now,
        call: CallNumber,
        (id, key): (RecordingId, Option<&DataKey>),
    ) {
        let session = self.sip.iter().find_map(|sip| sip.session_of_call(call));
        let Some(document) = session.and_then(|session| session.document.as_ref()) else { return };
        let sequence = self.journal.storage.next_sequence();
        let document: SealedBytes =
            seal_fact(key, FactKind::Metadata, sequence, document.as_bytes());
        self.journal.append(now, Fact::CallMetadata { id, document });
    }

    /// Records the copies of sessions whose recorded one has ended.
    pub(super) fn record_copies(&mut self, now: Now, index: usize) {
        let copies = self.sip[index].sessions.iter().filter(|(_, session)| session.call.is_none());
        let copies: Vec<SessionKey> = copies.map(|(key, _)| *key).collect();
        for key in copies {
            let session = self.sip[index].sessions.get(&key);
            let is_recorded = session.is_none_or(|session| self.is_recorded(&session.facts));
            if is_recorded || self.admin.is_stopping() {
                continue;
            }
            let Some(mut session) = self.sip[index].remove_session(key) else { continue };
            if self.begin_sip_call(now, index, &mut session).is_err() {
                log::error!("the copy of a session that has ended could not be recorded");
            }
            let (call, snapshot) = (session.call, session.snapshot.clone());
            self.sip[index].insert_session(key, session);
            self.note_documents(now, call);
            self.follow_hold(now, (index, key), call);
            if let Some(snapshot) = snapshot.filter(|_| call.is_some()) {
                self.note_dialog(now, (index, key), snapshot);
            }
        }
    }
}
