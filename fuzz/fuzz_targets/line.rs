//! `cargo +nightly fuzz run line`: the body is `testkit::fuzz::line`.
//! What must hold is said there, so that the same body runs without a fuzzer.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| testkit::fuzz::line(data));
