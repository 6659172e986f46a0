//! `cargo +nightly fuzz run checkpoint`: the body is `testkit::fuzz::checkpoint`.
//! What must hold is said there, so that the same body runs without a fuzzer.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| testkit::fuzz::checkpoint(data));
