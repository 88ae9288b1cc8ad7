//! Text of strangers, made harmless for terminals and logs.

use core::fmt;

/// Text in which every octet is printable ASCII.
///
/// Any other octet stands as a backslash and two upper-case hexadecimal digits, and a backslash as two: the escapes of
/// RFC 4514 2.4, which can be undone. So no control sequence, line end or change of writing direction from a certificate
/// or a file name reaches a terminal, and no letter looks like another.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[cfg_attr(feature = "serde", serde(transparent))]
pub struct Printable(String);

impl Printable {
    /// These octets, escaped.
    #[must_use]
    pub fn new(octets: &[u8]) -> Self {
        let mut text = Self::default();
        octets.iter().for_each(|octet| text.push(*octet, b""));
        text
    }

    /// Adds one octet, with a backslash before those that are `special` where it comes to stand.
    pub(crate) fn push(&mut self, octet: u8, special: &[u8]) {
        const DIGITS: [char; 16] = ['0', '1', '2', '3', '4', '5', '6', '7', '8', '9', 'A', 'B', 'C', 'D', 'E', 'F'];
        let digit = |value: u8| DIGITS.get(usize::from(value)).copied().unwrap_or_default();
        match octet {
            b'\\' => self.0.push_str("\\\\"),
            b' '..=b'~' if special.contains(&octet) => self.0.extend(['\\', char::from(octet)]),
            b' '..=b'~' => self.0.push(char::from(octet)),
            _ => self.0.extend(['\\', digit(octet >> 4), digit(octet & 0xf)]),
        }
    }

    /// Adds text of this crate, as it is.
    #[cfg(feature = "inspect")]
    pub(crate) fn push_fixed(&mut self, text: &'static str) {
        self.0.push_str(text);
    }

    /// The text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl From<&str> for Printable {
    fn from(text: &str) -> Self {
        Self::new(text.as_bytes())
    }
}

impl fmt::Display for Printable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_but_printable_ascii_comes_through() {
        for (text, expected) in [
            ("node-1.example.com", "node-1.example.com"),
            ("a\u{1b}[31mb\n", "a\\1B[31mb\\0A"),
            ("\u{202e}gpj", "\\E2\\80\\AEgpj"),
            ("C:\\x", "C:\\\\x"),
            ("\u{7f}\u{9b}", "\\7F\\C2\\9B"),
        ] {
            assert_eq!(Printable::from(text).as_str(), expected);
        }
        let all: Vec<u8> = (0..=u8::MAX).collect();
        assert!(Printable::new(&all).as_str().bytes().all(|octet| (b' '..=b'~').contains(&octet)));
    }
}
