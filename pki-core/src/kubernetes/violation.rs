//! What the API server says about a field, word for word.

use core::fmt;

/// How many violations of one object are kept, so that a hostile list of usages does not become an unbounded answer.
const VIOLATIONS_MAX: usize = 64;
/// How much of a value is quoted, in characters: a signer name of the greatest length stays whole.
const VALUE_LEN_MAX: usize = 600;

/// One field that breaks a rule of the API (`k8s.io/apimachinery`, `field.Error`).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Violation {
    kind: ViolationKind,
    field: String,
    value: Option<String>,
    detail: String,
}

/// Which kind of rule is broken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ViolationKind {
    /// The value is missing.
    Required,
    /// The value is malformed.
    Invalid,
    /// The value is none of those that exist.
    Unsupported,
    /// The value stands twice.
    Duplicate,
    /// The change is not allowed here.
    Forbidden,
    /// The value is longer than the limit.
    TooLong,
}

impl ViolationKind {
    /// The stable code.
    #[must_use]
    pub const fn code(self) -> &'static str {
        match self {
            Self::Required => "api.required",
            Self::Invalid => "api.invalid",
            Self::Unsupported => "api.unsupported",
            Self::Duplicate => "api.duplicate",
            Self::Forbidden => "api.forbidden",
            Self::TooLong => "api.too_long",
        }
    }
}

impl fmt::Display for ViolationKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Required => "Required value",
            Self::Invalid => "Invalid value",
            Self::Unsupported => "Unsupported value",
            Self::Duplicate => "Duplicate value",
            Self::Forbidden => "Forbidden",
            Self::TooLong => "Too long",
        })
    }
}

impl Violation {
    fn new(kind: ViolationKind, field: impl Into<String>, value: Option<String>, detail: impl fmt::Display) -> Self {
        let detail = detail.to_string().chars().take(VALUE_LEN_MAX * 2).collect();
        Self { kind, field: field.into(), value, detail }
    }

    pub(super) fn required(field: impl Into<String>) -> Self {
        Self::new(ViolationKind::Required, field, None, "")
    }

    pub(super) fn duplicate(field: impl Into<String>, value: &str) -> Self {
        Self::new(ViolationKind::Duplicate, field, Some(quote(value)), "")
    }

    pub(super) fn forbidden(field: impl Into<String>, detail: impl fmt::Display) -> Self {
        Self::new(ViolationKind::Forbidden, field, None, detail)
    }

    pub(super) fn too_long(field: impl Into<String>, max: usize) -> Self {
        Self::new(ViolationKind::TooLong, field, None, format_args!("may not be more than {max} bytes"))
    }

    pub(super) fn invalid(field: impl Into<String>, value: &str, detail: impl fmt::Display) -> Self {
        Self::new(ViolationKind::Invalid, field, Some(quote(value)), detail)
    }

    pub(super) fn invalid_number(field: impl Into<String>, value: i32, detail: &str) -> Self {
        Self::new(ViolationKind::Invalid, field, Some(value.to_string()), detail)
    }

    pub(super) fn unsupported(field: impl Into<String>, value: &str, supported: &[&str]) -> Self {
        let mut supported: Vec<String> = supported.iter().map(|&value| quote(value)).collect();
        supported.sort_unstable();
        let detail = format!("supported values: {}", supported.join(", "));
        Self::new(ViolationKind::Unsupported, field, Some(quote(value)), detail)
    }

    /// Which kind of rule is broken.
    #[must_use]
    pub const fn kind(&self) -> ViolationKind {
        self.kind
    }

    /// The path of the field, such as `spec.usages[1]`.
    #[must_use]
    pub fn field(&self) -> &str {
        &self.field
    }

    /// The sentence after the value; empty when the kind says everything.
    #[must_use]
    pub fn detail(&self) -> &str {
        &self.detail
    }
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.field, self.kind)?;
        if let Some(value) = &self.value {
            write!(f, ": {value}")?;
        }
        if self.detail.is_empty() { Ok(()) } else { write!(f, ": {}", self.detail) }
    }
}

impl core::error::Error for Violation {}

/// Every violation of one object, at least one, in the order in which the API server finds them; at most 64 are kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Violations(Vec<Violation>);

impl Violations {
    /// What two checks of one object found, one of which at least found something.
    pub(super) fn of_both(first: Option<Self>, second: Option<Self>) -> Self {
        let mut both: Vec<Violation> = first.into_iter().chain(second).flat_map(|violations| violations.0).collect();
        both.truncate(VIOLATIONS_MAX);
        Self(both)
    }

    /// The violations.
    #[must_use]
    pub fn as_slice(&self) -> &[Violation] {
        &self.0
    }
}

impl fmt::Display for Violations {
    /// As the API server aggregates them: one alone, several in brackets.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0.as_slice() {
            [one] => write!(f, "{one}"),
            several => {
                f.write_str("[")?;
                for (index, violation) in several.iter().enumerate() {
                    write!(f, "{}{violation}", if index == 0 { "" } else { ", " })?;
                }
                f.write_str("]")
            }
        }
    }
}

impl core::error::Error for Violations {}

/// Gathers violations up to the bound.
#[derive(Debug, Default)]
pub(super) struct Gathered(Vec<Violation>);

impl Gathered {
    /// Whether no more is kept, so that there is no use in looking further.
    pub(super) const fn is_full(&self) -> bool {
        self.0.len() >= VIOLATIONS_MAX
    }

    pub(super) fn push(&mut self, violation: Violation) {
        if !self.is_full() {
            self.0.push(violation);
        }
    }

    pub(super) fn extend<T>(&mut self, result: Result<T, Violations>) -> Option<T> {
        result.map_err(|violations| violations.0.into_iter().for_each(|violation| self.push(violation))).ok()
    }

    pub(super) fn finish(self) -> Result<(), Violations> {
        if self.0.is_empty() { Ok(()) } else { Err(Violations(self.0)) }
    }
}

/// A text in double quotes the way Go's `%q` writes it, cut to a bound.
pub(super) fn quote(text: &str) -> String {
    let mut out = String::from("\"");
    for character in text.chars().take(VALUE_LEN_MAX) {
        match character {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\x07' => out.push_str("\\a"),
            '\x08' => out.push_str("\\b"),
            '\x0c' => out.push_str("\\f"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            '\x0b' => out.push_str("\\v"),
            // `'` is the one printable character that Rust escapes and Go does not.
            printable if printable == '\'' || printable.escape_debug().len() == 1 => out.push(printable),
            other => {
                let code = u32::from(other);
                out.push_str(&match code {
                    0..0x80 => format!("\\x{code:02x}"),
                    0x80..0x1_0000 => format!("\\u{code:04x}"),
                    _ => format!("\\U{code:08x}"),
                });
            }
        }
    }
    out.push('"');
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_are_quoted_as_go_quotes_them() {
        assert_eq!(quote("a'b \"c\" \\"), r#""a'b \"c\" \\""#);
        assert_eq!(quote("\n\t\0\x1b\x7f"), r#""\n\t\x00\x1b\x7f""#);
        assert_eq!(quote("é\u{200b}\u{e0001}"), r#""é\u200b\U000e0001""#);
        assert_eq!(quote(&"a".repeat(1 << 20)).len(), VALUE_LEN_MAX + 2);
    }

    #[test]
    fn violations_are_bounded_in_number_and_length() {
        let mut gathered = Gathered::default();
        for _ in 0..1000 {
            gathered.push(Violation::forbidden("f", "x".repeat(1 << 16)));
        }
        let violations = gathered.finish().unwrap_err();
        assert_eq!(violations.as_slice().len(), VIOLATIONS_MAX);
        assert_eq!(violations.as_slice()[0].detail().len(), VALUE_LEN_MAX * 2);
    }

    #[test]
    fn several_violations_stand_in_brackets() {
        let mut gathered = Gathered::default();
        gathered.push(Violation::required("a"));
        gathered.push(Violation::duplicate("b", "c"));
        let said = gathered.finish().unwrap_err().to_string();
        assert_eq!(said, "[a: Required value, b: Duplicate value: \"c\"]");
    }
}
