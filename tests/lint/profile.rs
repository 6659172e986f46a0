//! The release profile: which crates keep their assertions.

use std::panic::catch_unwind;

/// The dev profile asserts everywhere, and never ships.
fn is_release() -> bool {
    std::env::current_exe().unwrap().iter().any(|part| part == "release")
}

/// clap is the witness: with debug assertions it panics on an argument that is defined twice.
#[test]
fn h4_debug_assertions_are_on_in_workspace_crates_only() {
    assert!(std::hint::black_box(cfg!(debug_assertions)));
    let build = || {
        let argument = || clap::Arg::new("twice");
        clap::Command::new("witness").arg(argument()).arg(argument()).build();
    };
    assert_eq!(catch_unwind(build).is_ok(), is_release(), "a dependency asserts");
}

#[test]
fn h4_integer_overflow_panics_in_workspace_crates() {
    let most = std::hint::black_box(u8::MAX);
    assert!(catch_unwind(|| most + std::hint::black_box(1)).is_err());
}
