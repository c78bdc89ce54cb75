//! No bytes make a decoder panic: a damaged record gives a typed error or a valid record.

use std::fs;
use std::path::{Path, PathBuf};

use duynhat_engine::template::codec::{SIDE_PX_MAX, VIEWS_MAX};
use duynhat_engine::template::{
    DecodeOptions, Detection, FingerRecord, Format, MINUTIAE_MAX, XytImage, decode, decode_face_base64,
    decode_face_json, decode_face_npy, detect, encode_iso_2005, encode_json, encode_xyt,
};
use duynhat_test_support::records::{Point, Print};
use proptest::prelude::*;

/// Decodes; whatever is accepted must be valid, whatever is refused must say where and why.
fn check(bytes: &[u8], options: &DecodeOptions) -> Option<FingerRecord> {
    let record = match decode(bytes, options) {
        Ok(record) => record,
        Err(error) => {
            assert!(!error.to_string().is_empty());
            assert!(error.offset().is_none_or(|offset| offset <= bytes.len()), "{error}");
            return None;
        }
    };
    assert!((1..=VIEWS_MAX).contains(&record.views.len()));
    for view in &record.views {
        let t = &view.template;
        assert!(t.minutiae().len() <= MINUTIAE_MAX.min(view.minutiae_declared) && t.quality <= 100);
        assert!(u32::from(t.width.max(t.height)) <= 4 * SIDE_PX_MAX);
        assert!(t.minutiae().iter().all(|m| m.x < t.width && m.y < t.height && m.quality <= 100 && m.kind_code <= 2));
        assert!(t.minutiae().is_sorted_by(|a, b| (a.x, a.y, a.angle) < (b.x, b.y, b.angle)));
    }
    Some(record)
}

fn detected() -> DecodeOptions {
    DecodeOptions::default()
}

fn forced(format: Format) -> DecodeOptions {
    DecodeOptions { format: Some(format), ..DecodeOptions::default() }
}

/// Every prefix and every single-bit flip of a record, through `read`.
fn damage(bytes: &[u8], mut read: impl FnMut(&[u8])) {
    for length in 0..bytes.len() {
        read(&bytes[..length]);
    }
    let mut copy = bytes.to_vec();
    for bit in 0..bytes.len() * 8 {
        copy[bit / 8] ^= 1 << (bit % 8);
        read(&copy);
        copy[bit / 8] ^= 1 << (bit % 8);
    }
}

#[test]
fn every_edition_reads_several_views_quality_blocks_and_extended_data_alike() {
    for px_cm in [99, 197, 224, 394, 1000] {
        let print = Print::sample(px_cm);
        let options = DecodeOptions {
            extractor: duynhat_engine::template::Extractor::new("mindtct").unwrap(),
            xyt: XytImage { size_px: Some((print.width, print.height)), resolution_px_cm: px_cm },
            ..DecodeOptions::default()
        };
        let expected = decode(&print.write(Format::Json), &options).unwrap();
        for format in Format::ALL {
            let bytes = print.write(format);
            assert_eq!(detect(&bytes), Detection::Finger(format));
            let record = decode(&bytes, &options).unwrap_or_else(|error| panic!("{error}"));
            assert_eq!(record.resolution, expected.resolution);
            let views = if format == Format::Xyt { 1 } else { 2 };
            assert_eq!(record.views.len(), views, "{format:?}");
            for (index, (view, like)) in record.views.iter().zip(&expected.views).enumerate() {
                // What an edition can't hold is unknown: kinds, position and quality in .xyt, minutia quality in the
                // second, short view of ISO 2011.
                let short = format == Format::Iso2011 && index == 1;
                let mut places = view.template.minutiae().to_vec();
                let mut wanted = like.template.minutiae().to_vec();
                for m in places.iter_mut().chain(&mut wanted) {
                    m.quality *= u8::from(!short);
                    m.kind_code *= u8::from(format != Format::Xyt);
                }
                assert_eq!(places, wanted, "{format:?} {px_cm}");
                assert_eq!((view.width_px, view.height_px), (like.width_px, like.height_px));
                if format != Format::Xyt {
                    let quality = if short { 0 } else { like.quality() };
                    assert_eq!((view.position(), view.quality()), (like.position(), quality), "{format:?}");
                    assert_eq!(view.impression_type, like.impression_type, "{format:?}");
                }
            }
        }
    }
}

#[test]
fn damaged_records_of_every_format_give_an_error_or_a_valid_record() {
    for format in Format::ALL {
        for px_cm in [197, 394] {
            let bytes = Print::sample(px_cm).write(format);
            assert!(check(&bytes, &forced(format)).is_some());
            damage(&bytes, |damaged| {
                check(damaged, &detected());
                check(damaged, &forced(format));
            });
        }
    }
}

#[test]
fn a_binary_record_cut_anywhere_is_refused() {
    for format in [Format::Iso2005, Format::Iso2011, Format::Ansi2004, Format::Ansi2009] {
        let bytes = Print::sample(197).write(format);
        for length in 0..bytes.len() {
            assert!(decode(&bytes[..length], &detected()).is_err(), "{format:?} cut to {length}");
        }
    }
}

#[test]
fn a_full_view_of_255_minutiae_is_read_and_written_by_every_format() {
    let mut print = Print::sample(197);
    let point = |i: u16| Point { kind: 1, x: i % 17 * 9, y: i / 17 * 11 + 1, degrees: i * 2 % 360, quality: 60 };
    print.views[0].points = (0..255).map(point).collect();
    for format in Format::ALL {
        let record = check(&print.write(format), &detected()).expect("a good record");
        assert_eq!(record.views[0].template.minutiae().len(), 255, "{format:?}");
        let written = encode_iso_2005(&record.views).unwrap();
        let again = decode(&written, &detected()).unwrap();
        assert_eq!(again.views[0].template.minutiae().len(), 255);
    }
    print.views[0].points.push(point(255));
    for format in [Format::Xyt, Format::Json] {
        let error = decode(&print.write(format), &detected()).unwrap_err().to_string();
        assert!(error.contains("256 minutiae; at most 255"), "{error}");
    }
}

/// `../shared/data` or what `DUYNHAT_DATA` names; `None`, loudly, when it is not there.
fn shared_data() -> Option<PathBuf> {
    let folder = std::env::var_os("DUYNHAT_DATA")
        .map_or_else(|| Path::new(env!("CARGO_MANIFEST_DIR")).join("../../shared/data"), PathBuf::from);
    if folder.is_dir() {
        return Some(folder);
    }
    eprintln!("NOT TESTED: no shared data at {}; set DUYNHAT_DATA to the folder", folder.display());
    None
}

fn files(folder: &Path, ending: &str, out: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            files(&path, ending, out);
        } else if path.extension().is_some_and(|e| e == ending) {
            out.push(path);
        }
    }
}

#[test]
fn shared_records_decode_survive_damage_and_are_written_back_equal() {
    let Some(folder) = shared_data() else { return };
    let mut paths = Vec::new();
    files(&folder, "iso", &mut paths);
    assert!(!paths.is_empty(), "no .iso files under {}", folder.display());
    paths.sort();
    for path in &paths {
        let bytes = fs::read(path).unwrap();
        let record = decode(&bytes, &detected()).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        assert_eq!(record.format, Format::Iso2005);
        let once = decode(&encode_iso_2005(&record.views).unwrap(), &detected()).unwrap();
        let written = encode_iso_2005(&once.views).unwrap();
        if bytes[18..22] == [0, 197, 0, 197] {
            assert!(once == record, "{}: not written back equal", path.display());
        }
        assert!(decode(&written, &detected()).unwrap() == once, "{}", path.display());
        let json = decode(encode_json(&record.views).as_bytes(), &detected()).unwrap();
        assert!(json.views[0].template == record.views[0].template, "{}", path.display());
        let xyt = encode_xyt(&record.views[0]);
        assert_eq!(decode(xyt.as_bytes(), &detected()).unwrap().format, Format::Xyt);
        damage(&bytes, |damaged| {
            check(damaged, &detected());
        });
    }
    eprintln!("{} shared records", paths.len());
}

#[test]
fn shared_face_embeddings_decode_and_survive_damage() {
    let Some(folder) = shared_data() else { return };
    let mut paths = Vec::new();
    files(&folder, "npy", &mut paths);
    let mut read = 0;
    for path in &paths {
        let bytes = fs::read(path).unwrap();
        if let Ok(rows) = decode_face_npy(&bytes) {
            assert!(rows.templates("cosface").all(|t| t.is_ok()), "{}", path.display());
            read += rows.len();
        }
        // The header and the first values: a flip in the other megabyte of values changes a value.
        let head = &bytes[..bytes.len().min(512)];
        damage(head, |damaged| {
            let _ = decode_face_npy(damaged);
            let _ = decode_face_npy(&[damaged, &bytes[head.len()..]].concat());
        });
    }
    assert!(read > 0, "no face embeddings under {}", folder.display());
}

/// 64 float32 as `.npy`, base64 and JSON.
fn face() -> (Vec<u8>, String, String) {
    let values: Vec<f32> = (0..64u8).map(|i| f32::from(i) * 0.25 - 3.0).collect();
    let data: Vec<u8> = values.iter().flat_map(|v| v.to_le_bytes()).collect();
    let header = b"{'descr': '<f4', 'fortran_order': False, 'shape': (1, 64), }\n";
    let npy = [b"\x93NUMPY\x01\0", &(header.len() as u16).to_le_bytes()[..], header, &data].concat();
    let symbols = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let symbol = |group: &[u8], i: usize| {
        let at = |i: usize| u32::from(group.get(i).copied().unwrap_or(0));
        let word = at(0) << 16 | at(1) << 8 | at(2);
        if i > group.len() { '=' } else { char::from(symbols[(word >> (18 - 6 * i)) as usize & 63]) }
    };
    let base64 = data.chunks(3).flat_map(|group| (0..4).map(move |i| symbol(group, i))).collect();
    (npy, base64, format!("{values:?}"))
}

#[test]
fn damaged_face_embeddings_give_an_error_or_a_valid_template() {
    let (npy, base64, json) = face();
    assert_eq!(decode_face_npy(&npy).unwrap().rows().next(), Some(decode_face_base64("m", &base64).unwrap().values()));
    assert_eq!(decode_face_base64("m", &base64).unwrap(), decode_face_json("m", json.as_bytes()).unwrap());
    damage(&npy, |damaged| {
        if let Ok(rows) = decode_face_npy(damaged) {
            assert!(rows.templates("m").flatten().all(|t| t.values().iter().all(|v| v.is_finite())));
        }
    });
    damage(base64.as_bytes(), |damaged| {
        let template = std::str::from_utf8(damaged).ok().and_then(|text| decode_face_base64("m", text).ok());
        assert!(template.is_none_or(|t| t.values().len() >= 64 && t.values().iter().all(|v| v.is_finite())));
    });
    damage(json.as_bytes(), |damaged| {
        if let Ok(template) = decode_face_json("m", damaged) {
            assert!(template.values().iter().all(|v| v.is_finite()));
        }
    });
}

fn magic() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![
        Just(b"FMR\0 20\0".to_vec()),
        Just(b"FMR\x00030\0".to_vec()),
        Just(b"FMR\x00035\0".to_vec()),
        Just(b"\x93NUMPY\x01\0".to_vec()),
        Just(b"{\"format\":\"duynhat-finger-1\",".to_vec()),
        Just(b"10 20 30 40\n".to_vec()),
        Just(Vec::new()),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 4096, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn arbitrary_bytes_never_panic(magic in magic(), tail in prop::collection::vec(any::<u8>(), 0..300)) {
        let bytes = [magic, tail].concat();
        check(&bytes, &detected());
        for format in Format::ALL {
            check(&bytes, &forced(format));
        }
        let _ = decode_face_npy(&bytes);
        let _ = decode_face_json("m", &bytes);
        let _ = decode_face_base64("m", &String::from_utf8_lossy(&bytes));
    }

    #[test]
    fn several_damages_at_once_never_panic(
        px_cm in prop::sample::select(vec![99u16, 197, 1000]),
        format in prop::sample::select(Format::ALL.to_vec()),
        edits in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..8),
        cut in any::<prop::sample::Index>(),
    ) {
        let mut bytes = Print::sample(px_cm).write(format);
        for (at, value) in edits {
            let at = at.index(bytes.len());
            bytes[at] = value;
        }
        check(&bytes, &detected());
        check(&bytes, &forced(format));
        check(&bytes[..cut.index(bytes.len())], &detected());
    }
}
