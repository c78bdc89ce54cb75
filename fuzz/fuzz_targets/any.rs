#![no_main]
//! Bytes read as what they look like: detection first.

use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| duynhat_fuzz::finger(bytes, None));
