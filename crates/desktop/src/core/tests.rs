//! The client's mind against a box that is only said to be there.

use super::*;
use crate::core::pending_blackout::{CONFIRM_MS, DENIED_MS, WISH_MS};
use crate::settings::{File, Mode};
use crate::ui::model;
use crate::ui::model::Icon;
use crate::ui::notification::{Topic, Urgency};
use protocol::Can;
use protocol::client::Failure;

/// The core, its time, and what it wanted.
struct Desk {
    core: Core,
    ms: u64,
    balloons: Vec<Balloon>,
    sent: Vec<String>,
    connects: Vec<u64>,
    answers: Vec<(u64, Result<String, String>)>,
}

impl Desk {
    fn new(mode: Mode) -> Desk {
        let settings = Settings { mode, ..Settings::merged(&File::default(), &File::default()) };
        let person = Person {
            user: "jdoe".to_owned(),
            domain: Some("ACME".to_owned()),
            machine: Some("WS-042".to_owned()),
        };
        let core = Core::new(settings, person);
        let (balloons, sent, connects, answers) = (vec![], vec![], vec![], vec![]);
        Desk { core, ms: 1000, balloons, sent, connects, answers }
    }

    fn give(&mut self, input: Input) {
        self.core.handle(Moment { ms: self.ms, random: 7 }, input);
        while let Some(output) = self.core.poll() {
            match output {
                Output::Connect(epoch, _) => self.connects.push(epoch),
                Output::Close => {}
                Output::Send(line) => self.sent.push(line),
                Output::Balloon(balloon) => self.balloons.push(balloon),
                Output::Answer(asker, answer) => self.answers.push((asker, answer)),
            }
        }
    }

    fn link(&mut self, event: LinkEvent) {
        let epoch = self.core.epoch;
        self.give(Input::Link(epoch, event));
    }

    fn fail(&mut self) {
        self.link(LinkEvent::Failed { why: "no route to host".to_owned() });
    }

    fn ok(&mut self, pairs: &[(&str, &str)]) {
        let pairs = pairs.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect();
        let outcome = Ok(Pairs(pairs));
        self.link(LinkEvent::Reply(Reply { rows: Vec::new(), data: Vec::new(), outcome }));
    }

    fn err(&mut self, word: &str, text: &str, pairs: &[(&str, &str)]) {
        let pairs = pairs.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect();
        let (word, text) = (word.to_owned(), text.to_owned());
        let outcome = Err(Failure { word, text, pairs: Pairs(pairs) });
        self.link(LinkEvent::Reply(Reply { rows: Vec::new(), data: Vec::new(), outcome }));
    }

    fn opened(&mut self, tls: bool) {
        let (name, server) = ("box-01".to_owned(), "box-01:7441".to_owned());
        self.link(LinkEvent::Opened { name, server, boot: 1, tls });
    }

    /// From launch to a session.
    fn connected() -> Desk {
        let mut desk = Desk::new(Mode::SelfHealing);
        desk.give(Input::Launch);
        desk.enter();
        desk
    }

    fn enter(&mut self) {
        self.opened(false);
        self.ok(&[("session", "1"), ("agent", "Jane Doe"), ("field.1", "Caller name")]);
    }

    fn state(&mut self, change: impl FnOnce(&mut AgentState)) {
        let mut state = self.core.facts().state.unwrap_or_default();
        change(&mut state);
        self.link(LinkEvent::State(state));
    }

    fn press(&mut self, action: Action) {
        self.give(Input::Press(Press::Do(action), Some(9)));
    }

    /// Lets time pass up to the next deadline, and says how much it was.
    fn next_deadline(&mut self) -> u64 {
        let due = self.core.deadline_ms().expect("something is due");
        let passed = due.saturating_sub(self.ms);
        self.ms = self.ms.max(due);
        self.give(Input::Tick);
        passed
    }

    fn icon(&self) -> Icon {
        model::icon(&self.core.facts())
    }

    fn last(&self) -> &Balloon {
        self.balloons.last().expect("a balloon")
    }
}

#[test]
fn a7_a8_a9_the_box_is_tried_ten_times_and_then_there_is_standby() {
    for mode in [Mode::SelfHealing, Mode::Strict] {
        let mut desk = Desk::new(mode);
        desk.give(Input::Launch);
        assert_eq!((desk.connects.len(), desk.last().title.as_str()), (1, "Connecting"));
        for retry in 1..=10 {
            desk.fail();
            assert!(desk.last().body.contains(&format!("Retry {retry} of 10 in 10 s")));
            assert_eq!(desk.icon(), Icon::Offline);
            while desk.connects.len() <= retry {
                desk.next_deadline();
            }
            assert_eq!(desk.ms, 1000 + 10_000 * u64::try_from(retry).expect("small"));
        }
        desk.fail();
        assert_eq!((desk.icon(), desk.last().title.as_str()), (Icon::Standby, "Standby"));
        if mode == Mode::Strict {
            assert_eq!(desk.core.deadline_ms(), None, "nothing happens by itself");
        } else {
            let passed = desk.next_deadline();
            assert!((15_000..=25_000).contains(&passed), "{passed}");
            assert_eq!((desk.connects.len(), desk.icon()), (12, Icon::Standby));
            let balloons = desk.balloons.len();
            desk.fail();
            assert_eq!((desk.icon(), desk.balloons.len()), (Icon::Standby, balloons), "quietly");
        }
        desk.give(Input::Press(Press::Reconnect, None));
        assert_eq!(desk.icon(), Icon::Offline);
        desk.enter();
        assert_eq!(desk.icon(), Icon::Idle);
        assert_eq!(desk.last().title, "Connected to box-01");
        desk.link(LinkEvent::Lost { why: "gone".to_owned() });
        assert!(desk.last().title == "Connection lost" && desk.last().body.contains("Retry 1 of"));
    }
}

#[test]
fn an_error_is_told_in_words_without_the_systems_number() {
    assert_eq!(messages::plain("a: refused (os error 111); b: x (os error 1)"), "a: refused; b: x");
    assert_eq!(messages::plain("gone (os error 1"), "gone");
}

#[test]
fn a11_the_hello_says_who_is_there_and_over_tls_the_certificate_does() {
    let mut desk = Desk::new(Mode::SelfHealing);
    desk.give(Input::Launch);
    desk.opened(false);
    let line = &desk.sent[0];
    assert!(line.starts_with("hello agent user=jdoe domain=ACME machine=WS-042 client=desk/"));
    let mut desk = Desk::new(Mode::SelfHealing);
    desk.give(Input::Launch);
    desk.opened(true);
    assert!(!desk.sent[0].contains("machine="), "{}", desk.sent[0]);
    let mut desk = Desk::new(Mode::SelfHealing);
    desk.core.settings.machine = Some("WS-7".to_owned());
    desk.give(Input::Launch);
    desk.opened(true);
    assert!(desk.sent[0].contains("machine=WS-7"), "{}", desk.sent[0]);
}

#[test]
fn a_refused_hello_is_told_and_tried_again() {
    let mut desk = Desk::new(Mode::SelfHealing);
    desk.give(Input::Launch);
    desk.opened(false);
    desk.err("unknown-user", "no agent is called jdoe", &[]);
    assert_eq!(desk.icon(), Icon::Offline);
    assert!(desk.last().body.contains("no agent is called jdoe"), "{:?}", desk.last());
    desk.next_deadline();
    assert_eq!(desk.connects.len(), 2);
}

#[test]
fn a13_every_press_is_sent_and_the_box_answers() {
    for action in Action::ALL {
        let mut desk = Desk::connected();
        desk.state(|state| state.can = Can::default());
        desk.press(action);
        assert_eq!(desk.sent.last().map(String::as_str), Some(action.line()));
        desk.err("denied", "this is not permitted", &[]);
        assert!(desk.last().body.contains("not permitted"), "{:?}", desk.last());
        assert_eq!(desk.answers, [(9, Err("denied: this is not permitted".to_owned()))]);
    }
}

#[test]
fn g1_a_blackout_is_confirmed_with_its_receipt() {
    let mut desk = Desk::connected();
    desk.state(|state| (state.call, state.recording) = (Some("c1".to_owned()), true));
    assert_eq!(desk.icon(), Icon::Recording);
    desk.press(Action::BlackoutStart);
    desk.state(|state| state.blackout = true);
    desk.ok(&[("blackout", "on"), ("at", "9000"), ("from", "8000"), ("channels", "3,4")]);
    assert_eq!((desk.icon(), desk.last().topic), (Icon::Blackout, Topic::Blackout));
    let wanted = "Masked from sample 8000, 1000 samples before the press, on channels 3,4.";
    assert_eq!(desk.last().body, wanted);
    desk.press(Action::BlackoutStop);
    desk.state(|state| state.blackout = false);
    desk.ok(&[("blackout", "off"), ("from", "8000"), ("to", "20000")]);
    assert_eq!(desk.last().body, "Masked from sample 8000 to 20000.");
    assert_eq!(desk.answers.len(), 2);
}

#[test]
fn g5_a_blackout_without_a_link_is_shouted_retried_and_confirmed() {
    let mut desk = Desk::new(Mode::Strict);
    desk.give(Input::Launch);
    for _ in 0..11 {
        desk.fail();
        desk.next_deadline_or_nothing();
    }
    let tries = desk.connects.len();
    desk.press(Action::BlackoutStart);
    assert_eq!(desk.icon(), Icon::Attention);
    let shout = desk.last().clone();
    assert_eq!(
        (shout.urgency, shout.title.as_str()),
        (Urgency::Urgent, "NOT masked: stop the customer")
    );
    assert!(matches!(&desk.answers[..], [(9, Err(text))] if text.contains("NOT masked")));
    assert_eq!(desk.connects.len(), tries + 1, "tried at once, even in strict standby");
    desk.fail();
    assert_eq!(desk.next_deadline(), 1000, "and again every second");
    assert_eq!(desk.connects.len(), tries + 2);
    desk.enter();
    assert_eq!(desk.sent.last().map(String::as_str), Some("blackout start"));
    assert_eq!(desk.icon(), Icon::Attention, "not before the box says so");
    desk.state(|state| state.blackout = true);
    assert_eq!(desk.icon(), Icon::Blackout);
    assert_eq!(desk.last().title, "The blackout is on");
    assert!(desk.balloons.iter().any(|b| b.title == "Blackout on at last"), "{:?}", desk.balloons);
}

#[test]
fn g5_a_blackout_that_cannot_be_had_is_denied() {
    let mut desk = Desk::new(Mode::SelfHealing);
    desk.give(Input::Launch);
    desk.fail();
    desk.press(Action::BlackoutStart);
    while desk.core.facts().unmasked.is_some_and(|why| why.contains("again and again")) {
        desk.fail();
        desk.next_deadline();
        assert!(desk.ms <= 1000 + WISH_MS);
    }
    assert!(desk.last().body.contains("press again"), "{:?}", desk.last());
    assert_eq!(desk.icon(), Icon::Attention);
    desk.enter();
    assert_ne!(desk.sent.last().map(String::as_str), Some("blackout start"), "never queued");

    let mut desk = Desk::connected();
    desk.press(Action::BlackoutStart);
    desk.err("no-call", "you have no call", &[]);
    assert_eq!((desk.icon(), desk.last().urgency), (Icon::Attention, Urgency::Urgent));
    assert_eq!(desk.last().body, "You have no call.");
    desk.ms += DENIED_MS;
    desk.give(Input::Tick);
    assert_eq!(desk.icon(), Icon::Idle);
}

#[test]
fn g5_a_blackout_that_is_not_confirmed_soon_is_shouted() {
    let mut desk = Desk::connected();
    desk.press(Action::BlackoutStart);
    assert_eq!(desk.icon(), Icon::Idle);
    assert_eq!(desk.next_deadline(), CONFIRM_MS);
    assert_eq!((desk.icon(), desk.last().urgency), (Icon::Attention, Urgency::Urgent));
    desk.ok(&[("blackout", "on"), ("at", "9"), ("from", "8"), ("channels", "1")]);
    assert_eq!(desk.last().title, "Blackout on at last");

    let mut desk = Desk::connected();
    desk.press(Action::BlackoutStart);
    desk.link(LinkEvent::Lost { why: "gone".to_owned() });
    assert!(desk.balloons.iter().any(|b| b.title == "NOT masked: stop the customer"));
    assert_eq!(desk.icon(), Icon::Attention);
    desk.next_deadline();
    desk.enter();
    assert_eq!(desk.sent.iter().filter(|line| *line == "blackout start").count(), 2);
}

#[test]
fn g5_a_blackout_that_is_in_force_but_not_stored_is_told_apart() {
    let mut desk = Desk::connected();
    desk.press(Action::BlackoutStart);
    desk.err("storage", "the disk did not take it", &[("masked", "yes")]);
    assert_eq!(desk.last().title, "Blackout on, with a fault");
    assert_eq!(desk.core.facts().unmasked, None);
    desk.state(|state| state.blackout = true);
    desk.press(Action::BlackoutStop);
    desk.err("storage", "the disk did not take it", &[("masked", "yes")]);
    assert_eq!(desk.last().title, "The blackout stays on");
}

#[test]
fn g4_the_warning_before_the_ceiling_is_shown_once() {
    let mut desk = Desk::connected();
    desk.state(|state| (state.recording, state.blackout) = (true, true));
    for left in [60, 59, 58] {
        desk.state(|state| state.note = Some(format!("the blackout ends by itself in {left} s")));
    }
    let warnings: Vec<_> =
        desk.balloons.iter().filter(|b| b.title == "The blackout ends soon").collect();
    assert_eq!(warnings.len(), 1);
    assert_eq!((warnings[0].urgency, desk.icon()), (Urgency::Urgent, Icon::Blackout));
}

#[test]
fn g4_a_note_about_the_screen_is_no_warning_and_hides_none() {
    let mut desk = Desk::connected();
    let warnings = |desk: &Desk| {
        let warns = |balloon: &&Balloon| balloon.title == "The blackout ends soon";
        desk.balloons.iter().filter(warns).count()
    };
    desk.state(|state| (state.recording, state.blackout) = (true, true));
    desk.state(|state| state.note = Some("screen: no client".to_owned()));
    assert_eq!(warnings(&desk), 0);
    desk.state(|state| state.note = Some("the blackout ends by itself in 60 s".to_owned()));
    assert_eq!(warnings(&desk), 1);
    // Who comes back in the last fifth is told, too.
    desk.link(LinkEvent::Lost { why: "gone".to_owned() });
    desk.next_deadline();
    desk.enter();
    desk.state(|state| {
        (state.recording, state.blackout) = (true, true);
        state.note = Some("the blackout ends by itself in 9 s".to_owned());
    });
    assert_eq!(warnings(&desk), 2);
}

#[test]
fn g5_a_link_lost_in_a_blackout_says_that_it_stays_on() {
    let mut desk = Desk::connected();
    desk.state(|state| (state.recording, state.blackout) = (true, true));
    desk.link(LinkEvent::Lost { why: "gone".to_owned() });
    assert!(desk.last().body.contains("blackout stays on"), "{:?}", desk.last());
    assert_eq!(desk.icon(), Icon::Offline);
    desk.next_deadline();
    desk.enter();
    desk.state(|state| state.blackout = true);
    assert_eq!((desk.icon(), desk.last().title.as_str()), (Icon::Blackout, "The blackout is on"));
}

#[test]
fn what_an_old_connection_had_to_say_does_not_count() {
    let mut desk = Desk::connected();
    let old = desk.core.epoch;
    desk.link(LinkEvent::Lost { why: "gone".to_owned() });
    desk.next_deadline();
    let recording = AgentState { recording: true, ..AgentState::default() };
    desk.give(Input::Link(old, LinkEvent::State(recording)));
    desk.give(Input::Link(old, LinkEvent::Lost { why: "gone again".to_owned() }));
    assert_eq!(desk.core.facts().state, None);
    assert!(matches!(desk.core.phase, Phase::Connecting { .. }));
}

#[test]
fn a_quiet_session_is_kept_alive_and_a_silent_box_is_given_up() {
    let mut desk = Desk::connected();
    while desk.sent.last().map(String::as_str) != Some("ping") {
        desk.next_deadline();
    }
    assert_eq!(desk.ms, 1000 + PING_MS);
    desk.ok(&[("time", "now")]);
    assert_eq!(desk.next_deadline(), PING_MS, "nothing else is due meanwhile");
    assert_eq!(desk.next_deadline(), ANSWER_MS);
    assert!(desk.last().body.contains("does not answer"), "{:?}", desk.last());
    assert_eq!(desk.icon(), Icon::Offline);
}

#[test]
fn a4_f2_f4_an_update_is_sent_judged_and_never_told() {
    let mut desk = Desk::connected();
    let update = |value: &str| Press::Update { field: 1, value: value.to_owned() };
    desk.give(Input::Press(update("Mr. \"Miller\" \\"), Some(1)));
    assert_eq!(desk.sent.last().map(String::as_str), Some(r#"update 1 "Mr. \"Miller\" \\""#));
    desk.ok(&[("recording", "r1")]);
    let sent = desk.sent.len();
    for bad in ["a<b", "50%", "a=b", "tab\there"] {
        desk.give(Input::Press(update(bad), Some(2)));
        assert!(matches!(desk.answers.last(), Some((2, Err(why))) if why.contains("not taken")));
    }
    assert_eq!(desk.sent.len(), sent, "nothing of it was sent");
    desk.give(Input::Press(update("secret"), None));
    desk.ok(&[("recording", "r1")]);
    assert_eq!(desk.last().title, "Call record updated");
    let told = format!("{:?}{:?}{:?}", desk.balloons, desk.core, desk.answers);
    assert!(!told.contains("Miller") && !told.contains("secret"));
}

#[test]
fn changed_servers_are_tried_at_once() {
    let mut desk = Desk::connected();
    let servers = vec!["box-02".to_owned()];
    let settings = Settings { servers, ..desk.core.settings().clone() };
    desk.give(Input::Settings(settings));
    assert_eq!((desk.connects.len(), desk.icon()), (2, Icon::Offline));
    let settings = Settings { bar: true, ..desk.core.settings().clone() };
    desk.give(Input::Settings(settings));
    assert_eq!(desk.connects.len(), 2);
}

#[test]
fn another_way_of_trying_does_not_end_a_session_and_holds_from_the_next_loss_on() {
    let mut desk = Desk::connected();
    desk.state(|state| (state.recording, state.blackout) = (true, true));
    let settings = Settings { mode: Mode::Strict, ..desk.core.settings().clone() };
    desk.give(Input::Settings(settings));
    assert_eq!((desk.connects.len(), desk.icon()), (1, Icon::Blackout));
    desk.link(LinkEvent::Lost { why: "gone".to_owned() });
    for _ in 0..10 {
        desk.next_deadline();
        desk.fail();
    }
    assert_eq!(desk.icon(), Icon::Standby);
    assert!(desk.last().body.contains("Choose Reconnect"), "{:?}", desk.last());
    let settings = Settings { mode: Mode::SelfHealing, ..desk.core.settings().clone() };
    let tries = desk.connects.len();
    desk.give(Input::Settings(settings));
    assert_eq!(desk.connects.len(), tries + 1, "in standby it is tried at once");
}

impl Desk {
    fn next_deadline_or_nothing(&mut self) {
        if self.core.deadline_ms().is_some() {
            self.next_deadline();
        }
    }
}
