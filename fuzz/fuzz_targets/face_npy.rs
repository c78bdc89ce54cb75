#![no_main]
//! Face embeddings as rows of an `.npy` file.

use duynhat_fuzz::template::decode_face_npy;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| match decode_face_npy(bytes) {
    Ok(rows) => {
        assert!(rows.len() > 0 && rows.rows().all(|row| row.len() == rows.dimension()));
        for template in rows.templates("model").flatten() {
            assert!(template.values().iter().all(|v| v.is_finite()));
        }
    }
    Err(error) => assert!(!error.to_string().is_empty()),
});
