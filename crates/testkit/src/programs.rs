//! Programs of other workspace packages, in the same build profile as the calling test.
//!
//! `cargo test --workspace` builds them. If one test binary runs alone, this module builds missing
//! or outdated programs into the same target folder. It asks cargo for a test of the program's
//! package in the whole workspace: any other selection has other features, and compiles every
//! dependency again.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::{Mutex, PoisonError};

/// Prefixes of cargo's variables that would change the fingerprint of the other package's build.
const CARGO_VARIABLES: [&str; 4] = ["CARGO_PKG_", "CARGO_MANIFEST_", "CARGO_BIN_", "CARGO_CRATE_"];

/// Output and exit status of a program.
#[derive(Debug)]
pub struct ProgramOutput {
    pub code: Option<i32>,
    pub out: String,
    pub err: String,
}

impl ProgramOutput {
    pub fn status(&self) -> i32 {
        self.code.expect("an exit code")
    }
}

impl From<Output> for ProgramOutput {
    fn from(output: Output) -> ProgramOutput {
        let text = |bytes| String::from_utf8(bytes).unwrap();
        let (out, err) = (text(output.stdout), text(output.stderr));
        ProgramOutput { code: output.status.code(), out, err }
    }
}

/// Runs the command-line tool in a folder.
pub fn run_tool(folder: &Path, words: &[&str]) -> ProgramOutput {
    let mut command = Command::new(program("hushbox-cli", "hushbox"));
    command.args(words).current_dir(folder).output().unwrap().into()
}

/// Path of program `name` of `package`, looked up once per process.
pub fn program(package: &str, name: &str) -> PathBuf {
    static FOUND: Mutex<Option<HashMap<String, PathBuf>>> = Mutex::new(None);
    let mut found = FOUND.lock().unwrap_or_else(PoisonError::into_inner);
    let found = found.get_or_insert_default();
    found.entry(name.to_owned()).or_insert_with(|| find(package, name)).clone()
}

fn find(package: &str, name: &str) -> PathBuf {
    let this = std::env::current_exe().unwrap();
    let folder = this.parent().and_then(Path::parent).unwrap().to_path_buf();
    let path = folder.join(name);
    if is_fresh(&path, package) {
        return path;
    }
    let mut cargo = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    cargo.args(["test", "--workspace", "--no-run", "--quiet", "--test", test_of(package)]);
    cargo.arg("--target-dir").arg(folder.parent().unwrap());
    for (key, _) in std::env::vars_os() {
        if key
            .to_str()
            .is_some_and(|key| CARGO_VARIABLES.iter().any(|start| key.starts_with(start)))
        {
            cargo.env_remove(key);
        }
    }
    if folder.ends_with("release") {
        cargo.arg("--release");
    }
    let built = cargo.current_dir(root()).status().unwrap();
    assert!(built.success() && path.exists(), "{name} cannot be built: run `make setup`");
    path
}

/// An integration test of the package, whose build includes the package's program.
fn test_of(package: &str) -> &'static str {
    match package {
        "hushbox" => "cli",
        "hushbox-cli" => "help",
        "desktop" => "tray_view",
        "screen" => "program",
        "portal" => "stories",
        "cti" => "exchanges",
        other => panic!("no integration test is known of {other}"),
    }
}

/// The workspace's folder.
pub fn root() -> &'static Path {
    let above = Path::new(env!("CARGO_MANIFEST_DIR")).ancestors();
    above.into_iter().find(|folder| folder.join("Cargo.lock").exists()).expect("a workspace")
}

/// Whether the program is newer than all its workspace sources.
fn is_fresh(path: &Path, package: &str) -> bool {
    let time = |path: &Path| std::fs::metadata(path).and_then(|data| data.modified()).ok();
    let Some(built) = time(path) else { return false };
    let own: &[&str] = match package {
        "hushbox" => &["src", "board/src"],
        "hushbox-cli" => &["src", "board/src", "crates/cli/src"],
        "desktop" => &["crates/desktop/src", "crates/desktop/icons"],
        "screen" => &["crates/screen/src"],
        "cti" => &["crates/cti/src"],
        "portal" => &["crates/portal/src", "crates/portal/assets", "crates/portal/templates"],
        other => panic!("what is {other} made of?"),
    };
    let folders = own.iter().chain(&["crates/client/src", "crates/protocol/src"]);
    let mut left: Vec<PathBuf> = folders.map(|folder| root().join(folder)).collect();
    while let Some(folder) = left.pop() {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                left.push(path);
            } else if time(&path).is_none_or(|time| time > built) {
                return false;
            }
        }
    }
    true
}
