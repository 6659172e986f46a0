//! Runs a command line: parse, authorise, execute, and queue the reply behind its sync.
//!
//! Only `authorise` makes an `Authorised` command, and `execute` accepts nothing else. `authorise`
//! checks what the command's row in the table requires. A refused command changes nothing.

use super::fetch::MediaRequest;
use super::library::ReplyStream;
use super::response::Response;
use crate::calls::directory::AgentIndex;
use crate::id::SessionId;
use crate::job::Ticket;
use crate::limits;
use crate::recorder::admin::enrolment::EnrolmentRequest;
use crate::recorder::admin::reload::ReadMode;
use crate::recorder::blackout::commands::Actor;
use crate::recorder::blackout::fields::FieldSetting;
use crate::recorder::blackout::reach::{BlackoutPress, PressReach};
use crate::recorder::blackout::visibility::NamedCall;
use crate::recorder::{Output, Recorder, Session, Timer};
use crate::store::fact::CallNumber;
use crate::time::{MonoTime, Now};
use protocol::{Code, Command, InvalidLine, Kind, Refusal, Request, reply, tolerant};
use std::borrow::Cow;

/// A command that passed authorisation for its session.
pub(in crate::recorder) struct Authorised<'a> {
    command: Command<'a>,
    by: Actor,
    agent: Option<AgentIndex>,
}

impl Recorder {
    /// Handles one line of a session, or the reason it was rejected.
    pub(in crate::recorder) fn handle_line(
        &mut self,
        now: Now,
        id: SessionId,
        line: Result<&str, InvalidLine<'_>>,
        woke: MonoTime,
    ) {
        self.admin.counters.lines += 1;
        self.refuse_missing_block(id);
        let Some(session) = self.sessions.get_mut(id) else { return };
        if session.closing {
            return;
        }
        session.last_line = now.mono;
        let first = line.as_ref().ok().and_then(|line| line.split(' ').next());
        session.trying = matches!(first, Some("hello" | "help" | "ping" | "enrol" | "quit"));
        self.execute_line(now, id, line, woke);
    }

    /// Executes a line and queues its reply.
    pub(in crate::recorder) fn execute_line(
        &mut self,
        now: Now,
        id: SessionId,
        line: Result<&str, InvalidLine<'_>>,
        woke: MonoTime,
    ) {
        let greeted = self.sessions.get(id).is_some_and(|session| session.who.is_some());
        let (text, result) = match line {
            Ok(line) => (Cow::Borrowed(line), self.parse_and_execute(now, id, line, woke)),
            Err(line) => (tolerant::decode(&line), Err(line.refusal)),
        };
        let is_feed = self.sessions.get(id).and_then(Session::kind) == Some(Kind::Cti);
        let result = match result {
            Err(refusal) if is_feed => self.retry_feed_line(now, id, &text, refusal),
            result => result,
        };
        let said = match result {
            Ok(said) => said,
            Err(refusal) => {
                self.admin.counters.count_refusal(refusal.code);
                if !greeted {
                    self.count_refused_hello(id);
                }
                let mut bytes = Vec::new();
                reply::begin_err(&mut bytes, &refusal).end();
                Response::after_sync(Ticket(0), bytes)
            }
        };
        let Some(session) = self.sessions.get_mut(id) else { return };
        if let Some(stream) = said.stream {
            if said.after_sync != Ticket(0) {
                // Sends nothing of the stream before its fact is durable.
                session.queue_reply(said.after_sync, Vec::new(), None);
            }
            session.stream = Some(stream);
        } else if said.bytes.len() > limits::REPLY_RESERVE_BYTES && said.after_sync == Ticket(0) {
            session.stream = Some(ReplyStream::Lines { bytes: said.bytes, said: 0 });
        } else if !said.bytes.is_empty() {
            if let Some(at) = said.give_up {
                self.timers.advance(Timer::Receipts, at);
            }
            session.queue_reply(said.after_sync, said.bytes, said.give_up);
            session.bind_last(said.depends_on);
        }
    }

    fn parse_and_execute(
        &mut self,
        now: Now,
        id: SessionId,
        line: &str,
        woke: MonoTime,
    ) -> Result<Response, Refusal> {
        let kind = self.sessions.get(id).and_then(Session::kind);
        let request = Request::parse(line, kind)?;
        match &request.command {
            Command::Hello(hello) => self.handle_hello(now, id, hello),
            Command::Ping => {
                let mut bytes = Vec::new();
                reply::begin_ok(&mut bytes).pair("time", now.wall).end();
                Ok(Response::immediate(bytes))
            }
            Command::Quit => {
                if let Some(session) = self.sessions.get_mut(id) {
                    (session.closing, session.quit) = (true, true);
                }
                Ok(Response::ok(Ticket(0)))
            }
            Command::Help { verb } => {
                let mut bytes = Vec::new();
                protocol::table::write_help(kind, verb.as_deref(), &mut bytes)?;
                reply::begin_ok(&mut bytes).end();
                Ok(Response::immediate(bytes))
            }
            Command::EnrolCode { code } => self.redeem_enrolment_code(id, code),
            _ => {
                self.check_arguments(&request.command)?;
                let command = self.require_session(id, request)?;
                if let Some(search) = self.lookup_archived(id, &command.command, line) {
                    return Ok(Response::stream(search));
                }
                self.execute(now, id, command, woke)
            }
        }
    }

    /// Checks and executes a command that needs no look-up of old records.
    pub(in crate::recorder) fn execute_request(
        &mut self,
        now: Now,
        id: SessionId,
        request: Request<'_>,
    ) -> Result<Response, Refusal> {
        self.check_arguments(&request.command)?;
        let command = self.require_session(id, request)?;
        self.execute(now, id, command, now.mono)
    }

    /// Refuses arguments that parse but do not fit this recorder's configuration (`bad-argument`).
    /// The protocol orders this before `denied`.
    fn check_arguments(&self, command: &Command<'_>) -> Result<(), Refusal> {
        match command {
            Command::BlackoutStart { lead_ms: Some(lead_ms), .. } => {
                let holdback_ms = self.config.audio.holdback_ms;
                if *lead_ms <= holdback_ms {
                    return Ok(());
                }
                let text = format!("lead_ms={lead_ms}: allowed 0 to {holdback_ms} (holdback_ms)");
                Err(Refusal::new(Code::BadArgument, text))
            }
            Command::Records(query) => super::listing::filter(query).map(|_| ()),
            _ => Ok(()),
        }
    }

    /// Checks what a command requires of the session, its user and the recorder's shutdown state.
    fn require_session<'a>(
        &self,
        id: SessionId,
        request: Request<'a>,
    ) -> Result<Authorised<'a>, Refusal> {
        let who = self.sessions.get(id).and_then(|session| session.who.as_ref());
        let Some(who) = who else { return Err(Code::HelloFirst.into()) };
        self.check_permissions(&request, who.kind, who.agent)?;
        let command = request.command;
        let reads = matches!(
            command,
            Command::Status
                | Command::Channels
                | Command::Keys
                | Command::Meters { .. }
                | Command::Calls
                | Command::Clients
                | Command::Sip
                | Command::Alarms
                | Command::ClockShow
                | Command::Disk
                | Command::Stats
                | Command::Records(_)
                | Command::Show { sealed: false, .. }
                | Command::Shutdown
        );
        let masks = matches!(command, Command::BlackoutStart { .. } | Command::BlackoutStop { .. });
        let over = self.journal.storage.is_closing() && !reads;
        if over || self.admin.is_stopping() && !reads && !masks {
            return Err(Code::ShuttingDown.into());
        }
        let name = match who.kind {
            Kind::Agent | Kind::Supervisor | Kind::Technician => who.user.clone(),
            Kind::Cti | Kind::Screen | Kind::Monitor => who.kind.as_str().to_string(),
        };
        Ok(Authorised { command, by: Actor { kind: who.kind, name }, agent: who.agent })
    }

    fn execute(
        &mut self,
        now: Now,
        id: SessionId,
        authorised: Authorised<'_>,
        woke: MonoTime,
    ) -> Result<Response, Refusal> {
        let Authorised { command, by, agent } = authorised;
        let own = || agent.ok_or_else(|| Refusal::from(Code::Denied));
        match command {
            Command::Status => self.report_status(now, id),
            Command::RecordStart { device: None, call } => {
                self.record_start(now, own()?, call.as_deref())
            }
            Command::RecordStop { device: None, call } => {
                self.record_stop(now, own()?, call.as_deref())
            }
            Command::RecordStart { device: Some(device), .. } => {
                self.record_start_for(now, &device, &by)
            }
            Command::RecordStop { device: Some(device), .. } => {
                self.record_stop_for(now, &device, &by)
            }
            Command::ScreenStart => self.screen_start(now, own()?),
            Command::ScreenStop => self.screen_stop(now, own()?),
            Command::Segment { recording, start, duration_ms } => {
                self.announce_segment(id, &recording, &start, duration_ms)
            }
            Command::BlackoutStart { pressed_ms, lead_ms, agent: user } => {
                let agent = user.map_or_else(own, |user| self.find_agent(&user))?;
                let lead_ms = lead_ms.unwrap_or(self.config.blackout.lead_ms);
                let reach = PressReach { pressed_ms, lead_ms };
                self.blackout_start(now, agent, &by, BlackoutPress { reach, woke })
            }
            Command::BlackoutStop { agent: None } => {
                let agent = own()?;
                self.need_on_demand()?;
                self.blackout_stop(now, agent, &by)
            }
            Command::BlackoutStop { agent: Some(user) } => self.blackout_stop_for(now, &user, &by),
            Command::Update { field, value, call, call_number } => {
                let call = NamedCall { id: call.as_deref(), number: call_number.map(CallNumber) };
                let setting = FieldSetting { field, value: &value, call };
                self.update_field(now, own()?, &setting)
            }
            Command::Records(query) => self.list_records(id, &query),
            Command::Show { id: record, sealed: true } => self.show_sealed(now, id, &record),
            Command::Show { id: record, sealed: false } => self.show_recording(id, &record),
            Command::Media { id: record, from, purpose, part } => {
                self.begin_media(now, id, &record, MediaRequest { part, from, purpose })
            }
            Command::Protect { id: record, on } => self.set_protection(now, id, &record, on),
            Command::Delete { id: record } => self.delete_record(now, id, &record),
            Command::Redact { id: record, from_ms, to_ms, reason } => {
                self.redact_recording(id, &record, (from_ms, to_ms), &reason)
            }
            Command::Enrol { machine, kinds } => {
                let machine = machine.into_owned();
                let request = EnrolmentRequest { machine, kinds, issued_by: by.name };
                self.create_enrolment_code(now, id, request)
            }
            Command::Revoke { machine } => self.revoke_workstation(now, &machine, by.name),
            Command::Reboot => self.request_reboot(now, &by.name),
            Command::ConfigEdit(edit) => Ok(self.request_config_edit(id, edit, by.name)),
            Command::AlarmClear { number } => self.acknowledge_alarm(now, number, by.name),
            Command::ClockConfirm { date } => self.confirm_clock_by(now, &date, by.name),
            command => self.execute_admin(now, id, command),
        }
    }

    /// Executes commands about calls and the recorder itself.
    fn execute_admin(
        &mut self,
        now: Now,
        id: SessionId,
        command: Command<'_>,
    ) -> Result<Response, Refusal> {
        match command {
            Command::CallStart(args) => self.cti_start(now, &args),
            Command::CallUpdate(args) => self.cti_update(now, &args),
            Command::CallHold { device, call } => self.cti_hold(now, &device, &call, true),
            Command::CallResume { device, call } => self.cti_hold(now, &device, &call, false),
            Command::CallStop { device, call } => self.cti_stop(now, &device, &call),
            Command::Channels => Ok(self.list_channels()),
            Command::Meters { from, limit } => Ok(self.list_meters(from, limit)),
            Command::Calls => Ok(self.list_calls()),
            Command::Clients => Ok(self.list_clients()),
            Command::Sip => Ok(self.list_sip()),
            Command::Alarms => Ok(self.list_alarms()),
            Command::ClockShow => Ok(self.report_clock(now)),
            Command::Disk => Ok(self.report_disk()),
            Command::Keys => Ok(self.list_keys()),
            Command::Stats => Ok(self.report_stats(now)),
            Command::LogLevel { level } => {
                self.outputs
                    .push_back(Output::LogLevel(crate::recorder::admin::status::log_level(level)));
                Ok(Response::ok(Ticket(0)))
            }
            Command::ConfigCheck => Ok(self.request_config_read(id, ReadMode::Check)),
            Command::ConfigReload { confirm } => {
                Ok(self.request_config_read(id, ReadMode::Apply { confirm }))
            }
            Command::Selftest => self.begin_selftest(now, id),
            Command::Watch { from } => self.begin_watch(id, from),
            Command::Shutdown => {
                self.begin_stop(now);
                Ok(Response::ok(Ticket(0)))
            }
            other => Err(Refusal::new(
                Code::BadCommand,
                format!("`{}` is answered elsewhere", other.verb()),
            )),
        }
    }
}
