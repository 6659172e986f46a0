//! Import cycles between files of different folders.
//!
//! A module and the modules below it belong together: edges between them do not count. Code that is
//! only compiled for tests is exempt.

use crate::paths::{paths, tokens, without_tests};
use crate::sources::{Source, sources};
use std::collections::{BTreeMap, BTreeSet};

/// Cycles that exist today, by the folders they join. An entry must go when its cycle is gone.
const KNOWN: [&str; 5] = [
    "crates/cli/src + crates/cli/src/store",
    "crates/cli/src/commands + crates/cli/src/terminal",
    "src/recorder/admin + src/recorder/blackout + src/recorder/recording + src/recorder/session",
    "src/shell + src/shell/net + src/shell/os + src/shell/serial + src/shell/workers",
];

/// A module by its path within its crate.
type Module = Vec<String>;

/// The modules of one crate, each with its file and what it imports.
struct Crate {
    files: BTreeMap<Module, String>,
    imports: BTreeMap<Module, BTreeSet<Module>>,
}

impl Crate {
    /// Of the sources below `root`, a folder with a slash at its end.
    fn new(root: &str, sources: &[Source]) -> Crate {
        let shipped = |source: &&Source| {
            let inside = source.path.strip_prefix(root);
            inside.is_some_and(|path| !path.starts_with("bin/")) && !source.is_test()
        };
        let sources: Vec<&Source> = sources.iter().filter(shipped).collect();
        let path = |source: &Source| (module(&source.path[root.len()..]), source.path.clone());
        let files: BTreeMap<Module, String> = sources.iter().map(|source| path(source)).collect();
        let imports = sources.iter().map(|source| {
            let from = module(&source.path[root.len()..]);
            let tokens = without_tests(&tokens(&source.text));
            let named = paths(&tokens);
            let found = named.iter().filter_map(|named| target(&from, &named.path, &files));
            let found = found.filter(|to| !to.starts_with(&from) && !from.starts_with(to));
            let found: BTreeSet<Module> = found.collect();
            (from, found)
        });
        let imports = imports.collect();
        Crate { files, imports }
    }

    /// Every module that is reached from this one.
    fn reached(&self, from: &Module) -> BTreeSet<&Module> {
        let (mut seen, mut left) = (BTreeSet::new(), vec![from]);
        while let Some(module) = left.pop() {
            let next = self.imports[module].iter().filter(|to| seen.insert(*to));
            left.extend(next.collect::<Vec<_>>());
        }
        seen
    }

    /// The folders of each cycle that joins more than one.
    fn cycles(&self) -> BTreeSet<String> {
        let reached: BTreeMap<&Module, BTreeSet<&Module>> =
            self.files.keys().map(|module| (module, self.reached(module))).collect();
        let folder = |module: &Module| self.files[module].rsplit_once('/').unwrap().0;
        let mut cycles = BTreeSet::new();
        for (module, there) in &reached {
            let back = there.iter().filter(|other| reached[**other].contains(module));
            let folders: BTreeSet<&str> = back.map(|other| folder(other)).collect();
            if folders.len() > 1 {
                cycles.insert(Vec::from_iter(folders).join(" + "));
            }
        }
        cycles
    }
}

/// The module of a file, by its path within the crate.
fn module(path: &str) -> Module {
    let mut names: Module = path.trim_end_matches(".rs").split('/').map(str::to_owned).collect();
    if names.last().is_some_and(|name| ["lib", "main", "mod"].contains(&name.as_str())) {
        names.pop();
    }
    names
}

/// The module with a file that a path in `from` leads to.
fn target(from: &Module, path: &str, files: &BTreeMap<Module, String>) -> Option<Module> {
    let mut names = path.split("::").peekable();
    let mut at = from.clone();
    match *names.peek()? {
        "crate" => {
            at.clear();
            names.next();
        }
        "self" | "super" => {
            while let Some(name) = names.next_if(|name| *name == "self" || *name == "super") {
                if name == "super" {
                    at.pop();
                }
            }
        }
        first => {
            let child = [from.clone(), vec![first.to_owned()]].concat();
            files.contains_key(&child).then_some(())?;
        }
    }
    at.extend(names.map(str::to_owned));
    while !files.contains_key(&at) {
        at.pop()?;
    }
    Some(at)
}

fn roots(sources: &[Source]) -> BTreeSet<String> {
    let root = |source: &Source| Some(source.path.split_once("src/")?.0.to_owned() + "src/");
    sources.iter().filter_map(root).filter(|root| !root.contains("fuzz")).collect()
}

#[test]
fn files_of_different_folders_form_no_cycle() {
    let sources = sources();
    let roots = roots(&sources);
    let cycles = roots.iter().flat_map(|root| Crate::new(root, &sources).cycles());
    let cycles: BTreeSet<String> = cycles.collect();
    let known: BTreeSet<String> = KNOWN.into_iter().map(str::to_owned).collect();
    let new: Vec<_> = cycles.difference(&known).collect();
    assert!(new.is_empty(), "new cycles between folders: {new:#?}");
    let gone: Vec<_> = known.difference(&cycles).collect();
    assert!(gone.is_empty(), "these cycles are gone: take them out of KNOWN: {gone:#?}");
}

#[test]
fn cycles_are_found() {
    let source = |path: &str, text: &str| Source::new(path, text);
    let of = |b: &str| {
        let sources = [
            source("src/lib.rs", "mod a; mod c; use crate::a::b::B;"),
            source("src/a.rs", "mod b;"),
            source("src/a/b.rs", b),
            source("src/c.rs", "mod d; fn f() { crate::c::d::g() }"),
            source("src/c/d.rs", "use crate::a::{b::B, other}; use super::super::a::b;"),
        ];
        Crate::new("src/", &sources).cycles()
    };
    assert_eq!(Vec::from_iter(of("use crate::c::d::D;")), ["src/a + src/c"]);
    assert!(of("use super::A; use crate::x;").is_empty(), "a parent is no cycle");
    assert!(of("#[cfg(test)] mod tests { use crate::c::d::D; }").is_empty(), "tests are exempt");
}
