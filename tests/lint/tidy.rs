//! Style is a test: sizes, headers, banned words, and who may import whom (`law`).
//!
//! Every complaint names the place and what to do instead. The checkers work on words and syntax
//! trees, not on text, so that a word in a string is only a word. Each of them is shown a bad
//! sample at the end of this file, so that it is known to be able to fail.
//!
//! What clippy can refuse is not repeated here: see `clippy.toml` and the lints in `Cargo.toml`.

use crate::law::is_test_file;
use crate::tree::Source;
use crate::words::{Word, begins, without_tests};
use crate::{law, tree, words};
use std::collections::BTreeSet;
use syn::spanned::Spanned;
use syn::visit::Visit;

const LINE_COLUMNS_MAX: usize = 100;
const FILE_LINES_WANTED: usize = 500;
const FILE_LINES_MAX: usize = 600;
const FUNCTION_LINES_MAX: usize = 70;
const PARAMETERS_MAX: usize = 5;
/// A test file only says what it tells; everything else says what it is and what it is not.
const HEADER_LINES_MIN: usize = 2;
const HEADER_LINES_TEST_MIN: usize = 1;
const DEPENDENCIES: &str = "docs/dependencies.md";

/// Banned everywhere, and what to do instead.
const BANNED: [(&str, &str); 5] = [
    ("unsafe", "nothing here needs it; find the crate that wraps it"),
    ("# [ ignore ]", "say why: #[ignore = \"…\"], and name the word that runs it"),
    ("todo !", "write it, or open an issue and refuse with a typed error"),
    ("unimplemented !", "write it, or open an issue and refuse with a typed error"),
    ("anyhow", "a thiserror enum with the numbers a technician needs"),
];

/// Banned where it ships, and what to do instead.
const BANNED_OUTSIDE_TESTS: [(&str, &str); 1] =
    [(". unwrap ( )", "`let … else`, `?` with a typed error, or an assertion that says why")];

/// Banned in comments too: work that is not done belongs into an issue, not into a comment.
const MARKS: [&str; 3] = [concat!("TO", "DO"), concat!("FIX", "ME"), concat!("X", "XX")];

fn too_long_lines(source: &Source) -> Vec<String> {
    let lines = (1..).zip(source.text.lines()).map(|(n, line)| (n, line.chars().count()));
    let long = lines.filter(|(_, columns)| *columns > LINE_COLUMNS_MAX);
    let say = |(n, columns)| {
        format!("{}:{n}: {columns} columns, {LINE_COLUMNS_MAX} allowed", source.path)
    };
    long.map(say).collect()
}

fn too_long_file(source: &Source) -> Vec<String> {
    let lines = source.text.lines().count();
    if lines > FILE_LINES_MAX {
        let (path, max) = (&source.path, FILE_LINES_MAX);
        return vec![format!("{path}: {lines} lines, {max} allowed: find the second noun in it")];
    }
    Vec::new()
}

fn too_short_header(source: &Source) -> Vec<String> {
    let lines = source.text.lines().take_while(|line| line.starts_with("//!"));
    let said = lines.filter(|line| line.len() > "//! ".len()).count();
    let is_empty =
        words::words(&source.text).iter().all(|word| "#![doc=\"\"]".contains(&word.text));
    let is_test = is_test_file(&source.path);
    let min = if is_test || is_empty { HEADER_LINES_TEST_MIN } else { HEADER_LINES_MIN };
    if said >= min {
        return Vec::new();
    }
    let must = "begin with `//!` lines: what it is, the facts one must know, what it never does";
    vec![format!("{}: {said} header lines, {min} needed: {must}", source.path)]
}

fn banned_words(source: &Source) -> Vec<String> {
    let all = words::words(&source.text);
    let mut out = search(source, &all, &BANNED);
    if !is_test_file(&source.path) {
        out.extend(search(source, &without_tests(&all), &BANNED_OUTSIDE_TESTS));
    }
    for at in 0..all.len() {
        if begins(&all, at, "Box < dyn") {
            let name = all[at + 3..].iter().take_while(|w| w.text != ">" && w.text != "+");
            if name.last().is_some_and(|word| word.text == "Error") {
                let (path, line) = (&source.path, all[at].line);
                out.push(format!("{path}:{line}: `Box<dyn Error>`: a thiserror enum instead"));
            }
        }
    }
    for (n, line) in (1..).zip(source.text.lines()) {
        let mut parts = line.split(|c: char| !c.is_alphanumeric());
        if let Some(mark) = parts.find(|part| MARKS.contains(part)) {
            out.push(format!("{}:{n}: `{mark}`: do it now, or open an issue", source.path));
        }
    }
    out
}

fn search(source: &Source, words: &[Word], banned: &[(&str, &str)]) -> Vec<String> {
    let mut out = Vec::new();
    for (at, word) in words.iter().enumerate() {
        for (pattern, instead) in banned.iter().filter(|(p, _)| begins(words, at, p)) {
            let shown = pattern.replace(' ', "");
            out.push(format!("{}:{}: `{shown}`: {instead}", source.path, word.line));
        }
    }
    out
}

fn too_big_functions(source: &Source) -> Vec<String> {
    let file = syn::parse_file(&source.text).expect("source that is not Rust");
    let mut functions = Functions { path: &source.path, of_trait: false, out: Vec::new() };
    functions.visit_file(&file);
    functions.out
}

struct Functions<'a> {
    path: &'a str,
    /// In what a trait asks for: how much it takes is judged where the trait is, if it is ours.
    of_trait: bool,
    out: Vec<String>,
}

impl Functions<'_> {
    fn judge(&mut self, sig: &syn::Signature, end_line: usize) {
        let (path, name, line) = (self.path, &sig.ident, sig.fn_token.span.start().line);
        let (lines, parameters) = (end_line + 1 - line, sig.inputs.len());
        if lines > FUNCTION_LINES_MAX {
            let why =
                format!("{lines} lines, {FUNCTION_LINES_MAX} allowed: one decides, others do");
            self.out.push(format!("{path}:{line}: fn {name}: {why}"));
        }
        if parameters > PARAMETERS_MAX && !self.of_trait {
            let why =
                format!("{parameters} parameters, {PARAMETERS_MAX} allowed: name them in a struct");
            self.out.push(format!("{path}:{line}: fn {name}: {why}"));
        }
    }
}

impl<'ast> Visit<'ast> for Functions<'_> {
    fn visit_item_fn(&mut self, item: &'ast syn::ItemFn) {
        self.judge(&item.sig, item.block.span().end().line);
        syn::visit::visit_item_fn(self, item);
    }

    fn visit_item_impl(&mut self, item: &'ast syn::ItemImpl) {
        let before = std::mem::replace(&mut self.of_trait, item.trait_.is_some());
        syn::visit::visit_item_impl(self, item);
        self.of_trait = before;
    }

    fn visit_impl_item_fn(&mut self, item: &'ast syn::ImplItemFn) {
        self.judge(&item.sig, item.block.span().end().line);
        syn::visit::visit_impl_item_fn(self, item);
    }

    fn visit_trait_item_fn(&mut self, item: &'ast syn::TraitItemFn) {
        self.judge(&item.sig, item.span().end().line);
        syn::visit::visit_trait_item_fn(self, item);
    }
}

/// The crates of others that a `Cargo.toml` asks for.
fn dependencies(manifest: &str) -> Vec<String> {
    let manifest: toml::Table = manifest.parse().expect("a manifest that is not TOML");
    let tables = ["dependencies", "dev-dependencies", "build-dependencies"];
    let tables = tables.iter().filter_map(|name| manifest.get(*name)?.as_table()).flatten();
    let foreign = tables.filter(|(_, wanted)| wanted.get("path").is_none());
    foreign.map(|(name, _)| name.clone()).collect()
}

/// The crates that have no row of their own, and the rows that have no crate.
fn undocumented(names: &BTreeSet<String>, document: &str) -> Vec<String> {
    let cells = document.lines().filter_map(|line| line.strip_prefix("| `")?.split_once('`'));
    let rows: BTreeSet<String> = cells.map(|(name, _)| name.to_owned()).collect();
    let missing = names.difference(&rows).map(|name| format!("{name} has no row"));
    let gone = rows.difference(names).map(|name| format!("{name} is no dependency"));
    missing.chain(gone).collect()
}

fn assert_all(check: fn(&Source) -> Vec<String>) {
    let complaints: Vec<String> = tree::sources().iter().flat_map(check).collect();
    assert!(complaints.is_empty(), "{} to mend:\n{}", complaints.len(), complaints.join("\n"));
}

#[test]
fn lines_are_short() {
    assert_all(too_long_lines);
}

#[test]
fn files_are_short() {
    for source in tree::sources() {
        let lines = source.text.lines().count();
        if lines > FILE_LINES_WANTED {
            eprintln!("warning: {}: {lines} lines, {FILE_LINES_WANTED} wanted", source.path);
        }
    }
    assert_all(too_long_file);
}

#[test]
fn every_module_says_what_it_is() {
    assert_all(too_short_header);
}

#[test]
fn functions_are_short_and_take_little() {
    assert_all(too_big_functions);
}

#[test]
fn nothing_banned_is_used() {
    assert_all(banned_words);
}

#[test]
fn the_import_law_holds() {
    assert_all(law::breaches);
}

#[test]
fn every_dependency_says_why() {
    let read = |path: &str| std::fs::read_to_string(tree::root().join(path)).unwrap();
    let root: toml::Table = read("Cargo.toml").parse().unwrap();
    let members = root["workspace"]["members"].as_array().unwrap().clone();
    let members = members.iter().map(|member| format!("{}/Cargo.toml", member.as_str().unwrap()));
    let manifests = members.chain(["Cargo.toml".to_owned()]);
    let names = manifests.flat_map(|path| dependencies(&read(&path))).collect();
    let out = undocumented(&names, &read(DEPENDENCIES));
    assert!(out.is_empty(), "{DEPENDENCIES}:\n{}", out.join("\n"));
}

/// From here on: every checker can fail, and does not cry wolf.
fn bad(check: fn(&Source) -> Vec<String>, path: &str, text: &str) -> usize {
    check(&Source::new(path, text)).len()
}

#[test]
fn sizes_are_noticed() {
    let line = format!("// {}\n", "ä".repeat(LINE_COLUMNS_MAX - 3));
    assert_eq!(bad(too_long_lines, "src/a.rs", &line), 0);
    assert_eq!(bad(too_long_lines, "src/a.rs", &format!("/{line}")), 1);
    assert_eq!(bad(too_long_file, "src/a.rs", &"\n".repeat(FILE_LINES_MAX)), 0);
    assert_eq!(bad(too_long_file, "src/a.rs", &"\n".repeat(FILE_LINES_MAX + 1)), 1);

    let body = |lines: usize| format!("// {{\nfn f() {{\n{}}}\n", "let a = '{';\n".repeat(lines));
    assert_eq!(bad(too_big_functions, "src/a.rs", &body(FUNCTION_LINES_MAX - 2)), 0);
    assert_eq!(bad(too_big_functions, "src/a.rs", &body(FUNCTION_LINES_MAX - 1)), 1);
    let nested = format!("impl A {{ fn g() {{ {} }} }}", body(FUNCTION_LINES_MAX));
    assert_eq!(bad(too_big_functions, "src/a.rs", &nested), 2);
    let many = "trait A { fn f(&self, a: u8, b: u8, c: u8, d: u8); fn g(a: A, b: A, c: A, d: A, \
                e: A, f: A) {} }";
    assert_eq!(bad(too_big_functions, "src/a.rs", many), 1);
    let asked = "impl A for B { fn g(a: A, b: A, c: A, d: A, e: A, f: A) {} }";
    assert_eq!(bad(too_big_functions, "src/a.rs", asked), 0);
    assert_eq!(bad(too_big_functions, "src/a.rs", &asked.replace("A for ", "")), 1);
}

#[test]
fn headers_are_noticed() {
    for missing in ["", "fn main() {}", "//! One line.\nfn a() {}", "//! One.\n//!\nfn a() {}"] {
        assert_eq!(bad(too_short_header, "src/a.rs", missing), 1, "{missing:?}");
    }
    assert_eq!(bad(too_short_header, "tests/a.rs", "fn a() {}"), 1);
    assert_eq!(bad(too_short_header, "tests/a.rs", "//! A story.\nfn a() {}"), 0);
    for good in ["//! What.\n//!\n//! And what not.\nfn a() {}", "//! Nothing yet."] {
        assert_eq!(bad(too_short_header, "src/a.rs", good), 0, "{good:?}");
    }
}

#[test]
fn dependencies_without_a_reason_are_noticed() {
    let manifest = "[dependencies]\na = \"1\"\nown = { path = \"own\" }\n[dev-dependencies]\nb = \
                    { workspace = true }\n";
    let names = dependencies(manifest).into_iter().collect();
    assert_eq!(undocumented(&names, "| `a` | x |\n| `b` | y |\n"), [""; 0]);
    assert_eq!(
        undocumented(&names, "| `a` | x |\n| `c` | y |\n"),
        ["b has no row", "c is no dependency"]
    );
}

#[test]
fn banned_words_are_noticed() {
    let tests = "#[cfg(test)] mod tests { fn a() { b.unwrap() } }";
    let samples = [
        ("fn a() { b.unwrap() }", 1),
        ("fn a() { println!(\"{}\", b.unwrap()) }", 1),
        (tests, 0),
        ("#[cfg(test)] use a::{b, c}; fn a() { b.unwrap() }", 1),
        ("fn a() { \".unwrap() unsafe todo!\"; b.unwrap_or(0) }", 0),
        ("#[test]\n#[ignore]\nfn a() {}", 1),
        ("#[test]\n#[ignore = \"needs a card\"]\nfn a() {}", 0),
        ("fn a() { todo!() } fn b() { unimplemented!() }", 2),
        ("fn a() -> Result<(), Box<dyn std::error::Error + Send>> {}", 1),
        ("fn a() -> Result<(), Box<dyn Error>> {}", 1),
        ("fn a(b: Box<dyn Board>) {}", 0),
        ("use anyhow::Result;", 1),
        ("fn a() { unsafe { b() } }", 1),
    ];
    for (text, wanted) in samples {
        assert_eq!(bad(banned_words, "src/a.rs", text), wanted, "{text}");
    }
    assert_eq!(bad(banned_words, "tests/a.rs", "fn a() { b.unwrap() }"), 0);
    for mark in MARKS {
        assert_eq!(bad(banned_words, "src/a.rs", &format!("// {mark}: later")), 1, "{mark}");
        assert_eq!(bad(banned_words, "src/a.rs", &format!("// A{mark}S")), 0, "{mark}");
    }
}

#[test]
fn the_import_law_is_noticed() {
    let samples = [
        ("src/a.rs", "use std::fs;", 1),
        ("src/a.rs", "use std::{fs::File, io, net::{SocketAddr, TcpStream}};", 2),
        ("src/a.rs", "use std::net::{IpAddr, SocketAddr};", 0),
        ("src/a.rs", "use std::time::*;", 1),
        ("src/a.rs", "use std::time::Duration;", 0),
        ("src/a.rs", "fn a() { log!(\"{}\", std::thread::current()) }", 1),
        ("src/a.rs", "use mio;", 1),
        ("src/a.rs", "use ::mio::Token;", 1),
        ("src/a.rs", "use board::sim::Sim as S;", 1),
        ("src/a.rs", "mod board; use board::Table;", 0),
        ("src/a.rs", "use crate::recorder::{client, other as x}; fn a() { client::b() }", 0),
        ("src/a/b.rs", "use super::super::time::Now; use crate::shell::clock;", 1),
        ("src/a.rs", "#[cfg(test)]\nmod tests { use std::fs; }", 0),
        ("src/a/tests.rs", "use std::fs;", 0),
        ("src/shell/disk.rs", "use std::fs; use crate::shell::clock; use mio::Poll;", 0),
        ("src/bin/hushboxd.rs", "use hushbox::shell; use board::Board;", 0),
        ("crates/cli/src/main.rs", "use board::Board; use client::Client; use std::fs;", 1),
        ("crates/cli/src/boards.rs", "use board::cards; use mio::Poll;", 1),
        ("src/tool/records.rs", "use hushbox::shell::os::clock; use std::fs;", 1),
        ("crates/client/src/lib.rs", "use protocol::Line; use std::net::TcpStream;", 0),
        ("crates/client/src/lib.rs", "use mio::Poll; use board::Board; use hushbox::time;", 3),
        ("board/src/sim.rs", "use std::fs::File; use mio::Token;", 0),
        ("board/src/sim.rs", "use protocol::Line;", 1),
        ("crates/protocol/src/lib.rs", "use client::Client; use std::net::TcpStream;", 2),
        ("crates/protocol/src/lib.rs", "use std::collections::{BTreeMap, HashMap};", 1),
        ("crates/desktop/src/main.rs", "use hushbox::time::Now; use client::Client;", 1),
        (
            "crates/desktop/src/core.rs",
            "use client::Retry; use std::time::Instant; use std::fs;",
            2,
        ),
        ("crates/desktop/src/model.rs", "use crate::shell::tray; use eframe::egui;", 2),
        (
            "crates/desktop/src/shell/tray.rs",
            "use ksni::Tray; use std::thread; use board::Board;",
            1,
        ),
        ("tests/story.rs", "use std::fs; use board::Board; use hushbox::shell;", 0),
    ];
    for (path, text, wanted) in samples {
        let found = law::breaches(&Source::new(path, text));
        let count = found.len();
        assert_eq!(count, wanted, "{path}: {text}: {found:?}");
    }
}
