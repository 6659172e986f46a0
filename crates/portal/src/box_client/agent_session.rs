//! One agent's line to the box, which all tabs of that agent share.
//!
//! A task holds the connection: it says hello for the agent, keeps the newest state where everybody
//! sees it, and sends the agent's commands in their order. When the box is gone it says so at once
//! and tries again by itself, soon and then less often. Nothing here decides what an agent may do:
//! `can` comes from the box, and a refused command is answered with the box's own words.

use crate::box_client::connection::{Talk, TalkError, is_decision};
use crate::box_client::keep_alive::{Beat, Pulse};
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

/// The first pause before another attempt, and the longest.
const RETRY_FIRST: Duration = Duration::from_millis(250);
const RETRY_LAST: Duration = Duration::from_secs(5);
/// Somebody whom the box does not want is asked for again only now and then: the configuration may
/// have changed.
const RETRY_REFUSED: Duration = Duration::from_secs(10);
/// Commands that wait to be sent.
const WAITING: usize = 16;

/// Who the box says this is.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Person {
    pub name: String,
    pub device: String,
    /// Numbers and labels of the fields this agent may set.
    pub fields: Vec<(u8, String)>,
}

/// How things stand.
#[derive(Clone, Debug)]
pub enum View {
    /// Nothing is known yet.
    Connecting,
    /// The box does not answer; it is tried again.
    Lost {
        why: String,
    },
    /// The box does not want this agent.
    Refused {
        code: String,
        why: String,
    },
    Up {
        person: Person,
        state: AgentState,
        since: Instant,
    },
}

/// A command and who waits for its reply.
#[derive(Debug)]
struct Asked {
    line: String,
    reply: oneshot::Sender<Result<Reply, NoReply>>,
}

impl Asked {
    /// The command was not sent, and will not be.
    fn not_sent(self) {
        // Who does not wait any more need not know.
        drop(self.reply.send(Err(NoReply::NotSent)));
    }
}

/// Why there was no reply.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NoReply {
    /// The box never got the command.
    #[error("the box cannot be reached; what you did was not done")]
    NotSent,
    /// The box got the command, or most of it, and the connection ended before its answer.
    #[error("the box did not answer; look at the state before you try again")]
    NoAnswer,
    #[error("too much at once; try again")]
    Busy,
}

/// The line, as its users hold it. It ends when nobody does.
#[derive(Debug)]
pub struct Link {
    commands: mpsc::Sender<Asked>,
    view: watch::Receiver<Arc<View>>,
}

impl Link {
    /// Begins a line for `user` to the box behind `socket`.
    #[must_use]
    pub fn begin(socket: PathBuf, user: String) -> Link {
        let (commands, waiting) = mpsc::channel(WAITING);
        let (set, view) = watch::channel(Arc::new(View::Connecting));
        let task = Task { socket, user, waiting, set };
        tokio::spawn(task.run());
        Link { commands, view }
    }

    /// How things stand, and a way to wait until they do not.
    #[must_use]
    pub fn view(&self) -> watch::Receiver<Arc<View>> {
        self.view.clone()
    }

    /// How things stand, once anything is known; `Connecting` if that takes too long.
    pub async fn settled(&self) -> Arc<View> {
        let mut view = self.view();
        let known = view.wait_for(|view| !matches!(**view, View::Connecting));
        let known = timeout(Duration::from_secs(3), known).await;
        match known {
            Ok(Ok(view)) => Arc::clone(&view),
            _ => Arc::clone(&self.view.borrow()),
        }
    }

    /// Sends a command and waits for its reply.
    pub async fn ask(&self, line: String) -> Result<Reply, NoReply> {
        if !matches!(**self.view.borrow(), View::Up { .. }) {
            return Err(NoReply::NotSent);
        }
        let (reply, answered) = oneshot::channel();
        self.commands.try_send(Asked { line, reply }).map_err(|error| match error {
            TrySendError::Full(_) => NoReply::Busy,
            TrySendError::Closed(_) => NoReply::NotSent,
        })?;
        answered.await.unwrap_or(Err(NoReply::NoAnswer))
    }
}

/// What the connection's task holds.
struct Task {
    socket: PathBuf,
    user: String,
    waiting: mpsc::Receiver<Asked>,
    set: watch::Sender<Arc<View>>,
}

/// Why a connection is over.
enum End {
    /// Nobody holds the line any more.
    Unwanted,
    Lost(TalkError),
    Refused(Failure),
}

impl Task {
    async fn run(mut self) {
        let mut pause = RETRY_FIRST;
        loop {
            match self.connection(&mut pause).await {
                End::Unwanted => return,
                End::Lost(why) => self.show(View::Lost { why: why.to_string() }),
                End::Refused(failure) => {
                    pause = RETRY_REFUSED;
                    self.show(View::Refused { code: failure.word, why: failure.text });
                }
            }
            if !self.pause(pause).await {
                return;
            }
            pause = (pause * 2).min(RETRY_LAST);
        }
    }

    fn show(&self, view: View) {
        self.set.send_replace(Arc::new(view));
    }

    /// Waits; commands that come meanwhile, or came as the connection ended, are not sent. False:
    /// nobody holds the line.
    async fn pause(&mut self, pause: Duration) -> bool {
        let end = sleep(pause);
        tokio::pin!(end);
        loop {
            tokio::select! {
                () = &mut end => return !self.waiting.is_closed(),
                asked = self.waiting.recv() => match asked {
                    Some(asked) => asked.not_sent(),
                    None => return false,
                },
            }
        }
    }

    /// One connection from its hello to its end.
    async fn connection(&mut self, pause: &mut Duration) -> End {
        let mut talk = match Talk::open(&self.socket).await {
            Ok(talk) => talk,
            Err(error) => return End::Lost(error),
        };
        let user = Some(self.user.clone());
        let program = Some(concat!("portal/", env!("CARGO_PKG_VERSION")).to_owned());
        let login = Login { user, via_portal: true, client: program, ..Login::new(Kind::Agent) };
        match talk.ask(&login.line()).await {
            Err(error) => End::Lost(error),
            Ok(Reply { outcome: Err(failure), .. }) if is_decision(&failure) => {
                End::Refused(failure)
            }
            Ok(Reply { outcome: Err(failure), .. }) => End::Lost(TalkError::Refused(failure)),
            Ok(Reply { outcome: Ok(pairs), .. }) => {
                *pause = RETRY_FIRST;
                match self.serve(&mut talk, &person(&pairs)).await {
                    Err(error) => End::Lost(error),
                    Ok(()) => {
                        drop(timeout(Duration::from_secs(1), talk.ask("quit")).await);
                        End::Unwanted
                    }
                }
            }
        }
    }

    /// Joins the agent and the box until nobody holds the line.
    async fn serve(&mut self, talk: &mut Talk, person: &Person) -> Result<(), TalkError> {
        let mut replies: VecDeque<Option<oneshot::Sender<_>>> = VecDeque::new();
        let mut pulse = Pulse::new(clock::now());
        loop {
            let room = talk.unanswered() < WAITING;
            tokio::select! {
                event = talk.event() => match event? {
                    ClientEvent::State(state) => {
                        let (person, since) = (person.clone(), clock::now());
                        self.show(View::Up { person, state, since });
                    }
                    ClientEvent::Reply(reply) => match replies.pop_front().flatten() {
                        Some(waiting) => drop(waiting.send(Ok(reply))),
                        None => pulse.answered(),
                    },
                    _ => {}
                },
                asked = self.waiting.recv(), if room => {
                    let Some(asked) = asked else { return Ok(()) };
                    if let Err(error) = talk.send(&asked.line).await {
                        // Its end was not sent, so the box does nothing of it.
                        asked.not_sent();
                        return Err(error);
                    }
                    replies.push_back(Some(asked.reply));
                    pulse.sent(clock::now());
                }
                () = sleep_until(pulse.due().into()) => match pulse.beat(clock::now()) {
                    Beat::Lost => return Err(TalkError::Silent),
                    Beat::Ping => {
                        replies.push_back(None);
                        talk.send("ping").await?;
                    }
                },
            }
        }
    }
}

/// Reads the answer to hello.
fn person(pairs: &Pairs) -> Person {
    let text = |key| pairs.get(key).unwrap_or_default().to_owned();
    let number = |key: &str| key.strip_prefix("field.")?.parse().ok();
    let fields = pairs.0.iter().filter_map(|(key, label)| Some((number(key)?, label.clone())));
    Person { name: text("agent"), device: text("device"), fields: fields.collect() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::box_client::fake_box::{FakeBox, Peer};

    const STATE: &str = "state call=c1 direction=in recording=off recording_id=- reasons=- \
        blackout=off blackout_ms=0 screen=disabled can=record.start note=-\n";

    /// A link that is up, and the box's end of it.
    async fn link(fake: &FakeBox) -> (Link, Peer) {
        let link = Link::begin(fake.socket.clone(), "jdoe".to_owned());
        let mut peer = fake.accept().await;
        assert!(peer.line().await.unwrap().starts_with("hello agent user=jdoe"));
        peer.say("ok session=1 agent=Jane device=1001\n").await;
        peer.say(STATE).await;
        let mut view = link.view();
        let up = view.wait_for(|view| matches!(**view, View::Up { .. })).await;
        drop(up.expect("a link"));
        (link, peer)
    }

    #[tokio::test]
    async fn a10_command_not_sent_is_told_from_one_not_answered() {
        let fake = FakeBox::listen();
        let (link, mut peer) = link(&fake).await;
        let link = Arc::new(link);
        let ask = |line: String| {
            let link = Arc::clone(&link);
            tokio::spawn(async move { link.ask(line).await })
        };
        let mut sent = Vec::new();
        for n in 0..WAITING {
            sent.push(ask(format!("update 1 {n}")));
            assert_eq!(peer.line().await, Some(format!("update 1 {n}")));
        }
        // No more than these are sent before the box answers; this one waits its turn.
        let queued = link.ask("record start".to_owned());
        tokio::pin!(queued);
        assert!(timeout(Duration::from_millis(1), &mut queued).await.is_err());
        drop(peer);
        assert_eq!(queued.await, Err(NoReply::NotSent));
        for ask in sent {
            assert_eq!(ask.await.unwrap(), Err(NoReply::NoAnswer));
        }
        assert_eq!(link.ask("record stop".to_owned()).await, Err(NoReply::NotSent));
    }

    #[tokio::test]
    async fn a10_busy_box_is_tried_again_and_does_not_refuse_the_agent() {
        let fake = FakeBox::listen();
        let link = Link::begin(fake.socket.clone(), "jdoe".to_owned());
        let mut peer = fake.accept().await;
        assert!(peer.line().await.is_some());
        peer.say("err busy \"try again\"\n").await;
        let view = link.settled().await;
        assert!(matches!(&*view, View::Lost { why } if why == "try again"), "{view:?}");
        // Soon, not in ten seconds.
        let mut peer = timeout(Duration::from_secs(5), fake.accept()).await.unwrap();
        assert!(peer.line().await.is_some());
        peer.say("err denied \"no right\"\n").await;
        let mut view = link.view();
        let refused = view.wait_for(|view| matches!(**view, View::Refused { .. }));
        assert!(timeout(Duration::from_secs(5), refused).await.is_ok());
    }
}
