//! The transcripts in `tests/transcripts`, which are the manual too: each is run as a test.
//!
//! What the files mean is told in `script`. Every one of them is run by a test that is named after
//! the rules it shows.

use testkit::script::run;

#[test]
fn a11_d1_hello_says_who_is_there_and_what_one_may_be() {
    run("hello");
}

#[test]
fn d2_two_agents_with_one_username_are_nobody() {
    run("hello_duplicate");
}

#[test]
fn d7_on_demand_is_off_unless_it_is_switched_on() {
    run("hello_off");
}

#[test]
fn a5_d3_any_subset_of_permissions_can_be_offered() {
    run("hello_rights");
}

#[test]
fn the_rules_of_a_session() {
    run("session");
}

#[test]
fn a1_d4_an_agent_records_the_own_call() {
    run("record");
}

#[test]
fn b1_a_recording_runs_while_somebody_wants_it() {
    run("reasons");
}

#[test]
fn a3_g1_g2_a_blackout_and_its_receipt() {
    run("blackout");
}

#[test]
fn g4_a_blackout_ends_with_its_last_holder() {
    run("holders");
}

#[test]
fn g3_scope_agent_covers_every_call_of_the_agent() {
    run("scope_agent");
}

#[test]
fn g3_g4_scope_call_ends_with_the_call() {
    run("scope_call");
}

#[test]
fn g3_a_consult_leg_is_masked_with_its_call() {
    run("consult");
}

#[test]
fn g4_a_forgotten_blackout_ends_at_its_ceiling() {
    run("ceiling");
}

#[test]
fn g5_what_breaks_inside_a_blackout_leaves_it_on() {
    run("dark");
}

#[test]
fn g5_a_disk_that_hangs_does_not_stop_the_mask() {
    run("masked");
}

#[test]
fn a4_f1_f2_f3_f4_f5_fields_are_written_and_not_read() {
    run("fields");
}

#[test]
fn calls_come_change_are_held_and_go() {
    run("calls");
}

#[test]
fn an_update_reaches_the_recording_in_wrap_up() {
    run("wrapup");
}

#[test]
fn a_stale_call_ends_by_itself() {
    run("stale");
}

#[test]
fn a_late_press_keeps_the_whole_call() {
    run("recall");
}

#[test]
fn d4_d5_d6_schedules_decide() {
    run("schedules");
}

#[test]
fn supervisors_and_the_pbx_act_for_others() {
    run("others");
}

#[test]
fn records_are_listed_shown_read_and_protected() {
    run("library");
}

#[test]
fn g6_the_box_says_how_it_is() {
    run("box");
}

#[test]
fn every_refusal_in_its_order() {
    run("refusals");
}

#[test]
fn h4_a_full_disk_refuses_what_is_new() {
    run("full");
}

#[test]
fn every_transcript_is_run() {
    let source = include_str!("transcripts.rs");
    for entry in std::fs::read_dir(testkit::script::folder()).unwrap() {
        let name = entry.unwrap().file_name().into_string().unwrap();
        let Some(name) = name.strip_suffix(".txt") else { continue };
        assert!(source.contains(&format!("\"{name}\"")), "{name}.txt is run by no test");
    }
}

/// Bob's bytes and their moments, with the random names replaced in the order they come.
fn told(run: &testkit::script::Run) -> Vec<(u64, String)> {
    let (bob, mut names) = (run.clients["o"], Vec::new());
    let mut plain = |word: &str| {
        let (key, value) = word.split_once('=').unwrap_or(("", word));
        if hushbox::id::RecordingId::parse(value.trim_end()).is_none() {
            return word.to_string();
        }
        let at = names.iter().position(|known| known == value.trim_end()).unwrap_or_else(|| {
            names.push(value.trim_end().to_string());
            names.len() - 1
        });
        format!("{key}=#{at}{}", &value[16..])
    };
    let own = run.sim.sent.iter().filter(|(_, to, _)| *to == bob);
    own.map(|(at, _, bytes)| {
        let text = str::from_utf8(bytes).unwrap();
        (at.0, text.split(' ').map(&mut plain).collect::<Vec<_>>().join(" "))
    })
    .collect()
}

#[test]
fn b2_own_only_agents_are_told_the_same_whether_or_not_others_record() {
    let full_time = "schedule = [{ name = \"all\", type = \"percentage\", retention_days = 999 }]";
    for page in ["own", "own_blackout"] {
        let alone = told(&testkit::script::run(page));
        for (more, seed) in [("", 2), (full_time, 1), (full_time, 3)] {
            let other = told(&testkit::script::run_with(page, more, seed));
            for (own, other) in alone.iter().zip(&other) {
                assert_eq!(own, other, "{page} with {more:?}");
            }
            assert_eq!(alone.len(), other.len());
        }
    }
}

#[test]
fn g5_a_reload_changes_nothing_of_a_blackout_that_is_on() {
    run("reload");
}
