//! Reads a JSON body field by field and says what is wrong with which one.
//!
//! The body is parsed to a flat tape (simd-json), so nesting costs no stack: hostile depth is refused by a counter,
//! and what is skipped is never walked. Typed reading on top keeps the path of every value, so that one answer names
//! all wrong fields; serde's own messages would quote the client's data, which may be an identity number.

use simd_json::prelude::{TypedScalarValue as _, ValueAsScalar as _, ValueIntoString as _};
use simd_json::tape::Value;

use super::problem::FieldError;

/// The deepest nesting that is read: a body needs four levels.
pub(super) const DEPTH_MAX: usize = 8;
/// After so many wrong fields no more are listed.
const ERRORS_MAX: usize = 16;

/// Where a value stands in the body.
#[derive(Clone, Copy)]
pub(super) enum At<'a> {
    /// The whole body.
    Body,
    /// A field of an object.
    Field(&'a At<'a>, &'a str),
    /// An element of an array.
    Element(&'a At<'a>, usize),
}

impl At<'_> {
    /// `fingers[2].template`
    pub(super) fn field(&self) -> String {
        match self {
            At::Body => String::new(),
            At::Field(At::Body, name) => (*name).to_owned(),
            At::Field(parent, name) => format!("{}.{name}", parent.field()),
            At::Element(parent, index) => format!("{}[{index}]", parent.field()),
        }
    }

    /// `/fingers/2/template`
    pub(super) fn pointer(&self) -> String {
        match self {
            At::Body => String::new(),
            At::Field(parent, name) => format!("{}/{name}", parent.pointer()),
            At::Element(parent, index) => format!("{}/{index}", parent.pointer()),
        }
    }
}

/// The wrong fields of one body.
#[derive(Default)]
pub(super) struct Errors(Vec<FieldError>);

impl Errors {
    /// One more, told in words.
    pub(super) fn add(&mut self, at: At<'_>, code: &'static str, detail: impl Into<String>) {
        self.push(at, FieldError { code, detail: detail.into(), ..FieldError::default() });
    }

    /// One more; field and pointer are filled in here.
    pub(super) fn push(&mut self, at: At<'_>, error: FieldError) {
        if !self.full() {
            self.0.push(FieldError { field: at.field(), pointer: at.pointer(), ..error });
        }
    }

    /// Whether no more are listed.
    fn full(&self) -> bool {
        self.0.len() >= ERRORS_MAX
    }

    /// `Err` when anything was wrong.
    pub(super) fn into_result(self) -> Result<(), Vec<FieldError>> {
        if self.0.is_empty() { Ok(()) } else { Err(self.0) }
    }
}

/// The known fields of one object, found once.
pub(super) struct Fields<'a, 't, 'i> {
    at: At<'a>,
    names: &'static [&'static str],
    values: Vec<Option<Value<'t, 'i>>>,
}

impl<'a, 't, 'i> Fields<'a, 't, 'i> {
    /// Sorts the members of an object by name; unknown and repeated ones are errors. `None` when it is no object.
    pub(super) fn of(
        value: Value<'t, 'i>,
        at: At<'a>,
        names: &'static [&'static str],
        errors: &mut Errors,
    ) -> Option<Self> {
        let Some(object) = value.as_object() else {
            errors.add(at, "type", format!("expected an object, found {}", kind(value)));
            return None;
        };
        let mut values = vec![None; names.len()];
        for (name, member) in object.iter() {
            if errors.full() {
                return None;
            }
            match names.iter().position(|known| *known == name) {
                Some(index) if values[index].is_some() => {
                    errors.add(At::Field(&at, names[index]), "duplicate_field", "the field is there more than once");
                }
                Some(index) => values[index] = Some(member),
                None => {
                    let name = printable(name).unwrap_or("(not shown)");
                    let known = names.join(", ");
                    errors.add(
                        At::Field(&at, name),
                        "unknown_field",
                        format!("unknown field; expected one of {known}"),
                    );
                }
            }
        }
        Some(Self { at, names, values })
    }

    /// A field's value; `null` counts as absent.
    pub(super) fn optional(&self, name: &'static str) -> Option<Value<'t, 'i>> {
        let index = self.names.iter().position(|known| *known == name)?;
        self.values[index].filter(|value| !value.is_null())
    }

    /// Where a field of this object stands.
    pub(super) fn at<'b>(&'b self, name: &'b str) -> At<'b> {
        At::Field(&self.at, name)
    }

    /// A field's value; an error when it is absent.
    pub(super) fn required(&self, name: &'static str, errors: &mut Errors) -> Option<Value<'t, 'i>> {
        let value = self.optional(name);
        if value.is_none() {
            errors.add(self.at(name), "required", "the field is required");
        }
        value
    }

    /// Text of a field, if it is there.
    pub(super) fn text(&self, name: &'static str, errors: &mut Errors) -> Option<&'i str> {
        text(self.optional(name)?, self.at(name), errors)
    }

    /// Text of a field that must be there.
    pub(super) fn required_text(&self, name: &'static str, errors: &mut Errors) -> Option<&'i str> {
        text(self.required(name, errors)?, self.at(name), errors)
    }

    /// A whole number of a field, if it is there.
    pub(super) fn integer(
        &self,
        name: &'static str,
        range: std::ops::RangeInclusive<u64>,
        errors: &mut Errors,
    ) -> Option<u64> {
        let value = self.optional(name)?;
        match value.as_u64() {
            Some(number) if range.contains(&number) => Some(number),
            _ => {
                let (code, found) = match value.as_i128() {
                    Some(_) => ("range", "another number"),
                    None => ("type", kind(value)),
                };
                let detail =
                    format!("expected a whole number from {} to {}, found {found}", range.start(), range.end());
                errors.add(self.at(name), code, detail);
                None
            }
        }
    }

    /// A finite number of a field, if it is there.
    pub(super) fn number(&self, name: &'static str, errors: &mut Errors) -> Option<f32> {
        let value = self.optional(name)?;
        let number = number(value);
        if number.is_none() {
            errors.add(self.at(name), "type", "expected a finite number");
        }
        number
    }

    /// The elements of an array field, none when the field is absent; `None` and an error when it is no array or has
    /// more than `max`.
    pub(super) fn elements(&self, name: &'static str, max: usize, errors: &mut Errors) -> Option<Vec<Value<'t, 'i>>> {
        let Some(value) = self.optional(name) else { return Some(Vec::new()) };
        let Some(array) = value.as_array() else {
            errors.add(self.at(name), "type", format!("expected an array, found {}", kind(value)));
            return None;
        };
        if array.len() > max {
            errors.add(self.at(name), "length", format!("{} elements; at most {max} are accepted", array.len()));
            return None;
        }
        Some(array.iter().collect())
    }
}

/// Text, or an error.
pub(super) fn text<'i>(value: Value<'_, 'i>, at: At<'_>, errors: &mut Errors) -> Option<&'i str> {
    let text = value_str(value);
    if text.is_none() {
        errors.add(at, "type", format!("expected a string, found {}", kind(value)));
    }
    text
}

/// The text with the body's lifetime: `as_str` would tie it to the tape's.
pub(super) fn value_str<'i>(value: Value<'_, 'i>) -> Option<&'i str> {
    value.into_string()
}

/// A number that `f32` can hold.
pub(super) fn number(value: Value<'_, '_>) -> Option<f32> {
    #[allow(clippy::cast_possible_truncation)]
    value.cast_f64().map(|number| number as f32).filter(|number| number.is_finite())
}

/// What a value is, in words that hold nothing of it.
pub(super) fn kind(value: Value<'_, '_>) -> &'static str {
    if value.is_null() {
        "null"
    } else if value.is_object() {
        "an object"
    } else if value.is_array() {
        "an array"
    } else if value_str(value).is_some() {
        "a string"
    } else if value.as_bool().is_some() {
        "true or false"
    } else {
        "a number"
    }
}

/// A field name that may be repeated to the client and in a log: a plain word, not a number or a text of theirs.
fn printable(name: &str) -> Option<&str> {
    let word = name.len() <= 32
        && name.starts_with(|c: char| c.is_ascii_alphabetic())
        && name.bytes().all(|b| b.is_ascii_alphanumeric() || b"_-".contains(&b))
        && name.bytes().filter(u8::is_ascii_digit).count() < 4;
    word.then_some(name)
}
