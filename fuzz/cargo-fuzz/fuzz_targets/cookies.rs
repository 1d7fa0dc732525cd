//! `cookies` of `catherd-fuzz` under libFuzzer.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| catherd_fuzz::cookies(data));
