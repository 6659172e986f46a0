//! Every numbered requirement has a test: `make requirements-coverage` writes the table.
//!
//! A test that proves G1 begins its name with `g1_`, or has `_g1_` in it. This file knows what each
//! requirement says in a few words, and nothing of how it is tested.

use crate::sources::{Source, root, sources};
use std::collections::BTreeSet;
use std::fmt::Write;

/// Number and text of every requirement.
const REQUIREMENTS: [(&str, &str); 50] = [
    ("A1", "An agent starts and stops recording of the own current call."),
    ("A2", "An agent starts and stops a desktop-only recording, with no call."),
    ("A3", "An agent starts and stops a blackout in the recording."),
    ("A4", "An agent puts information into the call record."),
    ("A5", "Each of these is a permission of its own; any subset can be offered."),
    ("A6", "The client runs on every workstation, with one server or several."),
    ("A7", "It tries the servers in order; a balloon shows the attempt."),
    ("A8", "A failed or dropped link is shown and tried again every 10 s."),
    ("A9", "After ten failures: standby, *Reconnect*, quiet probing unless `strict`."),
    ("A10", "Not connected: no control, icon disabled, menu cut down."),
    ("A11", "On connecting it sends username, domain and machine name."),
    ("A12", "*Check status* shows connection, call, recording, blackout, screen."),
    ("A13", "Menu items follow what the box reports; the client decides nothing."),
    ("B1", "A recording runs while a reason holds it; a stop removes the own one."),
    ("B2", "`notify-on-demand-only` learns nothing of what others record."),
    ("C1", "From a browser: record, black out, update; the screen follows audio."),
    ("C2", "No desktop-only recording from the portal."),
    ("C3", "Log-in with username and password; the browser saves neither."),
    ("C4", "*Forgot password* by a single-use link, with permission `password`."),
    ("C5", "Lock-out, idle time-out with a warning, one message for every failure."),
    ("C6", "A site chooses desktop, web, or both."),
    ("D1", "An agent is found by username alone, whatever its case; domain, phones."),
    ("D2", "A duplicate username fails the log-in and is named in the log."),
    ("D3", "Permissions add up; without an on-demand one `hello agent` is refused."),
    ("D4", "On-demand recording needs a matching schedule of its type."),
    ("D5", "Requirements limit a schedule to users, devices, groups, gates, ways."),
    ("D6", "Percentage schedules: largest priority wins, its draw is final."),
    ("D7", "On-demand is off unless the configuration switches it on."),
    ("E1", "Screen only with the capture client and an account set for it."),
    ("E2", "Starting audio on demand records the screen too."),
    ("E3", "No blackout begins in a desktop-only recording; a call's blacks it."),
    ("E4", "`screen start` in a call answers with the recording that has the screen."),
    ("F1", "Fields `user1` to `user15` with labels; update inserts or replaces."),
    ("F2", "Write-only: no agent is ever shown what was there."),
    ("F3", "One permission per field."),
    ("F4", "`<` `>` `!` `=` `+` `%` and controls are refused; nothing changes."),
    ("F5", "Every update is kept in the history, with who and when."),
    ("G1", "Masked samples never leave RAM; silence of exact length, listed."),
    ("G2", "A blackout reaches back by the lead; the reply is a receipt."),
    ("G3", "Scope agent or call; every channel of the call, consult leg too."),
    ("G4", "It ends with the last holder, the call, or the ceiling; stated which."),
    ("G5", "Fail dark: lost links, clients, power and stores leave it on."),
    ("G6", "Live listening and meters never carry masked audio."),
    ("H1", "Boot service: ready when capture runs, watchdog, stop in order."),
    ("H2", "Serial console for everything, 115200 baud, 80×24."),
    ("H3", "Pulling the plug is a supported shutdown."),
    ("H4", "Full disk, failing disk, unplugged card, clock step, flood: defined."),
    ("H5", "Sealed to public keys, hash-chained, signed; `verify` proves damage."),
    ("H6", "Deleting erases audio and personal facts at once; the chain stays."),
    ("H7", "Exports to Ogg Opus and WAV with a signed manifest."),
];

/// Where the table is written, below the root.
const TABLE: &str = "target/requirements-coverage.md";

/// Every function with a `#[test]` above it.
fn tests_in(source: &Source) -> BTreeSet<String> {
    let (mut names, mut marked) = (BTreeSet::new(), false);
    for line in source.text.lines().map(str::trim) {
        marked |= line.starts_with("#[test]");
        let function = line.trim_start_matches("pub ").strip_prefix("fn ");
        if let Some((name, _)) = function.and_then(|rest| rest.split_once(['(', '<'])) {
            if marked {
                names.insert(name.to_owned());
            }
            marked = false;
        } else if !line.starts_with("#[") && !line.starts_with("//") {
            marked = false;
        }
    }
    names
}

/// Whether a test's name claims a requirement: `g1_…` or `…_g1_…`.
fn claims(test: &str, number: &str) -> bool {
    let words: Vec<&str> = test.split('_').collect();
    let (_, before_last) = words.split_last().expect("a word");
    before_last.iter().any(|word| *word == number.to_lowercase())
}

/// The table, and the requirements without a test.
fn coverage(tests: &BTreeSet<String>) -> (String, Vec<&'static str>) {
    let mut table = String::from("# Which tests prove which requirement\n\n");
    table.push_str("| requirement | says | tests |\n|---|---|---|\n");
    let mut missing = Vec::new();
    for (number, says) in REQUIREMENTS {
        let names = tests.iter().filter(|test| claims(test, number));
        let names: Vec<String> = names.map(|test| format!("`{test}`")).collect();
        if names.is_empty() {
            missing.push(number);
        }
        writeln!(table, "| {number} | {says} | {} |", names.join(", ")).unwrap();
    }
    (table, missing)
}

#[test]
fn every_requirement_has_a_test() {
    let tests: BTreeSet<String> = sources().iter().flat_map(tests_in).collect();
    let (table, missing) = coverage(&tests);
    let path = root().join(TABLE);
    std::fs::create_dir_all(path.parent().unwrap()).unwrap();
    std::fs::write(&path, table).unwrap();
    println!("written: {}", path.display());
    assert!(missing.is_empty(), "requirements without a test: {missing:?}");
}

#[test]
fn tests_and_their_claims_are_found() {
    let text = concat!(
        "#[test]\n#[should_panic]\nfn g1_a() {}\nfn g2_helper() {}\n",
        "    #[test]\n    /// Why.\n    fn b_g2_d6_c(n in 0..9) {}\n",
        "#[test]\n\nlet x = 1;\nfn g3_not() {}\n",
    );
    let names = tests_in(&Source::new("a.rs", text));
    assert_eq!(Vec::from_iter(&names), ["b_g2_d6_c", "g1_a"]);
    assert!(claims("b_g2_d6_c", "G2") && claims("b_g2_d6_c", "D6") && claims("a13_a", "A13"));
    for none in ["g1", "a_g1", "g7_a", "g01_a", "g_1_a", "a1_a", ""] {
        assert!(!claims(none, "G1"), "{none}");
    }
    let (table, missing) = coverage(&names);
    assert!(table.contains(" | `g1_a` |\n") && table.contains(" | `b_g2_d6_c` |\n"));
    assert_eq!(missing.len(), REQUIREMENTS.len() - 3, "G1, G2 and D6 have a test");
}
