//! `cargo +nightly fuzz run summary`: the body is `testkit::fuzz::summary`.
//! What must hold is said there, so that the same body runs without a fuzzer.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| testkit::fuzz::summary(data));
