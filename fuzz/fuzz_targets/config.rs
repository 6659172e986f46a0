//! `cargo +nightly fuzz run config`: the body is `testkit::fuzz::config`.
//! What must hold is said there, so that the same body runs without a fuzzer.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| testkit::fuzz::config(data));
