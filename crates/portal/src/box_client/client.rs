//! Single questions to the box: what a supervisor, an administrator or a page wants to know.
//!
//! Each has a connection of its own, which ends with the answer, so that a long answer delays
//! nobody. The box authorises every one of them; what a user may is remembered nowhere but in the
//! page that is being made.

use crate::box_client::connection::{Talk, TalkError, is_decision};
use crate::media::facts::Rows;
use client::Login;
use protocol::client::{Failure, Pairs, Reply};
use protocol::{Code, Kind};
use std::path::PathBuf;

/// What a user may do, as the box says.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Rights {
    /// Has some right of on-demand recording.
    pub agent: bool,
    words: Vec<String>,
}

impl Rights {
    /// Whether this right is among them.
    #[must_use]
    pub fn has(&self, word: &str) -> bool {
        self.words.iter().any(|has| has == word)
    }

    /// Whether records can be listed at all.
    #[must_use]
    pub fn lists(&self) -> bool {
        self.has("records.all") || self.has("records.own")
    }
}

/// Where questions are asked.
#[derive(Clone, Debug)]
pub struct Desk {
    socket: PathBuf,
}

fn rights_in(pairs: &Pairs, agent: bool) -> Rights {
    let words = pairs.get("rights").unwrap_or("-").split(',');
    Rights { agent, words: words.filter(|word| *word != "-").map(str::to_owned).collect() }
}

fn hello(kind: Kind, user: Option<&str>) -> String {
    let program = Some(concat!("portal/", env!("CARGO_PKG_VERSION")).to_owned());
    let via_portal = user.is_some();
    let user = user.map(str::to_owned);
    Login { user, via_portal, client: program, ..Login::new(kind) }.line()
}

impl Desk {
    #[must_use]
    pub fn new(socket: PathBuf) -> Desk {
        Desk { socket }
    }

    /// A conversation in a supervisor's name.
    pub async fn supervisor(&self, user: &str) -> Result<Talk, TalkError> {
        self.talk(&hello(Kind::Supervisor, Some(user))).await
    }

    /// A conversation that may look at the box.
    pub async fn monitor(&self) -> Result<Talk, TalkError> {
        self.talk(&hello(Kind::Monitor, None)).await
    }

    async fn talk(&self, hello: &str) -> Result<Talk, TalkError> {
        let mut talk = Talk::open(&self.socket).await?;
        talk.need(hello).await?;
        Ok(talk)
    }

    /// A conversation of a supervisor who has the right `right` now.
    pub async fn permit(&self, user: &str, right: &str) -> Result<Permit, TalkError> {
        let mut talk = Talk::open(&self.socket).await?;
        let (_, said) = talk.need(&hello(Kind::Supervisor, Some(user))).await?;
        if rights_in(&said, false).has(right) {
            return Ok(Permit(talk));
        }
        let (word, text) = (Code::Denied.word().to_owned(), Code::Denied.advice().to_owned());
        Err(TalkError::Refused(Failure { word, text, pairs: Pairs::default() }))
    }

    /// Whether a supervisor has the right `right` now, and may know of a recording that is there.
    pub async fn may(&self, user: &str, right: &str, id: &str) -> Result<(), TalkError> {
        self.permit(user, right).await?.see(id).await
    }

    /// What this user may. Whom the box does not know at all may nothing; a box that is busy has
    /// not answered the question.
    pub async fn rights(&self, user: &str) -> Result<Rights, TalkError> {
        let mut talk = Talk::open(&self.socket).await?;
        let first = talk.ask(&hello(Kind::Supervisor, Some(user))).await?;
        let as_agent = hello(Kind::Agent, Some(user));
        match first.outcome {
            Ok(pairs) => {
                // The same session cannot become another: one more, to see whether he records too.
                let mut talk = Talk::open(&self.socket).await?;
                let agent = decided(talk.ask(&as_agent).await?)?.is_some();
                Ok(Rights { agent, ..rights_in(&pairs, false) })
            }
            Err(failure) if failure.code() == Some(Code::Denied) => {
                let pairs = decided(talk.ask(&as_agent).await?)?;
                Ok(pairs.map_or_else(Rights::default, |pairs| rights_in(&pairs, true)))
            }
            Err(failure) if is_decision(&failure) => Ok(Rights::default()),
            Err(failure) => Err(TalkError::Refused(failure)),
        }
    }
}

/// What the box answers to a hello; `None`: it does not let this user in.
fn decided(reply: Reply) -> Result<Option<Pairs>, TalkError> {
    match reply.outcome {
        Ok(pairs) => Ok(Some(pairs)),
        Err(failure) if is_decision(&failure) => Ok(None),
        Err(failure) => Err(TalkError::Refused(failure)),
    }
}

/// A supervisor's conversation, begun with a right that was asked for.
#[derive(Debug)]
pub struct Permit(Talk);

impl Permit {
    /// Whether the supervisor may know of a recording, and it is there.
    pub async fn see(&mut self, id: &str) -> Result<(), TalkError> {
        let mut line = Vec::new();
        protocol::reply::line(&mut line, "show").word(id).end();
        let (rows, _) = self.0.need(String::from_utf8_lossy(&line).trim_end()).await?;
        // The box may have opened numbers and fields.
        drop(Rows::new(rows));
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::box_client::fake_box::FakeBox;

    const SUPERVISOR: &str = "ok session=1 rights=records.all,play\n";
    const AGENT: &str = "ok session=2 agent=Jane device=1001 rights=record.start\n";

    /// A box that answers a supervisor's and an agent's hello like this.
    async fn rights(supervisor: &str, agent: &str) -> Result<Rights, TalkError> {
        let (supervisor, agent) = (supervisor.to_owned(), agent.to_owned());
        let socket = FakeBox::answering(move |line| match line {
            line if line.starts_with("hello supervisor") => supervisor.clone(),
            line if line.starts_with("hello agent") => agent.clone(),
            _ => "err bad-command \"no\"\n".to_owned(),
        });
        Desk::new(socket).rights("jdoe").await
    }

    #[tokio::test]
    async fn d3_rights_of_a_user_are_what_the_box_decides() {
        let denied = "err denied \"no\"\n";
        let both = rights(SUPERVISOR, AGENT).await.unwrap();
        assert!(both.agent && both.has("play") && both.lists());
        let supervisor = rights(SUPERVISOR, denied).await.unwrap();
        assert!(!supervisor.agent && supervisor.has("play"));
        let agent = rights(denied, AGENT).await.unwrap();
        assert!(agent.agent && agent.has("record.start") && !agent.has("play"));
        let off = rights(SUPERVISOR, "err on-demand-off \"off\"\n").await.unwrap();
        assert!(!off.agent && off.has("play"));
        let unknown = rights("err unknown-user \"who?\"\n", AGENT).await.unwrap();
        assert_eq!(unknown, Rights::default());
    }

    #[tokio::test]
    async fn d3_rights_of_a_busy_box_are_unknown_not_none() {
        for word in ["busy", "too-many", "shutting-down", "storage"] {
            let refused = format!("err {word} \"later\"\n");
            for (supervisor, agent) in
                [(&*refused, AGENT), (SUPERVISOR, &*refused), ("err denied \"no\"\n", &*refused)]
            {
                let answer = rights(supervisor, agent).await;
                let Err(TalkError::Refused(failure)) = answer else {
                    panic!("{word}: {supervisor} {agent}: {answer:?}");
                };
                assert_eq!(failure.word, word);
            }
        }
    }

    #[tokio::test]
    async fn h6_a_play_is_permitted_by_right_and_record_at_this_moment() {
        async fn may(hello: &'static str, show: &'static str) -> Result<(), String> {
            let socket = FakeBox::answering(move |line| match line {
                "show abc" => show.to_owned(),
                line if line.starts_with("hello supervisor user=boss ") => hello.to_owned(),
                _ => "err bad-command \"no\"\n".to_owned(),
            });
            let asked = Desk::new(socket).may("boss", "play", "abc").await;
            asked.map_err(|error| {
                assert!(error.is_refusal(), "{error}");
                error.to_string()
            })
        }
        let there = "row what=record recording=abc\nok\n";
        assert_eq!(may(SUPERVISOR, there).await, Ok(()));
        let gone = may(SUPERVISOR, "err no-such-record \"deleted\"\n").await;
        assert_eq!(gone, Err("deleted".to_owned()));
        let none = may("ok session=1 rights=records.all\n", there).await;
        assert!(none.is_err_and(|why| why.contains("not permitted")));
        assert!(may("err unknown-user \"who?\"\n", there).await.is_err());
    }
}
