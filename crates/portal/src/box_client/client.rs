//! Single questions to the box: what a supervisor, an administrator or a page wants to know.
//!
//! Each has a connection of its own, which ends with the answer, so that a long answer delays
//! nobody. The box authorises every one of them; what a user may is remembered nowhere but in the
//! page that is being made.

use crate::box_client::connection::{Talk, TalkError};
use client::Login;
use protocol::Kind;
use protocol::client::{Failure, Pairs};
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

    /// What this user may. Whom the box does not know at all may nothing.
    pub async fn rights(&self, user: &str) -> Result<Rights, TalkError> {
        let mut talk = Talk::open(&self.socket).await?;
        let (mut agent, mut words) = (false, Rights::default());
        let first = talk.ask(&hello(Kind::Supervisor, Some(user))).await?;
        match first.outcome {
            Ok(pairs) => {
                words = rights_in(&pairs, false);
                // The same session cannot become another: one more, to see whether he records too.
                let mut talk = Talk::open(&self.socket).await?;
                agent = talk.ask(&hello(Kind::Agent, Some(user))).await?.outcome.is_ok();
            }
            Err(failure) if is_no(&failure) => {
                if let Ok(pairs) = talk.ask(&hello(Kind::Agent, Some(user))).await?.outcome {
                    words = rights_in(&pairs, true);
                    agent = true;
                }
            }
            Err(_) => {}
        }
        Ok(Rights { agent, ..words })
    }
}

fn is_no(failure: &Failure) -> bool {
    failure.word == "denied"
}
