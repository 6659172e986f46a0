//! The command line of `hushbox`: what it offers without a recorder, and its exit statuses.

#![allow(clippy::expect_used, reason = "a test fails by panicking")]

use std::process::{Command, Output};

fn hushbox(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_hushbox")).args(arguments).output().expect("hushbox starts")
}

fn stdout(arguments: &[&str]) -> String {
    let output = hushbox(arguments);
    assert!(output.status.success(), "{arguments:?}: {output:?}");
    String::from_utf8(output.stdout).expect("UTF-8")
}

/// The subcommands that `hushbox --help` lists.
fn subcommands() -> Vec<String> {
    let help = stdout(&["--help"]);
    let list = help.lines().skip_while(|line| *line != "Commands:").skip(1);
    let words = list.take_while(|line| !line.is_empty()).filter_map(|line| {
        let entry = line.strip_prefix("  ").filter(|entry| !entry.starts_with(' '))?;
        entry.split_whitespace().next().map(str::to_owned)
    });
    words.filter(|word| word != "help").collect()
}

#[test]
fn h2_help_lists_each_subcommand_and_each_explains_itself() {
    let words = subcommands();
    for expected in ["send", "agent", "console", "records", "show", "export", "verify"] {
        assert!(words.iter().any(|word| word == expected), "{expected} is not in {words:?}");
    }
    for word in words {
        let help = stdout(&[&word, "--help"]);
        assert!(help.contains(&format!("Usage: hushbox {word}")), "{help}");
    }
}

#[test]
fn h2_wrong_usage_exits_with_2_and_says_what_is_right() {
    let output = hushbox(&["recrods"]);
    let text = String::from_utf8(output.stderr).expect("UTF-8");
    assert_eq!(output.status.code(), Some(2), "{text}");
    assert!(text.contains("'records'"), "the nearest subcommand: {text}");
}
