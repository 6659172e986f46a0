//! The tray view and the status rows, for every icon and every set of abilities.

#![allow(clippy::unwrap_used, clippy::expect_used)]

use desktop::agent_request::{AgentCommand, AgentRequest};
use desktop::ui::client_state::{ClientState, Endpoint, LinkState};
use desktop::ui::status_rows::build_status_rows;
use desktop::ui::tray_view::{Icon, MenuAction, MenuItem, TrayView};
use desktop::ui::window_kind::WindowKind;
use protocol::{Ability, AbilitySet, AgentState, ScreenMode};

fn endpoint() -> Endpoint {
    let (name, server) = ("box-01".to_owned(), "tls:box-01".to_owned());
    Endpoint { name, server, agent: "Jane Doe".to_owned() }
}

/// A client state for each icon.
fn client_state(icon: Icon, can: AbilitySet) -> ClientState {
    let reason = || "no route to host".to_owned();
    let call = Some("c1".to_owned());
    let mut state = AgentState { can, ..AgentState::default() };
    let mut unmasked = None;
    let link = match icon {
        Icon::Offline => LinkState::Retrying { reason: reason(), retry: 3 },
        Icon::Standby => LinkState::Standby { reason: reason(), probing: true },
        _ => LinkState::Connected(endpoint()),
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
    let connected = matches!(link, LinkState::Connected(_));
    let agent_state = connected.then_some(state);
    ClientState { link, agent_state, unmasked, late: None, refused: false, bar_open: false }
}

/// Every subset of the abilities, with two fields for all fields.
fn all_cans() -> impl Iterator<Item = AbilitySet> {
    let abilities: Vec<Ability> = Ability::all().take(8).collect();
    (0_u32..1 << abilities.len()).map(move |bits| {
        let has = |n: &usize| bits & (1 << n) != 0;
        (0..abilities.len()).filter(has).map(|n| abilities[n]).collect()
    })
}

fn enabled(view: &TrayView) -> Vec<(&str, &MenuAction)> {
    let enabled = view.menu.iter().filter_map(|item| match item {
        MenuItem::Action { label, enabled: true, action, .. } => Some((label.as_str(), action)),
        _ => None,
    });
    enabled.collect()
}

fn commands(view: &TrayView) -> Vec<(AgentCommand, bool)> {
    let commands = view.menu.iter().filter_map(|item| match item {
        MenuItem::Action {
            action: MenuAction::Request(AgentRequest::Command(action)),
            enabled,
            ..
        } => Some((*action, *enabled)),
        _ => None,
    });
    commands.collect()
}

#[test]
fn a5_a13_only_can_enables_menu_items() {
    let connected = [Icon::Idle, Icon::Call, Icon::Recording, Icon::Blackout, Icon::Attention];
    for icon in connected {
        for can in all_cans() {
            let view = TrayView::new(&client_state(icon, can));
            assert_eq!(view.icon, icon, "abilities do not change the icon");
            for (action, enabled) in commands(&view) {
                assert_eq!(
                    enabled,
                    can.contains(action.required_ability()),
                    "{icon:?} {can} {action:?}"
                );
            }
            let update = MenuAction::Open(WindowKind::Update);
            let may_update = (1..=15).any(|n| can.contains(Ability::Update(n)));
            let offered = enabled(&view).iter().any(|(_, action)| **action == update);
            assert_eq!(offered, may_update, "{icon:?} {can}");
        }
    }
}

#[test]
fn a1_a3_menu_offers_only_what_changes_something() {
    let all: AbilitySet = Ability::all().collect();
    let offered = |icon| -> Vec<AgentCommand> {
        let view = TrayView::new(&client_state(icon, all));
        commands(&view).into_iter().map(|(command, _)| command).collect()
    };
    use AgentCommand::{BlackoutStart, BlackoutStop, RecordStart, RecordStop, ScreenStart};
    assert_eq!(offered(Icon::Idle), [RecordStart, ScreenStart, BlackoutStart]);
    assert_eq!(offered(Icon::Recording), [RecordStop, ScreenStart, BlackoutStart]);
    // A recording of others can be held too, or stopped with the right ability.
    assert_eq!(offered(Icon::Blackout), [RecordStart, RecordStop, ScreenStart, BlackoutStop]);
    let start_only: AbilitySet = [Ability::RecordStart].into_iter().collect();
    let view = TrayView::new(&client_state(Icon::Blackout, start_only));
    assert!(!commands(&view).iter().any(|(action, _)| *action == RecordStop));
}

#[test]
fn a10_offline_menu_has_no_commands() {
    let links = [
        (LinkState::Connecting, Icon::Offline),
        (LinkState::Retrying { reason: "x".to_owned(), retry: 1 }, Icon::Offline),
        (LinkState::Standby { reason: "x".to_owned(), probing: false }, Icon::Standby),
        (LinkState::Standby { reason: "x".to_owned(), probing: true }, Icon::Standby),
    ];
    for (link, icon) in links {
        let reconnects = link != LinkState::Connecting;
        let client_state = ClientState {
            link,
            agent_state: None,
            unmasked: None,
            late: None,
            refused: false,
            bar_open: false,
        };
        let view = TrayView::new(&client_state);
        assert_eq!(view.icon, icon);
        assert_eq!(commands(&view), []);
        let mut labels: Vec<&str> = enabled(&view).iter().map(|(label, _)| *label).collect();
        labels.retain(|label| *label != "Re_connect");
        assert_eq!(labels, ["Check _Status…", "Se_ttings…", "_About Hushbox…", "_Quit"]);
        let reconnect = MenuAction::Request(AgentRequest::Reconnect);
        let offered = enabled(&view).iter().any(|(_, action)| **action == reconnect);
        assert_eq!(offered, reconnects, "{client_state:?}");
    }
}

#[test]
fn icons_have_titles_and_items_have_access_keys() {
    let all: AbilitySet = Ability::all().collect();
    let mut titles = Vec::new();
    for icon in Icon::ALL {
        let view = TrayView::new(&client_state(icon, all));
        assert_eq!(view.icon, icon);
        assert_eq!(Icon::parse(icon.as_str()), Some(icon));
        titles.push(view.title.clone());
        let letters: Vec<char> = view
            .menu
            .iter()
            .filter_map(|item| match item {
                MenuItem::Action { label, action, .. } if !has_shared_key(action) => {
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

/// Start and Stop have the same access key.
fn has_shared_key(action: &MenuAction) -> bool {
    *action == MenuAction::Request(AgentRequest::Command(AgentCommand::RecordStart))
}

#[test]
fn g5_not_masked_warning_comes_first() {
    for icon in Icon::ALL {
        let unmasked = Some("recorder unreachable, retrying".to_owned());
        let client_state = ClientState { unmasked, ..client_state(icon, AbilitySet::default()) };
        let view = TrayView::new(&client_state);
        assert_eq!(view.icon, Icon::Attention);
        let warning = "NOT MASKED. Recorder unreachable, retrying. Ask the customer to stop \
                       speaking.";
        assert_eq!(view.title, format!("Hushbox: {warning}"));
    }
}

#[test]
fn a12_check_status_shows_everything_as_text() {
    let recording = client_state(Icon::Recording, AbilitySet::parse("record.stop,update.1"));
    let mut state = recording.agent_state.clone().unwrap();
    state.screen = ScreenMode::Disabled;
    state.note = Some("screen: no capture client".to_owned());
    let rows = build_status_rows(&ClientState { agent_state: Some(state), ..recording });
    let text: Vec<String> =
        rows.iter().map(|(heading, words)| format!("{heading}: {words}")).collect();
    assert_eq!(
        text,
        [
            "Connection: connected as Jane Doe",
            "Server: box-01 at tls:box-01",
            "Call: c1",
            "Recording: on, requested by you (recording r1)",
            "Blackout: off",
            "Screen: cannot be recorded: no capture client",
            "You may: stop recording, update field 1",
        ]
    );
    let rows = build_status_rows(&client_state(Icon::Standby, AbilitySet::default()));
    assert!(rows[0].1.contains("standby: no route to host"), "{rows:?}");
}

#[test]
fn b2_hidden_recordings_are_not_shown() {
    // The box hides recordings of others from some agents; the view must be that of a plain call.
    let plain = client_state(Icon::Call, AbilitySet::parse("record.start"));
    let view = TrayView::new(&plain);
    assert_eq!(view.icon, Icon::Call);
    let shown = format!("{view:?} {:?}", build_status_rows(&plain));
    for word in ["schedule", "supervisor", "r1"] {
        assert!(!shown.contains(word), "{shown}");
    }
}
