//! From a line to its answer: parse, authorise, do, and queue the answer behind its sync.
//!
//! `authorise` is the only way to an `Authorised` command, and `execute` takes nothing else. Each
//! command is one short function in the files beside this one. A refused command changes nothing.

use super::fetch::Wanted;
use super::library::Stream;
use crate::calls::directory::AgentIndex;
use crate::id::{RecordingId, SessionId};
use crate::job::Ticket;
use crate::limits;
use crate::recorder::blackout::commands::By;
use crate::recorder::session::Promise;
use crate::recorder::{Output, Recorder, Session};
use crate::store::fact::Reasons;
use crate::time::{Mono, Now};
use protocol::{Code, Command, Kind, Refusal, reply};

/// What a command says, and after which sync.
pub(in crate::recorder) struct Said {
    pub bytes: Vec<u8>,
    pub after: Ticket,
    /// Blackouts: when `masked=yes` is said instead.
    pub give_up: Option<Mono>,
    /// More rows than fit at once follow, then the `ok`.
    pub stream: Option<Stream>,
    /// A promise that this recording is kept: refused if its file cannot be written.
    pub keeps: Option<Promise>,
}

impl Said {
    /// True at once.
    pub fn now(bytes: Vec<u8>) -> Said {
        Said::after(Ticket(0), bytes)
    }

    pub fn after(after: Ticket, bytes: Vec<u8>) -> Said {
        Said { bytes, after, give_up: None, stream: None, keeps: None }
    }

    /// An `ok` that is only true if the recording is; it gave it these reasons.
    pub fn keeps(self, recording: RecordingId, new: Reasons) -> Said {
        Said { keeps: Some((recording, new)), ..self }
    }

    /// A bare `ok`.
    pub fn ok(after: Ticket) -> Said {
        let mut bytes = Vec::new();
        reply::ok(&mut bytes).end();
        Said::after(after, bytes)
    }

    pub fn stream(stream: Stream) -> Said {
        Said { stream: Some(stream), ..Said::now(Vec::new()) }
    }
}

/// A command that this session may give.
pub(in crate::recorder) struct Authorised<'a> {
    command: Command<'a>,
    by: By,
    agent: Option<AgentIndex>,
}

impl Recorder {
    /// One line of a session, or why it was none.
    pub(in crate::recorder) fn line(
        &mut self,
        now: Now,
        id: SessionId,
        line: Result<&str, Refusal>,
        woke: Mono,
    ) {
        self.counters.lines += 1;
        self.miss_block(id);
        let Some(session) = self.sessions.get_mut(id) else { return };
        if session.closing {
            return;
        }
        session.last_line = now.mono;
        let first = line.as_ref().ok().and_then(|line| line.split(' ').next());
        session.trying = matches!(first, Some("hello" | "help" | "ping" | "enrol" | "quit"));
        self.take_line(now, id, line, woke);
    }

    /// Does what a line says and queues its answer.
    pub(in crate::recorder) fn take_line(
        &mut self,
        now: Now,
        id: SessionId,
        line: Result<&str, Refusal>,
        woke: Mono,
    ) {
        let greeted = self.sessions.get(id).is_some_and(|session| session.who.is_some());
        let result = line.and_then(|line| self.answer(now, id, line, woke));
        let said = match result {
            Ok(said) => said,
            Err(refusal) => {
                self.counters.refuse(refusal.code);
                if !greeted {
                    self.hello_refused(id);
                }
                let mut bytes = Vec::new();
                reply::err(&mut bytes, &refusal).end();
                Said::after(Ticket(0), bytes)
            }
        };
        let Some(session) = self.sessions.get_mut(id) else { return };
        if let Some(stream) = said.stream {
            if said.after != Ticket(0) {
                // Nothing of it goes out before what it is told after is durable.
                session.answer(said.after, Vec::new(), None);
            }
            session.stream = Some(stream);
        } else if said.bytes.len() > limits::REPLY_ROOM && said.after == Ticket(0) {
            session.stream = Some(Stream::Lines { bytes: said.bytes, said: 0 });
        } else if !said.bytes.is_empty() {
            session.answer(said.after, said.bytes, said.give_up);
            session.hangs_on(said.keeps);
        }
    }

    fn answer(&mut self, now: Now, id: SessionId, line: &str, woke: Mono) -> Result<Said, Refusal> {
        let kind = self.sessions.get(id).and_then(Session::kind);
        let command = Command::parse_for(line, kind)?;
        match command {
            Command::Hello(hello) => self.hello(now, id, &hello),
            Command::Ping => {
                let mut bytes = Vec::new();
                reply::ok(&mut bytes).pair("time", now.wall).end();
                Ok(Said::now(bytes))
            }
            Command::Quit => {
                if let Some(session) = self.sessions.get_mut(id) {
                    (session.closing, session.quit) = (true, true);
                }
                Ok(Said::ok(Ticket(0)))
            }
            Command::Help { verb } => {
                let mut bytes = Vec::new();
                protocol::table::help(kind, verb.as_deref(), &mut bytes)?;
                reply::ok(&mut bytes).end();
                Ok(Said::now(bytes))
            }
            Command::EnrolCode { code } => self.enrol_code(id, &code),
            command => {
                let command = self.authorise(id, command)?;
                if let Some(search) = self.search_first(id, &command.command, line) {
                    return Ok(Said::stream(search));
                }
                self.execute(now, id, command, woke)
            }
        }
    }

    /// What the kind of session may not, `parse_for` has refused; here the box itself is asked.
    fn authorise<'a>(
        &self,
        id: SessionId,
        command: Command<'a>,
    ) -> Result<Authorised<'a>, Refusal> {
        let who = self.sessions.get(id).and_then(|session| session.who.as_ref());
        let Some(who) = who else { return Err(Code::HelloFirst.into()) };
        let reads = matches!(
            command,
            Command::Status
                | Command::Channels
                | Command::Keys
                | Command::Meters { .. }
                | Command::Calls
                | Command::Clients
                | Command::Alarms
                | Command::Disk
                | Command::Stats
                | Command::Records(_)
                | Command::Show { sealed: false, .. }
                | Command::Shutdown
        );
        let masks = matches!(command, Command::BlackoutStart { .. } | Command::BlackoutStop { .. });
        let over = self.storage.closing() && !reads;
        if over || self.stopping && !reads && !masks {
            return Err(Code::ShuttingDown.into());
        }
        let name = match who.kind {
            Kind::Agent | Kind::Supervisor | Kind::Technician => who.user.clone(),
            Kind::Cti | Kind::Screen | Kind::Monitor => who.kind.word().to_string(),
        };
        Ok(Authorised { command, by: By { kind: who.kind, name }, agent: who.agent })
    }

    fn execute(
        &mut self,
        now: Now,
        id: SessionId,
        authorised: Authorised<'_>,
        woke: Mono,
    ) -> Result<Said, Refusal> {
        let Authorised { command, by, agent } = authorised;
        let own = || agent.ok_or_else(|| Refusal::from(Code::Denied));
        match command {
            Command::Status => self.status(now, id),
            Command::RecordStart { device: None } => self.record_start(now, own()?),
            Command::RecordStop { device: None } => self.record_stop(now, own()?),
            Command::RecordStart { device: Some(device) } => {
                self.record_start_for(now, &device, &by)
            }
            Command::RecordStop { device: Some(device) } => self.record_stop_for(now, &device, &by),
            Command::ScreenStart => self.screen_start(now, own()?),
            Command::ScreenStop => self.screen_stop(now, own()?),
            Command::Segment { recording, start, duration_ms } => {
                self.segment(id, (&recording, &start), duration_ms)
            }
            Command::BlackoutStart { lead_ms, agent: None } => {
                self.blackout_start(now, own()?, &by, (lead_ms, woke))
            }
            Command::BlackoutStart { lead_ms, agent: Some(user) } => {
                let agent = self.agent_named(&user)?;
                self.blackout_start(now, agent, &by, (lead_ms, woke))
            }
            Command::BlackoutStop { agent: None } => {
                let agent = own()?;
                self.may_blackout_stop(agent)?;
                self.blackout_stop(now, agent, &by)
            }
            Command::BlackoutStop { agent: Some(user) } => {
                let agent = self.agent_named(&user)?;
                self.blackout_stop(now, agent, &by)
            }
            Command::Update { field, value } => self.update(now, own()?, field, &value),
            Command::Records(query) => self.records(id, &query),
            Command::Show { id: record, sealed: true } => self.show_sealed(now, id, &record),
            Command::Show { id: record, sealed: false } => self.show(id, &record),
            Command::Media { id: record, from, purpose, part } => {
                self.media(now, id, &record, Wanted { part, from, purpose })
            }
            Command::Protect { id: record, on } => self.protect(now, id, &record, on),
            Command::Delete { id: record } => self.delete(now, id, &record),
            Command::Enrol { machine, kinds } => self.enrol(now, id, (&machine, kinds, by.name)),
            Command::Revoke { machine } => self.revoke(now, &machine, by.name),
            Command::Reboot => self.reboot(now, &by.name),
            Command::ConfigEdit(edit) => Ok(self.config_edit(id, edit, by.name)),
            command => self.execute_rest(now, id, command),
        }
    }

    /// Calls and the box itself.
    fn execute_rest(
        &mut self,
        now: Now,
        id: SessionId,
        command: Command<'_>,
    ) -> Result<Said, Refusal> {
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
            Command::Alarms => Ok(self.list_alarms()),
            Command::AlarmClear { number } => self.alarm_clear(now, number),
            Command::Disk => Ok(self.disk()),
            Command::Keys => Ok(self.list_keys()),
            Command::Stats => Ok(self.stats(now)),
            Command::LogLevel { level } => {
                self.outputs
                    .push_back(Output::LogLevel(crate::recorder::admin::status::level(level)));
                Ok(Said::ok(Ticket(0)))
            }
            Command::ConfigCheck => self.read_config(id, false),
            Command::ConfigReload => self.read_config(id, true),
            Command::Selftest => self.selftest(now, id),
            Command::Watch { from } => self.watch(id, from),
            Command::Shutdown => {
                self.stop(now);
                Ok(Said::ok(Ticket(0)))
            }
            other => Err(Refusal::new(
                Code::BadCommand,
                format!("`{}` is answered elsewhere", other.verb()),
            )),
        }
    }
}
