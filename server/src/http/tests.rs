//! Bodies: what is read, what is refused, and what a refusal says.

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use duynhat_engine::template::{
    Biometrics, Extractor, FaceTemplate, FingerPosition, FingerTemplate, Minutia, MissingFinger, MissingReason, Purpose,
};
use utoipa::PartialSchema;
use utoipa::r#gen::serde_json::{self, Value, json};

use super::dto::{CheckBody, EmbeddingBody, FaceBody, FingerBody, IdentifyBody, MissingBody, VerifyBody};
use super::{Problem, openapi, parse_check, parse_identify, parse_verify};
use crate::service::Claim;

fn finger(position: u8, seed: u16) -> FingerTemplate {
    let minutiae = (0..30u16).map(|i| Minutia {
        x: (seed * 37 + i * 211) % 300 * 4,
        y: (seed * 53 + i * 97) % 300 * 4,
        angle: i.wrapping_mul(2048),
        kind_code: 1 + (i % 2) as u8,
        quality: 60,
    });
    let position = FingerPosition::new(position).unwrap();
    FingerTemplate::new(position, 70, 1200, 1200, Extractor::new("mindtct").unwrap(), minutiae.collect()).unwrap()
}

fn face() -> FaceTemplate {
    FaceTemplate::new("model-a", 80, (0..64).map(|i| (i as f32 - 20.0) / 7.0).collect()).unwrap()
}

fn captured() -> Biometrics {
    let missing = MissingFinger { position: FingerPosition::new(7).unwrap(), reason: MissingReason::Bandaged };
    Biometrics::new(vec![finger(1, 1), finger(2, 2), finger(2, 3)], vec![face()], vec![missing]).unwrap()
}

fn good() -> Value {
    let mut body = CheckBody::new("A-1", Purpose::CardExchange, &captured()).unwrap();
    body.identity = Some(IDENTITY.to_owned());
    body.claimed_identity = Some(IDENTITY.to_owned());
    body.supersedes = Some("A-0".to_owned());
    serde_json::to_value(body).unwrap()
}

const IDENTITY: &str = "012300678901";

fn check(body: &Value) -> Result<crate::service::Submission, Problem> {
    parse_check(&mut body.to_string().into_bytes())
}

/// Status, fields and codes of a refusal, as JSON would show them.
fn refusal(problem: &Problem) -> (u64, Vec<(String, String)>) {
    let value = serde_json::to_value(problem).unwrap();
    let errors = value["errors"].as_array().cloned().unwrap_or_default();
    let text = |v: &Value| v.as_str().unwrap_or_default().to_owned();
    let errors = errors.iter().map(|error| (text(&error["field"]), text(&error["code"]))).collect();
    (value["status"].as_u64().unwrap(), errors)
}

/// Sets or removes (`None`) what a pointer names.
fn with(pointer: &str, value: Option<Value>) -> Value {
    let mut body = good();
    let (parent, name) = pointer.rsplit_once('/').unwrap();
    let parent = body.pointer_mut(parent).unwrap();
    match (parent, value) {
        (Value::Object(map), Some(value)) => drop(map.insert(name.to_owned(), value)),
        (Value::Object(map), None) => drop(map.remove(name)),
        (Value::Array(list), Some(value)) => list[name.parse::<usize>().unwrap()] = value,
        _ => unreachable!(),
    }
    body
}

#[test]
fn what_a_client_serialises_is_what_the_server_reads() {
    let submission = check(&good()).unwrap();
    assert_eq!(submission.application, "A-1");
    assert_eq!(submission.purpose, Purpose::CardExchange);
    assert_eq!((submission.station.as_str(), submission.operator.as_str()), ("station-1", "operator-1"));
    assert_eq!(submission.identity.unwrap().expose(), IDENTITY);
    assert_eq!(submission.claimed_identity.unwrap().expose(), IDENTITY);
    assert_eq!(submission.supersedes.as_deref(), Some("A-0"));
    assert_eq!(submission.biometrics, captured());
}

#[test]
fn numbers_and_base64_give_the_same_embedding() {
    let mut body = good();
    let EmbeddingBody::Base64(_) = FaceBody::from(&face()).embedding else { unreachable!() };
    body["faces"][0]["embedding"] = json!(face().values());
    assert_eq!(check(&body).unwrap().biometrics, captured());
}

#[test]
fn null_and_absent_are_the_same_for_an_optional_field() {
    let body = with("/supersedes", Some(Value::Null));
    assert_eq!(check(&body).unwrap().supersedes, None);
}

#[test]
fn a_given_position_overrides_the_record_and_zero_does_not() {
    for (given, expected) in [(Some(3), 3), (Some(0), 1), (None, 1)] {
        let mut body = good();
        body["fingers"] = json!([FingerBody { position: given, ..FingerBody::of(&finger(1, 1)).unwrap() }]);
        assert_eq!(check(&body).unwrap().biometrics.fingers[0].position.code(), expected);
    }
}

#[test]
fn a_record_with_several_views_gives_several_fingers() {
    let views = [finger(1, 1).into(), finger(6, 2).into()];
    let record = duynhat_engine::template::codec::encode_iso_2005(&views).unwrap();
    let mut body = good();
    body["fingers"] = json!([{"template": BASE64_STANDARD.encode(record)}]);
    let fingers = check(&body).unwrap().biometrics.fingers;
    assert_eq!(fingers.iter().map(|f| f.position.code()).collect::<Vec<_>>(), [1, 6]);
    body["fingers"][0]["position"] = json!(2);
    let problem = check(&body).unwrap_err();
    assert_eq!(refusal(&problem), (422, vec![("fingers[0].position".into(), "contradiction".into())]));
}

#[test]
fn padding_of_base64_may_be_left_out() {
    let mut body = good();
    let text = body["fingers"][0]["template"].as_str().unwrap().trim_end_matches('=').to_owned();
    body["fingers"][0]["template"] = json!(text);
    assert_eq!(check(&body).unwrap().biometrics, captured());
}

/// A record whose resolution is zero: bytes 18..20 of the header are the x resolution.
fn without_resolution() -> String {
    let mut record = BASE64_STANDARD.decode(FingerBody::of(&finger(1, 1)).unwrap().template).unwrap();
    record[18] = 0;
    record[19] = 0;
    BASE64_STANDARD.encode(record)
}

#[test]
fn every_wrong_field_is_named() {
    let long = "x".repeat(65);
    let finger1 = json!(FingerBody::of(&finger(1, 1)).unwrap());
    let cut = finger1["template"].as_str().unwrap()[..40].to_owned();
    let many: Vec<_> = (0..41).map(|_| finger1.clone()).collect();
    let missing = |position| MissingBody { position, reason: MissingReason::Other };
    let table: Vec<(&str, Option<Value>, &str, &str)> = vec![
        ("/application", None, "application", "required"),
        ("/application", Some(json!(5)), "application", "type"),
        ("/application", Some(json!("a b")), "application", "format"),
        ("/application", Some(json!("")), "application", "format"),
        ("/application", Some(json!(long)), "application", "format"),
        ("/application", Some(json!("ứng-dụng")), "application", "format"),
        ("/purpose", None, "purpose", "required"),
        ("/purpose", Some(json!("fun")), "purpose", "format"),
        ("/station", None, "station", "required"),
        ("/station", Some(json!("two words")), "station", "format"),
        ("/operator", Some(json!(long)), "operator", "format"),
        ("/identity", Some(json!("12 34")), "identity", "format"),
        ("/identity", Some(json!(12345)), "identity", "type"),
        ("/identity", Some(json!("1".repeat(33))), "identity", "format"),
        ("/claimed_identity", None, "claimed_identity", "required"),
        ("/claimed_identity", Some(json!([])), "claimed_identity", "type"),
        ("/supersedes", Some(json!("A/0")), "supersedes", "format"),
        ("/supersedes", Some(json!("A-1")), "supersedes", "contradiction"),
        ("/fingers", Some(json!({})), "fingers", "type"),
        ("/fingers", Some(json!(many)), "fingers", "length"),
        ("/fingers/0", Some(json!("x")), "fingers[0]", "type"),
        ("/fingers/1/template", None, "fingers[1].template", "required"),
        ("/fingers/1/template", Some(json!("")), "fingers[1].template", "required"),
        ("/fingers/1/template", Some(json!("Rk1S*CAy")), "fingers[1].template", "base64"),
        ("/fingers/1/template", Some(json!("Rk1SA")), "fingers[1].template", "base64"),
        ("/fingers/1/template", Some(json!(cut)), "fingers[1].template", "template"),
        ("/fingers/1/template", Some(json!(without_resolution())), "fingers[1].template", "template"),
        ("/fingers/1/template", Some(json!("aGVsbG8gd29ybGQ=")), "fingers[1].template", "template"),
        ("/fingers/1/position", Some(json!(11)), "fingers[1].position", "range"),
        ("/fingers/1/position", Some(json!(-1)), "fingers[1].position", "range"),
        ("/fingers/1/position", Some(json!(1.5)), "fingers[1].position", "type"),
        ("/fingers/1/extractor", Some(json!("no good")), "fingers[1].extractor", "format"),
        ("/fingers/1/minutiae", Some(json!([])), "fingers[1].minutiae", "unknown_field"),
        ("/faces", Some(json!(vec![FaceBody::from(&face()); 4])), "faces", "length"),
        ("/faces/0/model", None, "faces[0].model", "required"),
        ("/faces/0/model", Some(json!("a b")), "faces[0].model", "embedding"),
        ("/faces/0/embedding", None, "faces[0].embedding", "required"),
        ("/faces/0/embedding", Some(json!(true)), "faces[0].embedding", "type"),
        ("/faces/0/embedding", Some(json!("AAAA")), "faces[0].embedding", "embedding"),
        ("/faces/0/embedding", Some(json!([1.0, 2.0])), "faces[0].embedding", "embedding"),
        ("/faces/0/embedding", Some(json!(vec![0.0; 64])), "faces[0].embedding", "embedding"),
        ("/faces/0/embedding", Some(json!(vec![1.0; 1025])), "faces[0].embedding", "length"),
        ("/faces/0/embedding", Some(json!(vec![1e39; 64])), "faces[0].embedding[0]", "type"),
        ("/faces/0/embedding", Some(json!(vec!["1"; 64])), "faces[0].embedding[0]", "type"),
        ("/faces/0/quality", Some(json!(101)), "faces[0].quality", "range"),
        ("/missing/0/position", None, "missing[0].position", "required"),
        ("/missing/0/position", Some(json!(0)), "missing[0].position", "range"),
        ("/missing/0/position", Some(json!(1)), "missing[0].position", "contradiction"),
        ("/missing/0/reason", Some(json!("shy")), "missing[0].reason", "format"),
        ("/missing", Some(json!([missing(8), missing(8)])), "missing[1].position", "contradiction"),
        ("/missing", Some(json!(vec![missing(8); 11])), "missing", "length"),
        ("/colour", Some(json!("red")), "colour", "unknown_field"),
    ];
    for (pointer, value, field, code) in table {
        let body = with(pointer, value);
        let problem = check(&body).expect_err(field);
        let (status, errors) = refusal(&problem);
        assert_eq!((status, errors), (422, vec![(field.to_owned(), code.to_owned())]), "{pointer}");
    }
}

#[test]
fn several_wrong_fields_are_named_at_once() {
    let mut body = with("/station", None);
    body["purpose"] = json!("fun");
    body["fingers"][2]["template"] = json!(without_resolution());
    let (status, errors) = refusal(&check(&body).unwrap_err());
    let fields: Vec<_> = errors.iter().map(|(field, _)| field.as_str()).collect();
    assert_eq!((status, fields), (422, vec!["purpose", "station", "fingers[2].template"]));
}

#[test]
fn a_bad_template_says_offset_expected_and_found() {
    let body = with("/fingers/2/template", Some(json!(without_resolution())));
    let problem = serde_json::to_value(check(&body).unwrap_err()).unwrap();
    let error = &problem["errors"][0];
    assert_eq!(error["pointer"], "/fingers/2/template");
    for key in ["offset", "expected", "found"] {
        assert!(!error[key].is_null(), "{key} is missing in {error}");
    }
    assert!(problem["detail"].as_str().unwrap().contains("19794-2"), "{problem}");
}

#[test]
fn too_many_impressions_of_one_finger_name_the_last() {
    let mut body = good();
    body["fingers"] = json!((0..4).map(|i| FingerBody::of(&finger(2, i)).unwrap()).collect::<Vec<_>>());
    assert_eq!(refusal(&check(&body).unwrap_err()).1, [("fingers[3]".to_owned(), "contradiction".to_owned())]);
}

#[test]
fn nothing_captured_is_refused() {
    let mut body = good();
    body["fingers"] = json!([]);
    body["faces"] = Value::Null;
    assert_eq!(refusal(&check(&body).unwrap_err()).1, [("fingers".to_owned(), "required".to_owned())]);
}

#[test]
fn a_repeated_field_is_refused() {
    let text = good().to_string().replacen('{', r#"{"station":"HN-1","#, 1);
    let problem = parse_check(&mut text.into_bytes()).unwrap_err();
    assert_eq!(refusal(&problem).1, [("station".to_owned(), "duplicate_field".to_owned())]);
}

#[test]
fn what_is_no_json_object_is_malformed_with_its_place() {
    let whole = good().to_string();
    let deep = |open: &str, n: usize| open.repeat(n);
    let hostile = format!(r#"{{"fingers":{}"#, deep("[", 500_000));
    let hostile_object = deep(r#"{"a":"#, 200_000);
    let surplus = format!("{whole} x");
    for body in [
        "",
        " ",
        "{",
        "[]",
        "5",
        "\"x\"",
        "null",
        "{\"a\":}",
        "{\"a\":1,}",
        "\u{feff}{}",
        &whole[..100],
        &surplus,
        &hostile,
        &hostile_object,
        "{\"a\":\"\\ud800\"}",
        "{'a':1}",
    ] {
        let problem = parse_check(&mut body.as_bytes().to_vec()).unwrap_err();
        assert_eq!(refusal(&problem).0, 400, "{}", &body.chars().take(60).collect::<String>());
    }
    let problem = parse_check(&mut b"{\"a\" 1}".to_vec()).unwrap_err();
    assert!(!serde_json::to_value(problem).unwrap()["errors"][0]["offset"].is_null());
    let problem = parse_check(&mut [b'{', b'"', 0xFF, b'"', b':', b'1', b'}']).unwrap_err();
    assert_eq!(refusal(&problem).0, 400);
}

#[test]
fn no_refusal_repeats_what_was_sent() {
    // Identity numbers and templates in every place where a text may stand, and as a field's name.
    let template = good()["fingers"][0]["template"].as_str().unwrap().to_owned();
    for secret in [IDENTITY.to_owned(), template] {
        for pointer in [
            "/application",
            "/purpose",
            "/station",
            "/fingers",
            "/fingers/0",
            "/fingers/0/position",
            "/fingers/0/extractor",
            "/faces/0/embedding",
            "/faces/0/quality",
            "/missing/0/reason",
            "/colour",
        ] {
            let mut value = json!(format!("{secret} {secret}"));
            if pointer.ends_with("embedding") {
                value = json!([secret.clone()]);
            }
            let problem = check(&with(pointer, Some(value))).unwrap_err();
            let text = serde_json::to_string(&problem).unwrap() + &format!("{problem:?}");
            assert!(!text.contains(&secret[..12.min(secret.len())]), "{pointer}: {text}");
        }
        let mut body = good();
        body.as_object_mut().unwrap().insert(secret.clone(), json!(1));
        let text = serde_json::to_string(&check(&body).unwrap_err()).unwrap();
        assert!(!text.contains(&secret[..12]), "{text}");
    }
    // A template in JSON is quoted by its parser's messages.
    for text in [
        format!(r#"{{"format":"duynhat-finger-1","width":"{IDENTITY}"}}"#),
        format!(r#"{{"format":"duynhat-finger-1","x{IDENTITY}":1}}"#),
        format!(r#"{{"format":"duynhat-finger-1","minutiae":[{{"kind":"{IDENTITY}"}}]}}"#),
    ] {
        let body = with("/fingers/0/template", Some(json!(BASE64_STANDARD.encode(text))));
        let text = serde_json::to_string(&check(&body).unwrap_err()).unwrap();
        assert!(!text.contains(&IDENTITY[..6]) && text.contains("fingers[0].template"), "{text}");
    }
    let body = with("/fingers/0/template", Some(json!(BASE64_STANDARD.encode(r#"{"format":"duynhat-finger-1"}"#))));
    assert!(serde_json::to_string(&check(&body).unwrap_err()).unwrap().contains("missing field"));
    let body = CheckBody::new("A-1", Purpose::Child, &captured()).unwrap();
    assert_eq!(format!("{body:?}"), "CheckBody(..)");
}

#[test]
fn any_cut_or_flipped_body_is_read_or_refused_without_panic() {
    let mut body = good();
    body["faces"][0]["embedding"] = json!(face().values());
    let whole = body.to_string().into_bytes();
    for length in 0..whole.len() {
        assert!(parse_check(&mut whole[..length].to_vec()).is_err(), "cut at {length}");
    }
    for index in 0..whole.len() {
        for bit in 0..8 {
            let mut flipped = whole.clone();
            flipped[index] ^= 1 << bit;
            if let Err(problem) = parse_check(&mut flipped) {
                assert!([400, 422].contains(&problem.status().as_u16()), "{problem:?}");
            }
        }
    }
}

#[test]
fn a_search_has_defaults_and_limits() {
    let probe = IdentifyBody { fingers: vec![FingerBody::of(&finger(0, 1)).unwrap()], ..IdentifyBody::default() };
    let read = |body: &Value| parse_identify(&mut body.to_string().into_bytes());
    let question = read(&json!(probe)).unwrap();
    assert_eq!((question.threshold, question.candidates_max, question.cross_position), (None, 20, false));
    let all =
        IdentifyBody { threshold: Some(-3.5), candidates_max: Some(1000), cross_position: Some(true), ..probe.clone() };
    let question = read(&json!(all)).unwrap();
    assert_eq!((question.threshold, question.candidates_max, question.cross_position), (Some(-3.5), 1000, true));
    for (name, value) in [
        ("candidates_max", json!(0)),
        ("candidates_max", json!(1001)),
        ("threshold", json!(1e300)),
        ("threshold", json!("9")),
        ("cross_position", json!(1)),
        ("missing", json!([])),
        ("application", json!("A-1")),
    ] {
        let mut body = json!(probe);
        body[name] = value;
        assert_eq!(refusal(&read(&body).unwrap_err()).1[0].0, name);
    }
}

#[test]
fn a_verification_names_exactly_one_record() {
    let probe = VerifyBody { faces: vec![FaceBody::from(&face())], ..VerifyBody::default() };
    let read = |body: &VerifyBody| parse_verify(&mut json!(body).to_string().into_bytes());
    let subject = VerifyBody { subject: Some("S-1".into()), ..probe.clone() };
    assert!(matches!(read(&subject).unwrap().claim, Claim::Subject(name) if name == "S-1"));
    let identity = VerifyBody { claimed_identity: Some(IDENTITY.into()), ..probe.clone() };
    assert!(matches!(read(&identity).unwrap().claim, Claim::Identity(_)));
    let both = VerifyBody { subject: Some("S-1".into()), ..identity };
    assert_eq!(refusal(&read(&both).unwrap_err()).1[0].0, "claimed_identity");
    assert_eq!(refusal(&read(&probe).unwrap_err()).1[0].0, "subject");
}

/// Each of the documented fields alone is known to the reader, and what the documentation calls required is.
#[test]
fn the_documented_fields_are_the_fields_that_are_read() {
    type Parse = fn(&mut [u8]) -> Option<Problem>;
    let parsers: [(_, Parse); 3] = [
        (CheckBody::schema(), |body| parse_check(body).err()),
        (IdentifyBody::schema(), |body| parse_identify(body).err()),
        (VerifyBody::schema(), |body| parse_verify(body).err()),
    ];
    for (schema, parse) in parsers {
        let schema = serde_json::to_value(schema).unwrap();
        let documented: Vec<String> = schema["properties"].as_object().unwrap().keys().cloned().collect();
        let problem = parse(&mut br#"{"what": 1}"#.to_vec()).unwrap();
        let problem = serde_json::to_value(problem).unwrap();
        let errors = problem["errors"].as_array().unwrap();
        let unknown = errors.iter().find(|e| e["code"] == "unknown_field").unwrap()["detail"].as_str().unwrap();
        let mut known: Vec<_> = unknown.rsplit_once("one of ").unwrap().1.split(", ").map(str::to_owned).collect();
        known.sort();
        let mut sorted = documented.clone();
        sorted.sort();
        assert_eq!(known, sorted);
        for required in schema["required"].as_array().cloned().unwrap_or_default() {
            assert!(errors.iter().any(|e| e["field"] == required && e["code"] == "required"), "{required}");
        }
    }
}

#[test]
fn the_examples_of_the_description_are_accepted() {
    check(&json!(openapi::check_example())).unwrap();
    parse_identify(&mut json!(openapi::identify_example()).to_string().into_bytes()).unwrap();
    parse_verify(&mut json!(openapi::verify_example()).to_string().into_bytes()).unwrap();
}
