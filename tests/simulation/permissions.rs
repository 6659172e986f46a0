//! Who may give which command: every command of the table, every kind of session, every permission.
//!
//! What each command requires of a user stands here once more, so that a row of the table that
//! changes is seen. Sessions are open already when their user's permissions change: what counts is
//! what the user has when a command comes.

use protocol::table::{self, Entry};
use protocol::{Kind, Permission};
use std::collections::BTreeMap;
use testkit::sim::SimBox;
use testkit::sim::site::{Site, answer, pair};

/// Every command that requires a permission, and which: one of each group.
const REQUIRED: &[(Kind, &str, &[&[&str]])] = &[
    (Kind::Agent, "blackout start", &[&["blackout"]]),
    (Kind::Agent, "blackout stop", &[&["blackout"]]),
    (Kind::Agent, "media ID", &[&["play"], RECORDS]),
    (Kind::Agent, "media ID for=export", &[&["export"], RECORDS]),
    (Kind::Agent, "protect ID on", &[&["protect"], RECORDS]),
    (Kind::Agent, "record start", &[&["record.start"]]),
    (Kind::Agent, "record stop", &[&["record.stop", "record.stop-any"]]),
    (Kind::Agent, "records", &[RECORDS]),
    (Kind::Agent, "screen start", &[&["screen"]]),
    (Kind::Agent, "screen stop", &[&["screen"]]),
    (Kind::Agent, "show ID", &[RECORDS]),
    (Kind::Agent, "update 1 x", &[&["update.1"]]),
    (Kind::Agent, "update 2 x", &[&["update.2"]]),
    (Kind::Agent, "update 15 x", &[&["update.15"]]),
    (Kind::Supervisor, "blackout start agent=jdoe", &[&["blackout.others"]]),
    (Kind::Supervisor, "blackout stop agent=jdoe", &[&["blackout.others"]]),
    (Kind::Supervisor, "delete ID", &[&["admin"], RECORDS]),
    (Kind::Supervisor, "media ID", &[&["play"], RECORDS]),
    (Kind::Supervisor, "media ID for=export", &[&["export"], RECORDS]),
    (Kind::Supervisor, "protect ID on", &[&["protect"], RECORDS]),
    (Kind::Supervisor, "redact ID from_ms=1 to_ms=2 reason=x", &[&["redact"], RECORDS]),
    (Kind::Supervisor, "record start device=1001", &[&["record.others"]]),
    (Kind::Supervisor, "record stop device=1001", &[&["record.others"]]),
    (Kind::Supervisor, "records", &[RECORDS]),
    (Kind::Supervisor, "show ID", &[RECORDS]),
    (Kind::Supervisor, "show ID sealed=on", &[RECORDS]),
    (Kind::Supervisor, "watch", &[&["monitor", "records.all", "admin"]]),
];
const RECORDS: &[&str] = &["records.own", "records.all"];

/// What agents and supervisors may do without any permission.
const OPEN: &[(&str, &[Kind])] = &[
    ("help", &[Kind::Agent, Kind::Supervisor]),
    ("ping", &[Kind::Agent, Kind::Supervisor]),
    ("quit", &[Kind::Agent, Kind::Supervisor]),
    ("status", &[Kind::Agent, Kind::Supervisor]),
];

/// Kinds with a user, and so with permissions.
const USERS: [Kind; 2] = [Kind::Agent, Kind::Supervisor];

/// No such record; never one, since ids are made at random.
const ID: &str = "abcdefghijklmnop";

/// The required words of an entry, with values that are good.
fn sample(entry: &Entry) -> String {
    let mut line = entry.verb.to_owned();
    for arg in entry.args.iter().filter(|arg| arg.required) {
        let value = match arg.name {
            "N" => "1",
            "ID" => ID,
            "on|off" => "on",
            "plain|tls|off" => "tls",
            "ADDRESS" => "127.0.0.1:7440",
            "KEY" => "box.name",
            "LEVEL" => "info",
            "KIND" => "agent",
            "start" => "2026-11-22T12:00:00Z",
            "duration_ms" | "to_ms" => "1000",
            "from_ms" => "1",
            "device" => "1001",
            _ => "x",
        };
        line += &if arg.keyed { format!(" {}={value}", arg.name) } else { format!(" {value}") };
    }
    if entry.verb == "hello" { line + " user=jdoe" } else { line }
}

fn config(permissions: &[String]) -> String {
    let words = permissions.join(" ");
    let site = Site::new().role("r", &words).agent("jdoe", "1001", "r").more("screen = true");
    let pin = "$argon2id$v=19$m=19456,t=2,p=1$BtIvqaj9XY7ZBxJ22c5iVw$\
               TyjQ7ygFTOcEHsXrsnq57JJbStAteqOOA0/cG+bNoiU";
    site.more(&format!("[[technician]]\nname = \"field\"\npin = \"{pin}\"")).toml()
}

/// A box, and a session of every kind.
struct Story {
    sim: SimBox,
    sessions: BTreeMap<Kind, u32>,
}

impl Story {
    fn new() -> Story {
        let mut story = Story { sim: SimBox::new(&config(&all()), 5), sessions: BTreeMap::new() };
        Kind::ALL.into_iter().for_each(|kind| story.open(kind));
        story
    }

    fn open(&mut self, kind: Kind) {
        let words = match kind {
            Kind::Technician => "technician user=field pin=2468".to_owned(),
            Kind::Cti | Kind::Monitor => kind.to_string(),
            Kind::Agent | Kind::Supervisor | Kind::Screen => format!("{kind} user=jdoe"),
        };
        let session = self.sim.hello(&words);
        self.sessions.insert(kind, session);
    }

    /// From now on the user of all sessions has these permissions only. A session that could not
    /// say hello with them ends; one that ended before is opened again first.
    fn grant(&mut self, permissions: &[String]) {
        self.reload(&all());
        for kind in USERS {
            if self.sim.is_closed(self.sessions[&kind]) {
                self.open(kind);
            }
        }
        self.reload(permissions);
        self.sessions.values().for_each(|session| drop(self.sim.news(*session)));
    }

    fn reload(&mut self, permissions: &[String]) {
        self.sim.config_file = Some(config(permissions));
        let said = self.sim.say(self.sessions[&Kind::Technician], "config reload");
        assert!(answer(&said).starts_with("ok applied="), "{said:?}");
    }

    fn say(&mut self, kind: Kind, line: &str) -> Vec<String> {
        self.sim.say(self.sessions[&kind], line)
    }

    /// Whether the user may not say hello as this kind.
    fn is_hello_denied(&mut self, kind: Kind) -> bool {
        let client = self.sim.client(&[kind]);
        let said = self.sim.say(client, &format!("hello {kind} user=jdoe"));
        let denied = answer(&said).starts_with("err denied ");
        assert_eq!(denied, !answer(&said).starts_with("ok "), "{kind}: {said:?}");
        self.sim.gone(client);
        denied
    }

    /// Whether a command is refused for want of a right; then it has changed nothing.
    fn is_denied(&mut self, kind: Kind, line: &str) -> bool {
        // An alarm about a refused line of a feed is a fact: the first line.
        let state = |sim: &SimBox| {
            let all = sim.recorder().state_fingerprint();
            let start = if kind == Kind::Cti { all.find('\n') } else { None };
            all[start.unwrap_or(0)..].to_owned()
        };
        let before = state(&self.sim);
        let said = self.say(kind, line);
        let denied = answer(&said).starts_with("err denied ");
        if denied {
            assert_eq!(before, state(&self.sim), "{kind}: {line}");
        }
        assert!(denied || !answer(&said).is_empty(), "{kind}: {line} is not answered");
        denied
    }
}

fn all() -> Vec<String> {
    Permission::all().map(|permission| permission.to_string()).collect()
}

/// No permission, each by itself, all but each, all, and every two that a command requires.
fn sets() -> Vec<Vec<String>> {
    let mut sets = vec![Vec::new(), all()];
    for one in all() {
        sets.push(all().into_iter().filter(|other| *other != one).collect());
        sets.push(vec![one]);
    }
    for both in ["play", "export", "protect", "admin"] {
        sets.extend(RECORDS.iter().map(|right| vec![both.to_owned(), (*right).to_owned()]));
    }
    let is_records = |word: &String| RECORDS.contains(&word.as_str());
    sets.push(all().into_iter().filter(|word| !is_records(word)).collect());
    sets
}

fn meets(set: &[String], required: &[&[&str]]) -> bool {
    required.iter().all(|group| group.iter().any(|word| set.iter().any(|own| own == word)))
}

#[test]
fn d3_command_of_a_user_without_its_permission_is_denied() {
    let mut story = Story::new();
    for set in sets() {
        story.grant(&set);
        let over: Vec<Kind> =
            USERS.into_iter().filter(|kind| story.sim.is_closed(story.sessions[kind])).collect();
        for kind in USERS {
            assert_eq!(over.contains(&kind), story.is_hello_denied(kind), "{kind}: {set:?}");
        }
        for (kind, line, required) in REQUIRED.iter().filter(|(kind, ..)| !over.contains(kind)) {
            let line = line.replace("ID", ID);
            let denied = story.is_denied(*kind, &line);
            assert_eq!(denied, !meets(&set, required), "{kind}: {line} with {set:?}");
        }
    }
}

#[test]
fn d3_command_of_a_kind_it_is_not_for_is_denied() {
    let mut story = Story::new();
    for entry in table::TABLE.iter().filter(|entry| entry.verb != "hello") {
        for kind in Kind::ALL.into_iter().filter(|kind| !entry.is_for(Some(*kind))) {
            let line = sample(entry);
            assert!(story.is_denied(kind, &line), "{kind}: {line}");
        }
    }
}

/// The list above is whole: whatever else agents and supervisors may do is open on purpose.
#[test]
fn d3_row_without_a_required_permission_is_open_on_purpose() {
    for entry in table::TABLE.iter().filter(|entry| entry.verb != "hello") {
        for kind in USERS.into_iter().filter(|kind| entry.is_for(Some(*kind))) {
            let begins =
                |line: &str| line == entry.verb || line.starts_with(&format!("{} ", entry.verb));
            let listed = REQUIRED.iter().any(|(user, line, _)| *user == kind && begins(line));
            let open =
                OPEN.iter().any(|(verb, kinds)| *verb == entry.verb && kinds.contains(&kind));
            assert!(listed != open, "{kind}: {}", entry.verb);
            let requires = entry.requires(kind).expect("it is for this kind");
            assert_eq!(requires == protocol::Requires::KindOnly, open, "{kind}: {}", entry.verb);
        }
    }
}

#[test]
fn d3_hello_of_a_user_without_a_permission_for_it_is_denied() {
    const SUPERVISORS: [&str; 10] = [
        "monitor",
        "records.own",
        "records.all",
        "play",
        "export",
        "protect",
        "admin",
        "record.others",
        "blackout.others",
        "redact",
    ];
    let is_agents = |word: &String| {
        let rest = ["record.start", "record.stop", "record.stop-any", "blackout", "screen"];
        rest.contains(&word.as_str()) || word.starts_with("update.")
    };
    let mut story = Story::new();
    for set in sets() {
        story.grant(&set);
        let agent = set.iter().any(is_agents);
        let supervisor = set.iter().any(|word| SUPERVISORS.contains(&word.as_str()));
        for (kind, may) in [(Kind::Agent, agent), (Kind::Supervisor, supervisor)] {
            assert_eq!(story.is_hello_denied(kind), !may, "{kind}: {set:?}");
        }
    }
}

/// A user who may only look at own records used to end a colleague's full-time recording, and to
/// black out the call.
#[test]
fn b1_g4_supervisor_without_a_permission_leaves_others_alone() {
    let site = Site::new().role("agent", "record.start record.stop blackout");
    let site = site.role("own", "records.own").agent("jdoe", "1001", "agent");
    let mut sim = SimBox::new(&site.agent("peeker", "", "own").full_time().toml(), 3);
    let supervisor = sim.hello("supervisor user=peeker");
    let feed = sim.hello("cti");
    let id = pair(&sim.say(feed, "call start device=1001 call=c1"), "recording");
    sim.run_ms(1000);
    for line in [
        "record stop device=1001",
        "record start device=1001",
        "blackout start agent=jdoe",
        "blackout stop agent=jdoe",
    ] {
        let said = sim.say(supervisor, line);
        assert!(answer(&said).starts_with("err denied "), "{line}: {said:?}");
    }
    let said = sim.say(feed, "calls").join(" ");
    assert!(said.contains(&format!("recording={id} reasons=schedule blackout=off")), "{said}");
}
