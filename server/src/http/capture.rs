//! What was captured: finger records, face embeddings, missing fingers.

use base64::Engine as _;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use duynhat_engine::template::codec::{self, DecodeError, DecodeOptions, Format};
use duynhat_engine::template::{
    Biometrics, BiometricsError, DIMENSION_MAX, Extractor, FACES_MAX, FaceTemplate, FingerPosition, FingerTemplate,
    MissingFinger,
};
use simd_json::tape::Value;

use super::dto::MISSING_REASONS;
use super::problem::FieldError;
use super::reader::{At, Errors, Fields, kind, number, value_str};

/// The most finger records in one body: ten positions and one unknown with three impressions each, and some room.
const FINGERS_MAX: usize = 40;
/// The most missing fingers.
const MISSING_MAX: usize = 10;

const FINGER_FIELDS: &[&str] = &["position", "template", "extractor"];
const FACE_FIELDS: &[&str] = &["model", "embedding", "quality"];
const MISSING_FIELDS: &[&str] = &["position", "reason"];

/// Standard alphabet; padding may be left out.
const BASE64: GeneralPurpose = GeneralPurpose::new(
    &base64::alphabet::STANDARD,
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

/// What a body may hold.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Capture {
    /// A check also says which fingers are missing.
    Check,
    /// A probe is what it is.
    Probe,
}

/// Reads `fingers`, `faces` and, in a check, `missing`. `None` when anything was wrong; it is in `errors`.
pub(super) fn biometrics(fields: &Fields<'_, '_, '_>, capture: Capture, errors: &mut Errors) -> Option<Biometrics> {
    let mut whole = true;
    let mut fingers: Vec<FingerTemplate> = Vec::new();
    // Which element of the body each impression came from.
    let mut origins: Vec<(FingerPosition, usize)> = Vec::new();
    let at = fields.at("fingers");
    for (index, value) in elements(fields, "fingers", FINGERS_MAX, &mut whole, errors).into_iter().enumerate() {
        match finger(value, At::Element(&at, index), errors) {
            Some(views) => {
                origins.extend(views.iter().map(|view| (view.position, index)));
                fingers.extend(views);
            }
            None => whole = false,
        }
    }
    let faces = self::faces(fields, "faces", errors);
    whole &= faces.is_some();
    let faces = faces.unwrap_or_default();
    let mut missing = Vec::new();
    if capture == Capture::Check {
        let at = fields.at("missing");
        for (index, value) in elements(fields, "missing", MISSING_MAX, &mut whole, errors).into_iter().enumerate() {
            match missing_finger(value, At::Element(&at, index), errors) {
                Some(finger) => missing.push(finger),
                None => whole = false,
            }
        }
    }
    if !whole {
        return None;
    }
    let named: Vec<FingerPosition> = missing.iter().map(|finger: &MissingFinger| finger.position).collect();
    match Biometrics::new(fingers, faces, missing) {
        Ok(biometrics) => Some(biometrics),
        Err(error) => {
            blame(fields, &error, &origins, &named, errors);
            None
        }
    }
}

/// Reads a field of faces. `None` when anything was wrong; it is in `errors`.
pub(super) fn faces(fields: &Fields<'_, '_, '_>, name: &'static str, errors: &mut Errors) -> Option<Vec<FaceTemplate>> {
    let mut whole = true;
    let mut faces = Vec::new();
    let at = fields.at(name);
    for (index, value) in elements(fields, name, FACES_MAX, &mut whole, errors).into_iter().enumerate() {
        match face(value, At::Element(&at, index), errors) {
            Some(template) => faces.push(template),
            None => whole = false,
        }
    }
    whole.then_some(faces)
}

/// The elements of an array field; `whole` turns false when the field itself was refused.
fn elements<'t, 'i>(
    fields: &Fields<'_, 't, 'i>,
    name: &'static str,
    max: usize,
    whole: &mut bool,
    errors: &mut Errors,
) -> Vec<Value<'t, 'i>> {
    let elements = fields.elements(name, max, errors);
    *whole &= elements.is_some();
    elements.unwrap_or_default()
}

/// Names the element that makes a set of impressions impossible.
fn blame(
    fields: &Fields<'_, '_, '_>,
    error: &BiometricsError,
    origins: &[(FingerPosition, usize)],
    missing: &[FingerPosition],
    errors: &mut Errors,
) {
    let (list, index, last) = match error {
        BiometricsError::Impressions { position } => {
            let last = origins.iter().rev().find(|(found, _)| found == position).map(|(_, index)| *index);
            ("fingers", last, None)
        }
        BiometricsError::MissingTwice { position } | BiometricsError::MissingPresent { position } => {
            ("missing", missing.iter().rposition(|found| found == position), Some("position"))
        }
        BiometricsError::MissingUnknown => ("missing", None, None),
        BiometricsError::Faces { .. } => ("faces", None, None),
        _ => ("fingers", None, None),
    };
    let code = if *error == BiometricsError::Empty { "required" } else { "contradiction" };
    let list = fields.at(list);
    let element = index.map(|index| At::Element(&list, index));
    let at = match (&element, last) {
        (Some(element), Some(name)) => At::Field(element, name),
        (Some(element), None) => *element,
        (None, _) => list,
    };
    errors.add(at, code, error.to_string());
}

fn finger(value: Value<'_, '_>, at: At<'_>, errors: &mut Errors) -> Option<Vec<FingerTemplate>> {
    let fields = Fields::of(value, at, FINGER_FIELDS, errors)?;
    let position = fields.integer("position", 0..=10, errors);
    let position_ok = position.is_some() || fields.optional("position").is_none();
    let extractor = match fields.optional("extractor") {
        None => Some(Extractor::unknown()),
        Some(_) => fields.text("extractor", errors).and_then(|name| match Extractor::new(name) {
            Ok(extractor) => Some(extractor),
            Err(error) => {
                errors.add(fields.at("extractor"), "format", error.to_string());
                None
            }
        }),
    };
    let record = base64_field(&fields, "template", codec::RECORD_LENGTH_MAX, errors)?;
    let options = DecodeOptions { extractor: extractor.clone().unwrap_or_default(), ..DecodeOptions::default() };
    let decoded = match codec::decode(&record, &options) {
        Ok(decoded) => decoded,
        Err(error) => {
            errors.push(fields.at("template"), template_error(&error));
            return None;
        }
    };
    let mut views: Vec<FingerTemplate> = decoded.views.into_iter().map(|view| view.template).collect();
    extractor?;
    if !position_ok {
        return None;
    }
    let position = position.and_then(|code| FingerPosition::new(u8::try_from(code).ok()?)).unwrap_or_default();
    if position != FingerPosition::UNKNOWN {
        let mut told = views.iter().map(|view| view.position).filter(|told| *told != FingerPosition::UNKNOWN);
        if let Some(first) = told.next()
            && let Some(other) = told.find(|other| *other != first)
        {
            let detail = format!("the record holds different fingers ({first}, {other}); leave the position out");
            errors.add(fields.at("position"), "contradiction", detail);
            return None;
        }
        for view in &mut views {
            view.position = position;
        }
    }
    Some(views)
}

/// A codec's refusal: what the record looked like, where, what was expected and found; never its bytes.
fn template_error(error: &DecodeError) -> FieldError {
    let (expected, found) = match error {
        DecodeError::Truncated { expected, found, .. } => {
            (Some(format!("{expected} bytes")), Some(format!("{found} bytes")))
        }
        DecodeError::Invalid { expected, found, .. } => (Some(expected.clone()), Some(found.clone())),
        DecodeError::Limit { what, max, found, .. } => {
            (Some(format!("at most {max} {what}")), Some(format!("{found} {what}")))
        }
        _ => (None, None),
    };
    // What a JSON parser found is quoted from the template, a missing field's name excepted.
    let quotes = matches!(error, DecodeError::Invalid { format: Format::Json, field, found, .. }
        if field == "text" && !found.starts_with("missing field"));
    let (detail, found) = if quotes {
        let detail = format!("not a {} document of the documented shape", Format::Json.name());
        (detail, Some("something else".to_owned()))
    } else {
        (error.to_string(), found)
    };
    FieldError { code: "template", detail, offset: error.offset(), expected, found, ..FieldError::default() }
}

fn face(value: Value<'_, '_>, at: At<'_>, errors: &mut Errors) -> Option<FaceTemplate> {
    let fields = Fields::of(value, at, FACE_FIELDS, errors)?;
    let model = fields.required_text("model", errors);
    let quality = match fields.optional("quality") {
        None => Some(0),
        Some(_) => fields.integer("quality", 0..=100, errors),
    };
    let embedding = fields.required("embedding", errors)?;
    let values = if value_str(embedding).is_some() {
        let bytes = base64_field(&fields, "embedding", DIMENSION_MAX * 4, errors)?;
        let (words, rest) = bytes.as_chunks::<4>();
        if !rest.is_empty() {
            let detail = format!("{} bytes are not a whole number of 32-bit floats", bytes.len());
            errors.add(fields.at("embedding"), "embedding", detail);
            return None;
        }
        words.iter().map(|word| f32::from_le_bytes(*word)).collect()
    } else {
        numbers(&fields, embedding, errors)?
    };
    match FaceTemplate::new(model?, u8::try_from(quality?).ok()?, values) {
        Ok(template) => Some(template),
        Err(error) => {
            use duynhat_engine::template::FaceTemplateError as E;
            let name = if matches!(error, E::Model) { "model" } else { "embedding" };
            errors.add(fields.at(name), "embedding", error.to_string());
            None
        }
    }
}

fn numbers(fields: &Fields<'_, '_, '_>, value: Value<'_, '_>, errors: &mut Errors) -> Option<Vec<f32>> {
    let at = fields.at("embedding");
    let Some(array) = value.as_array() else {
        errors.add(at, "type", format!("expected base64 or an array of numbers, found {}", kind(value)));
        return None;
    };
    if array.len() > DIMENSION_MAX {
        errors.add(at, "length", format!("{} dimensions; at most {DIMENSION_MAX} are accepted", array.len()));
        return None;
    }
    let mut values = Vec::with_capacity(array.len());
    for (index, element) in array.iter().enumerate() {
        let Some(value) = number(element) else {
            errors.add(At::Element(&at, index), "type", "expected a number that a 32-bit float can hold");
            return None;
        };
        values.push(value);
    }
    Some(values)
}

fn missing_finger(value: Value<'_, '_>, at: At<'_>, errors: &mut Errors) -> Option<MissingFinger> {
    let fields = Fields::of(value, at, MISSING_FIELDS, errors)?;
    let position = fields.required("position", errors).and_then(|_| fields.integer("position", 1..=10, errors));
    let word = fields.required_text("reason", errors)?;
    let reason = MISSING_REASONS.into_iter().find(|(known, _)| *known == word).map(|(_, reason)| reason);
    if reason.is_none() {
        let known = MISSING_REASONS.map(|(word, _)| word).join(", ");
        errors.add(fields.at("reason"), "format", format!("unknown word; expected one of {known}"));
    }
    let position = FingerPosition::new(u8::try_from(position?).ok()?)?;
    Some(MissingFinger { position, reason: reason? })
}

/// Bytes of a base64 field that must be there; at most `max` of them.
fn base64_field(fields: &Fields<'_, '_, '_>, name: &'static str, max: usize, errors: &mut Errors) -> Option<Vec<u8>> {
    let text = fields.required_text(name, errors)?;
    if text.len() > max.div_ceil(3) * 4 {
        let detail = format!("{} characters of base64; at most {max} bytes are accepted", text.len());
        errors.add(fields.at(name), "length", detail);
        return None;
    }
    if text.is_empty() {
        errors.add(fields.at(name), "required", "the field is empty");
        return None;
    }
    match BASE64.decode(text) {
        Ok(bytes) => Some(bytes),
        Err(error) => {
            use base64::DecodeError as E;
            let (offset, what) = match error {
                E::InvalidByte(offset, _) => (offset, "a character that is not base64"),
                E::InvalidLastSymbol(offset, _) => (offset, "a last character with surplus bits"),
                E::InvalidLength(length) => (length, "a length that base64 can't have"),
                E::InvalidPadding => (text.len(), "wrong padding"),
            };
            let error = FieldError {
                code: "base64",
                detail: format!("not base64: {what} at offset {offset}"),
                offset: Some(offset),
                expected: Some("base64, standard alphabet, padding optional".to_owned()),
                found: Some(what.to_owned()),
                ..FieldError::default()
            };
            errors.push(fields.at(name), error);
            None
        }
    }
}
