//! Tests of the state machine against a simulated box.

use super::*;
use crate::agent_request::AgentCommand;
use crate::core::pending_blackout::{BLACKOUT_TIMEOUT_MS, CONFIRM_TIMEOUT_MS, REFUSAL_SHOWN_MS};
use crate::settings::{SettingsFile, StandbyMode};
use crate::ui::notification::{Topic, Urgency};
use crate::ui::tray_view::Icon;
use protocol::AbilitySet;
use protocol::client::Failure;

mod blackout;

/// The state machine, its time, and its outputs.
struct Harness {
    core: Core,
    ms: u64,
    notifications: Vec<Notification>,
    sent: Vec<String>,
    connects: Vec<u64>,
    replies: Vec<(u64, Result<String, String>)>,
}

impl Harness {
    fn new(mode: StandbyMode) -> Harness {
        let settings = Settings {
            mode,
            ..Settings::merge_files(&SettingsFile::default(), &SettingsFile::default())
        };
        let user = LoggedInUser {
            user: "jdoe".to_owned(),
            domain: Some("ACME".to_owned()),
            machine: Some("WS-042".to_owned()),
        };
        let core = Core::new(settings, user, "desk/0.1/19a2b3c4d5e-0007".to_owned());
        let (notifications, sent, connects, replies) = (vec![], vec![], vec![], vec![]);
        Harness { core, ms: 1000, notifications, sent, connects, replies }
    }

    fn handle_input(&mut self, input: Input) {
        self.core.handle_input(Now { ms: self.ms, random: 7 }, input);
        while let Some(output) = self.core.poll_output() {
            match output {
                Output::Connect(epoch, _) => self.connects.push(epoch),
                Output::Close => {}
                Output::Send(line) => self.sent.push(line),
                Output::Notify(notification) => self.notifications.push(notification),
                Output::Reply(requester, reply) => self.replies.push((requester, reply)),
            }
        }
    }

    fn send_link_event(&mut self, event: LinkEvent) {
        let epoch = self.core.epoch;
        self.handle_input(Input::Link(epoch, event));
    }

    fn fail_attempt(&mut self) {
        self.send_link_event(LinkEvent::Failed { reason: "no route to host".to_owned() });
    }

    fn reply_ok(&mut self, pairs: &[(&str, &str)]) {
        let pairs = pairs.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect();
        let outcome = Ok(Pairs(pairs));
        self.send_link_event(LinkEvent::Reply(Reply {
            rows: Vec::new(),
            data: Vec::new(),
            outcome,
        }));
    }

    /// The box's receipt at 8000 frames per second: it reaches `reach` frames back.
    fn reply_receipt(&mut self, at: u64, reach: u64, late_ms: u64) {
        let (from, at, late_ms) = ((at - reach).to_string(), at.to_string(), late_ms.to_string());
        self.reply_ok(&[
            ("blackout", "on"),
            ("at", &at),
            ("from", &from),
            ("channels", "3,4"),
            ("rate", "8000"),
            ("late_ms", &late_ms),
        ]);
    }

    fn reply_err(&mut self, word: &str, text: &str, pairs: &[(&str, &str)]) {
        let pairs = pairs.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect();
        let (word, text) = (word.to_owned(), text.to_owned());
        let outcome = Err(Failure { word, text, pairs: Pairs(pairs) });
        self.send_link_event(LinkEvent::Reply(Reply {
            rows: Vec::new(),
            data: Vec::new(),
            outcome,
        }));
    }

    fn open_link(&mut self, tls: bool) {
        let (name, server) = ("box-01".to_owned(), "box-01:7441".to_owned());
        self.send_link_event(LinkEvent::Opened { name, server, boot: 1, tls });
    }

    /// From launch to a session.
    fn connected() -> Harness {
        let mut harness = Harness::new(StandbyMode::SelfHealing);
        harness.handle_input(Input::Launch);
        harness.log_in();
        harness
    }

    fn log_in(&mut self) {
        self.open_link(false);
        self.reply_ok(&[("session", "1"), ("agent", "Jane Doe"), ("field.1", "Caller name")]);
    }

    fn change_state(&mut self, change: impl FnOnce(&mut AgentState)) {
        let mut state = self.core.client_state().agent_state.unwrap_or_default();
        change(&mut state);
        self.send_link_event(LinkEvent::State(state));
    }

    fn request(&mut self, command: AgentCommand) {
        self.handle_input(Input::Request(AgentRequest::Command(command), Some(9)));
    }

    /// Advances to the next deadline, and returns the time that passed.
    fn pass_deadline(&mut self) -> u64 {
        let due = self.core.next_deadline_ms().expect("a deadline");
        let passed = due.saturating_sub(self.ms);
        self.ms = self.ms.max(due);
        self.handle_input(Input::Tick);
        passed
    }

    fn icon(&self) -> Icon {
        Icon::for_state(&self.core.client_state())
    }

    fn last_notification(&self) -> &Notification {
        self.notifications.last().expect("a notification")
    }
}

#[test]
fn a7_a8_a9_ten_failed_retries_lead_to_standby() {
    for mode in [StandbyMode::SelfHealing, StandbyMode::Strict] {
        let mut harness = Harness::new(mode);
        harness.handle_input(Input::Launch);
        assert_eq!(
            (harness.connects.len(), harness.last_notification().title.as_str()),
            (1, "Connecting")
        );
        for retry in 1..=10 {
            harness.fail_attempt();
            assert!(
                harness.last_notification().body.contains(&format!("Retry {retry} of 10 in 10 s"))
            );
            assert_eq!(harness.icon(), Icon::Offline);
            while harness.connects.len() <= retry {
                harness.pass_deadline();
            }
            assert_eq!(harness.ms, 1000 + 10_000 * u64::try_from(retry).expect("small"));
        }
        harness.fail_attempt();
        assert_eq!(
            (harness.icon(), harness.last_notification().title.as_str()),
            (Icon::Standby, "Standby")
        );
        if mode == StandbyMode::Strict {
            assert_eq!(harness.core.next_deadline_ms(), None, "no automatic retry");
        } else {
            let passed = harness.pass_deadline();
            assert!((15_000..=25_000).contains(&passed), "{passed}");
            assert_eq!((harness.connects.len(), harness.icon()), (12, Icon::Standby));
            let notifications = harness.notifications.len();
            harness.fail_attempt();
            assert_eq!(
                (harness.icon(), harness.notifications.len()),
                (Icon::Standby, notifications),
                "without a notification"
            );
        }
        harness.handle_input(Input::Request(AgentRequest::Reconnect, None));
        assert_eq!(harness.icon(), Icon::Offline);
        harness.log_in();
        assert_eq!(harness.icon(), Icon::Idle);
        assert_eq!(harness.last_notification().title, "Connected to box-01");
        harness.send_link_event(LinkEvent::Lost { reason: "gone".to_owned() });
        assert!(
            harness.last_notification().title == "Connection lost"
                && harness.last_notification().body.contains("Retry 1 of")
        );
    }
}

#[test]
fn os_error_numbers_are_removed() {
    assert_eq!(
        notifications::strip_os_error("a: refused (os error 111); b: x (os error 1)"),
        "a: refused; b: x"
    );
    assert_eq!(notifications::strip_os_error("gone (os error 1"), "gone");
}

#[test]
fn a11_hello_over_tls_omits_the_host_name() {
    let mut harness = Harness::new(StandbyMode::SelfHealing);
    harness.handle_input(Input::Launch);
    harness.open_link(false);
    let line = &harness.sent[0];
    assert!(line.starts_with(
        "hello agent user=jdoe domain=ACME machine=WS-042 client=desk/0.1/19a2b3c4d5e-0007"
    ));
    let mut harness = Harness::new(StandbyMode::SelfHealing);
    harness.handle_input(Input::Launch);
    harness.open_link(true);
    assert!(!harness.sent[0].contains("machine="), "{}", harness.sent[0]);
    let mut harness = Harness::new(StandbyMode::SelfHealing);
    harness.core.settings.machine = Some("WS-7".to_owned());
    harness.handle_input(Input::Launch);
    harness.open_link(true);
    assert!(harness.sent[0].contains("machine=WS-7"), "{}", harness.sent[0]);
}

#[test]
fn a_refused_login_is_shown_and_retried() {
    let mut harness = Harness::new(StandbyMode::SelfHealing);
    harness.handle_input(Input::Launch);
    harness.open_link(false);
    harness.reply_err("unknown-user", "no agent is called jdoe", &[]);
    assert_eq!(harness.icon(), Icon::Offline);
    assert!(
        harness.last_notification().body.contains("no agent is called jdoe"),
        "{:?}",
        harness.last_notification()
    );
    harness.pass_deadline();
    assert_eq!(harness.connects.len(), 2);
}

#[test]
fn a13_every_request_is_sent_and_the_box_decides() {
    for command in AgentCommand::ALL {
        let mut harness = Harness::connected();
        harness.change_state(|state| state.can = AbilitySet::default());
        harness.request(command);
        assert_eq!(harness.sent.last().map(String::as_str), Some(command.as_line()));
        harness.reply_err("denied", "this is not permitted", &[]);
        assert!(
            harness.last_notification().body.contains("not permitted"),
            "{:?}",
            harness.last_notification()
        );
        assert_eq!(harness.replies, [(9, Err("denied: this is not permitted".to_owned()))]);
    }
}

#[test]
fn a1_a_recording_press_names_the_call_that_the_agent_sees() {
    let mut harness = Harness::connected();
    harness.change_state(|state| state.call = Some("c 1".to_owned()));
    harness.request(AgentCommand::RecordStart);
    assert_eq!(harness.sent.last().map(String::as_str), Some(r#"record start call="c 1""#));
    harness.request(AgentCommand::RecordStop);
    assert_eq!(harness.sent.last().map(String::as_str), Some(r#"record stop call="c 1""#));
    harness.request(AgentCommand::BlackoutStart);
    assert_eq!(harness.sent.last().map(String::as_str), Some("blackout start"));
}

#[test]
fn g5_blackout_that_fails_is_reported_and_never_queued() {
    let mut harness = Harness::new(StandbyMode::SelfHealing);
    harness.handle_input(Input::Launch);
    harness.fail_attempt();
    harness.request(AgentCommand::BlackoutStart);
    while harness.core.client_state().unmasked.is_some_and(|reason| reason.contains("retrying")) {
        harness.fail_attempt();
        harness.pass_deadline();
        assert!(harness.ms <= 1000 + BLACKOUT_TIMEOUT_MS);
    }
    assert!(
        harness.last_notification().body.contains("press again"),
        "{:?}",
        harness.last_notification()
    );
    assert_eq!(harness.icon(), Icon::Attention);
    harness.log_in();
    assert_ne!(harness.sent.last().map(String::as_str), Some("blackout start"), "never queued");

    let mut harness = Harness::connected();
    harness.request(AgentCommand::BlackoutStart);
    harness.reply_err("no-call", "you have no call", &[]);
    assert_eq!(
        (harness.icon(), harness.last_notification().urgency),
        (Icon::Attention, Urgency::Urgent)
    );
    assert_eq!(
        harness.last_notification().body,
        "You have no call. Ask the customer to stop speaking."
    );
    harness.ms += REFUSAL_SHOWN_MS;
    harness.handle_input(Input::Tick);
    assert_eq!(harness.icon(), Icon::Idle);
}

#[test]
fn g5_unconfirmed_blackout_warns_the_agent() {
    let mut harness = Harness::connected();
    harness.request(AgentCommand::BlackoutStart);
    assert_eq!(harness.icon(), Icon::Idle);
    assert_eq!(harness.pass_deadline(), CONFIRM_TIMEOUT_MS);
    assert_eq!(
        (harness.icon(), harness.last_notification().urgency),
        (Icon::Attention, Urgency::Urgent)
    );
    for _ in 0..2 {
        harness.reply_ok(&[("blackout", "on"), ("at", "9"), ("from", "8"), ("channels", "1")]);
    }
    assert_eq!(harness.last_notification().title, "Blackout on, but late");

    let mut harness = Harness::connected();
    harness.request(AgentCommand::BlackoutStart);
    harness.send_link_event(LinkEvent::Lost { reason: "gone".to_owned() });
    assert!(harness.notifications.iter().any(|b| b.title == "NOT MASKED"));
    assert_eq!(harness.icon(), Icon::Attention);
    harness.pass_deadline();
    harness.log_in();
    let sent: Vec<_> = harness.sent.iter().filter(|line| line.contains("blackout")).collect();
    assert_eq!(sent, ["blackout start", "blackout start pressed_ms=1000"]);
}

#[test]
fn g4_blackout_that_others_hold_is_not_called_off() {
    let mut harness = Harness::connected();
    harness.change_state(|state| state.blackout = true);
    harness.request(AgentCommand::BlackoutStop);
    harness.reply_ok(&[("blackout", "on"), ("from", "8000"), ("to", "-")]);
    assert_eq!(harness.last_notification().title, "Blackout stays on");
    assert_eq!(harness.icon(), Icon::Blackout);
}

#[test]
fn g5_masked_but_not_stored_blackout_has_its_own_text() {
    let mut harness = Harness::connected();
    harness.request(AgentCommand::BlackoutStart);
    harness.reply_err("storage", "the disk did not take it", &[("masked", "yes")]);
    assert_eq!(harness.last_notification().title, "Blackout on, with an error");
    assert_eq!(harness.core.client_state().unmasked, None);
    harness.change_state(|state| state.blackout = true);
    harness.request(AgentCommand::BlackoutStop);
    harness.reply_err("storage", "the disk did not take it", &[("masked", "yes")]);
    assert_eq!(harness.last_notification().title, "Blackout stays on");
}

#[test]
fn g4_the_warning_before_the_ceiling_is_shown_once() {
    let mut harness = Harness::connected();
    harness.change_state(|state| (state.recording, state.blackout) = (true, true));
    for left in [60, 59, 58] {
        harness.change_state(|state| {
            state.note = Some(format!("the blackout ends by itself in {left} s"))
        });
    }
    let warnings: Vec<_> =
        harness.notifications.iter().filter(|b| b.title == "The blackout ends soon").collect();
    assert_eq!(warnings.len(), 1);
    assert_eq!((warnings[0].urgency, harness.icon()), (Urgency::Urgent, Icon::Blackout));
}

#[test]
fn g4_screen_note_neither_is_nor_hides_a_warning() {
    let mut harness = Harness::connected();
    let warnings = |harness: &Harness| {
        let warns = |notification: &&Notification| notification.title == "The blackout ends soon";
        harness.notifications.iter().filter(warns).count()
    };
    harness.change_state(|state| (state.recording, state.blackout) = (true, true));
    harness.change_state(|state| state.note = Some("screen: no client".to_owned()));
    assert_eq!(warnings(&harness), 0);
    harness
        .change_state(|state| state.note = Some("the blackout ends by itself in 60 s".to_owned()));
    assert_eq!(warnings(&harness), 1);
    // The warning is shown again after a reconnect.
    harness.send_link_event(LinkEvent::Lost { reason: "gone".to_owned() });
    harness.pass_deadline();
    harness.log_in();
    harness.change_state(|state| {
        (state.recording, state.blackout) = (true, true);
        state.note = Some("the blackout ends by itself in 9 s".to_owned());
    });
    assert_eq!(warnings(&harness), 2);
}

#[test]
fn g5_lost_link_in_a_blackout_says_that_it_stays_on() {
    let mut harness = Harness::connected();
    harness.change_state(|state| (state.recording, state.blackout) = (true, true));
    harness.send_link_event(LinkEvent::Lost { reason: "gone".to_owned() });
    assert!(
        harness.last_notification().body.contains("keeps the blackout on"),
        "{:?}",
        harness.last_notification()
    );
    assert_eq!(harness.icon(), Icon::Offline);
    harness.pass_deadline();
    harness.log_in();
    harness.change_state(|state| state.blackout = true);
    assert_eq!(
        (harness.icon(), harness.last_notification().title.as_str()),
        (Icon::Blackout, "The blackout is on")
    );
}

#[test]
fn events_of_an_old_connection_are_ignored() {
    let mut harness = Harness::connected();
    let old = harness.core.epoch;
    harness.send_link_event(LinkEvent::Lost { reason: "gone".to_owned() });
    harness.pass_deadline();
    let recording = AgentState { recording: true, ..AgentState::default() };
    harness.handle_input(Input::Link(old, LinkEvent::State(recording)));
    harness.handle_input(Input::Link(old, LinkEvent::Lost { reason: "gone again".to_owned() }));
    assert_eq!(harness.core.client_state().agent_state, None);
    assert!(matches!(harness.core.phase, Phase::Connecting { .. }));
}

#[test]
fn a_quiet_session_is_pinged_and_a_silent_box_is_left() {
    let mut harness = Harness::connected();
    while harness.sent.last().map(String::as_str) != Some("ping") {
        harness.pass_deadline();
    }
    assert_eq!(harness.ms, 1000 + PING_MS);
    harness.reply_ok(&[("time", "now")]);
    assert_eq!(harness.pass_deadline(), PING_MS, "no other deadline");
    assert_eq!(harness.pass_deadline(), REPLY_TIMEOUT_MS);
    assert!(
        harness.last_notification().body.contains("No reply"),
        "{:?}",
        harness.last_notification()
    );
    assert_eq!(harness.icon(), Icon::Offline);
}

#[test]
fn a4_f2_f4_update_is_sent_checked_and_never_shown() {
    let mut harness = Harness::connected();
    let numbered = |value: &str, call_number| AgentRequest::Update {
        field: 1,
        value: value.to_owned(),
        call: None,
        call_number,
    };
    let update = |value: &str| numbered(value, None);
    harness.handle_input(Input::Request(update("Mr. \"Miller\" \\"), Some(1)));
    assert_eq!(harness.sent.last().map(String::as_str), Some(r#"update 1 "Mr. \"Miller\" \\""#));
    harness.reply_ok(&[("recording", "r1")]);
    harness.handle_input(Input::Request(numbered("Miller", Some(17)), Some(1)));
    assert_eq!(harness.sent.last().map(String::as_str), Some("update 1 Miller call_number=17"));
    harness.reply_ok(&[("recording", "r1")]);
    let sent = harness.sent.len();
    for bad in ["a<b", "50%", "a=b", "tab\there"] {
        harness.handle_input(Input::Request(update(bad), Some(2)));
        let reply = harness.replies.last().expect("a reply");
        assert!(reply.1.as_ref().is_err_and(|reason| reason.contains("not allowed")), "{reply:?}");
    }
    assert_eq!(harness.sent.len(), sent, "nothing was sent");
    harness.handle_input(Input::Request(update("secret"), None));
    harness.reply_ok(&[("recording", "r1")]);
    assert_eq!(harness.last_notification().title, "Call record updated");
    let shown = format!("{:?}{:?}{:?}", harness.notifications, harness.core, harness.replies);
    assert!(!shown.contains("Miller") && !shown.contains("secret"));
}

#[test]
fn changed_servers_are_tried_at_once() {
    let mut harness = Harness::connected();
    let servers = vec!["box-02".to_owned()];
    let settings = Settings { servers, ..harness.core.settings().clone() };
    harness.handle_input(Input::Settings(settings));
    assert_eq!((harness.connects.len(), harness.icon()), (2, Icon::Offline));
    let settings = Settings { bar: true, ..harness.core.settings().clone() };
    harness.handle_input(Input::Settings(settings));
    assert_eq!(harness.connects.len(), 2);
}

#[test]
fn new_retry_settings_apply_from_the_next_loss() {
    let mut harness = Harness::connected();
    harness.change_state(|state| (state.recording, state.blackout) = (true, true));
    let settings = Settings { mode: StandbyMode::Strict, ..harness.core.settings().clone() };
    harness.handle_input(Input::Settings(settings));
    assert_eq!((harness.connects.len(), harness.icon()), (1, Icon::Blackout));
    harness.send_link_event(LinkEvent::Lost { reason: "gone".to_owned() });
    for _ in 0..10 {
        harness.pass_deadline();
        harness.fail_attempt();
    }
    assert_eq!(harness.icon(), Icon::Standby);
    assert!(
        harness.last_notification().body.contains("Choose Reconnect"),
        "{:?}",
        harness.last_notification()
    );
    let settings = Settings { mode: StandbyMode::SelfHealing, ..harness.core.settings().clone() };
    let tries = harness.connects.len();
    harness.handle_input(Input::Settings(settings));
    assert_eq!(harness.connects.len(), tries + 1, "standby retries at once");
}

impl Harness {
    fn pass_deadline_if_any(&mut self) {
        if self.core.next_deadline_ms().is_some() {
            self.pass_deadline();
        }
    }
}
