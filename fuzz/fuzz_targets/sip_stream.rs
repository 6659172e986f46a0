//! `cargo +nightly fuzz run sip_stream`: the body is `testkit::fuzz::sip_stream`.
//! What must hold is said there, so that the same body runs without a fuzzer.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| testkit::fuzz::sip_stream(data));
