//! The client's mind: what was pressed and what the box said go in, what is to be done comes out.
//!
//! It owns the connection's story (requirements A7 to A9), the commands that wait for their answer,
//! the newest state, and the balloons. It is pure: the time and random bits are arguments, and a
//! socket is only an epoch, so that what a dead connection still had to say is told apart.
//!
//! A blackout is never queued in silence (`core::wish`): while it is not in force the agent is told
//! so, loudly. What the agent may do is never decided here: every press is sent, and the box
//! answers (A13). No value of a field is kept, shown or logged.

mod commands;
mod messages;
mod pending_blackout;

#[cfg(test)]
mod tests;

use crate::action::{Action, Press};
use crate::settings::Settings;
use crate::ui::model::{Facts, Link, Place};
use crate::ui::notification::{Balloon, Balloons};
use crate::ui::timeline::History;
use client::{Address, Login, Next, Retry};
use pending_blackout::Wish;
use protocol::client::{Pairs, Reply};
use protocol::{AgentState, Kind};
use std::collections::{BTreeMap, VecDeque};

/// The box closes a session that is silent for 90 s.
pub const PING_MS: u64 = 30_000;
/// Who takes longer to answer is gone.
pub const ANSWER_MS: u64 = 15_000;

/// When, and what chance brings.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Moment {
    /// Milliseconds since the program started; never goes back.
    pub ms: u64,
    /// Any 32 random bits.
    pub random: u32,
}

/// Who logged in here.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Person {
    pub user: String,
    pub domain: Option<String>,
    /// The host's name.
    pub machine: Option<String>,
}

/// What a connection has to say.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LinkEvent {
    /// No server answered.
    Failed {
        why: String,
    },
    /// A box greeted.
    Opened {
        name: String,
        server: String,
        boot: u32,
        tls: bool,
    },
    Reply(Reply),
    State(AgentState),
    Lost {
        why: String,
    },
}

/// What happened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Input {
    Launch,
    /// Of the attempt with this number; others are history.
    Link(u64, LinkEvent),
    /// Somebody did something; who waits for an `Output::Answer`, if anybody.
    Press(Press, Option<u64>),
    Settings(Settings),
    /// The bar was opened or closed.
    Bar(bool),
    /// A deadline passed.
    Tick,
}

/// What is to be done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Output {
    /// Drop the connection there is, and try these in order.
    Connect(u64, Vec<Address>),
    /// Drop the connection.
    Close,
    /// One line for the box.
    Send(String),
    Balloon(Balloon),
    /// For whoever pressed.
    Answer(u64, Result<String, String>),
}

/// Where the connection is.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Phase {
    /// `behind`: why there is standby, while a quiet probe looks whether that is over.
    Connecting {
        behind: Option<String>,
    },
    /// `hello` was said.
    Entering(Place),
    Connected(Place),
    Retrying {
        why: String,
        retry: u32,
        at_ms: u64,
    },
    /// `at_ms`: of the next quiet probe.
    Standby {
        why: String,
        at_ms: Option<u64>,
    },
}

/// A command that is not answered yet.
#[derive(Clone, Debug)]
struct Pending {
    sent_ms: u64,
    what: Asked,
}

#[derive(Clone, Debug)]
enum Asked {
    Hello,
    Ping,
    Act(Act, Option<u64>),
}

/// What was asked for, without any field's value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Act {
    Do(Action),
    Update(u8),
}

/// All that the client knows.
#[derive(Debug)]
pub struct Core {
    settings: Settings,
    person: Person,
    phase: Phase,
    epoch: u64,
    retry: Retry,
    pending: VecDeque<Pending>,
    /// With the moment it came.
    state: Option<(AgentState, u64)>,
    labels: BTreeMap<u8, String>,
    boot: Option<(String, u32)>,
    ping_ms: u64,
    wish: Option<Wish>,
    /// A blackout was refused: why, and until when that is shown.
    denied: Option<(String, u64)>,
    bar: bool,
    history: History,
    balloons: Balloons,
    out: VecDeque<Output>,
}

impl Core {
    /// Before anything happened.
    #[must_use]
    pub fn new(settings: Settings, person: Person) -> Core {
        let retry = Retry::every(settings.mode.into(), settings.retry_ms);
        Core {
            settings,
            person,
            phase: Phase::Connecting { behind: None },
            epoch: 0,
            retry,
            pending: VecDeque::new(),
            state: None,
            labels: BTreeMap::new(),
            boot: None,
            ping_ms: 0,
            wish: None,
            denied: None,
            bar: false,
            history: History::default(),
            balloons: Balloons::default(),
            out: VecDeque::new(),
        }
    }

    /// Takes in what happened.
    pub fn handle(&mut self, now: Moment, input: Input) {
        match input {
            Input::Launch => self.connect(now, true),
            Input::Link(epoch, event) if epoch == self.epoch => self.link(now, event),
            Input::Link(..) | Input::Tick => {}
            Input::Press(press, asker) => self.press(now, press, asker),
            Input::Settings(settings) => self.take_settings(now, settings),
            Input::Bar(open) => self.bar = open,
        }
        self.tick(now);
        let facts = self.facts();
        self.history.note(now.ms, &facts);
    }

    /// What is to be done next.
    pub fn poll(&mut self) -> Option<Output> {
        self.out.pop_front()
    }

    /// When `Input::Tick` is due.
    #[must_use]
    pub fn deadline_ms(&self) -> Option<u64> {
        let phase = match &self.phase {
            Phase::Connecting { .. } | Phase::Entering(_) => None,
            Phase::Connected(_) => Some(self.ping_ms),
            Phase::Retrying { at_ms, .. } => Some(*at_ms),
            Phase::Standby { at_ms, .. } => *at_ms,
        };
        let answer = self.pending.front().map(|pending| pending.sent_ms + ANSWER_MS);
        let wish = self.wish.as_ref().map(Wish::deadline_ms);
        let denied = self.denied.as_ref().map(|(_, until)| *until);
        let all = [phase, answer, wish, denied, self.balloons.deadline_ms()];
        all.into_iter().flatten().min()
    }

    /// What the look depends on.
    #[must_use]
    pub fn facts(&self) -> Facts {
        let link = match &self.phase {
            Phase::Connecting { behind: Some(why) } => {
                Link::Standby { why: why.clone(), probing: true }
            }
            Phase::Connecting { behind: None } | Phase::Entering(_) => Link::Connecting,
            Phase::Connected(place) => Link::Connected(place.clone()),
            Phase::Retrying { why, retry, .. } => {
                Link::Retrying { why: why.clone(), retry: *retry }
            }
            Phase::Standby { why, at_ms } => {
                Link::Standby { why: why.clone(), probing: at_ms.is_some() }
            }
        };
        let wish = self.wish.as_ref().and_then(Wish::unmasked).map(str::to_owned);
        let denied = || self.denied.as_ref().map(|(why, _)| why.clone());
        let state = self.state.as_ref().map(|(state, _)| state.clone());
        Facts { link, state, unmasked: wish.or_else(denied), bar: self.bar }
    }

    /// The labels of the fields, as the box told them.
    #[must_use]
    pub fn labels(&self) -> &BTreeMap<u8, String> {
        &self.labels
    }

    /// What holds.
    #[must_use]
    pub fn settings(&self) -> &Settings {
        &self.settings
    }

    /// What happened lately.
    #[must_use]
    pub fn history(&self) -> &History {
        &self.history
    }

    /// How long the blackout has been on, milliseconds.
    #[must_use]
    pub fn blackout_ms(&self, now_ms: u64) -> Option<u64> {
        let (state, at_ms) = self.state.as_ref().filter(|(state, _)| state.blackout)?;
        Some(state.blackout_ms + now_ms.saturating_sub(*at_ms))
    }

    fn is_connected(&self) -> bool {
        matches!(self.phase, Phase::Connected(_))
    }

    fn connect(&mut self, now: Moment, aloud: bool) {
        self.epoch += 1;
        let behind = match &self.phase {
            Phase::Standby { why, .. } if !aloud => Some(why.clone()),
            _ => None,
        };
        self.phase = Phase::Connecting { behind };
        if aloud {
            self.say(now.ms, messages::connecting(&self.settings.servers));
        }
        self.out.push_back(Output::Connect(self.epoch, self.settings.addresses()));
    }

    fn link(&mut self, now: Moment, event: LinkEvent) {
        match event {
            LinkEvent::Failed { why } => self.failed(now, &why, false),
            LinkEvent::Opened { name, server, boot, tls } => {
                let restarted = matches!(&self.boot, Some((old, n)) if *old == name && *n != boot);
                if restarted {
                    log::info!("{name} was restarted");
                }
                self.boot = Some((name.clone(), boot));
                let agent = self.user().to_owned();
                self.phase = Phase::Entering(Place { name, server, agent });
                let hello = self.login(tls).line();
                self.send(now.ms, hello, Asked::Hello);
            }
            LinkEvent::Reply(reply) => self.replied(now, reply),
            LinkEvent::State(state) => self.news(now, state),
            LinkEvent::Lost { why } => self.failed(now, &why, true),
        }
    }

    fn user(&self) -> &str {
        self.settings.user.as_deref().unwrap_or(&self.person.user)
    }

    /// Requirement A11. Over TLS the machine is the certificate's, whatever the host is called;
    /// only a name that somebody gave is said all the same.
    fn login(&self, tls: bool) -> Login {
        let host = self.person.machine.clone().filter(|_| !tls);
        Login {
            user: Some(self.user().to_owned()),
            domain: self.settings.domain.clone().or_else(|| self.person.domain.clone()),
            machine: self.settings.machine.clone().or(host),
            client: Some(concat!("desk/", env!("CARGO_PKG_VERSION")).to_owned()),
            ..Login::new(Kind::Agent)
        }
    }

    fn send(&mut self, now_ms: u64, line: String, what: Asked) {
        self.pending.push_back(Pending { sent_ms: now_ms, what });
        self.ping_ms = now_ms + PING_MS;
        self.out.push_back(Output::Send(line));
    }

    fn replied(&mut self, now: Moment, reply: Reply) {
        let Some(Pending { what, .. }) = self.pending.pop_front() else { return };
        match (what, reply.outcome) {
            (Asked::Hello, Ok(pairs)) => self.entered(now, &pairs),
            (Asked::Hello, Err(failure)) => {
                self.out.push_back(Output::Close);
                let why = format!("the box does not let you in: {}", failure.text);
                self.failed(now, &why, false);
            }
            (Asked::Ping, _) => {}
            (Asked::Act(act, asker), Ok(pairs)) => {
                self.act_done(now, (act, asker), &pairs, &reply.rows);
            }
            (Asked::Act(act, asker), Err(failure)) => self.act_refused(now, (act, asker), &failure),
        }
    }

    fn entered(&mut self, now: Moment, pairs: &Pairs) {
        let Phase::Entering(place) = &self.phase else { return };
        let mut place = place.clone();
        if let Some(agent) = pairs.get("agent") {
            agent.clone_into(&mut place.agent);
        }
        let labels = pairs.0.iter().filter_map(|(key, label)| {
            Some((key.strip_prefix("field.")?.parse().ok()?, label.clone()))
        });
        self.labels = labels.collect();
        self.retry.connected();
        self.say(now.ms, messages::connected(&place));
        self.phase = Phase::Connected(place);
        self.ping_ms = now.ms + PING_MS;
        self.wish_again(now);
    }

    /// No connection came to be, or the one there was is gone (`lost`).
    fn failed(&mut self, now: Moment, why: &str, lost: bool) {
        let was_connected = self.is_connected();
        let was_dark = self.state.take().is_some_and(|(state, _)| state.blackout);
        let pending = std::mem::take(&mut self.pending);
        for Pending { what, .. } in pending {
            if let Asked::Act(act, asker) = what {
                self.act_lost(now, act, asker);
            }
        }
        self.wish_unsent(now);
        let was_standby = self.retry.is_standby();
        let next = self.retry.failed(now.random);
        let why = messages::plain(why);
        let lost = lost && was_connected;
        match next {
            Next::Retry { retry, in_ms } => {
                self.say(now.ms, messages::retrying(&why, (retry, in_ms), lost, was_dark));
                self.phase = Phase::Retrying { why, retry, at_ms: now.ms + self.hurried(in_ms) };
            }
            Next::Probe { in_ms } => {
                let at_ms = Some(now.ms + self.hurried(in_ms));
                self.stand_by(now, why, at_ms, was_standby);
            }
            Next::Standby => {
                let at_ms = self.wish.is_some().then(|| now.ms + self.hurried(u64::MAX));
                self.stand_by(now, why, at_ms, was_standby);
            }
        }
    }

    fn stand_by(&mut self, now: Moment, why: String, at_ms: Option<u64>, was_standby: bool) {
        if !was_standby {
            self.say(now.ms, messages::standby(&why, at_ms.is_some()));
        }
        self.phase = Phase::Standby { why, at_ms };
    }

    /// A session has begun and its state came, or changed.
    fn news(&mut self, now: Moment, state: AgentState) {
        let old = self.state.replace((state.clone(), now.ms)).map(|(old, _)| old);
        if state.blackout || old.as_ref().is_some_and(|old| old.call != state.call) {
            self.denied = None;
        }
        self.wish_news(now, &state);
        for balloon in messages::changes(old.as_ref(), &state) {
            self.say(now.ms, balloon);
        }
    }

    fn take_settings(&mut self, now: Moment, settings: Settings) {
        let whom = |of: &Settings| (of.addresses(), of.user.clone(), of.domain.clone());
        let how = |of: &Settings| (of.mode, of.retry_ms);
        let same_box = whom(&settings) == whom(&self.settings);
        let same_way = how(&settings) == how(&self.settings);
        self.settings = settings;
        if same_box && same_way {
            return;
        }
        self.retry = Retry::every(self.settings.mode.into(), self.settings.retry_ms);
        // How it is tried again is no reason to leave a box that is there.
        if !same_box || !self.is_connected() {
            self.leave(now);
            self.connect(now, true);
        }
    }

    /// Ends the session there is, if any.
    fn leave(&mut self, now: Moment) {
        self.out.push_back(Output::Close);
        self.state = None;
        for Pending { what, .. } in std::mem::take(&mut self.pending) {
            if let Asked::Act(act, asker) = what {
                self.act_lost(now, act, asker);
            }
        }
        self.wish_unsent(now);
    }

    fn tick(&mut self, now: Moment) {
        let late = self.pending.front().is_some_and(|first| now.ms >= first.sent_ms + ANSWER_MS);
        if late {
            self.out.push_back(Output::Close);
            let why = format!("the box does not answer within {} s", ANSWER_MS / 1000);
            self.epoch += 1;
            self.failed(now, &why, true);
        }
        match &self.phase {
            Phase::Connected(_) if now.ms >= self.ping_ms => {
                self.send(now.ms, "ping".to_owned(), Asked::Ping);
            }
            Phase::Retrying { at_ms, .. } if now.ms >= *at_ms => self.connect(now, false),
            Phase::Standby { at_ms: Some(at_ms), .. } if now.ms >= *at_ms => {
                self.connect(now, false);
            }
            _ => {}
        }
        self.wish_tick(now);
        if self.denied.as_ref().is_some_and(|(_, until)| now.ms >= *until) {
            self.denied = None;
        }
        while let Some(balloon) = self.balloons.due(now.ms) {
            self.out.push_back(Output::Balloon(balloon));
        }
    }

    fn say(&mut self, now_ms: u64, balloon: Balloon) {
        if let Some(balloon) = self.balloons.offer(now_ms, balloon) {
            self.out.push_back(Output::Balloon(balloon));
        }
    }

    fn answer(&mut self, asker: Option<u64>, answer: Result<String, String>) {
        if let Some(asker) = asker {
            self.out.push_back(Output::Answer(asker, answer));
        }
    }
}
