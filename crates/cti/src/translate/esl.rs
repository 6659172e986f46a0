//! Calls from the events of FreeSWITCH.
//!
//! A leg between FreeSWITCH and a telephone is a call on its device, from the answer to the
//! hang-up.
//! FreeSWITCH names directions from its own side: an `inbound` leg comes from the telephone, so the
//! agent's call is outgoing.

use super::ami::{CallBegin, TranslateSettings};
use super::call::{CallChange, CallFacts, CallState, known_number};
use super::reported_calls::ReportedCalls;
use crate::parse::Headers;
use crate::parse::esl::ChannelRow;
use protocol::Direction;
use std::collections::{BTreeMap, BTreeSet};

/// The most legs that are tracked; further ones are left out.
pub const LEGS_MAX: usize = 20_000;

/// The events to subscribe to.
pub const EVENTS: &str = "CHANNEL_CREATE CHANNEL_PROGRESS CHANNEL_PROGRESS_MEDIA CHANNEL_ANSWER \
    CHANNEL_BRIDGE CHANNEL_HOLD CHANNEL_UNHOLD CHANNEL_HANGUP CHANNEL_DESTROY CALL_UPDATE";

#[derive(Clone, Default)]
struct Leg {
    telephone: String,
    is_from_telephone: bool,
    answered: bool,
    rings: bool,
    held: bool,
    caller: String,
    dialled: String,
    queue: String,
    agent: String,
    /// The leg that began the call.
    first_leg: String,
    listed: bool,
}

/// What FreeSWITCH has said.
#[derive(Clone, Default)]
pub struct EslTranslator {
    settings: TranslateSettings,
    legs: BTreeMap<String, Leg>,
    reported: ReportedCalls,
    changed: BTreeSet<String>,
    /// Legs that were left out.
    pub ignored: u64,
}

impl EslTranslator {
    /// `prefix` begins every call id.
    #[must_use]
    pub fn new(settings: TranslateSettings, prefix: &str) -> EslTranslator {
        let reported = ReportedCalls::new(prefix);
        EslTranslator { settings, reported, ..EslTranslator::default() }
    }

    /// Replaces the devices of the box.
    pub fn set_devices(&mut self, known: BTreeSet<String>) {
        self.settings.devices.known = Some(known);
        self.changed.extend(self.legs.keys().cloned());
    }

    /// Begins a list of all legs. Legs that an event names before the list ends stay.
    pub fn begin_list(&mut self) {
        self.legs.values_mut().for_each(|leg| leg.listed = false);
    }

    /// Takes the list of all legs; legs that are in neither the list nor an event are gone.
    pub fn take_list(&mut self, rows: Vec<ChannelRow>) {
        let dialled: BTreeMap<String, String> =
            rows.iter().map(|row| (row.uuid.clone(), row.dest.clone())).collect();
        for row in rows {
            let from_telephone = row.direction == "inbound";
            let first_dialled = dialled.get(&row.call_uuid).cloned();
            let Some(leg) = self.leg(&row.uuid) else { continue };
            leg.telephone = telephone_of(&row.presence_id, &row.name).to_owned();
            leg.is_from_telephone = from_telephone;
            leg.answered = ["ACTIVE", "HELD", "UNHELD"].contains(&row.callstate.as_str());
            leg.rings = ["RINGING", "EARLY"].contains(&row.callstate.as_str());
            leg.held = row.callstate == "HELD";
            set_known(&mut leg.caller, &row.cid_num);
            if from_telephone {
                set_known(&mut leg.dialled, &row.dest);
            } else if let Some(dialled) = first_dialled.filter(|_| row.call_uuid != row.uuid) {
                leg.dialled = dialled;
            }
            leg.first_leg = row.call_uuid;
        }
        let gone = self.legs.iter().filter(|(_, leg)| !leg.listed);
        let gone: Vec<String> = gone.map(|(id, _)| id.clone()).collect();
        gone.iter().for_each(|id| self.remove(id));
    }

    /// Takes an event. Events without a meaning for calls are left out.
    pub fn take_event(&mut self, event: &Headers) {
        let id = event.get("Unique-ID");
        let name = event.get("Event-Name");
        match name {
            "CHANNEL_HANGUP" | "CHANNEL_DESTROY" => return self.remove(id),
            "CHANNEL_CREATE"
            | "CHANNEL_PROGRESS"
            | "CHANNEL_PROGRESS_MEDIA"
            | "CHANNEL_ANSWER"
            | "CHANNEL_BRIDGE"
            | "CHANNEL_HOLD"
            | "CHANNEL_UNHOLD"
            | "CALL_UPDATE" => {}
            _ => return,
        }
        let Some(leg) = self.leg(id) else { return };
        leg.is_from_telephone = event.get("Call-Direction") == "inbound";
        let telephone = telephone_of(event.get("Channel-Presence-ID"), event.get("Channel-Name"));
        set_known(&mut leg.telephone, telephone);
        set_known(&mut leg.caller, event.get("Caller-Caller-ID-Number"));
        set_known(&mut leg.queue, queue_of(event.get("variable_cc_queue")));
        set_known(&mut leg.agent, queue_of(event.get("variable_cc_agent")));
        if leg.is_from_telephone {
            set_known(&mut leg.dialled, event.get("Caller-Destination-Number"));
        } else {
            // The caller's leg holds the number that the caller dialled.
            set_known(&mut leg.dialled, event.get("Other-Leg-Destination-Number"));
            set_known(&mut leg.first_leg, event.get("Other-Leg-Unique-ID"));
        }
        match name {
            "CHANNEL_ANSWER" => leg.answered = true,
            "CHANNEL_BRIDGE" => {
                leg.answered = true;
                if !leg.is_from_telephone {
                    set_known(&mut leg.caller, event.get("Other-Leg-Caller-ID-Number"));
                }
            }
            "CHANNEL_HOLD" => leg.held = true,
            "CHANNEL_UNHOLD" => leg.held = false,
            "CHANNEL_PROGRESS" | "CHANNEL_PROGRESS_MEDIA" => leg.rings = true,
            _ => {}
        }
    }

    /// The calls that began, changed or ended since the last time.
    pub fn take_changes(&mut self) -> Vec<CallChange> {
        let mut changes = Vec::new();
        for id in std::mem::take(&mut self.changed) {
            let call = self.legs.get(&id).and_then(|leg| self.call_of(leg));
            self.reported.report(&id, call, &mut changes);
        }
        changes
    }

    /// The leg of this id, which is new if it was not known; marked as seen and changed.
    fn leg(&mut self, id: &str) -> Option<&mut Leg> {
        if id.is_empty() {
            return None;
        }
        if !self.legs.contains_key(id) && self.legs.len() >= LEGS_MAX {
            self.ignored += 1;
            return None;
        }
        self.changed.insert(id.to_owned());
        let leg = self.legs.entry(id.to_owned()).or_default();
        leg.listed = true;
        Some(leg)
    }

    fn remove(&mut self, id: &str) {
        if self.legs.remove(id).is_some() {
            self.changed.insert(id.to_owned());
        }
    }

    fn call_of(&self, leg: &Leg) -> Option<(String, CallState)> {
        let ringing = self.settings.begin == CallBegin::Ring && leg.rings;
        if !(leg.answered || ringing) {
            return None;
        }
        let device = self.settings.devices.device_of(&leg.telephone)?;
        let direction = if leg.is_from_telephone { Direction::Out } else { Direction::In };
        let first = self.legs.get(&leg.first_leg).filter(|_| direction == Direction::In);
        let dialled = first.map_or(&leg.dialled, |first| &first.dialled);
        let dialled = known_number(dialled).or_else(|| known_number(&leg.dialled));
        let queue = Some(&leg.queue).filter(|queue| !queue.is_empty());
        let queue = queue.or_else(|| first.map(|first| &first.queue));
        let queue = queue.filter(|queue| !queue.is_empty()).cloned();
        let agent = (self.settings.agents && !leg.agent.is_empty()).then(|| leg.agent.clone());
        let facts = CallFacts {
            ani: known_number(&leg.caller),
            dnis: dialled,
            direction: Some(direction),
            group: queue.clone(),
            gate: queue,
            agent,
            of: None,
        };
        Some((device, CallState { facts, held: leg.held }))
    }
}

fn set_known(value: &mut String, new: &str) {
    if known_number(new).is_some() {
        new.clone_into(value);
    }
}

/// `support` in `support@default`.
fn queue_of(text: &str) -> &str {
    text.split('@').next().unwrap_or_default()
}

/// The telephone of a leg: the user of its presence id, or else of its name, such as
/// `sofia/internal/1001@192.0.2.1`.
fn telephone_of<'a>(presence: &'a str, name: &'a str) -> &'a str {
    let text =
        if presence.is_empty() { name.rsplit('/').next().unwrap_or_default() } else { presence };
    let text = text.strip_prefix("sip:").unwrap_or(text);
    text.split(['@', ':']).next().unwrap_or_default()
}

#[cfg(test)]
mod tests;
