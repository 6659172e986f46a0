//! Calls from the events of Asterisk.
//!
//! A telephone's channel is a call on its device, from the answer to the hang-up. The channel that
//! began the conversation is outgoing; every other one was called. Asterisk links the channels of a
//! conversation by `Linkedid`: from its first channel come the caller and the dialled number, from
//! its queue the group and the gate.

use super::call::{CallChange, CallFacts, CallState, known_number};
use super::device_filter::DeviceFilter;
use super::reported_calls::ReportedCalls;
use crate::parse::Headers;
use protocol::Direction;
use std::collections::{BTreeMap, BTreeSet};

/// The most channels that are tracked; further ones are left out.
pub const CHANNELS_MAX: usize = 20_000;

/// `ChannelState` of an answered channel.
const STATE_UP: &str = "6";
/// `ChannelState` of a channel that rings or hears ringing.
const STATES_RINGING: [&str; 2] = ["4", "5"];

/// When a call begins.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum CallBegin {
    /// When the telephone has answered, or was answered.
    #[default]
    Answer,
    /// When the telephone rings, or hears ringing.
    Ring,
}

/// How to translate.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TranslateSettings {
    pub begin: CallBegin,
    /// Whether the member or agent that a queue names owns the call.
    pub agents: bool,
    pub devices: DeviceFilter,
}

#[derive(Clone, Default)]
struct Channel {
    /// The telephone, such as `1001` in `PJSIP/1001-0000002a`; empty for internal channels.
    telephone: String,
    linked: String,
    state: String,
    /// Whether the channel began its conversation.
    is_first: bool,
    /// The number that the channel dialled.
    dialled: String,
    caller: String,
    connected: String,
    held: bool,
    agent: String,
    /// Whether the running list has named the channel.
    listed: bool,
}

/// What the channels of a conversation share.
#[derive(Clone, Default)]
struct Conversation {
    caller: String,
    dialled: String,
    queue: String,
}

/// What Asterisk has said.
#[derive(Clone, Default)]
pub struct AmiTranslator {
    settings: TranslateSettings,
    channels: BTreeMap<String, Channel>,
    conversations: BTreeMap<String, Conversation>,
    reported: ReportedCalls,
    /// Channels to compare.
    changed: BTreeSet<String>,
    /// Channels that were left out.
    pub ignored: u64,
}

impl AmiTranslator {
    /// `prefix` begins every call id.
    #[must_use]
    pub fn new(settings: TranslateSettings, prefix: &str) -> AmiTranslator {
        let reported = ReportedCalls::new(prefix);
        AmiTranslator { settings, reported, ..AmiTranslator::default() }
    }

    /// Replaces the devices of the box.
    pub fn set_devices(&mut self, known: BTreeSet<String>) {
        self.settings.devices.known = Some(known);
        self.changed.extend(self.channels.keys().cloned());
    }

    /// Begins a list of all channels.
    pub fn begin_list(&mut self) {
        self.channels.values_mut().for_each(|channel| channel.listed = false);
    }

    /// Ends the list: channels that neither the list nor an event has named are gone.
    pub fn end_list(&mut self) {
        let gone = self.channels.iter().filter(|(_, channel)| !channel.listed);
        let gone: Vec<String> = gone.map(|(id, _)| id.clone()).collect();
        gone.iter().for_each(|id| self.remove(id));
    }

    /// Takes an event. Events without a meaning for calls are left out.
    pub fn take_event(&mut self, event: &Headers) {
        let id = event.get("Uniqueid");
        match event.get("Event") {
            "Newchannel" | "CoreShowChannel" | "Status" => self.add(id, event),
            "Newstate" | "NewConnectedLine" | "NewCallerid" | "BridgeEnter" | "BridgeLeave" => {
                self.update(id, event);
            }
            "Rename" => self.change(id, |channel| {
                event.get("Newname").clone_into(&mut channel.telephone);
                channel.telephone = telephone_of(&channel.telephone).to_owned();
            }),
            "Hold" => self.change(id, |channel| channel.held = true),
            "Unhold" => self.change(id, |channel| channel.held = false),
            "DialBegin" => self.note_dial(id, event),
            "QueueCallerJoin" => self.note_queue(id, event),
            "AgentConnect" => {
                self.note_queue(id, event);
                let member = event.get("MemberName").to_owned();
                self.change(event.get("DestUniqueid"), |channel| channel.agent = member);
            }
            "Hangup" => self.remove(id),
            _ => {}
        }
    }

    /// The calls that began, changed or ended since the last time.
    pub fn take_changes(&mut self) -> Vec<CallChange> {
        let mut changes = Vec::new();
        for id in std::mem::take(&mut self.changed) {
            let call = self.channels.get(&id).and_then(|channel| self.call_of(channel));
            self.reported.report(&id, call, &mut changes);
        }
        changes
    }

    fn add(&mut self, id: &str, event: &Headers) {
        if id.is_empty() {
            return;
        }
        if !self.channels.contains_key(id) {
            if self.channels.len() >= CHANNELS_MAX {
                self.ignored += 1;
                return;
            }
            let linked = event.get("Linkedid").to_owned();
            let channel = Channel {
                telephone: telephone_of(event.get("Channel")).to_owned(),
                is_first: linked.is_empty() || linked == id,
                dialled: event.get("Exten").to_owned(),
                linked,
                ..Channel::default()
            };
            self.channels.insert(id.to_owned(), channel);
        }
        self.update(id, event);
        let Some(channel) = self.channels.get(id) else { return };
        let conversation = self.conversations.entry(channel.linked.clone()).or_default();
        if channel.is_first {
            conversation.caller.clone_from(&channel.caller);
            conversation.dialled.clone_from(&channel.dialled);
        }
        // A list names no queue, but the application that the caller's channel runs.
        if event.get("Application") == "Queue" {
            let data = event.get("ApplicationData");
            let queue = data.split(',').next().unwrap_or_default();
            queue.clone_into(&mut conversation.queue);
            self.mark_linked(id);
        }
    }

    fn update(&mut self, id: &str, event: &Headers) {
        let mut linked = None;
        self.change(id, |channel| {
            let set = |value: &mut String, name: &str| {
                let new = event.get(name);
                if !new.is_empty() {
                    new.clone_into(value);
                }
            };
            set(&mut channel.state, "ChannelState");
            set(&mut channel.caller, "CallerIDNum");
            set(&mut channel.connected, "ConnectedLineNum");
            let before = channel.linked.clone();
            set(&mut channel.linked, "Linkedid");
            linked = (before != channel.linked).then_some(before);
        });
        if let Some(before) = linked {
            self.forget_conversation(&before);
        }
    }

    fn note_dial(&mut self, id: &str, event: &Headers) {
        let number = match event.get("DestCallerIDNum") {
            "" | "<unknown>" => event.get("DialString").rsplit('/').next().unwrap_or_default(),
            number => number,
        };
        let number = number.split('@').next().unwrap_or_default().to_owned();
        // Click-to-dial calls the agent first, so the agent's channel dialled nothing itself.
        self.change(id, |channel| {
            if channel.is_first && known_number(&channel.dialled).is_none() {
                channel.dialled = number;
            }
        });
    }

    fn note_queue(&mut self, id: &str, event: &Headers) {
        let Some(channel) = self.channels.get(id) else { return };
        let conversation = self.conversations.entry(channel.linked.clone()).or_default();
        event.get("Queue").clone_into(&mut conversation.queue);
        self.mark_linked(id);
    }

    /// Compares all channels of the conversation of `id`.
    fn mark_linked(&mut self, id: &str) {
        let Some(linked) = self.channels.get(id).map(|channel| channel.linked.clone()) else {
            return;
        };
        let same = self.channels.iter().filter(|(_, channel)| channel.linked == linked);
        self.changed.extend(same.map(|(id, _)| id.clone()));
    }

    fn change(&mut self, id: &str, change: impl FnOnce(&mut Channel)) {
        if let Some(channel) = self.channels.get_mut(id) {
            change(channel);
            channel.listed = true;
            self.changed.insert(id.to_owned());
        }
    }

    fn remove(&mut self, id: &str) {
        if let Some(channel) = self.channels.remove(id) {
            self.changed.insert(id.to_owned());
            self.forget_conversation(&channel.linked);
        }
    }

    fn forget_conversation(&mut self, linked: &str) {
        if !self.channels.values().any(|channel| channel.linked == linked) {
            self.conversations.remove(linked);
        }
    }

    fn call_of(&self, channel: &Channel) -> Option<(String, CallState)> {
        let ringing = self.settings.begin == CallBegin::Ring
            && STATES_RINGING.contains(&channel.state.as_str());
        if channel.telephone.is_empty() || !(channel.state == STATE_UP || ringing) {
            return None;
        }
        let device = self.settings.devices.device_of(&channel.telephone)?;
        let nothing = Conversation::default();
        let shared = self.conversations.get(&channel.linked).unwrap_or(&nothing);
        let (ani, dnis, direction) = if channel.is_first {
            (known_number(&channel.caller), known_number(&channel.dialled), Direction::Out)
        } else {
            let caller = known_number(&channel.connected).or_else(|| known_number(&shared.caller));
            (caller, known_number(&shared.dialled), Direction::In)
        };
        let queue = (!shared.queue.is_empty()).then(|| shared.queue.clone());
        let agent = (self.settings.agents && !channel.agent.is_empty()).then_some(&channel.agent);
        let facts = CallFacts {
            ani,
            dnis,
            direction: Some(direction),
            group: queue.clone(),
            gate: queue,
            agent: agent.cloned(),
            of: None,
        };
        Some((device, CallState { facts, held: channel.held }))
    }
}

/// The telephone in a channel's name: `1001` in `PJSIP/1001-0000002a`. Empty for channels inside
/// Asterisk.
fn telephone_of(name: &str) -> &str {
    let Some((technology, rest)) = name.split_once('/') else { return "" };
    let inside = ["Local", "AsyncGoto", "Bridge", "Message", "Surrogate", "Announcer", "Recorder"];
    if inside.contains(&technology) || name.contains("<ZOMBIE>") {
        return "";
    }
    rest.rsplit_once('-').map_or(rest, |(telephone, _)| telephone)
}

#[cfg(test)]
mod tests;
