//! The CTI feed's commands and their replies: start, update, hold, resume and end a call.
//!
//! `calls` applies the effects.

use crate::recorder::Recorder;
use crate::recorder::session::response::Response;
use crate::store::fact::{CallNumber, RecordReason, RecordingEnd};
use crate::time::Now;
use protocol::{CallArgs, Code, Refusal, reply};

impl Recorder {
    pub(in crate::recorder) fn cti_start(
        &mut self,
        now: Now,
        args: &CallArgs<'_>,
    ) -> Result<Response, Refusal> {
        self.need_memory()?;
        let (number, _) = self.call_start(now, args)?;
        let mut bytes = Vec::new();
        let running = self.recordings.running_of(number);
        let scheduled =
            running.filter(|recording| recording.reasons.contains(RecordReason::Schedule));
        let schedule = scheduled.and_then(|recording| recording.schedule.clone());
        let id = running.map_or("-".to_string(), |recording| recording.id.to_string());
        let line = reply::begin_ok(&mut bytes).pair("call", &args.call).pair("recording", id);
        line.pair("schedule", schedule.as_deref().unwrap_or("-")).end();
        Ok(Response::after_sync(self.journal.storage.last_fact_ticket(), bytes))
    }

    pub(in crate::recorder) fn cti_update(
        &mut self,
        now: Now,
        args: &CallArgs<'_>,
    ) -> Result<Response, Refusal> {
        let number = self.find_call(&args.device, &args.call)?;
        self.need_memory()?;
        let ticket = self.call_update(now, number, args)?;
        let mut bytes = Vec::new();
        reply::begin_ok(&mut bytes).pair("call", &args.call).end();
        Ok(Response::after_sync(ticket, bytes))
    }

    pub(in crate::recorder) fn cti_hold(
        &mut self,
        now: Now,
        device: &str,
        call: &str,
        held: bool,
    ) -> Result<Response, Refusal> {
        let number = self.find_call(device, call)?;
        self.need_memory()?;
        let ticket = self.call_hold(now, number, held);
        let mut bytes = Vec::new();
        reply::begin_ok(&mut bytes).pair("call", call).end();
        Ok(Response::after_sync(ticket, bytes))
    }

    pub(in crate::recorder) fn cti_stop(
        &mut self,
        now: Now,
        device: &str,
        call: &str,
    ) -> Result<Response, Refusal> {
        let number = self.find_call(device, call)?;
        let ticket = self.call_end(now, number, RecordingEnd::CallEnd, "stop");
        let count = self.recordings.of_call(number).count();
        let mut bytes = Vec::new();
        reply::begin_ok(&mut bytes).pair("call", call).pair("recordings", count).end();
        Ok(Response::after_sync(ticket, bytes))
    }

    fn find_call(&self, device: &str, call: &str) -> Result<CallNumber, Refusal> {
        if self.calls.channel_of(device).is_none() {
            let text = format!("no channel records device {device}; see `channels`");
            return Err(Refusal::new(Code::NoSuchDevice, text));
        }
        let found = self.calls.find_live(device, call).map(|call| call.number);
        let text = || format!("no call {call} is going on at device {device}; see `calls`");
        found.ok_or_else(|| Refusal::new(Code::NoSuchCall, text()))
    }
}
