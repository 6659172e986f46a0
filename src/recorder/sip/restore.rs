//! Dialogs over a restart: the journal keeps them sealed, and the next start goes on with them.
//!
//! The recording client knows nothing of a restart. It goes on sending RTP to the same ports, which
//! the box binds again, and its next request finds the dialog. The recording continues with a gap
//! that its record names.

use super::stored::SessionState;
use super::watch::LegWatch;
use super::{SipSession, SlotCommand, server_time};
use crate::audio::channel::ChannelIndex;
use crate::recorder::sip::legs::board_legs;
use crate::recorder::{Output, Recorder, Timer};
use crate::store::fact::{Fact, SipDialog};
use crate::store::seal::{DataKey, FactKind, open_fact, seal_fact};
use crate::time::Now;
use siprec::metadata::{Document, MetadataReport};
use siprec::offer::Offer;
use siprec::{DialogSnapshot, SessionKey};
use zeroize::Zeroizing;

impl Recorder {
    /// Keeps the newest state of a dialog.
    pub(super) fn note_dialog(
        &mut self,
        now: Now,
        (index, key): (usize, SessionKey),
        snapshot: Box<DialogSnapshot>,
    ) {
        let Some(session) = self.sip[index].sessions.get_mut(&key) else { return };
        session.snapshot = Some(snapshot);
        self.append_dialog(now, (index, key));
    }

    /// Keeps all dialogs once more, under a new call key.
    pub(in crate::recorder) fn note_all_dialogs(&mut self, now: Now) {
        for index in 0..self.sip.len() {
            let keys: Vec<SessionKey> = self.sip[index].sessions.keys().copied().collect();
            keys.into_iter().for_each(|key| self.append_dialog(now, (index, key)));
        }
    }

    fn append_dialog(&mut self, now: Now, (index, key): (usize, SessionKey)) {
        let sip = &self.sip[index];
        let Some(session) = sip.sessions.get(&key) else { return };
        // A copy that is not recorded needs no second start: its client notices, and begins anew.
        let Some((call, snapshot)) = session.call.zip(session.snapshot.as_ref()) else { return };
        let document = session.document.as_ref();
        let state = SessionState {
            snapshot: (**snapshot).clone(),
            legs: session.legs.clone(),
            document: document.map(|document| Zeroizing::new(document.as_bytes().to_vec())),
        };
        let plain = match state.to_bytes() {
            Ok(plain) => plain,
            Err(error) => {
                return log::error!("call {} will not survive a restart: {error}", call.0);
            }
        };
        let sequence = self.journal.storage.next_sequence();
        let dialog = SipDialog {
            call,
            board: self.config.boards[sip.board].name.clone(),
            slot: u16::try_from(session.slot).unwrap_or(u16::MAX),
            state: seal_fact(self.call_key.as_ref(), FactKind::Dialog, sequence, &plain),
        };
        self.journal.append(now, Fact::SipDialog(dialog));
    }

    /// Goes on with a dialog of before the start, on the slot that it had. Returns the slot's
    /// channel, or `None` if the dialog cannot go on.
    pub(in crate::recorder) fn restore_dialog(
        &mut self,
        now: Now,
        dialog: &SipDialog,
        (device, old_keys): (&str, &[DataKey]),
    ) -> Option<ChannelIndex> {
        let keys = old_keys.iter().map(Some).chain([self.call_key.as_ref(), None]);
        let open = |key| open_fact(key, FactKind::Dialog, &dialog.state).ok();
        let plain = keys.filter_map(open).next()?;
        let state = match SessionState::from_bytes(&plain) {
            Ok(state) => state,
            Err(error) => {
                log::error!("call {} cannot go on after the start: {error}", dialog.call.0);
                return None;
            }
        };
        let board = self.config.boards.iter().position(|board| board.name == dialog.board)?;
        let index = self.sip.iter().position(|sip| sip.board == board)?;
        let slot = usize::from(dialog.slot);
        let place = self.sip[index].free.iter().position(|free| *free == slot)?;
        let channel = match self.seize_channel(board, slot, device) {
            Ok(channel) => channel,
            Err(error) => {
                log::error!("call {} cannot go on after the start: {error}", dialog.call.0);
                return None;
            }
        };
        self.sip[index].free.remove(place);
        let report =
            state.document.as_deref().map(|document| MetadataReport::parse(Some(document)));
        let (metadata, document): (_, Option<Document>) = match report {
            Some(report) => (report.metadata.ok(), report.document),
            None => (None, None),
        };
        let offer = Offer { streams: Vec::new() };
        let facts = self.derive_facts(board, metadata.as_ref(), &offer);
        let session = SipSession {
            slot,
            call: Some(dialog.call),
            peer: state.snapshot.peer,
            since: now.wall,
            legs: state.legs,
            offer,
            metadata,
            facts,
            document,
            snapshot: Some(Box::new(state.snapshot.clone())),
            watch: LegWatch::new(now.mono),
        };
        let legs = board_legs(&session.legs);
        let key = self.sip[index].server.restore(server_time(now.mono), state.snapshot);
        self.sip[index].insert_session(key, session);
        self.outputs.push_back(Output::Slot(SlotCommand::Open { board, slot, legs }));
        self.timers.advance(Timer::Sip, now.mono);
        Some(channel)
    }
}
