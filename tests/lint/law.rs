//! The import law: who may know whom. `docs/architecture.md` says why.
//!
//! The law looks at paths wherever they stand, not only behind `use`. Code that is only compiled
//! for tests is free: it may read a file to compare with. What a file calls its own (`mod board;`,
//! or a `use` that ends in that name) is not mistaken for a crate of the same name.

use crate::tree::Source;
use crate::words::{Found, paths, without_tests, words};

/// What a layer may not name, and what to do instead.
type Ban = (&'static str, &'static str);

const NO_BOX: [Ban; 1] = [("hushbox", "this crate is below the box and knows nothing of it")];
const NO_BOARD: [Ban; 1] = [("board", "only the shell touches voice boards; it hands on samples")];
const NO_CLIENT: [Ban; 1] = [("client", "the box is not a client; only tool, desktop, portal are")];
const NO_PROTOCOL: [Ban; 1] = [("protocol", "boards know audio; the shell joins them to lines")];
const NO_MIO: [Ban; 1] = [("mio", "the only mio loop is the shell's")];

const NO_SHELL: [Ban; 4] = [
    ("crate::shell", "the shell knows us, we do not know it: take the value as an argument"),
    ("super::shell", "the shell knows us, we do not know it: take the value as an argument"),
    ("hushbox::shell", "only the programs in src/bin start the shell"),
    ("crate::tool", "the tool is a program; nothing is built on it"),
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
    let layer: &[&[Ban]] = match path {
        _ if path.starts_with("crates/protocol/src/") => &[&NO_BOX, &NO_BOARD, &NO_CLIENT, &PURE],
        _ if path.starts_with("board/src/") => &[&NO_BOX, &NO_CLIENT, &NO_PROTOCOL],
        _ if path.starts_with("crates/client/src/") => &[&NO_BOX, &NO_BOARD, &NO_MIO],
        path if DESKTOP_SHELL.iter().any(|part| path.starts_with(part)) => &[&NO_BOX, &NO_BOARD],
        _ if path.starts_with("crates/desktop/src/") => &[&NO_BOX, &NO_BOARD, &DESKTOP_PURE, &PURE],
        _ if path.starts_with("desktop/") || path.starts_with("portal/") => &[&NO_BOX, &NO_BOARD],
        // What `hushbox boards` lists, only the crate of the boards knows.
        "crates/cli/src/boards.rs" => &[&NO_MIO],
        path if path.starts_with("crates/cli/src/") => &[&NO_BOARD, &NO_MIO],
        _ if path.starts_with("src/tool/") => &[&NO_BOARD, &NO_MIO, &NO_SHELL],
        _ if path.starts_with("src/bin/") || path.starts_with("src/shell") => &[],
        _ if path.starts_with("src/") => &[&NO_BOARD, &NO_CLIENT, &NO_SHELL, &PURE],
        _ => &[],
    };
    layer.concat()
}

/// Every import of the file that the law forbids.
pub fn breaches(source: &Source) -> Vec<String> {
    let bans = bans(&source.path);
    if bans.is_empty() || is_test_file(&source.path) {
        return Vec::new();
    }
    let words = without_tests(&words(&source.text));
    let found = paths(&words);
    let mut own: Vec<&str> = Vec::new();
    own.extend(words.windows(2).filter(|w| w[0].text == "mod").map(|w| w[1].text.as_str()));
    own.extend(
        found.iter().filter(|f| f.used).filter_map(|f| f.path.rsplit_once("::")).map(|p| p.1),
    );
    let mut out = Vec::new();
    for Found { path, line, .. } in &found {
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

/// Whether nothing of the file is compiled outside of tests and benches.
pub fn is_test_file(path: &str) -> bool {
    let mut folders = path.split('/').rev();
    folders.next() == Some("tests.rs") || folders.any(|name| name == "tests" || name == "benches")
}
