//! Tests of blackouts: receipts, late masks, carried blackouts and the timer.

use super::*;

#[test]
fn g1_blackout_receipt_is_shown() {
    let mut harness = Harness::connected();
    harness.change_state(|state| (state.call, state.recording) = (Some("c1".to_owned()), true));
    assert_eq!(harness.icon(), Icon::Recording);
    harness.request(AgentCommand::BlackoutStart);
    harness.change_state(|state| state.blackout = true);
    harness.reply_receipt(9000, 8000, 0);
    assert_eq!(
        (harness.icon(), harness.last_notification().topic),
        (Icon::Blackout, Topic::Blackout)
    );
    let body = "Masked, including the second before you pressed. Channels 3, 4.";
    assert_eq!(harness.last_notification().body, body);
    harness.ms += 65_000;
    harness.request(AgentCommand::BlackoutStop);
    harness.change_state(|state| state.blackout = false);
    harness.reply_ok(&[("blackout", "off"), ("from", "8000"), ("to", "20000")]);
    assert_eq!(
        harness.last_notification().body,
        "Masked for 1:05 minutes. Speech is no longer masked."
    );
    assert_eq!(harness.replies.len(), 2);
}

#[test]
fn g5_blackout_offline_warns_retries_and_confirms() {
    let mut harness = Harness::new(StandbyMode::Strict);
    harness.handle_input(Input::Launch);
    for _ in 0..11 {
        harness.fail_attempt();
        harness.pass_deadline_if_any();
    }
    let tries = harness.connects.len();
    harness.request(AgentCommand::BlackoutStart);
    assert_eq!(harness.icon(), Icon::Attention);
    let warning = harness.last_notification().clone();
    assert_eq!((warning.urgency, warning.title.as_str()), (Urgency::Urgent, "NOT MASKED"));
    let body = "Recorder unreachable, retrying. Ask the customer to stop speaking.";
    assert_eq!(warning.body, body);
    assert!(matches!(&harness.replies[..], [(9, Err(text))] if text.contains("NOT MASKED")));
    assert_eq!(harness.connects.len(), tries + 1, "at once, even in strict standby");
    harness.fail_attempt();
    assert_eq!(harness.pass_deadline(), 1000, "and again every second");
    assert_eq!(harness.connects.len(), tries + 2);
    harness.log_in();
    assert_eq!(harness.sent.last().map(String::as_str), Some("blackout start pressed_ms=1000"));
    assert_eq!(harness.icon(), Icon::Attention, "only the box confirms");
    harness.change_state(|state| state.blackout = true);
    assert_eq!(harness.icon(), Icon::Blackout);
    harness.reply_receipt(30_000, 1000, 2000);
    assert_eq!(harness.last_notification().title, "Blackout on, but late");
    assert_eq!(harness.last_notification().urgency, Urgency::Urgent);
}

#[test]
fn g2_a_late_receipt_stays_until_it_was_seen_and_none_replaces_it() {
    let mut harness = Harness::connected();
    harness.change_state(|state| (state.call, state.recording) = (Some("c1".to_owned()), true));
    harness.request(AgentCommand::BlackoutStart);
    // The link stalls for 8 s. The client warns, and repeats the press with its age.
    for _ in 0..8 {
        harness.pass_deadline();
        assert_eq!(harness.icon(), Icon::Attention);
    }
    let sent: Vec<_> = harness.sent.iter().filter(|line| line.contains("blackout")).collect();
    assert_eq!(sent.len(), 9, "{sent:?}");
    assert_eq!(sent[1], "blackout start pressed_ms=1500");
    assert_eq!(sent[8], "blackout start pressed_ms=8500");
    // Everything comes at once: the state, and a receipt for each command.
    let shown = harness.notifications.len();
    harness.change_state(|state| state.blackout = true);
    for late_ms in [0, 500, 1500, 2500, 3500, 4500, 5500, 6500, 7500] {
        harness.reply_receipt(80_000, 24_000, late_ms);
    }
    let titles: Vec<_> = harness.notifications[shown..].iter().map(|n| n.title.as_str()).collect();
    assert_eq!(titles, ["Blackout on, but late"]);
    let late = harness.last_notification().clone();
    assert!(late.body.contains("8 s late"), "{}", late.body);
    assert_eq!((late.urgency, late.topic), (Urgency::Urgent, Topic::LateBlackout));
    // It outlives the blackout and the link, until the agent has seen it.
    harness.change_state(|state| state.blackout = false);
    assert_eq!(harness.icon(), Icon::Attention);
    harness.send_link_event(LinkEvent::Lost { reason: "gone".to_owned() });
    harness.pass_deadline();
    harness.log_in();
    assert!(harness.core.client_state().headline().contains("late"));
    harness.handle_input(Input::Request(AgentRequest::Acknowledge, None));
    assert_eq!((harness.core.client_state().late, harness.icon()), (None, Icon::Idle));
}

#[test]
fn g2_the_client_itself_knows_a_late_mask_of_a_box_that_says_nothing() {
    let mut harness = Harness::connected();
    harness.request(AgentCommand::BlackoutStart);
    harness.pass_deadline();
    harness.ms += 500;
    harness.change_state(|state| state.blackout = true);
    for _ in 0..2 {
        harness.reply_ok(&[("blackout", "on"), ("at", "90"), ("from", "80"), ("channels", "1")]);
    }
    assert_eq!(harness.last_notification().title, "Blackout on, but late");
    // A receipt that reaches back before the press is in time, however late it comes.
    let mut harness = Harness::connected();
    harness.request(AgentCommand::BlackoutStart);
    harness.pass_deadline();
    for _ in 0..2 {
        harness.reply_receipt(90_000, 16_000, 0);
    }
    assert_eq!(harness.last_notification().title, "Blackout on");
    assert_eq!(harness.core.client_state().late, None);
}

#[test]
fn g2_a_press_that_is_stopped_or_refused_leaves_nothing_late() {
    let mut harness = Harness::connected();
    harness.request(AgentCommand::BlackoutStart);
    harness.pass_deadline();
    harness.request(AgentCommand::BlackoutStop);
    for _ in 0..2 {
        harness.reply_receipt(90_000, 0, 0);
    }
    harness.reply_ok(&[("blackout", "off"), ("from", "8000"), ("to", "20000")]);
    assert_eq!(harness.core.client_state().late, None);
    assert_eq!(harness.last_notification().title, "Blackout off");
    let mut harness = Harness::connected();
    harness.request(AgentCommand::BlackoutStart);
    harness.pass_deadline();
    for _ in 0..2 {
        harness.reply_err("no-call", "the call in which you pressed has ended", &[]);
    }
    assert_eq!(harness.core.client_state().late, None);
    assert_eq!(harness.last_notification().title, "NOT MASKED");
}

#[test]
fn g4_a_blackout_carried_into_the_next_call_is_told_and_not_a_recording() {
    let mut harness = Harness::connected();
    harness.change_state(|state| (state.call, state.recording) = (Some("c1".to_owned()), true));
    harness.change_state(|state| (state.blackout, state.masked) = (true, true));
    harness.change_state(|state| {
        (state.call, state.recording, state.masked) = (None, false, false);
    });
    let shown = harness.notifications.len();
    harness.change_state(|state| {
        (state.call, state.recording) = (Some("c2".to_owned()), true);
        (state.masked, state.carried) = (true, true);
    });
    let told = harness.notifications[shown..].to_vec();
    assert_eq!(told.len(), 1, "{told:?}");
    assert_eq!((told[0].urgency, told[0].topic), (Urgency::Urgent, Topic::CarriedBlackout));
    let body = "You are still blacked out from the call before. Nothing of this call is kept.";
    assert_eq!(told[0].body, body);
    let requests: Vec<_> = told[0].actions.iter().map(|action| action.request()).collect();
    let command = AgentRequest::Command;
    let expected = [command(AgentCommand::BlackoutStop), command(AgentCommand::BlackoutStart)];
    assert_eq!(requests, expected);
    // *Keep it* is a repeated start; its receipt is no late one.
    harness.ms += 60_000;
    harness.request(AgentCommand::BlackoutStart);
    assert_eq!(harness.sent.last().map(String::as_str), Some("blackout start"));
    harness.change_state(|state| state.carried = false);
    harness.reply_receipt(9000, 8000, 700);
    assert_eq!(harness.last_notification().title, "The blackout stays on");
    assert_eq!(harness.core.client_state().late, None);
    // The next call is told again, also to a client that connects in it.
    harness.send_link_event(LinkEvent::Lost { reason: "gone".to_owned() });
    harness.pass_deadline();
    harness.log_in();
    harness.change_state(|state| {
        state.call = Some("c3".to_owned());
        (state.blackout, state.masked, state.carried) = (true, true, true);
    });
    assert_eq!(harness.last_notification().topic, Topic::CarriedBlackout);
}

#[test]
fn g4_the_timer_counts_masked_seconds_and_never_runs_back() {
    let mut harness = Harness::connected();
    harness.change_state(|state| {
        state.call = Some("c1".to_owned());
        (state.blackout, state.masked) = (true, true);
    });
    harness.ms += 10_000;
    assert_eq!(harness.core.blackout_ms(harness.ms), Some(10_000));
    // Without a call nothing is masked: the time stands still, and the box had counted less.
    harness.change_state(|state| {
        (state.call, state.masked, state.blackout_ms) = (None, false, 9_600);
    });
    harness.ms += 40_000;
    assert_eq!(harness.core.blackout_ms(harness.ms), Some(10_000));
    harness.change_state(|state| {
        (state.call, state.masked) = (Some("c2".to_owned()), true);
    });
    harness.ms += 2_000;
    assert_eq!(harness.core.blackout_ms(harness.ms), Some(11_600));
    harness.change_state(|state| state.blackout = false);
    harness.change_state(|state| (state.blackout, state.blackout_ms) = (true, 0));
    assert_eq!(harness.core.blackout_ms(harness.ms), Some(0), "another blackout");
}
