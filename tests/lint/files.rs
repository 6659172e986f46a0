//! What each file and each dependency must have: a header, a length that fits a reader, short
//! lines, and a reason.

use crate::paths::{begins, tokens};
use crate::sources::{Source, assert_all, root};
use std::collections::BTreeSet;

const LINE_COLUMNS_MAX: usize = 100;
const FILE_LINES_MAX: usize = 600;
const DEPENDENCIES: &str = "docs/dependencies.md";

/// Work that is not done belongs into an issue, not into a comment.
const MARKS: [&str; 3] = [concat!("TO", "DO"), concat!("FIX", "ME"), concat!("X", "XX")];

fn long_lines(source: &Source) -> Vec<String> {
    let lines = (1..).zip(source.text.lines()).map(|(n, line)| (n, line.chars().count()));
    let long = lines.filter(|(_, columns)| *columns > LINE_COLUMNS_MAX);
    let path = &source.path;
    long.map(|(n, columns)| format!("{path}:{n}: {columns} columns of {LINE_COLUMNS_MAX}"))
        .collect()
}

fn long_files(source: &Source) -> Vec<String> {
    let lines = source.text.lines().count();
    let long = lines > FILE_LINES_MAX;
    let complaint = || format!("{}: {lines} lines of {FILE_LINES_MAX}: split it", source.path);
    long.then(complaint).into_iter().collect()
}

fn missing_headers(source: &Source) -> Vec<String> {
    let missing = !source.text.starts_with("//! ");
    let complaint = || format!("{}: begin with `//!`: what the file is for", source.path);
    missing.then(complaint).into_iter().collect()
}

fn marks(source: &Source) -> Vec<String> {
    let mut out = Vec::new();
    for (n, line) in (1..).zip(source.text.lines()) {
        let mut parts = line.split(|c: char| !c.is_alphanumeric());
        if let Some(mark) = parts.find(|part| MARKS.contains(part)) {
            out.push(format!("{}:{n}: `{mark}`: do it now, or open an issue", source.path));
        }
    }
    out
}

/// `Box<dyn Error>`, for which clippy has no setting.
fn boxed_errors(source: &Source) -> Vec<String> {
    let all = tokens(&source.text);
    let boxed = (0..all.len()).filter(|at| {
        let name = all[*at..].iter().skip(3).take_while(|w| w.text != ">" && w.text != "+");
        begins(&all, *at, "Box < dyn") && name.last().is_some_and(|token| token.text == "Error")
    });
    let path = &source.path;
    boxed.map(|at| format!("{path}:{}: `Box<dyn Error>`: use a typed enum", all[at].line)).collect()
}

/// The crates of others that a `Cargo.toml` asks for.
fn dependencies(manifest: &str) -> Vec<String> {
    let manifest: toml::Table = manifest.parse().expect("a manifest that is not TOML");
    let names = ["dependencies", "dev-dependencies", "build-dependencies"];
    let systems = manifest.get("target").and_then(toml::Value::as_table).into_iter().flatten();
    let systems = systems.filter_map(|(_, manifest)| manifest.as_table());
    let manifests = systems.chain([&manifest]);
    let tables = manifests.flat_map(|manifest| names.map(|name| manifest.get(name)?.as_table()));
    let foreign = tables
        .flatten()
        .flatten()
        .filter(|(name, wanted)| wanted.get("path").is_none() && !OWN.contains(&name.as_str()));
    foreign.map(|(name, _)| name.clone()).collect()
}

/// Crates of this workspace that others depend on.
const OWN: [&str; 7] = ["board", "client", "hushbox", "protocol", "siprec", "testkit", "webm"];

/// The crates that have no row of their own, and the rows that have no crate.
fn undocumented(names: &BTreeSet<String>, document: &str) -> Vec<String> {
    let cells = document.lines().filter_map(|line| line.strip_prefix("| `")?.split_once('`'));
    let rows: BTreeSet<String> = cells.map(|(name, _)| name.to_owned()).collect();
    let missing = names.difference(&rows).map(|name| format!("{name} has no row"));
    let gone = rows.difference(names).map(|name| format!("{name} is no dependency"));
    missing.chain(gone).collect()
}

#[test]
fn lines_and_files_are_short() {
    assert_all(long_lines);
    assert_all(long_files);
}

#[test]
fn files_have_headers_and_no_marks_or_boxed_errors() {
    assert_all(missing_headers);
    assert_all(marks);
    assert_all(boxed_errors);
}

#[test]
fn dependencies_have_a_reason() {
    let read = |path: &str| std::fs::read_to_string(root().join(path)).unwrap();
    let crates = std::fs::read_dir(root().join("crates")).unwrap();
    let crates = crates.map(|entry| entry.unwrap().path().join("Cargo.toml"));
    let manifests = crates.map(|path| std::fs::read_to_string(path).unwrap());
    let manifests = manifests.chain([read("Cargo.toml"), read("board/Cargo.toml")]);
    let names = manifests.flat_map(|manifest| dependencies(&manifest)).collect();
    let out = undocumented(&names, &read(DEPENDENCIES));
    assert!(out.is_empty(), "{DEPENDENCIES}:\n{}", out.join("\n"));
}

#[test]
fn checks_find_what_they_look_for() {
    let count =
        |check: fn(&Source) -> Vec<String>, text: &str| check(&Source::new("src/a.rs", text)).len();
    let line = format!("// {}\n", "ä".repeat(LINE_COLUMNS_MAX - 3));
    assert_eq!((count(long_lines, &line), count(long_lines, &format!("/{line}"))), (0, 1));
    let lines = |n| "\n".repeat(n);
    assert_eq!(count(long_files, &lines(FILE_LINES_MAX)), 0);
    assert_eq!(count(long_files, &lines(FILE_LINES_MAX + 1)), 1);
    assert_eq!((count(missing_headers, "//! What."), count(missing_headers, "fn a() {}")), (0, 1));
    for mark in MARKS {
        assert_eq!(count(marks, &format!("// {mark}: later")), 1, "{mark}");
        assert_eq!(count(marks, &format!("// A{mark}S")), 0, "{mark}");
    }
    let boxed = ["fn a() -> Result<(), Box<dyn std::error::Error + Send>> {}", "Box<dyn Error>"];
    assert!(boxed.iter().all(|text| count(boxed_errors, text) == 1));
    assert_eq!(count(boxed_errors, "fn a(b: Box<dyn Board>) {}"), 0);
    let manifest = "[dependencies]\na = \"1\"\nown = { path = \"own\" }\n[dev-dependencies]\nb = \
                    { workspace = true }\ntestkit = { workspace = true }\n";
    let windows = "[target.'cfg(windows)'.dependencies]\nw = \"1\"\n";
    let names = dependencies(&format!("{manifest}{windows}")).into_iter().collect();
    assert_eq!(undocumented(&names, "| `a` | x |\n| `b` | y |\n| `w` | z |\n"), [""; 0]);
    let wrong = undocumented(&names, "| `a` | x |\n| `c` | y |\n| `w` | z |\n");
    assert_eq!(wrong, ["b has no row", "c is no dependency"]);
}
