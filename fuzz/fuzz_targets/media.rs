//! `cargo +nightly fuzz run media`: the body is `testkit::fuzz::media`.
//! What must hold is said there, so that the same body runs without a fuzzer.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| testkit::fuzz::media(data));
