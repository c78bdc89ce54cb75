#![no_main]
//! One face embedding as a JSON array and as base64.

use duynhat_fuzz::template::{DIMENSION_MAX, DIMENSION_MIN, decode_face_base64, decode_face_json};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let base64 = std::str::from_utf8(bytes).ok().map(|text| decode_face_base64("model", text));
    for result in [Some(decode_face_json("model", bytes)), base64].into_iter().flatten() {
        match result {
            Ok(template) => {
                assert!((DIMENSION_MIN..=DIMENSION_MAX).contains(&template.values().len()));
                assert!(template.values().iter().all(|v| v.is_finite()));
            }
            Err(error) => assert!(!error.to_string().is_empty()),
        }
    }
});
