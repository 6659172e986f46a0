//! Single requests to the recorder for supervisors, administrators and pages.
//!
//! Each request has its own connection, so a long reply delays no other request. The recorder
//! authorises every request; the portal caches rights only for the page it renders.

use crate::box_client::connection::{BoxConnection, ConnectionError, is_access_decision};
use crate::media::sealed_facts::RecordRows;
use crate::site_time::SiteZone;
use client::Login;
use protocol::client::{Failure, Pairs, Reply};
use protocol::{Code, Kind};
use std::path::PathBuf;

/// Rights of a user, as the recorder reports them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Rights {
    /// Whether the user has any on-demand permission.
    pub agent: bool,
    /// The time zone of the box.
    pub zone: SiteZone,
    names: Vec<String>,
}

impl Rights {
    #[must_use]
    pub fn has(&self, word: &str) -> bool {
        self.names.iter().any(|has| has == word)
    }

    /// Whether the user may list records.
    #[must_use]
    pub fn lists(&self) -> bool {
        self.has("records.all") || self.has("records.own")
    }
}

/// Client for single requests.
#[derive(Clone, Debug)]
pub struct BoxClient {
    socket: PathBuf,
}

fn parse_rights(pairs: &Pairs, agent: bool) -> Rights {
    let words = pairs.get("rights").unwrap_or("-").split(',');
    let names = words.filter(|word| *word != "-").map(str::to_owned).collect();
    let zone = pairs.get("time_zone").map(SiteZone::from_name).unwrap_or_default();
    Rights { agent, zone, names }
}

fn hello_line(kind: Kind, user: Option<&str>) -> String {
    let program = Some(concat!("portal/", env!("CARGO_PKG_VERSION")).to_owned());
    let via_portal = user.is_some();
    let user = user.map(str::to_owned);
    Login { user, via_portal, client: program, ..Login::new(kind) }.to_line()
}

impl BoxClient {
    #[must_use]
    pub fn new(socket: PathBuf) -> BoxClient {
        BoxClient { socket }
    }

    /// Opens a connection as a supervisor.
    pub async fn connect_supervisor(&self, user: &str) -> Result<BoxConnection, ConnectionError> {
        self.connect_with_hello(&hello_line(Kind::Supervisor, Some(user))).await
    }

    /// Opens a read-only monitor connection.
    pub async fn connect_monitor(&self) -> Result<BoxConnection, ConnectionError> {
        self.connect_with_hello(&hello_line(Kind::Monitor, None)).await
    }

    async fn connect_with_hello(&self, hello: &str) -> Result<BoxConnection, ConnectionError> {
        let mut connection = BoxConnection::connect(&self.socket).await?;
        connection.request_ok(hello).await?;
        Ok(connection)
    }

    /// Opens a connection as a supervisor who has the right `right` now.
    pub async fn connect_authorised(
        &self,
        user: &str,
        right: &str,
    ) -> Result<AuthorisedConnection, ConnectionError> {
        let mut connection = BoxConnection::connect(&self.socket).await?;
        let (_, pairs) = connection.request_ok(&hello_line(Kind::Supervisor, Some(user))).await?;
        if parse_rights(&pairs, false).has(right) {
            return Ok(AuthorisedConnection(connection));
        }
        let (word, text) = (Code::Denied.as_str().to_owned(), Code::Denied.advice().to_owned());
        Err(ConnectionError::Refused(Failure { word, text, pairs: Pairs::default() }))
    }

    /// Checks that a supervisor has the right `right` now and may see an existing recording, of
    /// which no more ranges were removed than `removed`, if that is given.
    pub async fn check_access(
        &self,
        user: &str,
        right: &str,
        (id, removed): (&str, Option<usize>),
    ) -> Result<(), ConnectionError> {
        self.connect_authorised(user, right).await?.check_visible(id, removed).await
    }

    /// Queries a user's rights. An unknown user has none; a busy recorder is an error.
    pub async fn query_rights_of(&self, user: &str) -> Result<Rights, ConnectionError> {
        let mut connection = BoxConnection::connect(&self.socket).await?;
        let first = connection.request(&hello_line(Kind::Supervisor, Some(user))).await?;
        let as_agent = hello_line(Kind::Agent, Some(user));
        match first.outcome {
            Ok(pairs) => {
                // A session cannot say hello twice: ask for the agent rights over a second one.
                let mut connection = BoxConnection::connect(&self.socket).await?;
                let agent = pairs_if_granted(connection.request(&as_agent).await?)?.is_some();
                Ok(Rights { agent, ..parse_rights(&pairs, false) })
            }
            Err(failure) if failure.code() == Some(Code::Denied) => {
                let pairs = pairs_if_granted(connection.request(&as_agent).await?)?;
                Ok(pairs.map_or_else(Rights::default, |pairs| parse_rights(&pairs, true)))
            }
            Err(failure) if is_access_decision(&failure) => Ok(Rights::default()),
            Err(failure) => Err(ConnectionError::Refused(failure)),
        }
    }
}

/// Interprets a reply to hello; `None` if the recorder refuses the user.
fn pairs_if_granted(reply: Reply) -> Result<Option<Pairs>, ConnectionError> {
    match reply.outcome {
        Ok(pairs) => Ok(Some(pairs)),
        Err(failure) if is_access_decision(&failure) => Ok(None),
        Err(failure) => Err(ConnectionError::Refused(failure)),
    }
}

/// A supervisor's connection, opened with a required right.
#[derive(Debug)]
pub struct AuthorisedConnection(BoxConnection);

impl AuthorisedConnection {
    /// Checks that the recording exists and the supervisor may see it. If `removed` is given, that
    /// many ranges of it were removed before its file was fetched; after a further removal the file
    /// may not be played any more.
    pub async fn check_visible(
        &mut self,
        id: &str,
        removed: Option<usize>,
    ) -> Result<(), ConnectionError> {
        let mut line = Vec::new();
        protocol::reply::begin_line(&mut line, "show").word(id).end();
        let (rows, _) = self.0.request_ok(String::from_utf8_lossy(&line).trim_end()).await?;
        let found = count_removed(&rows);
        // Wipe numbers and fields that the recorder may have opened.
        drop(RecordRows::new(rows));
        if removed.is_none_or(|removed| removed == found) {
            return Ok(());
        }
        let text = "A part of this recording was removed meanwhile. Press Listen again.".to_owned();
        let word = Code::NoSuchRecord.as_str().to_owned();
        Err(ConnectionError::Refused(Failure { word, text, pairs: Pairs::default() }))
    }
}

/// The number of ranges that were removed from a recording, by the rows of `show`.
#[must_use]
pub fn count_removed(rows: &[Pairs]) -> usize {
    rows.iter().filter(|row| row.get("what") == Some("removed")).count()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::box_client::fake_box::FakeBox;

    const SUPERVISOR_REPLY: &str = "ok session=1 rights=records.all,play time_zone=Europe/Berlin\n";
    const AGENT_REPLY: &str = "ok session=2 agent=Jane device=1001 rights=record.start\n";

    /// Queries rights from a fake recorder with these replies to the two hellos.
    async fn rights(supervisor: &str, agent: &str) -> Result<Rights, ConnectionError> {
        let (supervisor, agent) = (supervisor.to_owned(), agent.to_owned());
        let socket = FakeBox::spawn_answering(move |line| match line {
            line if line.starts_with("hello supervisor") => supervisor.clone(),
            line if line.starts_with("hello agent") => agent.clone(),
            _ => "err bad-command \"no\"\n".to_owned(),
        });
        BoxClient::new(socket).query_rights_of("jdoe").await
    }

    #[tokio::test]
    async fn d3_rights_of_a_user_are_what_the_box_decides() {
        let denied = "err denied \"no\"\n";
        let both = rights(SUPERVISOR_REPLY, AGENT_REPLY).await.unwrap();
        assert!(both.agent && both.has("play") && both.lists());
        assert_eq!(both.zone.to_string(), "Europe/Berlin");
        let supervisor = rights(SUPERVISOR_REPLY, denied).await.unwrap();
        assert!(!supervisor.agent && supervisor.has("play"));
        let agent = rights(denied, AGENT_REPLY).await.unwrap();
        assert!(agent.agent && agent.has("record.start") && !agent.has("play"));
        let off = rights(SUPERVISOR_REPLY, "err on-demand-off \"off\"\n").await.unwrap();
        assert!(!off.agent && off.has("play"));
        let unknown = rights("err unknown-user \"who?\"\n", AGENT_REPLY).await.unwrap();
        assert_eq!(unknown, Rights::default());
    }

    #[tokio::test]
    async fn d3_rights_of_a_busy_box_are_unknown_not_none() {
        for word in ["busy", "too-many", "shutting-down", "storage"] {
            let refused = format!("err {word} \"later\"\n");
            for (supervisor, agent) in [
                (&*refused, AGENT_REPLY),
                (SUPERVISOR_REPLY, &*refused),
                ("err denied \"no\"\n", &*refused),
            ] {
                let answer = rights(supervisor, agent).await;
                let Err(ConnectionError::Refused(failure)) = answer else {
                    panic!("{word}: {supervisor} {agent}: {answer:?}");
                };
                assert_eq!(failure.word, word);
            }
        }
    }

    #[tokio::test]
    async fn h6_a_play_is_permitted_by_right_and_record_at_this_moment() {
        async fn may(hello: &'static str, show: &'static str) -> Result<(), String> {
            let socket = FakeBox::spawn_answering(move |line| match line {
                "show abc" => show.to_owned(),
                line if line.starts_with("hello supervisor user=boss ") => hello.to_owned(),
                _ => "err bad-command \"no\"\n".to_owned(),
            });
            let asked = BoxClient::new(socket).check_access("boss", "play", ("abc", Some(1))).await;
            asked.map_err(|error| {
                assert!(error.is_refusal(), "{error}");
                error.to_string()
            })
        }
        let there = "row what=record recording=abc\nrow what=removed from=1 to=2\nok\n";
        assert_eq!(may(SUPERVISOR_REPLY, there).await, Ok(()));
        let more = "row what=removed from=1 to=2\nrow what=removed from=5 to=6\nok\n";
        assert!(may(SUPERVISOR_REPLY, more).await.is_err_and(|why| why.contains("was removed")));
        let gone = may(SUPERVISOR_REPLY, "err no-such-record \"deleted\"\n").await;
        assert_eq!(gone, Err("deleted".to_owned()));
        let none = may("ok session=1 rights=records.all\n", there).await;
        assert!(none.is_err_and(|why| why.contains("not permitted")));
        assert!(may("err unknown-user \"who?\"\n", there).await.is_err());
    }
}
