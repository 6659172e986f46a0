//! `cargo +nightly fuzz run metadata`: the body is `testkit::fuzz::metadata`.
//! What must hold is said there, so that the same body runs without a fuzzer.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| testkit::fuzz::metadata(data));
