//! Connecting, logging in and disconnecting.
//!
//! The shell states what kinds a peer may claim; the directory identifies agents. Technicians' PINs
//! are compared outside the loop. A client may try hello three times. `close_silent_sessions`
//! closes sessions that send nothing for too long.

use super::response::Response;
use crate::alarm;
use crate::calls::directory::{AgentIndex, LookupError};
use crate::calls::permission::{Permission, Permissions};
use crate::id::SessionId;
use crate::limits;
use crate::recorder::admin::enrolment::PinSource;
use crate::recorder::{Output, Peer, Principal, Recorder, RejectReason, Session, Timer};
use crate::time::Now;
use crate::trace::TraceEvent;
use protocol::name::is_same_name;
use protocol::{Code, Hello, Kind, Refusal, Request, program, reply};

/// One message for every refused technician, so that it reveals nothing.
const NOT_LET_IN: &str = "the name or the PIN is wrong";

impl Recorder {
    pub(in crate::recorder) fn handle_connect(&mut self, now: Now, id: SessionId, peer: Peer) {
        let mut session = Session::new(id, peer, now);
        let mut bytes = Vec::new();
        reply::write_greeting(&mut bytes, &self.config.name, self.boot);
        session.queue_reply(crate::job::Ticket(0), bytes, None);
        self.timers.advance(Timer::Sessions, session.next_deadline(now.mono));
        self.sessions.insert(session);
        self.admin.counters.sessions += 1;
    }

    /// Opens a session for a serial port; it becomes a technician's after a correct PIN.
    pub(in crate::recorder) fn handle_serial_open(
        &mut self,
        now: Now,
        id: SessionId,
        place: String,
        silent_ms: u64,
    ) {
        self.handle_connect(
            now,
            id,
            Peer { kinds: vec![Kind::Technician], from: place, portal: false },
        );
        if let Some(session) = self.sessions.get_mut(id) {
            session.silent_ms = silent_ms;
            self.timers.advance(Timer::Sessions, session.next_deadline(now.mono));
        }
    }

    /// Closes a session after its last reply, as `quit` does. Unlike `quit`, the end of input may
    /// come from a program that crashed, so the loss of a call feed still raises its alarm.
    pub(in crate::recorder) fn handle_input_end(&mut self, id: SessionId) {
        self.refuse_missing_block(id);
        if let Some(session) = self.sessions.get_mut(id) {
            session.closing = true;
        }
    }

    pub(in crate::recorder) fn handle_disconnect(&mut self, now: Now, id: SessionId) {
        let Some(session) = self.sessions.remove(id) else { return };
        self.forget_reader(id);
        if let Some(device) = self.workstation_device(&session).map(str::to_owned) {
            self.mark_agents_at(&device);
        }
        let Some(who) = session.who else { return };
        log::info!("session {} ({} {}) is gone", id.0, who.kind, who.user);
        self.journal
            .trace
            .push_event(now.wall, TraceEvent::LogOut { user: who.user, kind: who.kind });
        let has_feed = self.sessions.iter().any(|other| other.kind() == Some(Kind::Cti));
        let calls = self.calls.live_calls().next().is_some();
        if who.kind == Kind::Cti && !session.quit && !has_feed && calls {
            let text = "the call feed disconnected during calls; recording continues until it \
                        reports their end";
            self.journal.raise_alarm(now, alarm::AlarmCode::CtiLost, "", text.to_string());
        }
    }

    /// Closes a session after a refused line before hello, or after the third refused hello.
    pub(in crate::recorder) fn count_refused_hello(&mut self, id: SessionId) {
        let Some(session) = self.sessions.get_mut(id) else { return };
        session.refused_hellos = session.refused_hellos.saturating_add(1);
        if !session.trying || session.refused_hellos >= limits::HELLO_TRIES {
            session.closing = true;
        }
    }

    pub(in crate::recorder) fn handle_hello(
        &mut self,
        now: Now,
        id: SessionId,
        hello: &Hello<'_>,
    ) -> Result<Response, Refusal> {
        let result = self.check_hello(now, id, hello);
        if hello.kind == Kind::Screen {
            self.note_screen_hello(hello.user.as_deref(), result.as_ref().err());
        }
        result
    }

    fn check_hello(
        &mut self,
        now: Now,
        id: SessionId,
        hello: &Hello<'_>,
    ) -> Result<Response, Refusal> {
        let Some(session) = self.sessions.get(id) else { return Err(Code::Denied.into()) };
        if session.who.is_some() {
            return Err(Refusal::new(Code::BadArgument, "hello was said already"));
        }
        let proven = with_certified_machine(session, hello)?;
        let hello = &proven;
        let user = self.authorise_hello(now, id, hello)?;
        match (hello.kind, user) {
            (Kind::Agent, Some(agent)) => Ok(self.agent_hello_reply(now, id, agent, hello)),
            (Kind::Technician, _) => self.technician_hello(now, id, hello),
            _ => {
                self.stale_agents.extend(user.filter(|_| hello.kind == Kind::Screen));
                Ok(self.hello_reply(now, id, hello, user))
            }
        }
    }

    /// Accepts a hello that the session's transport and the configuration allow. Returns its user.
    /// The machine must be proven already; a technician's name and PIN are checked elsewhere.
    pub(super) fn authorise_hello(
        &mut self,
        now: Now,
        id: SessionId,
        hello: &Hello<'_>,
    ) -> Result<Option<AgentIndex>, Refusal> {
        let Some(session) = self.sessions.get(id) else { return Err(Code::Denied.into()) };
        if !session.peer.kinds.contains(&hello.kind) {
            let text = format!("{} may not say hello from here; see [local]", hello.kind);
            return Err(Refusal::new(Code::Denied, text));
        }
        if hello.via && !session.peer.portal {
            return Err(Refusal::new(Code::Denied, "via=portal is for the portal's own user"));
        }
        let request = Request::for_hello(hello.clone())?;
        match hello.kind {
            Kind::Agent => self.authenticate_agent(now, &request, hello).map(Some),
            Kind::Supervisor => {
                let agent = self.log_in(now, hello)?;
                self.check_permissions(&request, hello.kind, Some(agent))?;
                Ok(Some(agent))
            }
            Kind::Screen => self.authenticate_screen(now, hello).map(Some),
            Kind::Technician | Kind::Cti | Kind::Monitor => Ok(None),
        }
    }

    fn authenticate_agent(
        &mut self,
        now: Now,
        request: &Request<'_>,
        hello: &Hello<'_>,
    ) -> Result<AgentIndex, Refusal> {
        let off = || Refusal::new(Code::OnDemandOff, "on-demand recording is switched off here");
        if !self.config.on_demand.enabled {
            return Err(off());
        }
        let on = &self.config.on_demand;
        let open = if hello.via { on.web } else { on.desktop };
        if !open {
            return Err(off());
        }
        let agent = self.log_in(now, hello)?;
        self.check_permissions(request, hello.kind, Some(agent))?;
        if !self.directory.may_log_in_from(agent, hello.machine.as_deref()) {
            return Err(Refusal::new(Code::Denied, "this user may not work at this machine"));
        }
        Ok(agent)
    }

    pub(in crate::recorder) fn log_in(
        &mut self,
        now: Now,
        hello: &Hello<'_>,
    ) -> Result<AgentIndex, Refusal> {
        let user = hello.user.as_deref().unwrap_or_default();
        match self.directory.find_for_log_in(user, hello.domain.as_deref()) {
            Ok(agent) => Ok(agent),
            Err(LookupError::UnknownUser) => {
                let text = format!("no agent is called {user}; ask your administrator");
                Err(Refusal::new(Code::UnknownUser, text))
            }
            Err(LookupError::DuplicateUser(found)) => {
                let named: Vec<String> =
                    found.iter().map(|(name, line)| format!("{name} (line {line})")).collect();
                let text = format!("several agents were returned for {user}: {}", named.join(", "));
                log::error!("{text}");
                self.journal.raise_alarm(now, alarm::AlarmCode::DuplicateUser, user, text);
                let text = "several agents have this username; ask your administrator";
                Err(Refusal::new(Code::DuplicateUser, text))
            }
        }
    }

    fn technician_hello(
        &mut self,
        now: Now,
        id: SessionId,
        hello: &Hello<'_>,
    ) -> Result<Response, Refusal> {
        let Some(session) = self.sessions.get(id) else { return Err(Code::Denied.into()) };
        let source = PinSource::of(session);
        // Counts running comparisons as wrong: never more attempts in parallel than cause a
        // lockout.
        let comparing =
            self.admin.enrolment.comparing.values().filter(|other| **other == source).count();
        let wrong = self.admin.enrolment.pins.failure_count(&source) as usize + comparing;
        if self.admin.enrolment.pins.is_locked(now.mono, &source)
            || wrong >= limits::LOCKOUT_ATTEMPTS as usize
        {
            let text = "too many wrong PINs; try again in a minute";
            return Err(Refusal::new(Code::Locked, text));
        }
        let user = hello.user.as_deref().unwrap_or_default();
        let known =
            self.config.technicians.iter().find(|technician| is_same_name(&technician.name, user));
        let (Some(known), Some(pin)) = (known, hello.pin.as_deref()) else {
            self.handle_wrong_pin(now, &source);
            return Err(Refusal::new(Code::Denied, NOT_LET_IN));
        };
        let hash = known.pin.clone();
        let pin = zeroize::Zeroizing::new(pin.to_string());
        let mut claims = Self::claimed_principal(hello, None);
        claims.user.clone_from(&known.name);
        claims.pin_hash = Some(hash.clone());
        if let Some(session) = self.sessions.get_mut(id) {
            session.checking = true;
            session.claims = Some(claims);
        }
        self.admin.enrolment.comparing.insert(id.0, source);
        self.outputs.push_back(Output::CheckPin { session: id, hash, pin });
        Ok(Response::immediate(Vec::new()))
    }

    fn handle_wrong_pin(&mut self, now: Now, source: &PinSource) {
        if let Some(ms) = self.admin.enrolment.pins.count_failure(now.mono, source) {
            let text = format!("{source} sent wrong PINs and is locked out for {} s", ms / 1000);
            self.journal.raise_alarm(now, alarm::AlarmCode::Guessing, "pin", text);
        }
    }

    pub(in crate::recorder) fn handle_pin_result(&mut self, now: Now, id: SessionId, right: bool) {
        let Some(source) = self.admin.enrolment.comparing.remove(&id.0) else { return };
        // A client that disconnected early still used an attempt.
        let Some(session) = self.sessions.get_mut(id) else {
            if !right {
                self.handle_wrong_pin(now, &source);
            }
            return;
        };
        session.checking = false;
        let Some(who) = session.claims.take() else { return };
        // A reload may have removed the technician, or changed the PIN, during the comparison.
        let is_current = self.pin_hash_of(&who) == who.pin_hash;
        let mut bytes = Vec::new();
        if right && is_current {
            self.admin.enrolment.pins.reset(&source);
            reply::begin_ok(&mut bytes).pair("session", id.0).pair("technician", &who.user).end();
            self.send_reply(id, bytes);
            self.log_in_session(now, id, who);
            return;
        }
        self.handle_wrong_pin(now, &source);
        self.admin.counters.count_refusal(Code::Denied);
        reply::begin_err(&mut bytes, &Refusal::new(Code::Denied, NOT_LET_IN)).end();
        if let Some(session) = self.sessions.get_mut(id) {
            session.queue_reply(crate::job::Ticket(0), bytes, None);
        }
        self.count_refused_hello(id);
    }

    fn claimed_principal(hello: &Hello<'_>, agent: Option<AgentIndex>) -> Principal {
        let text =
            |word: &Option<std::borrow::Cow<'_, str>>| word.as_ref().map(ToString::to_string);
        let user = text(&hello.user).unwrap_or_else(|| hello.kind.as_str().to_string());
        Principal {
            kind: hello.kind,
            user,
            agent,
            machine: text(&hello.machine),
            domain: text(&hello.domain),
            client: text(&hello.client),
            via: hello.via,
            pin_hash: None,
        }
    }

    fn log_in_session(&mut self, now: Now, id: SessionId, who: Principal) {
        log::info!("session {} is {} {}", id.0, who.kind, who.user);
        self.journal
            .trace
            .push_event(now.wall, TraceEvent::LogIn { user: who.user.clone(), kind: who.kind });
        if who.kind == Kind::Cti {
            self.journal.clear_alarm(now, alarm::AlarmCode::CtiLost, "");
        }
        self.sessions.log_in(now.wall, id, who);
    }

    pub(in crate::recorder) fn hello_reply(
        &mut self,
        now: Now,
        id: SessionId,
        hello: &Hello<'_>,
        agent: Option<AgentIndex>,
    ) -> Response {
        self.log_in_session(now, id, Self::claimed_principal(hello, agent));
        let mut bytes = Vec::new();
        let line = reply::begin_ok(&mut bytes).pair("session", id.0);
        match agent.map(|agent| self.directory.agent_at(agent)) {
            Some(agent) => {
                let line = line.pair(hello.kind.as_str(), &agent.name);
                self.add_portal_pairs(line, hello, agent.permissions).end();
            }
            None => line.end(),
        }
        Response::immediate(bytes)
    }

    /// Adds the user's permissions and the site's time zone for the portal only, which shows pages
    /// by permission, and times of the site.
    fn add_portal_pairs<'a>(
        &self,
        line: reply::LineWriter<'a>,
        hello: &Hello<'_>,
        rights: Permissions,
    ) -> reply::LineWriter<'a> {
        if !hello.via {
            return line;
        }
        let zone = self.config.time_zone.iana_name().unwrap_or("UTC");
        line.pair("rights", rights.to_names()).pair("time_zone", zone)
    }

    fn agent_hello_reply(
        &mut self,
        now: Now,
        id: SessionId,
        index: AgentIndex,
        hello: &Hello<'_>,
    ) -> Response {
        let mut who = Self::claimed_principal(hello, Some(index));
        let agent = self.directory.agent_at(index);
        who.user.clone_from(&agent.username);
        let sits = hello.machine.as_deref().and_then(|m| self.directory.workstation_device(m));
        let is_free = |device: &&str| {
            let owner = self.directory.find_by_phone(device);
            owner.is_none_or(|owner| owner == index)
        };
        let sits = sits.filter(is_free);
        let phone = agent.phones.iter().find(|phone| self.calls.channel_of(phone).is_some());
        let device = phone.map(String::as_str).or(sits);
        let seat = sits.map(str::to_string);
        let device = device.or(agent.phones.first().map(String::as_str)).unwrap_or("-").to_string();
        let mut bytes = Vec::new();
        let line = reply::begin_ok(&mut bytes).pair("session", id.0);
        let line = line.pair("agent", &agent.name).pair("device", &device);
        let mut line = self.add_portal_pairs(line, hello, agent.permissions);
        for (field, label) in (1..).zip(&self.config.fields) {
            if agent.permissions.contains(Permission::Update(field)) {
                let standard = format!("User {field}");
                let label = label.as_deref().unwrap_or(&standard);
                line = line.pair(&format!("field.{field}"), label);
            }
        }
        line.end();
        self.log_in_session(now, id, who);
        self.close_superseded_sessions(now, id);
        if let Some(seat) = seat {
            self.agent_at_workstation(now, (id, index), &seat);
        }
        let own: Vec<_> = self.calls.live_of(index).map(|call| call.number).collect();
        own.into_iter().for_each(|number| self.start_recall(number));
        self.stale_agents.insert(index);
        Response::immediate(bytes)
    }

    /// Closes the earlier connections of the program that just said hello. What is still on its way
    /// there was sent before this hello, so it must not act after what follows: a late `blackout
    /// stop` would end a newer blackout.
    fn close_superseded_sessions(&mut self, now: Now, id: SessionId) {
        let Some(new) = self.sessions.get(id).and_then(|session| session.who.as_ref()) else {
            return;
        };
        let (Some(agent), Some(client)) = (new.agent, new.client.as_deref()) else { return };
        if program::started_ms(client).is_none() {
            return;
        }
        let is_same = |session: &&Session| {
            session.who.as_ref().is_some_and(|who| {
                session.id != id && who.client == new.client && who.machine == new.machine
            })
        };
        let earlier = self.sessions.sessions_of(agent).filter(is_same).map(|session| session.id);
        for earlier in earlier.collect::<Vec<_>>() {
            log::info!("session {} ends: its program connected again", earlier.0);
            self.outputs.push_back(Output::Close { session: earlier });
            self.handle_disconnect(now, earlier);
        }
    }

    /// Closes sessions that are silent, never said hello, or have sent their last reply.
    pub(in crate::recorder) fn close_silent_sessions(&mut self, now: Now) {
        let mut gone = Vec::new();
        let mut late = Vec::new();
        for session in self.sessions.iter_mut() {
            let silent = now.mono.since_ms(session.last_line) >= session.silent_ms;
            let mute = session.who.is_none()
                && !session.checking
                && now.mono.since_ms(session.opened) >= limits::HELLO_TIMEOUT_MS;
            if mute && !session.closing {
                late.push(RejectReason::Mute);
            } else if silent && session.who.is_some() {
                late.push(RejectReason::Silent);
            }
            session.closing |= silent || mute;
            if session.closing && session.is_idle() || silent {
                gone.push(session.id);
            }
        }
        late.into_iter().for_each(|why| self.count_reject(why));
        for id in gone {
            self.outputs.push_back(Output::Close { session: id });
            self.handle_disconnect(now, id);
        }
        let next = self.sessions.iter().map(|session| session.next_deadline(now.mono)).min();
        self.timers.rearm(Timer::Sessions, now.mono, next);
    }
}

/// Sets the machine of a TLS client to the one in its certificate; refuses any other.
fn with_certified_machine<'a>(
    session: &crate::recorder::Session,
    hello: &Hello<'a>,
) -> Result<Hello<'a>, Refusal> {
    if !session.secure {
        return Ok(hello.clone());
    }
    let Some(enrolled) = &session.enrolled else { return Err(Code::NotEnrolled.into()) };
    let said = hello.machine.as_deref().unwrap_or(enrolled);
    if !is_same_name(said, enrolled) {
        let text = format!(
            "this workstation is enrolled as {enrolled}, not as {said}; say no machine=, or enrol \
             it anew"
        );
        return Err(Refusal::new(Code::Denied, text));
    }
    Ok(Hello { machine: Some(enrolled.clone().into()), ..hello.clone() })
}
