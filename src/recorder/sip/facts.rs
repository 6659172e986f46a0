//! What the metadata of a session says of the call, in the words of the call feed.

use crate::recorder::Recorder;
use protocol::{CallArgs, Direction, arg};
use siprec::call_facts::{CallDirection, CallFacts};
use siprec::metadata::Metadata;
use siprec::offer::Offer;
use siprec::personal::PersonalText;
use std::borrow::Cow;

/// Device of a call whose metadata names nobody.
const UNKNOWN_DEVICE: &str = "unknown";

/// The facts of a call, as far as the metadata has them.
#[derive(Clone)]
pub(in crate::recorder) struct SessionFacts {
    pub facts: Option<CallFacts>,
}

impl SessionFacts {
    pub fn derive(
        metadata: Option<&Metadata>,
        offer: &Offer,
        is_ours: &dyn Fn(&str) -> bool,
    ) -> SessionFacts {
        SessionFacts { facts: metadata.map(|metadata| CallFacts::derive(metadata, offer, is_ours)) }
    }

    /// The phone that the call belongs to: that of our party, or else the called or the calling
    /// one.
    pub fn device(&self) -> String {
        let facts = self.facts.as_ref();
        let our = facts.and_then(|facts| facts.our_party.as_ref()?.user.as_ref());
        let any = || facts.and_then(|facts| facts.dnis.as_ref().or(facts.ani.as_ref()));
        let text = our.or_else(any).map(PersonalText::as_str);
        text.and_then(|text| plain_text(text, arg::NAME_BYTES))
            .map_or(UNKNOWN_DEVICE.to_string(), str::to_string)
    }

    /// The user part of our party.
    pub fn our_user(&self) -> Option<&str> {
        let party = self.facts.as_ref()?.our_party.as_ref()?;
        party.user.as_ref().map(PersonalText::as_str)
    }

    /// The id of the call: that of the SIP session, which copies of the call at other recorders
    /// have, too.
    pub fn call_id(&self) -> Option<&str> {
        let facts = self.facts.as_ref()?;
        let ids = [&facts.sip_session_id, &facts.session_id];
        let mut ids = ids.into_iter().flatten().map(PersonalText::as_str);
        ids.find_map(|id| plain_text(id, arg::CALL_BYTES))
    }

    /// Whether two sessions are copies of one: the same communication session, or the same call
    /// between the same parties.
    pub fn is_copy_of(&self, other: &SessionFacts) -> bool {
        let (Some(one), Some(other)) = (&self.facts, &other.facts) else { return false };
        let is_same = |one: &Option<PersonalText>, other: &Option<PersonalText>| {
            one.as_ref().is_some_and(|text| !text.as_str().is_empty()) && one == other
        };
        is_same(&one.session_id, &other.session_id)
            || is_same(&one.sip_session_id, &other.sip_session_id)
                && (&one.ani, &one.dnis) == (&other.ani, &other.dnis)
    }

    pub fn group(&self) -> Option<&str> {
        self.facts.as_ref()?.group_id.as_ref().map(PersonalText::as_str)
    }

    /// The arguments of `call start` and `call update`.
    pub fn to_args<'a>(&'a self, device: &'a str, call: &'a str) -> CallArgs<'a> {
        let facts = self.facts.as_ref();
        let number = |text: Option<&'a PersonalText>| {
            let text = text.and_then(|text| plain_text(text.as_str(), arg::DETAIL_BYTES));
            text.map(Cow::Borrowed)
        };
        let direction = facts.and_then(|facts| match facts.direction? {
            CallDirection::Inbound => Some(Direction::In),
            CallDirection::Outbound => Some(Direction::Out),
            CallDirection::Internal => None,
        });
        CallArgs {
            device: Cow::Borrowed(device),
            call: Cow::Borrowed(call),
            of: None,
            ani: number(facts.and_then(|facts| facts.ani.as_ref())),
            dnis: number(facts.and_then(|facts| facts.dnis.as_ref())),
            direction,
            group: None,
            gate: None,
            agent: None,
            altered: Vec::new(),
        }
    }

    /// What the metadata leaves open, for the record; empty: nothing.
    pub fn unknowns(&self) -> String {
        let Some(facts) = &self.facts else {
            return "no usable metadata: who talks is unknown".to_string();
        };
        let unknowns: Vec<String> = facts.unknowns.iter().map(ToString::to_string).collect();
        unknowns.join(", ")
    }
}

/// The start of a text that fits, without control characters; `None` if nothing is left.
fn plain_text(text: &str, bytes_max: usize) -> Option<&str> {
    let end = text.find(char::is_control).unwrap_or(text.len()).min(bytes_max);
    let end = (0..=end).rev().find(|end| text.is_char_boundary(*end))?;
    Some(text[..end].trim()).filter(|text| !text.is_empty() && *text != "-")
}

impl Recorder {
    /// Derives the facts of a session of a board.
    pub(super) fn derive_facts(
        &self,
        board: usize,
        metadata: Option<&Metadata>,
        offer: &Offer,
    ) -> SessionFacts {
        let devices = self.config.boards.get(board).and_then(|board| board.sip());
        let devices = devices.map_or(&[][..], |sip| &sip.devices);
        let is_ours = |user: &str| match devices.is_empty() {
            true => self.directory.find_by_phone(user).is_some(),
            false => devices.iter().any(|device| device == user),
        };
        SessionFacts::derive(metadata, offer, &is_ours)
    }
}
