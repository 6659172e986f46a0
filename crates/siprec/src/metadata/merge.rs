//! How a document changes the state that the documents before it left.

use super::limits::{
    GROUPS_MAX, PARTICIPANT_SESSIONS_MAX, PARTICIPANT_STREAMS_MAX, PARTICIPANTS_MAX, SESSIONS_MAX,
    STREAMS_MAX,
};
use super::{
    Association, DataMode, Metadata, MetadataProblem, Participant, ParticipantSession,
    ParticipantStream, Session, Stream,
};

impl Metadata {
    /// Applies a newer document: a complete one replaces the state, a partial one is merged by id.
    ///
    /// An element of a partial document changes only what it has. When a list is full, history
    /// makes room: participants whose association has ended.
    pub fn apply(&mut self, update: Metadata) {
        if update.data_mode == DataMode::Complete {
            *self = update;
            return;
        }
        self.forget_history(&update);
        self.dialect = update.dialect;
        self.data_mode = update.data_mode;
        self.problems = update.problems;
        let mut full = Vec::new();
        let mut note = |element, max| full.push(MetadataProblem::TooMany { element, max });
        let same = |a: &super::Group, b: &super::Group| a.id == b.id;
        if !merge(&mut self.groups, update.groups, GROUPS_MAX, same, |old, new| *old = new) {
            note("group", GROUPS_MAX);
        }
        let same = |a: &Session, b: &Session| a.id == b.id;
        if !merge(&mut self.sessions, update.sessions, SESSIONS_MAX, same, update_session) {
            note("session", SESSIONS_MAX);
        }
        let same = |a: &Participant, b: &Participant| a.id == b.id;
        let (list, new) = (&mut self.participants, update.participants);
        if !merge(list, new, PARTICIPANTS_MAX, same, update_participant) {
            note("participant", PARTICIPANTS_MAX);
        }
        let same = |a: &Stream, b: &Stream| a.id == b.id;
        if !merge(&mut self.streams, update.streams, STREAMS_MAX, same, update_stream) {
            note("stream", STREAMS_MAX);
        }
        let same = |a: &ParticipantSession, b: &ParticipantSession| {
            a.participant == b.participant && a.session == b.session
        };
        let (list, new) = (&mut self.participant_sessions, update.participant_sessions);
        let update_one = |old: &mut ParticipantSession, new: ParticipantSession| {
            update_association(&mut old.association, new.association);
        };
        if !merge(list, new, PARTICIPANT_SESSIONS_MAX, same, update_one) {
            note("participantsessionassoc", PARTICIPANT_SESSIONS_MAX);
        }
        let same = |a: &ParticipantStream, b: &ParticipantStream| a.participant == b.participant;
        let (list, new) = (&mut self.participant_streams, update.participant_streams);
        if !merge(list, new, PARTICIPANT_STREAMS_MAX, same, update_participant_stream) {
            note("participantstreamassoc", PARTICIPANT_STREAMS_MAX);
        }
        self.problems.extend(full);
    }

    /// Removes participants who have left and streams that are not sent any more, if the lists
    /// could not take the update otherwise.
    fn forget_history(&mut self, update: &Metadata) {
        let full = self.participants.len() + update.participants.len() > PARTICIPANTS_MAX
            || self.streams.len() + update.streams.len() > STREAMS_MAX
            || self.participant_sessions.len() + update.participant_sessions.len()
                > PARTICIPANT_SESSIONS_MAX;
        if !full {
            return;
        }
        let left: Vec<_> =
            self.participants.iter().filter(|p| self.has_left(p)).map(|p| p.id.clone()).collect();
        self.participants.retain(|participant| !left.contains(&participant.id));
        self.participant_sessions.retain(|one| one.association.ended.is_none());
        self.participant_streams
            .retain(|one| one.association.ended.is_none() && !left.contains(&one.participant));
        let in_use = &self.participant_streams;
        self.streams.retain(|stream| in_use.iter().any(|one| one.send.contains(&stream.id)));
    }

    /// Whether the participant took part in a session, and takes part in none any more.
    #[must_use]
    pub fn has_left(&self, participant: &Participant) -> bool {
        let mut own = self
            .participant_sessions
            .iter()
            .filter(|one| one.participant == participant.id)
            .peekable();
        own.peek().is_some() && own.all(|one| one.association.ended.is_some())
    }
}

/// Merges `updates` into `list`. Returns whether all of them fitted.
fn merge<T>(
    list: &mut Vec<T>,
    updates: Vec<T>,
    max: usize,
    same: impl Fn(&T, &T) -> bool,
    update_one: impl Fn(&mut T, T),
) -> bool {
    let mut all = true;
    for new in updates {
        match list.iter().position(|old| same(old, &new)) {
            Some(index) => update_one(&mut list[index], new),
            None if list.len() < max => list.push(new),
            None => all = false,
        }
    }
    all
}

fn update_session(old: &mut Session, new: Session) {
    old.group = new.group.or(old.group.take());
    if !new.sip_session_ids.is_empty() {
        old.sip_session_ids = new.sip_session_ids;
    }
    update_association(&mut old.association, new.association);
}

fn update_participant(old: &mut Participant, new: Participant) {
    if !new.names.is_empty() {
        old.names = new.names;
    }
    old.role = new.role.or(old.role);
}

fn update_stream(old: &mut Stream, new: Stream) {
    old.session = new.session.or(old.session.take());
    old.label = new.label.or(old.label.take());
}

fn update_participant_stream(old: &mut ParticipantStream, new: ParticipantStream) {
    if !new.send.is_empty() || !new.receive.is_empty() {
        old.send = new.send;
        old.receive = new.receive;
    }
    update_association(&mut old.association, new.association);
}

/// A new begin opens an ended association again.
fn update_association(old: &mut Association, new: Association) {
    if new.began.is_some() && new.began != old.began {
        *old = new;
    } else {
        old.ended = new.ended.or(old.ended);
    }
}
