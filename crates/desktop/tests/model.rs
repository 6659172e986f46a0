//! What the agent sees, for every icon state and every set of permissions.

#![allow(clippy::unwrap_used, clippy::expect_used)]

use desktop::action::{Action, Press};
use desktop::ui::model::{Choice, Facts, Icon, Item, Link, Look, Place, Window, look, status};
use protocol::{Ability, AgentState, Can, ScreenMode};

fn place() -> Place {
    let (name, server) = ("box-01".to_owned(), "tls:box-01".to_owned());
    Place { name, server, agent: "Jane Doe".to_owned() }
}

/// One way to come to each icon.
fn facts(icon: Icon, can: Can) -> Facts {
    let why = || "no route to host".to_owned();
    let call = Some("c1".to_owned());
    let mut state = AgentState { can, ..AgentState::default() };
    let mut unmasked = None;
    let link = match icon {
        Icon::Offline => Link::Retrying { why: why(), retry: 3 },
        Icon::Standby => Link::Standby { why: why(), probing: true },
        _ => Link::Connected(place()),
    };
    match icon {
        Icon::Call => state.call = call,
        Icon::Recording => {
            (state.call, state.recording) = (call, true);
            state.recording_id = Some("r1".to_owned());
            "agent".clone_into(&mut state.reasons);
        }
        Icon::Blackout => (state.call, state.recording, state.blackout) = (call, true, true),
        Icon::Attention => unmasked = Some("there is no call".to_owned()),
        Icon::Offline | Icon::Idle | Icon::Standby => {}
    }
    let connected = matches!(link, Link::Connected(_));
    Facts { link, state: connected.then_some(state), unmasked, bar: false }
}

/// Every subset of what can be permitted, two fields standing for all.
fn all_cans() -> impl Iterator<Item = Can> {
    let abilities: Vec<Ability> = Ability::all().take(8).collect();
    (0_u32..1 << abilities.len()).map(move |bits| {
        let has = |n: &usize| bits & (1 << n) != 0;
        (0..abilities.len()).filter(has).map(|n| abilities[n]).collect()
    })
}

fn enabled(look: &Look) -> Vec<(&str, &Choice)> {
    let enabled = look.menu.iter().filter_map(|item| match item {
        Item::Choice { label, enabled: true, does, .. } => Some((label.as_str(), does)),
        _ => None,
    });
    enabled.collect()
}

fn actions(look: &Look) -> Vec<(Action, bool)> {
    let actions = look.menu.iter().filter_map(|item| match item {
        Item::Choice { does: Choice::Press(Press::Do(action)), enabled, .. } => {
            Some((*action, *enabled))
        }
        _ => None,
    });
    actions.collect()
}

#[test]
fn a5_a13_menu_items_follow_can_only() {
    let connected = [Icon::Idle, Icon::Call, Icon::Recording, Icon::Blackout, Icon::Attention];
    for icon in connected {
        for can in all_cans() {
            let look = look(&facts(icon, can));
            assert_eq!(look.icon, icon, "what may be done does not change the icon");
            for (action, enabled) in actions(&look) {
                assert_eq!(enabled, can.has(action.ability()), "{icon:?} {can} {action:?}");
            }
            let update = Choice::Open(Window::Update);
            let may_update = (1..=15).any(|n| can.has(Ability::Update(n)));
            let offered = enabled(&look).iter().any(|(_, does)| **does == update);
            assert_eq!(offered, may_update, "{icon:?} {can}");
        }
    }
}

#[test]
fn a1_a3_menu_offers_only_changes() {
    let all: Can = Ability::all().collect();
    let offered = |icon| -> Vec<Action> {
        actions(&look(&facts(icon, all))).into_iter().map(|(action, _)| action).collect()
    };
    use Action::{BlackoutStart, BlackoutStop, RecordStart, RecordStop, ScreenStart};
    assert_eq!(offered(Icon::Idle), [RecordStart, ScreenStart, BlackoutStart]);
    assert_eq!(offered(Icon::Recording), [RecordStop, ScreenStart, BlackoutStart]);
    // Somebody else's recording: hold it too, or end it, if that is permitted.
    assert_eq!(offered(Icon::Blackout), [RecordStart, RecordStop, ScreenStart, BlackoutStop]);
    let start_only: Can = [Ability::RecordStart].into_iter().collect();
    let look = look(&facts(Icon::Blackout, start_only));
    assert!(!actions(&look).iter().any(|(action, _)| *action == RecordStop));
}

#[test]
fn a10_menu_without_connection_offers_no_control() {
    let links = [
        (Link::Connecting, Icon::Offline),
        (Link::Retrying { why: "x".to_owned(), retry: 1 }, Icon::Offline),
        (Link::Standby { why: "x".to_owned(), probing: false }, Icon::Standby),
        (Link::Standby { why: "x".to_owned(), probing: true }, Icon::Standby),
    ];
    for (link, icon) in links {
        let reconnects = link != Link::Connecting;
        let facts = Facts { link, state: None, unmasked: None, bar: false };
        let look = look(&facts);
        assert_eq!(look.icon, icon);
        assert_eq!(actions(&look), []);
        let mut labels: Vec<&str> = enabled(&look).iter().map(|(label, _)| *label).collect();
        labels.retain(|label| *label != "Re_connect");
        assert_eq!(labels, ["Check _Status…", "Se_ttings…", "_About Hushbox…", "_Quit"]);
        let reconnect = Choice::Press(Press::Reconnect);
        let offered = enabled(&look).iter().any(|(_, does)| **does == reconnect);
        assert_eq!(offered, reconnects, "{facts:?}");
    }
}

#[test]
fn icons_have_labels_and_items_have_mnemonics() {
    let all: Can = Ability::all().collect();
    let mut titles = Vec::new();
    for icon in Icon::ALL {
        let look = look(&facts(icon, all));
        assert_eq!(look.icon, icon);
        assert_eq!(Icon::parse(icon.word()), Some(icon));
        titles.push(look.title.clone());
        let letters: Vec<char> = look
            .menu
            .iter()
            .filter_map(|item| match item {
                Item::Choice { label, does, .. } if !is_twin(does) => {
                    label.split_once('_').and_then(|(_, rest)| rest.chars().next())
                }
                _ => None,
            })
            .map(|letter| letter.to_ascii_lowercase())
            .collect();
        let mut single = letters.clone();
        single.sort_unstable();
        single.dedup();
        assert_eq!(single.len(), letters.len(), "{letters:?}");
    }
    titles.dedup();
    assert_eq!(titles.len(), Icon::ALL.len());
}

/// Start stands beside Stop, with the same letter.
fn is_twin(does: &Choice) -> bool {
    *does == Choice::Press(Press::Do(Action::RecordStart))
}

#[test]
fn icon_shows_not_masked_before_all_else() {
    for icon in Icon::ALL {
        let unmasked = Some("the box cannot be reached".to_owned());
        let facts = Facts { unmasked, ..facts(icon, Can::default()) };
        let look = look(&facts);
        assert_eq!(look.icon, Icon::Attention);
        assert!(look.title.contains("NOT masked"), "{}", look.title);
    }
}

#[test]
fn a12_status_describes_every_field() {
    let recording = facts(Icon::Recording, Can::parse("record.stop,update.1"));
    let mut state = recording.state.clone().unwrap();
    state.screen = ScreenMode::Disabled;
    state.note = Some("screen: no capture client".to_owned());
    let rows = status(&Facts { state: Some(state), ..recording });
    let text: Vec<String> =
        rows.iter().map(|(heading, words)| format!("{heading}: {words}")).collect();
    assert_eq!(
        text,
        [
            "Connection: connected as Jane Doe",
            "Server: box-01 at tls:box-01",
            "Call: c1",
            "Recording: on for agent, r1",
            "Blackout: off",
            "Screen: cannot be recorded: no capture client",
            "You may: stop recording, update field 1",
        ]
    );
    let rows = status(&facts(Icon::Standby, Can::default()));
    assert!(rows[0].1.contains("standby: no route to host"), "{rows:?}");
}

#[test]
fn b2_status_omits_what_the_server_withholds() {
    // To such an agent a foreign recording is no recording; the look must be that of a plain call.
    let plain = facts(Icon::Call, Can::parse("record.start"));
    let look = look(&plain);
    assert_eq!(look.icon, Icon::Call);
    let told = format!("{look:?} {:?}", status(&plain));
    for word in ["schedule", "supervisor", "r1"] {
        assert!(!told.contains(word), "{told}");
    }
}
