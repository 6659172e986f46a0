//! Which layer may name which crate and which part of the standard library
//! (`docs/architecture.md`, dependency rules).
//!
//! The check looks at paths wherever they stand, not only after `use`. Code that is only compiled
//! for tests is exempt. What a file declares itself (`mod board;`, or a `use` that ends in that
//! name) is not mistaken for a crate of the same name.

use crate::paths::{NamedPath, paths, tokens, without_tests};
use crate::sources::{Source, assert_all};

/// What a layer may not name, and what to do instead.
type Ban = (&'static str, &'static str);

const NO_RECORDER: [Ban; 1] = [("hushbox", "this crate is below the recorder")];
const NO_BOARD: [Ban; 1] = [("board", "only the shell touches voice boards; it passes samples on")];
const NO_CLIENT: [Ban; 1] = [("client", "the recorder is not a client")];
const NO_PROTOCOL: [Ban; 1] = [("protocol", "boards know audio; the shell joins them to lines")];
const NO_MIO: [Ban; 1] = [("mio", "the only mio loop is the shell's")];
const NO_TESTKIT: [Ban; 1] = [("testkit", "support for tests never ships")];

const NO_SHELL: [Ban; 3] = [
    ("crate::shell", "the shell knows this code, not the other way: take the value as an argument"),
    ("super::shell", "the shell knows this code, not the other way: take the value as an argument"),
    ("hushbox::shell", "only hushboxd starts the shell"),
];

/// What makes code impure.
const PURE: [Ban; 17] = [
    ("mio", "the only mio loop is the shell's"),
    ("nix", "system calls belong to the shell"),
    ("libc", "system calls belong to the shell"),
    ("alsa", "sound cards belong to the crate `board`"),
    ("getrandom", "random bits come ready-made, in envelopes from the shell"),
    ("rand", "random bits come ready-made, in envelopes from the shell"),
    ("std::fs", "bytes come in as arguments and go out as jobs for the disk thread"),
    ("std::net", "sockets belong to the shell; its plain addresses are allowed"),
    ("std::os", "descriptors belong to the shell"),
    ("std::env", "take the value as an argument"),
    ("std::process", "processes belong to the shell; return an error instead of leaving"),
    ("std::thread", "one thread thinks: the loop"),
    ("std::time::Instant", "time is an argument: take `Now`"),
    ("std::time::SystemTime", "time is an argument: take `Now`"),
    ("std::collections::HashMap", "its order is random and a seed must replay: BTreeMap"),
    ("std::collections::HashSet", "its order is random and a seed must replay: BTreeSet"),
    ("std::hash::RandomState", "its order is random and a seed must replay"),
];

/// Where the desktop client touches the world.
const DESKTOP_SHELL: [&str; 3] =
    ["crates/desktop/src/shell/", "crates/desktop/src/windows/", "crates/desktop/src/main.rs"];

/// What the rest of the desktop client may not name.
const DESKTOP_PURE: [Ban; 5] = [
    ("crate::shell", "the shell knows us, we do not know it: take the value as an argument"),
    ("crate::windows", "windows show what they are sent"),
    ("ksni", "the tray belongs to the shell"),
    ("eframe", "windows belong to `windows`"),
    ("x11rb", "keys are grabbed in the shell"),
];

/// Plain values that happen to live in `std::net`; a configuration may hold them.
const ADDRESSES: [&str; 6] =
    ["SocketAddr", "SocketAddrV4", "SocketAddrV6", "IpAddr", "Ipv4Addr", "Ipv6Addr"];

/// The bans on the file at `path`.
fn bans(path: &str) -> Vec<Ban> {
    let desktop_shell = DESKTOP_SHELL.iter().any(|part| path.starts_with(part));
    let layers: [(&str, &[&[Ban]]); 18] = [
        ("crates/protocol/src/", &[&NO_RECORDER, &NO_BOARD, &NO_CLIENT, &PURE]),
        ("crates/siprec/src/", &[&NO_RECORDER, &NO_BOARD, &NO_CLIENT, &NO_PROTOCOL, &PURE]),
        ("crates/webm/src/", &[&NO_RECORDER, &NO_BOARD, &NO_CLIENT, &NO_PROTOCOL, &PURE]),
        ("board/src/", &[&NO_RECORDER, &NO_CLIENT, &NO_PROTOCOL]),
        ("crates/client/src/", &[&NO_RECORDER, &NO_BOARD, &NO_MIO]),
        ("crates/desktop/src/", if desktop_shell { &CLIENTS } else { &PURE_CLIENT }),
        ("crates/screen/src/", &CLIENTS),
        ("crates/portal/src/", &CLIENTS),
        ("crates/cti/src/parse", &PURE_CLIENT),
        ("crates/cti/src/session", &PURE_CLIENT),
        ("crates/cti/src/translate", &PURE_CLIENT),
        ("crates/cti/src/", &CLIENTS),
        // Only the crate `board` knows the cards that `hushbox boards` lists.
        ("crates/cli/src/commands/boards.rs", &[&NO_MIO]),
        ("crates/cli/src/", &[&NO_BOARD, &NO_MIO]),
        ("crates/testkit/", &[]),
        ("src/bin/", &[]),
        ("src/shell", &[]),
        ("src/", &[&NO_BOARD, &NO_CLIENT, &NO_SHELL, &PURE]),
    ];
    let Some((_, bans)) = layers.iter().find(|(start, _)| path.starts_with(start)) else {
        return Vec::new();
    };
    [bans.concat(), NO_TESTKIT.to_vec()].concat()
}

const CLIENTS: [&[Ban]; 2] = [&NO_RECORDER, &NO_BOARD];
const PURE_CLIENT: [&[Ban]; 4] = [&NO_RECORDER, &NO_BOARD, &DESKTOP_PURE, &PURE];

/// Every import of the file that is forbidden.
fn breaches(source: &Source) -> Vec<String> {
    let bans = bans(&source.path);
    if bans.is_empty() || source.is_test() {
        return Vec::new();
    }
    let tokens = without_tests(&tokens(&source.text));
    let found = paths(&tokens);
    let mut own: Vec<&str> = Vec::new();
    own.extend(tokens.windows(2).filter(|w| w[0].text == "mod").map(|w| w[1].text.as_str()));
    own.extend(
        found.iter().filter(|f| f.used).filter_map(|f| f.path.rsplit_once("::")).map(|p| p.1),
    );
    let mut out = Vec::new();
    for NamedPath { path, line, .. } in &found {
        if own.contains(&path.split("::").next().unwrap_or("")) || is_address(path) {
            continue;
        }
        if let Some((ban, instead)) = bans.iter().find(|(ban, _)| names(path, ban)) {
            out.push(format!("{}:{line}: `{ban}` is not for this layer: {instead}", source.path));
        }
    }
    out
}

/// Whether the path is the banned one, lies in it, or takes it in by a glob.
fn names(path: &str, ban: &str) -> bool {
    if let Some(stem) = path.strip_suffix('*') {
        return ban.starts_with(stem) || stem.starts_with(&format!("{ban}::"));
    }
    path == ban || path.starts_with(&format!("{ban}::"))
}

fn is_address(path: &str) -> bool {
    let name = path.strip_prefix("std::net::").and_then(|rest| rest.split("::").next());
    name.is_some_and(|name| ADDRESSES.contains(&name))
}

#[test]
fn layers_name_only_what_they_may() {
    assert_all(breaches);
}

#[test]
fn forbidden_imports_are_found() {
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
        ("src/a.rs", "use testkit::program;", 1),
        ("src/a.rs", "mod board; use board::Table;", 0),
        ("src/a.rs", "use crate::recorder::{client, other as x}; fn a() { client::b() }", 0),
        ("src/a/b.rs", "use super::super::time::Now; use crate::shell::clock;", 1),
        ("src/a.rs", "#[cfg(test)]\nmod tests { use std::fs; }", 0),
        ("src/a/tests.rs", "use std::fs;", 0),
        ("src/shell/workers/disk.rs", "use std::fs; use crate::shell::os; use mio::Poll;", 0),
        ("src/bin/hushboxd.rs", "use hushbox::shell; use board::Board;", 0),
        ("crates/cli/src/main.rs", "use board::Board; use client::Client; use std::fs;", 1),
        ("crates/cli/src/commands/boards.rs", "use board::cards; use mio::Poll;", 1),
        ("crates/client/src/lib.rs", "use protocol::Line; use std::net::TcpStream;", 0),
        ("crates/client/src/lib.rs", "use mio::Poll; use board::Board; use hushbox::time;", 3),
        ("board/src/sim.rs", "use std::fs::File; use mio::Token;", 0),
        ("board/src/sim.rs", "use protocol::Line;", 1),
        ("crates/protocol/src/lib.rs", "use client::Client; use std::net::TcpStream;", 2),
        ("crates/protocol/src/lib.rs", "use std::collections::{BTreeMap, HashMap};", 1),
        ("crates/siprec/src/server.rs", "use std::net::{IpAddr, UdpSocket}; use board::Board;", 2),
        ("crates/desktop/src/main.rs", "use hushbox::time::Now; use client::Client;", 1),
        ("crates/desktop/src/core.rs", "use client::Retry; use std::{fs, time::Instant};", 2),
        ("crates/desktop/src/ui/model.rs", "use crate::shell::tray; use eframe::egui;", 2),
        ("crates/desktop/src/shell/tray.rs", "use ksni::Tray; use board::Board;", 1),
        ("crates/portal/src/web.rs", "use hushbox::time::Now;", 1),
        ("tests/daemon/disk.rs", "use std::fs; use board::Board; use hushbox::shell;", 0),
    ];
    for (path, text, wanted) in samples {
        let found = breaches(&Source::new(path, text));
        assert_eq!(found.len(), wanted, "{path}: {text}: {found:?}");
    }
}
