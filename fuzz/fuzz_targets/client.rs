//! `cargo +nightly fuzz run client`: the body is `testkit::fuzz::client`.
//! What must hold is said there, so that the same body runs without a fuzzer.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| testkit::fuzz::client(data));
