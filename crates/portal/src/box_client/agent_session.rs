//! One agent's session with the recorder, shared by all browser tabs of that agent.
//!
//! A task owns the connection. It sends hello for the agent, publishes the newest state and sends
//! the agent's commands in order. When the connection is lost, it publishes that at once and
//! retries with backoff. The recorder decides what the agent may do: `can` and refusals are passed
//! on.

use crate::box_client::connection::{BoxConnection, ConnectionError, is_access_decision};
use crate::box_client::keep_alive::{KeepAlive, KeepAliveAction};
use crate::clock;
use client::Login;
use protocol::client::{ClientEvent, Failure, Pairs, Reply};
use protocol::{AgentState, Kind};
use std::collections::VecDeque;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::sync::mpsc::error::TrySendError;
use tokio::sync::{mpsc, oneshot, watch};
use tokio::time::{sleep, sleep_until, timeout};

/// First pause before a retry; it doubles up to `RETRY_MAX`.
const RETRY_FIRST: Duration = Duration::from_millis(250);
const RETRY_MAX: Duration = Duration::from_secs(5);
/// Pause before a retry after the recorder refused the agent. The configuration may change.
const RETRY_REFUSED: Duration = Duration::from_secs(10);
/// Commands that may wait to be sent.
const COMMANDS_MAX: usize = 16;

/// Identity of the agent, from the reply to hello.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AgentInfo {
    pub name: String,
    pub device: String,
    /// Numbers and labels of the fields this agent may set.
    pub fields: Vec<(u8, String)>,
}

/// State of the link to the recorder.
#[derive(Clone, Debug)]
pub enum LinkState {
    /// No reply yet.
    Connecting,
    /// The recorder is unreachable; the task retries.
    Disconnected {
        why: String,
    },
    /// The recorder refused this agent.
    Refused {
        code: String,
        why: String,
    },
    Up {
        person: AgentInfo,
        state: AgentState,
        since: Instant,
    },
}

/// A command and the channel for its reply.
#[derive(Debug)]
struct QueuedCommand {
    line: String,
    /// When the agent gave it.
    at: Instant,
    reply: oneshot::Sender<Result<Reply, CommandError>>,
}

impl QueuedCommand {
    /// Replies that the command was not sent and will not be.
    fn fail_unsent(self) {
        // The caller may no longer be waiting.
        drop(self.reply.send(Err(CommandError::NotSent)));
    }
}

/// Why a command got no reply.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CommandError {
    /// The recorder never received the command.
    #[error("the box cannot be reached; what you did was not done")]
    NotSent,
    /// The connection ended after the command was sent, fully or in part, and before its reply.
    #[error("the box did not answer; look at the state before you try again")]
    NoAnswer,
    #[error("too much at once; try again")]
    Busy,
}

/// Handle of an agent session. The session ends when the last handle is dropped.
#[derive(Debug)]
pub struct AgentSession {
    commands: mpsc::Sender<QueuedCommand>,
    link_state: watch::Receiver<Arc<LinkState>>,
}

impl AgentSession {
    /// Opens a session for `user` with the recorder at `socket`.
    #[must_use]
    pub fn start(socket: PathBuf, user: String) -> AgentSession {
        let (commands, waiting) = mpsc::channel(COMMANDS_MAX);
        let (set, view) = watch::channel(Arc::new(LinkState::Connecting));
        let task = AgentSessionTask { socket, user, commands: waiting, link_state: set };
        tokio::spawn(task.run());
        AgentSession { commands, link_state: view }
    }

    /// Returns a receiver of the link state, to read it and to wait for changes.
    #[must_use]
    pub fn subscribe(&self) -> watch::Receiver<Arc<LinkState>> {
        self.link_state.clone()
    }

    /// Waits until the link state is known; returns `Connecting` on timeout.
    pub async fn wait_until_known(&self) -> Arc<LinkState> {
        let mut view = self.subscribe();
        let known = view.wait_for(|view| !matches!(**view, LinkState::Connecting));
        let known = timeout(Duration::from_secs(3), known).await;
        match known {
            Ok(Ok(view)) => Arc::clone(&view),
            _ => Arc::clone(&self.link_state.borrow()),
        }
    }

    /// Sends a command and waits for its reply.
    pub async fn send_command(&self, line: String) -> Result<Reply, CommandError> {
        if !matches!(**self.link_state.borrow(), LinkState::Up { .. }) {
            return Err(CommandError::NotSent);
        }
        let (reply, answered) = oneshot::channel();
        let command = QueuedCommand { line, at: clock::now(), reply };
        self.commands.try_send(command).map_err(|error| match error {
            TrySendError::Full(_) => CommandError::Busy,
            TrySendError::Closed(_) => CommandError::NotSent,
        })?;
        answered.await.unwrap_or(Err(CommandError::NoAnswer))
    }
}

/// State of the connection task.
struct AgentSessionTask {
    socket: PathBuf,
    user: String,
    commands: mpsc::Receiver<QueuedCommand>,
    link_state: watch::Sender<Arc<LinkState>>,
}

/// Why a connection ended.
enum SessionEnd {
    /// The last handle was dropped.
    Unused,
    Disconnected(ConnectionError),
    Refused(Failure),
}

impl AgentSessionTask {
    async fn run(mut self) {
        let mut wait_before_retry = RETRY_FIRST;
        loop {
            match self.run_connection(&mut wait_before_retry).await {
                SessionEnd::Unused => return,
                SessionEnd::Disconnected(why) => {
                    self.publish_state(LinkState::Disconnected { why: why.to_string() })
                }
                SessionEnd::Refused(failure) => {
                    wait_before_retry = RETRY_REFUSED;
                    self.publish_state(LinkState::Refused {
                        code: failure.word,
                        why: failure.text,
                    });
                }
            }
            if !self.pause(wait_before_retry).await {
                return;
            }
            wait_before_retry = (wait_before_retry * 2).min(RETRY_MAX);
        }
    }

    fn publish_state(&self, view: LinkState) {
        self.link_state.send_replace(Arc::new(view));
    }

    /// Waits for `pause` and rejects all commands queued meanwhile. Returns false when the last
    /// handle was dropped.
    async fn pause(&mut self, pause: Duration) -> bool {
        let end = sleep(pause);
        tokio::pin!(end);
        loop {
            tokio::select! {
                () = &mut end => return !self.commands.is_closed(),
                asked = self.commands.recv() => match asked {
                    Some(asked) => asked.fail_unsent(),
                    None => return false,
                },
            }
        }
    }

    /// Runs one connection from hello to its end.
    async fn run_connection(&mut self, pause: &mut Duration) -> SessionEnd {
        let mut connection = match BoxConnection::connect(&self.socket).await {
            Ok(connection) => connection,
            Err(error) => return SessionEnd::Disconnected(error),
        };
        let user = Some(self.user.clone());
        let program = Some(concat!("portal/", env!("CARGO_PKG_VERSION")).to_owned());
        let login = Login { user, via_portal: true, client: program, ..Login::new(Kind::Agent) };
        match connection.request(&login.to_line()).await {
            Err(error) => SessionEnd::Disconnected(error),
            Ok(Reply { outcome: Err(failure), .. }) if is_access_decision(&failure) => {
                SessionEnd::Refused(failure)
            }
            Ok(Reply { outcome: Err(failure), .. }) => {
                SessionEnd::Disconnected(ConnectionError::Refused(failure))
            }
            Ok(Reply { outcome: Ok(pairs), .. }) => {
                *pause = RETRY_FIRST;
                match self.relay_commands(&mut connection, &parse_agent_info(&pairs)).await {
                    Err(error) => SessionEnd::Disconnected(error),
                    Ok(()) => {
                        drop(timeout(Duration::from_secs(1), connection.request("quit")).await);
                        SessionEnd::Unused
                    }
                }
            }
        }
    }

    /// Relays commands and state until the last handle is dropped.
    async fn relay_commands(
        &mut self,
        connection: &mut BoxConnection,
        person: &AgentInfo,
    ) -> Result<(), ConnectionError> {
        let mut replies: VecDeque<Option<oneshot::Sender<_>>> = VecDeque::new();
        let mut pulse = KeepAlive::new(clock::now());
        loop {
            let room = connection.unanswered_commands() < COMMANDS_MAX;
            tokio::select! {
                event = connection.next_event() => match event? {
                    ClientEvent::State(state) => {
                        let (person, since) = (person.clone(), clock::now());
                        self.publish_state(LinkState::Up { person, state, since });
                    }
                    ClientEvent::Reply(reply) => match replies.pop_front().flatten() {
                        Some(waiting) => drop(waiting.send(Ok(reply))),
                        None => pulse.on_pong(),
                    },
                    _ => {}
                },
                asked = self.commands.recv(), if room => {
                    let Some(asked) = asked else { return Ok(()) };
                    let age = clock::now().saturating_duration_since(asked.at).as_millis();
                    let age = u64::try_from(age).unwrap_or(u64::MAX);
                    let line = client::add_press_age(&asked.line, age);
                    if let Err(error) = connection.send(&line).await {
                        // The line was not sent completely, so the recorder does not execute it.
                        asked.fail_unsent();
                        return Err(error);
                    }
                    replies.push_back(Some(asked.reply));
                    pulse.on_sent(clock::now());
                }
                () = sleep_until(pulse.poll_timeout().into()) =>
                match pulse.handle_timeout(clock::now()) {
                    KeepAliveAction::TimedOut => return Err(ConnectionError::TimedOut),
                    KeepAliveAction::SendPing => {
                        replies.push_back(None);
                        connection.send("ping").await?;
                    }
                },
            }
        }
    }
}

/// Parses the reply to hello.
fn parse_agent_info(pairs: &Pairs) -> AgentInfo {
    let text = |key| pairs.get(key).unwrap_or_default().to_owned();
    let number = |key: &str| key.strip_prefix("field.")?.parse().ok();
    let fields = pairs.0.iter().filter_map(|(key, label)| Some((number(key)?, label.clone())));
    AgentInfo { name: text("agent"), device: text("device"), fields: fields.collect() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::box_client::fake_box::{FakeBox, FakeBoxConnection};

    const STATE_LINE: &str = "state call=c1 direction=in recording=off recording_id=- reasons=- \
        blackout=off blackout_ms=0 screen=disabled can=record.start note=-\n";

    /// Starts a session that is connected; returns it and the recorder's end.
    async fn start_session(fake: &FakeBox) -> (AgentSession, FakeBoxConnection) {
        let link = AgentSession::start(fake.socket.clone(), "jdoe".to_owned());
        let mut peer = fake.accept().await;
        assert!(peer.read_line().await.unwrap().starts_with("hello agent user=jdoe"));
        peer.send_lines("ok session=1 agent=Jane device=1001\n").await;
        peer.send_lines(STATE_LINE).await;
        let mut view = link.subscribe();
        let up = view.wait_for(|view| matches!(**view, LinkState::Up { .. })).await;
        drop(up.expect("a link"));
        (link, peer)
    }

    #[tokio::test]
    async fn a10_command_not_sent_is_told_from_one_not_answered() {
        let fake = FakeBox::listen();
        let (link, mut peer) = start_session(&fake).await;
        let link = Arc::new(link);
        let ask = |line: String| {
            let link = Arc::clone(&link);
            tokio::spawn(async move { link.send_command(line).await })
        };
        let mut sent = Vec::new();
        for n in 0..COMMANDS_MAX {
            sent.push(ask(format!("update 1 {n}")));
            assert_eq!(peer.read_line().await, Some(format!("update 1 {n}")));
        }
        // The queue in flight is full: this command waits.
        let queued = link.send_command("record start".to_owned());
        tokio::pin!(queued);
        assert!(timeout(Duration::from_millis(1), &mut queued).await.is_err());
        drop(peer);
        assert_eq!(queued.await, Err(CommandError::NotSent));
        for ask in sent {
            assert_eq!(ask.await.unwrap(), Err(CommandError::NoAnswer));
        }
        assert_eq!(link.send_command("record stop".to_owned()).await, Err(CommandError::NotSent));
    }

    #[tokio::test]
    async fn a10_busy_box_is_tried_again_and_does_not_refuse_the_agent() {
        let fake = FakeBox::listen();
        let link = AgentSession::start(fake.socket.clone(), "jdoe".to_owned());
        let mut peer = fake.accept().await;
        assert!(peer.read_line().await.is_some());
        peer.send_lines("err busy \"try again\"\n").await;
        let view = link.wait_until_known().await;
        assert!(
            matches!(&*view, LinkState::Disconnected { why } if why == "try again"),
            "{view:?}"
        );
        // The retry comes soon, not after ten seconds.
        let mut peer = timeout(Duration::from_secs(5), fake.accept()).await.unwrap();
        assert!(peer.read_line().await.is_some());
        peer.send_lines("err denied \"no right\"\n").await;
        let mut view = link.subscribe();
        let refused = view.wait_for(|view| matches!(**view, LinkState::Refused { .. }));
        assert!(timeout(Duration::from_secs(5), refused).await.is_ok());
    }
}
