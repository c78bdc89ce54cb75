#![no_main]
//! Bytes read as this format, whatever they look like.

use duynhat_fuzz::template::Format;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| duynhat_fuzz::finger(bytes, Some(Format::Ansi2004)));
