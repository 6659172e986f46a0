//! The transcripts in `tests/transcripts`, which are the manual too: each is run as a test.
//!
//! What the files mean is told in `script`. Every one of them is run by a test that is named after
//! the rules it shows.

use testkit::script::run;

#[test]
fn a11_d1_hello_names_agent_and_allowed_kinds() {
    run("hello");
}

#[test]
fn d2_duplicate_username_is_refused() {
    run("hello_duplicate");
}

#[test]
fn d7_on_demand_is_off_by_default() {
    run("hello_off");
}

#[test]
fn a5_d3_any_subset_of_permissions_is_offered() {
    run("hello_rights");
}

#[test]
fn session_follows_its_rules() {
    run("session");
}

#[test]
fn a1_d4_agent_records_their_own_call() {
    run("record");
}

#[test]
fn b1_recording_runs_while_a_reason_remains() {
    run("reasons");
}

#[test]
fn a3_g1_g2_blackout_start_and_stop_return_receipts() {
    run("blackout");
}

#[test]
fn g4_blackout_ends_with_its_last_holder() {
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
fn g3_consult_leg_is_masked_with_its_call() {
    run("consult");
}

#[test]
fn g4_forgotten_blackout_ends_at_its_ceiling() {
    run("ceiling");
}

#[test]
fn g5_failures_inside_a_blackout_keep_it_on() {
    run("dark");
}

#[test]
fn g5_hung_disk_does_not_stop_the_mask() {
    run("masked");
}

#[test]
fn a4_f1_f2_f3_f4_f5_fields_are_written_not_read_by_agents() {
    run("fields");
}

#[test]
fn calls_start_update_hold_and_stop() {
    run("calls");
}

#[test]
fn update_in_wrapup_reaches_the_recording() {
    run("wrapup");
}

#[test]
fn stale_call_ends_by_itself() {
    run("stale");
}

#[test]
fn late_press_keeps_the_whole_call() {
    run("recall");
}

#[test]
fn d4_d5_d6_schedules_decide_what_is_recorded() {
    run("schedules");
}

#[test]
fn supervisors_and_pbx_act_for_others() {
    run("others");
}

#[test]
fn records_are_listed_shown_fetched_and_protected() {
    run("library");
}

#[test]
fn g6_status_reports_health() {
    run("box");
}

#[test]
fn refusals_follow_their_order() {
    run("refusals");
}

#[test]
fn h4_full_disk_refuses_new_recordings() {
    run("full");
}

#[test]
fn every_transcript_has_a_test() {
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
fn b2_own_only_agents_see_no_trace_of_others() {
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
fn g5_reload_keeps_open_blackouts() {
    run("reload");
}
