//! What the metadata of a recording session says about the call: who, with whom, which way.
//!
//! A stream is mapped to a participant by label, stream and `send`, never by the order of the
//! streams. What the metadata does not say stays unknown, and [`CallFacts::unknowns`] names it.

use crate::address::Address;
use crate::metadata::{CallRole, Metadata, Participant};
use crate::offer::Offer;
use crate::personal::PersonalText;

/// Whose voice a stream carries.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Side {
    /// A participant whose user part is ours, such as an agent.
    Ours,
    /// Any other participant.
    Theirs,
    /// Both, mixed by the recording client.
    Mixed,
    /// The metadata does not say.
    Unknown,
}

/// The way of a call, seen from us.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CallDirection {
    /// The other party called us.
    Inbound,
    /// We called the other party.
    Outbound,
    /// Both parties are ours.
    Internal,
}

/// How the direction is known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DirectionSource {
    /// An extension of the metadata states who called.
    Stated,
    /// No extension does. Recording clients put the calling participant first by custom.
    ParticipantOrder,
}

/// A party of the call.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Party {
    /// The number or the name before the `@`.
    pub user: Option<PersonalText>,
    /// The display name.
    pub name: Option<PersonalText>,
    /// Whether the user is ours.
    pub ours: bool,
}

/// What is known about one stream of the offer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StreamFacts {
    /// The stream in the offer, counted from 0.
    pub index: usize,
    /// Whose voice it carries.
    pub side: Side,
    /// The user part of that participant.
    pub user: Option<PersonalText>,
    /// Whether the recording client sends nothing on it: the stream is on hold, or disabled.
    pub on_hold: bool,
}

/// Something that the metadata does not say.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum UnknownFact {
    /// No participant has a user that is ours.
    #[error("no participant is one of our users; name our users in `devices`")]
    OurParty,
    /// A stream of the offer has no participant.
    #[error("the metadata names no participant for a stream; its side is unknown")]
    Side,
    /// There are not two participants.
    #[error("the metadata does not name two participants; the other party is unknown")]
    OtherParty,
    /// No extension of the metadata states who called.
    #[error(
        "the metadata does not state who called; the first participant is taken for the caller"
    )]
    Direction,
}

/// The facts of a call.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CallFacts {
    /// The id of the communication session.
    pub session_id: Option<PersonalText>,
    /// The SIP session id or the Call-ID of the call.
    pub sip_session_id: Option<PersonalText>,
    /// The id that a call shares with its consultation or its transfer.
    pub group_id: Option<PersonalText>,
    /// Our party: the agent, and the device by its user.
    pub our_party: Option<Party>,
    /// The party that talks with ours.
    pub other_party: Option<Party>,
    /// The calling number.
    pub ani: Option<PersonalText>,
    /// The called number.
    pub dnis: Option<PersonalText>,
    /// The way of the call.
    pub direction: Option<CallDirection>,
    /// How the direction is known.
    pub direction_source: DirectionSource,
    /// One for each stream of the offer, in its order.
    pub streams: Vec<StreamFacts>,
    /// What the metadata does not say, each once.
    pub unknowns: Vec<UnknownFact>,
}

impl CallFacts {
    /// Derives the facts from the metadata and the newest offer. `is_ours` tells whether a user
    /// part belongs to us.
    #[must_use]
    pub fn derive(metadata: &Metadata, offer: &Offer, is_ours: &dyn Fn(&str) -> bool) -> CallFacts {
        let present: Vec<&Participant> =
            metadata.participants.iter().filter(|one| !metadata.has_left(one)).collect();
        let parties: Vec<Party> = present.iter().map(|one| party_of(one, is_ours)).collect();
        let stated = present.iter().any(|one| one.role.is_some());
        let roles = roles_of(&present);
        let our = our_index(&parties, &roles);
        let other = other_index(&parties, our);
        let direction = our.zip(other).and_then(|(our, other)| {
            if parties[other].ours {
                return Some(CallDirection::Internal);
            }
            roles[our].map(|role| match role {
                CallRole::Calling => CallDirection::Outbound,
                CallRole::Called => CallDirection::Inbound,
            })
        });
        let user_with = |role| {
            let index = roles.iter().position(|known| *known == Some(role))?;
            parties[index].user.clone()
        };
        let source =
            if stated { DirectionSource::Stated } else { DirectionSource::ParticipantOrder };
        let session = metadata
            .sessions
            .iter()
            .find(|session| session.association.ended.is_none())
            .or(metadata.sessions.first());
        let only_group = || match metadata.groups.as_slice() {
            [group] => Some(group.id.clone()),
            _ => None,
        };
        let mut facts = CallFacts {
            session_id: session.map(|session| session.id.clone()),
            sip_session_id: session.and_then(|session| session.sip_session_ids.first().cloned()),
            group_id: session.and_then(|session| session.group.clone()).or_else(only_group),
            our_party: our.map(|index| parties[index].clone()),
            other_party: other.map(|index| parties[index].clone()),
            ani: user_with(CallRole::Calling),
            dnis: user_with(CallRole::Called),
            direction,
            direction_source: source,
            streams: stream_facts(metadata, offer, is_ours),
            unknowns: Vec::new(),
        };
        facts.unknowns = facts.find_unknowns();
        facts
    }

    fn find_unknowns(&self) -> Vec<UnknownFact> {
        let side_unknown = self.streams.iter().any(|stream| stream.side == Side::Unknown);
        let assumed = self.direction.is_some_and(|d| d != CallDirection::Internal)
            && self.direction_source == DirectionSource::ParticipantOrder;
        [
            (self.our_party.is_none(), UnknownFact::OurParty),
            (self.other_party.is_none(), UnknownFact::OtherParty),
            (side_unknown, UnknownFact::Side),
            (assumed, UnknownFact::Direction),
        ]
        .into_iter()
        .filter_map(|(unknown, fact)| unknown.then_some(fact))
        .collect()
    }

    /// Whether the recording client sends no audio at all: the call is on hold.
    #[must_use]
    pub fn on_hold(&self) -> bool {
        !self.streams.is_empty() && self.streams.iter().all(|stream| stream.on_hold)
    }
}

/// The party that a participant is: its first address that is ours, else its first one.
fn party_of(participant: &Participant, is_ours: &dyn Fn(&str) -> bool) -> Party {
    let mut found: Option<Party> = None;
    for name in &participant.names {
        let address = Address::parse(name.address.as_str());
        let ours = address.user().is_some_and(is_ours);
        let display_name = name.name.clone().or(address.display_name);
        let party = Party { user: address.user, name: display_name, ours };
        if ours {
            return party;
        }
        found.get_or_insert(party);
    }
    found.unwrap_or(Party { user: None, name: None, ours: false })
}

/// Who called: as stated, else by custom the first of two participants.
fn roles_of(present: &[&Participant]) -> Vec<Option<CallRole>> {
    let mut roles: Vec<_> = present.iter().map(|participant| participant.role).collect();
    match roles.as_mut_slice() {
        [first @ None, second @ None] => {
            *first = Some(CallRole::Calling);
            *second = Some(CallRole::Called);
        }
        [one @ None, Some(role)] | [Some(role), one @ None] => *one = Some(role.opposite()),
        _ => {}
    }
    roles
}

/// Our party. In a call between two of ours it is the called one, who answers for the device.
fn our_index(parties: &[Party], roles: &[Option<CallRole>]) -> Option<usize> {
    let ours = || (0..parties.len()).filter(|index| parties[*index].ours);
    ours().find(|index| roles[*index] == Some(CallRole::Called)).or_else(|| ours().next())
}

/// The party that talks with ours: preferably one that is not ours.
fn other_index(parties: &[Party], our: Option<usize>) -> Option<usize> {
    let our = our?;
    let others = || (0..parties.len()).filter(|index| *index != our);
    others().find(|index| !parties[*index].ours).or_else(|| others().next())
}

/// The side of each stream: label, then stream, then `send`, then participant.
fn stream_facts(
    metadata: &Metadata,
    offer: &Offer,
    is_ours: &dyn Fn(&str) -> bool,
) -> Vec<StreamFacts> {
    let mut facts = Vec::with_capacity(offer.streams.len());
    for (index, offered) in offer.streams.iter().enumerate() {
        let parties: Vec<Party> = senders(metadata, offered.label.as_deref())
            .into_iter()
            .map(|participant| party_of(participant, is_ours))
            .collect();
        let side = match parties.as_slice() {
            [] => Side::Unknown,
            [one] if one.ours => Side::Ours,
            [_] => Side::Theirs,
            _ => Side::Mixed,
        };
        let user = if let [one] = parties.as_slice() { one.user.clone() } else { None };
        let is_audio = offered.media.eq_ignore_ascii_case("audio");
        let on_hold = !is_audio || offered.port == 0 || !offered.direction.sends();
        facts.push(StreamFacts { index, side, user, on_hold });
    }
    facts
}

/// The participants that send the streams with a label, and have not left.
fn senders<'a>(metadata: &'a Metadata, label: Option<&str>) -> Vec<&'a Participant> {
    let Some(label) = label else { return Vec::new() };
    let labelled = metadata.streams.iter().filter(|one| one.label.as_deref() == Some(label));
    let ids: Vec<&PersonalText> = labelled.map(|stream| &stream.id).collect();
    let sends = |participant: &&Participant| {
        metadata.participant_streams.iter().any(|one| {
            one.participant == participant.id
                && one.association.ended.is_none()
                && one.send.iter().any(|id| ids.contains(&id))
        })
    };
    let present = metadata.participants.iter().filter(|one| !metadata.has_left(one));
    present.filter(sends).collect()
}
