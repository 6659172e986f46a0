//! `cargo +nightly fuzz run journal`: the body is `hushbox_fuzz::journal`.
//! What must hold is said there, so that the same body runs without a fuzzer.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| hushbox_fuzz::journal(data));
