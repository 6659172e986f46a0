//! `cargo +nightly fuzz run sip_body`: the body is `testkit::fuzz::sip_body`.
//! What must hold is said there, so that the same body runs without a fuzzer.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| testkit::fuzz::sip_body(data));
