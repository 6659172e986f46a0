//! Tests that need a process of their own run themselves again.

use std::process::Command;

/// Says to the test that it is alone in its process.
const ALONE: &str = "HUSHBOX_TEST_ALONE";

/// Runs a test again, alone in another process; false in the process that only watches.
///
/// `module` is the test's `module_path!()`, `name` its name.
pub fn is_alone(module: &str, name: &str) -> bool {
    if std::env::var_os(ALONE).is_some() {
        return true;
    }
    let (_, module) = module.split_once("::").expect("a module below the crate");
    let test = format!("{module}::{name}");
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.args(["--exact", &test, "--nocapture"]).env(ALONE, "1");
    let output = command.output().unwrap();
    let told = String::from_utf8_lossy(&output.stdout);
    let failed = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success() && told.contains("1 passed"), "{told}{failed}");
    false
}
