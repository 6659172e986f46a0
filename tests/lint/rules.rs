//! Every rule of the requirements has its test, or the issue that will bring one.
//!
//! `docs/rules.md` is the table. A test that proves rule G1 begins its name with `g1_`, or has
//! `_g1_` in it, and then must stand in the row of G1; other tests may be added to a row by hand.
//! `BLESS=1 cargo test --test rules` writes the last column anew: it adds what is named after the
//! rule, drops what is gone, and leaves the other columns as they are.
//!
//! This file knows no rule's meaning, only its number.

use crate::tree::{self, Source};
use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write;

/// The rules, by letter: how many there are, and for each the issue that brings its tests.
/// 2 box, 3 rules, 4 store and simulation, 5 doors, 6 console, 7 appliance, 8 desktop, 9 screen,
/// 10 portal.
const ISSUES: [(char, &[u8]); 8] = [
    ('A', &[2, 9, 2, 2, 3, 8, 8, 8, 8, 8, 8, 8, 8]),
    ('B', &[3, 3]),
    ('C', &[10, 10, 10, 10, 10, 10]),
    ('D', &[3, 3, 3, 3, 3, 3, 2]),
    ('E', &[9, 9, 9, 9]),
    ('F', &[2, 3, 3, 2, 3]),
    ('G', &[2, 2, 3, 3, 3, 6]),
    ('H', &[7, 6, 4, 4, 4, 4, 2]),
];

const TABLE: &str = "docs/rules.md";

/// Rules by number, as `(letter, number)`, so that they sort as people count.
type Rule = (char, usize);

/// Names of test functions.
type Names = BTreeSet<String>;

fn rules() -> impl Iterator<Item = (Rule, u8)> {
    let numbered = |(letter, issues): (char, &'static [u8])| {
        (1..).zip(issues).map(move |(number, issue)| ((letter, number), *issue))
    };
    ISSUES.into_iter().flat_map(numbered)
}

/// `G1` or `g1`, if there is such a rule.
fn rule(word: &str) -> Option<Rule> {
    let letter = word.chars().next()?.to_ascii_uppercase();
    let digits = word.get(1..)?;
    let number: usize = digits.parse().ok()?;
    let (_, issues) = ISSUES.iter().find(|(known, _)| *known == letter)?;
    let plain = number.to_string() == digits;
    (plain && (1..=issues.len()).contains(&number)).then_some((letter, number))
}

/// Every function with a `#[test]` above it.
fn tests_in(source: &Source) -> Names {
    let (mut names, mut marked) = (Names::new(), false);
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

/// The rules that a test's name claims: `g1_…` or `…_g1_…`.
fn claims(name: &str) -> BTreeSet<Rule> {
    let words: Vec<&str> = name.split('_').collect();
    let last = words.len().saturating_sub(1);
    words[..last].iter().filter_map(|word| rule(word)).collect()
}

/// What the table's rows say of tests, and the complaints about rows that cannot be read.
fn rows(table: &str) -> (BTreeMap<Rule, String>, Vec<String>) {
    let (mut rows, mut out) = (BTreeMap::new(), Vec::new());
    for line in table.lines().filter(|line| line.starts_with("| ")) {
        let cells: Vec<&str> = line.trim_matches('|').split('|').map(str::trim).collect();
        match (cells.first().and_then(|word| rule(word)), cells.len()) {
            (Some(rule), 3) => {
                if rows.insert(rule, cells[2].to_owned()).is_some() {
                    out.push(format!("{}{} has two rows", rule.0, rule.1));
                }
            }
            _ if cells[0] == "rule" => {}
            _ => out.push(format!("not a row of a rule with three cells: {line}")),
        }
    }
    (rows, out)
}

/// The names between back-quotes.
fn listed(cell: &str) -> Names {
    cell.split('`').skip(1).step_by(2).map(str::to_owned).collect()
}

/// What is wrong with the table, given the tests there are.
fn complaints(table: &str, tests: &Names) -> Vec<String> {
    let (rows, mut out) = rows(table);
    for (rule, issue) in rules() {
        let name = format!("{}{}", rule.0, rule.1);
        let Some(cell) = rows.get(&rule) else {
            out.push(format!("{name} has no row"));
            continue;
        };
        let listed = listed(cell);
        for gone in listed.difference(tests) {
            out.push(format!("{name}: there is no test `{gone}`"));
        }
        for test in tests.iter().filter(|test| claims(test).contains(&rule)) {
            if !listed.contains(test) {
                out.push(format!("{name}: `{test}` is not listed"));
            }
        }
        if listed.is_empty() && *cell != format!("issue {issue}") {
            out.push(format!("{name}: no test, and not `issue {issue}` but {cell:?}"));
        }
    }
    out
}

/// The table with its last column written anew.
fn blessed(table: &str, tests: &Names) -> String {
    let mut out = String::new();
    for line in table.lines() {
        let cells: Vec<&str> = line.trim_matches('|').split('|').map(str::trim).collect();
        let known = rule(cells[0]).filter(|_| line.starts_with("| ") && cells.len() == 3);
        let Some(rule) = known else {
            writeln!(out, "{line}").unwrap();
            continue;
        };
        let mut names = listed(cells[2]);
        names.retain(|name| tests.contains(name));
        names.extend(tests.iter().filter(|test| claims(test).contains(&rule)).cloned());
        let issue = rules().find(|(known, _)| *known == rule).unwrap().1;
        let quoted: Vec<String> = names.iter().map(|name| format!("`{name}`")).collect();
        let cell = if names.is_empty() { format!("issue {issue}") } else { quoted.join(", ") };
        writeln!(out, "| {} | {} | {cell} |", cells[0], cells[1]).unwrap();
    }
    out
}

#[test]
fn every_rule_has_a_test_or_an_issue() {
    let path = tree::root().join(TABLE);
    let mut table = std::fs::read_to_string(&path).unwrap();
    let tests: Names = tree::sources().iter().flat_map(tests_in).collect();
    if std::env::var_os("BLESS").is_some() {
        table = blessed(&table, &tests);
        std::fs::write(&path, &table).unwrap();
    }
    let out = complaints(&table, &tests);
    let how = "BLESS=1 cargo test --test rules writes the last column";
    assert!(out.is_empty(), "{TABLE}: {how}:\n{}", out.join("\n"));
}

#[test]
fn only_real_tests_count_and_their_names_tell_the_rules() {
    let text = concat!(
        "#[test]\n#[should_panic]\nfn g1_a() {}\nfn g2_helper() {}\n",
        "    #[test]\n    /// Why.\n    fn b_g2_d6_c(n in 0..9) {}\n",
        "#[test]\n\nlet x = 1;\nfn g3_not() {}\n",
    );
    let names = tests_in(&Source::new("a.rs", text));
    assert_eq!(Vec::from_iter(&names), ["b_g2_d6_c", "g1_a"]);
    assert_eq!(Vec::from_iter(claims("b_g2_d6_c")), [('D', 6), ('G', 2)]);
    for none in ["g1", "a_g1", "g7_a", "g01_a", "x1_a", "g_1_a", "ä1_a", ""] {
        assert!(claims(none).is_empty(), "{none}");
    }
    assert_eq!(Vec::from_iter(claims("a13_a")), [('A', 13)]);
}

#[test]
fn a_wrong_table_is_noticed_and_blessing_mends_it() {
    let mut table = String::from("# Rules\n\n| rule | says | shown by |\n|---|---|---|\n");
    for ((letter, number), issue) in rules() {
        writeln!(table, "| {letter}{number} | what it says | issue {issue} |").unwrap();
    }
    let none = Names::new();
    let tests = Names::from(["g1_a".to_owned(), "by_hand".to_owned()]);
    assert_eq!(complaints(&table, &none), [""; 0]);
    assert_eq!(complaints(&table, &tests), ["G1: `g1_a` is not listed"]);
    let other = table.replace("says | issue 7", "says | `by_hand`, `gone`");
    assert_eq!(complaints(&other, &tests).len(), 2);
    let mended = blessed(&other, &tests);
    assert_eq!(complaints(&mended, &tests), [""; 0]);
    assert!(mended.contains("| H1 | what it says | `by_hand` |\n"));
    assert!(mended.contains("| G1 | what it says | `g1_a` |\n"));
    let bad = [("| B2 ", "| B3 "), ("| B2 ", "| B1 "), ("issue 7", "issue 6"), ("issue 7", "")];
    for (from, to) in bad {
        assert!(!complaints(&table.replace(from, to), &none).is_empty(), "{from} to {to}");
    }
    assert_eq!(complaints("", &none).len(), rules().count());
}
