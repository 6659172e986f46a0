//! Which channel of the exchange is reported as which call.

use super::call::{CallChange, CallKey, CallState};
use protocol::tolerant::shorten_call_id;
use std::collections::BTreeMap;

/// The calls that a translator has reported, by the exchange's channel id.
#[derive(Clone, Debug, Default)]
pub struct ReportedCalls {
    /// Begins every call id, so that calls of other feeds are left alone.
    prefix: String,
    by_channel: BTreeMap<String, Reported>,
    count: u64,
}

#[derive(Clone, Debug)]
struct Reported {
    key: CallKey,
    of: Option<String>,
    /// Order in which the calls were first reported.
    number: u64,
}

impl ReportedCalls {
    /// `prefix` begins every call id.
    #[must_use]
    pub fn new(prefix: &str) -> ReportedCalls {
        ReportedCalls { prefix: prefix.to_owned(), ..ReportedCalls::default() }
    }

    /// Reports the call of a channel: its device and state, or `None` if it has no call.
    pub fn report(
        &mut self,
        channel: &str,
        call: Option<(String, CallState)>,
        changes: &mut Vec<CallChange>,
    ) {
        let device = call.as_ref().map(|(device, _)| device);
        let moved = |old: &Reported| device != Some(&old.key.device);
        if let Some(old) = self.by_channel.get(channel).filter(|old| moved(old)) {
            changes.push((old.key.clone(), None));
            self.by_channel.remove(channel);
        }
        let Some((device, mut state)) = call else { return };
        if !self.by_channel.contains_key(channel) {
            let reported = self.begin_call(channel, device);
            self.by_channel.insert(channel.to_owned(), reported);
        }
        if let Some(reported) = self.by_channel.get(channel) {
            state.facts.of.clone_from(&reported.of);
            changes.push((reported.key.clone(), Some(state)));
        }
    }

    /// A second call of a device is a consult leg of the newest one there.
    fn begin_call(&mut self, channel: &str, device: String) -> Reported {
        let on_device = self.by_channel.values().filter(|other| other.key.device == device);
        let of = on_device.max_by_key(|other| other.number).map(|other| other.key.call.clone());
        self.count += 1;
        let call = shorten_call_id(&format!("{}{channel}", self.prefix)).into_owned();
        Reported { key: CallKey { device, call }, of, number: self.count }
    }
}
