//! PKCS#11 URIs (RFC 7512): which token, and which object on it.

use core::error::Error;
use core::fmt;
use core::str::FromStr;

/// Names a token, or an object on it, as RFC 7512 writes it: `pkcs11:token=ca-1;serial=0a1b`.
///
/// Read strictly. Only what finds a token or an object is taken; how to log in and which module to load is not the
/// business of a name, so `pin-source`, `pin-value`, `module-path` and `module-name` are refused: the embedder gives both.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Pkcs11Uri {
    token: Option<String>,
    manufacturer: Option<String>,
    serial: Option<String>,
    model: Option<String>,
    slot_id: Option<u64>,
    object: Option<String>,
    id: Option<Vec<u8>>,
    object_type: Option<ObjectType>,
}

/// The class of object that a URI names (RFC 7512 2.3, `type`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ObjectType {
    /// A public key.
    Public,
    /// A private key.
    Private,
    /// A certificate.
    Certificate,
    /// A secret key.
    SecretKey,
    /// Data.
    Data,
}

impl ObjectType {
    const ALL: [Self; 5] = [Self::Public, Self::Private, Self::Certificate, Self::SecretKey, Self::Data];

    const fn id(self) -> &'static str {
        match self {
            Self::Public => "public",
            Self::Private => "private",
            Self::Certificate => "cert",
            Self::SecretKey => "secret-key",
            Self::Data => "data",
        }
    }
}

impl Pkcs11Uri {
    /// The most octets that a URI may have.
    pub const LEN_MAX: usize = 1024;

    /// The token of this label, and nothing else said of it.
    ///
    /// # Errors
    /// [`Pkcs11UriError::ValueTooLong`] if no token can have the label.
    pub fn token_label(label: &str) -> Result<Self, Pkcs11UriError> {
        bounded("token", label.len(), TOKEN_LEN_MAX)?;
        Ok(Self { token: Some(label.to_owned()), ..Self::default() })
    }

    /// The token's label.
    #[must_use]
    pub fn token(&self) -> Option<&str> {
        self.token.as_deref()
    }

    /// The token's manufacturer.
    #[must_use]
    pub fn manufacturer(&self) -> Option<&str> {
        self.manufacturer.as_deref()
    }

    /// The token's serial number.
    #[must_use]
    pub fn serial(&self) -> Option<&str> {
        self.serial.as_deref()
    }

    /// The token's model.
    #[must_use]
    pub fn model(&self) -> Option<&str> {
        self.model.as_deref()
    }

    /// The number of the slot. Many modules number anew at each start.
    #[must_use]
    pub const fn slot_id(&self) -> Option<u64> {
        self.slot_id
    }

    /// The object's label, `CKA_LABEL`.
    #[must_use]
    pub fn object(&self) -> Option<&str> {
        self.object.as_deref()
    }

    /// The object's `CKA_ID`.
    #[must_use]
    pub fn id(&self) -> Option<&[u8]> {
        self.id.as_deref()
    }

    /// The object's class.
    #[must_use]
    pub const fn object_type(&self) -> Option<ObjectType> {
        self.object_type
    }

    /// Whether an object is named, and not a token alone.
    #[must_use]
    pub const fn names_object(&self) -> bool {
        self.object.is_some() || self.id.is_some() || self.object_type.is_some()
    }

    fn take(&mut self, name: &'static str, octets: Vec<u8>) -> Result<(), Pkcs11UriError> {
        match name {
            "token" => put(&mut self.token, name, text(name, octets, TOKEN_LEN_MAX)?),
            "manufacturer" => put(&mut self.manufacturer, name, text(name, octets, TOKEN_LEN_MAX)?),
            "serial" => put(&mut self.serial, name, text(name, octets, SERIAL_LEN_MAX)?),
            "model" => put(&mut self.model, name, text(name, octets, SERIAL_LEN_MAX)?),
            "object" => put(&mut self.object, name, text(name, octets, OBJECT_LEN_MAX)?),
            "id" => {
                bounded(name, octets.len(), OBJECT_LEN_MAX)?;
                put(&mut self.id, name, octets)
            }
            "slot-id" => put(&mut self.slot_id, name, number(&octets).ok_or(Pkcs11UriError::SlotId)?),
            _ => {
                let found = ObjectType::ALL.into_iter().find(|kind| kind.id().as_bytes() == octets);
                put(&mut self.object_type, name, found.ok_or(Pkcs11UriError::ObjectType)?)
            }
        }
    }
}

/// What a `CK_TOKEN_INFO` has room for.
const TOKEN_LEN_MAX: usize = 32;
const SERIAL_LEN_MAX: usize = 16;
const OBJECT_LEN_MAX: usize = 256;

const PATH_ATTRIBUTES: [&str; 8] = ["token", "manufacturer", "serial", "model", "slot-id", "object", "id", "type"];
const QUERY_ATTRIBUTES: [&str; 4] = ["pin-source", "pin-value", "module-name", "module-path"];

impl FromStr for Pkcs11Uri {
    type Err = Pkcs11UriError;

    fn from_str(uri: &str) -> Result<Self, Self::Err> {
        const SCHEME: &str = "pkcs11:";

        if uri.len() > Self::LEN_MAX {
            return Err(Pkcs11UriError::TooLong { found: uri.len() });
        }
        let (scheme, rest) = uri.split_at_checked(SCHEME.len()).ok_or(Pkcs11UriError::Scheme)?;
        if !scheme.eq_ignore_ascii_case(SCHEME) {
            return Err(Pkcs11UriError::Scheme);
        }
        let (path, query) = match rest.split_once('?') {
            Some((path, query)) => (path, Some(query)),
            None => (rest, None),
        };
        if let Some(query) = query {
            return Err(refuse_query(query));
        }
        let mut parsed = Self::default();
        if path.is_empty() {
            return Ok(parsed);
        }
        for attribute in path.split(';') {
            let (name, value) = attribute.split_once('=').ok_or(Pkcs11UriError::NotAnAttribute)?;
            match PATH_ATTRIBUTES.into_iter().find(|known| *known == name) {
                Some(known) => parsed.take(known, percent_decoded(value)?)?,
                None if QUERY_ATTRIBUTES.contains(&name) => return Err(refuse_query(attribute)),
                None => return Err(Pkcs11UriError::UnknownAttribute),
            }
        }
        Ok(parsed)
    }
}

/// Nothing that may stand in the query finds a token.
fn refuse_query(query: &str) -> Pkcs11UriError {
    let name = query.split(['=', '&']).next().unwrap_or_default();
    match name {
        "pin-source" | "pin-value" => Pkcs11UriError::PinRefused,
        "module-name" | "module-path" => Pkcs11UriError::ModuleRefused,
        _ => Pkcs11UriError::UnknownAttribute,
    }
}

fn put<T>(place: &mut Option<T>, name: &'static str, value: T) -> Result<(), Pkcs11UriError> {
    match place.replace(value) {
        None => Ok(()),
        Some(_) => Err(Pkcs11UriError::Repeated { attribute: name }),
    }
}

const fn bounded(attribute: &'static str, found: usize, limit: usize) -> Result<(), Pkcs11UriError> {
    if found > limit { Err(Pkcs11UriError::ValueTooLong { attribute, limit, found }) } else { Ok(()) }
}

fn text(attribute: &'static str, octets: Vec<u8>, limit: usize) -> Result<String, Pkcs11UriError> {
    bounded(attribute, octets.len(), limit)?;
    String::from_utf8(octets).map_err(|_invalid| Pkcs11UriError::NotUtf8 { attribute })
}

/// Decimal digits only: `u64::from_str` would take a sign.
fn number(octets: &[u8]) -> Option<u64> {
    let digits = core::str::from_utf8(octets).ok()?;
    digits.bytes().all(|octet| octet.is_ascii_digit()).then(|| digits.parse().ok())?
}

/// Decodes the value of a path attribute: `pk11-pchar` of RFC 7512 2.3 and no other character.
fn percent_decoded(value: &str) -> Result<Vec<u8>, Pkcs11UriError> {
    let mut decoded = Vec::with_capacity(value.len());
    let mut octets = value.bytes();
    while let Some(octet) = octets.next() {
        match octet {
            b'%' => {
                let pair = octets.next().zip(octets.next());
                let octet = pair.and_then(|(high, low)| Some((nibble(high)? << 4) | nibble(low)?));
                decoded.push(octet.ok_or(Pkcs11UriError::PercentEncoding)?);
            }
            _ if is_plain(octet) => decoded.push(octet),
            _ => return Err(Pkcs11UriError::Character { found: octet }),
        }
    }
    Ok(decoded)
}

const fn is_plain(octet: u8) -> bool {
    octet.is_ascii_alphanumeric()
        || matches!(
            octet,
            b'-' | b'.' | b'_' | b'~' // unreserved
                | b':' | b'[' | b']' | b'@' | b'!' | b'$' | b'\'' | b'(' | b')' | b'*' | b'+' | b',' | b'=' | b'&'
        )
}

const fn nibble(digit: u8) -> Option<u8> {
    match digit {
        b'0'..=b'9' => Some(digit - b'0'),
        b'a'..=b'f' => Some(digit - b'a' + 10),
        b'A'..=b'F' => Some(digit - b'A' + 10),
        _ => None,
    }
}

impl fmt::Display for Pkcs11Uri {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("pkcs11:")?;
        let slot_id = self.slot_id.map(|slot| slot.to_string());
        let attributes = [
            ("token", self.token.as_deref().map(str::as_bytes)),
            ("manufacturer", self.manufacturer.as_deref().map(str::as_bytes)),
            ("serial", self.serial.as_deref().map(str::as_bytes)),
            ("model", self.model.as_deref().map(str::as_bytes)),
            ("slot-id", slot_id.as_deref().map(str::as_bytes)),
            ("object", self.object.as_deref().map(str::as_bytes)),
            ("id", self.id.as_deref()),
            ("type", self.object_type.map(|kind| kind.id().as_bytes())),
        ];
        let given = attributes.into_iter().filter_map(|(name, value)| Some((name, value?)));
        for (index, (name, value)) in given.enumerate() {
            if index > 0 {
                f.write_str(";")?;
            }
            write!(f, "{name}=")?;
            for octet in value {
                if octet.is_ascii_alphanumeric() || matches!(octet, b'-' | b'.' | b'_' | b'~') {
                    write!(f, "{}", char::from(*octet))?;
                } else {
                    write!(f, "%{octet:02X}")?;
                }
            }
        }
        Ok(())
    }
}

/// Why a text is no [`Pkcs11Uri`]. It quotes nothing of the text but single characters, for a PIN may stand in it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Pkcs11UriError {
    /// It is longer than [`Pkcs11Uri::LEN_MAX`].
    TooLong {
        /// Its length in octets.
        found: usize,
    },
    /// It does not begin with `pkcs11:`.
    Scheme,
    /// A part between two semicolons has no `=`.
    NotAnAttribute,
    /// An attribute that does not find a token or an object, or a vendor's own.
    UnknownAttribute,
    /// An attribute stands there twice.
    Repeated {
        /// Its name.
        attribute: &'static str,
    },
    /// `%` is not followed by two hexadecimal digits.
    PercentEncoding,
    /// A character that must be percent-encoded.
    Character {
        /// Its first octet.
        found: u8,
    },
    /// A value is not UTF-8.
    NotUtf8 {
        /// The attribute's name.
        attribute: &'static str,
    },
    /// A value is longer than PKCS#11 has room for.
    ValueTooLong {
        /// The attribute's name.
        attribute: &'static str,
        /// The most octets that it may have.
        limit: usize,
        /// How many it has.
        found: usize,
    },
    /// The slot is not a decimal number of 64 bits.
    SlotId,
    /// The type is not one of RFC 7512.
    ObjectType,
    /// It says where the PIN is, or the PIN itself.
    PinRefused,
    /// It names the module.
    ModuleRefused,
}

impl fmt::Display for Pkcs11UriError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::TooLong { found } => {
                write!(f, "PKCS#11 URI has a limit of {} octets, found {found}", Pkcs11Uri::LEN_MAX)
            }
            Self::Scheme => f.write_str("PKCS#11 URI must begin with `pkcs11:`"),
            Self::NotAnAttribute => f.write_str("PKCS#11 URI must hold `name=value` between semicolons"),
            Self::UnknownAttribute => {
                f.write_str("PKCS#11 URI has an unknown attribute, expected only ")?;
                f.write_str(&PATH_ATTRIBUTES.map(|name| format!("`{name}`")).join(", "))
            }
            Self::Repeated { attribute } => write!(f, "PKCS#11 URI has the attribute `{attribute}` twice"),
            Self::PercentEncoding => f.write_str("PKCS#11 URI has a `%` without two hexadecimal digits after it"),
            Self::Character { found } => {
                write!(f, "PKCS#11 URI has a character that must be percent-encoded, found octet `{found:#04x}`")
            }
            Self::NotUtf8 { attribute } => write!(f, "PKCS#11 URI attribute `{attribute}` is not UTF-8"),
            Self::ValueTooLong { attribute, limit, found } => {
                write!(f, "PKCS#11 URI attribute `{attribute}` has a limit of {limit} octets, found {found}")
            }
            Self::SlotId => f.write_str("PKCS#11 URI attribute `slot-id` must be a decimal number of 64 bits"),
            Self::ObjectType => {
                f.write_str("PKCS#11 URI attribute `type` must be `public`, `private`, `cert`, `secret-key` or `data`")
            }
            Self::PinRefused => f.write_str("PKCS#11 URI must not hold a PIN or where it is: the PIN is an argument"),
            Self::ModuleRefused => f.write_str("PKCS#11 URI must not name the module: its path is an argument"),
        }
    }
}

impl Error for Pkcs11UriError {}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(uri: &str) -> Pkcs11UriError {
        uri.parse::<Pkcs11Uri>().unwrap_err()
    }

    #[test]
    fn every_attribute_is_read_and_written() {
        let text = "pkcs11:token=CA%20one;manufacturer=SoftHSM%20project;serial=0a1b;model=v2;slot-id=18446744073709551615;\
                    object=prod-1%2Fcluster%2F1;id=%00%FF;type=private";
        let uri: Pkcs11Uri = text.parse().unwrap();
        assert_eq!(uri.token(), Some("CA one"));
        assert_eq!(uri.manufacturer(), Some("SoftHSM project"));
        assert_eq!(uri.serial(), Some("0a1b"));
        assert_eq!(uri.model(), Some("v2"));
        assert_eq!(uri.slot_id(), Some(u64::MAX));
        assert_eq!(uri.object(), Some("prod-1/cluster/1"));
        assert_eq!(uri.id(), Some([0, 0xff].as_slice()));
        assert_eq!(uri.object_type(), Some(ObjectType::Private));
        assert!(uri.names_object());
        assert_eq!(uri.to_string(), text);
        assert_eq!("PKCS11:".parse(), Ok(Pkcs11Uri::default()));
        assert_eq!("pkcs11:token=a:[]@!$'()*+,=&".parse::<Pkcs11Uri>().unwrap().token(), Some("a:[]@!$'()*+,=&"));
    }

    #[test]
    fn what_was_written_is_read_the_same() {
        for token in ["", " ", "%", ";=?", "\u{e9}\u{0}", "plain"] {
            let uri = Pkcs11Uri::token_label(token).unwrap();
            assert_eq!(uri.to_string().parse(), Ok(uri));
        }
    }

    #[test]
    fn everything_else_is_refused_by_name() {
        let long = format!("pkcs11:token={}", "a".repeat(Pkcs11Uri::LEN_MAX));
        for (uri, error) in [
            ("", Pkcs11UriError::Scheme),
            ("pkcs11", Pkcs11UriError::Scheme),
            ("http:token=a", Pkcs11UriError::Scheme),
            ("\u{e9}\u{e9}\u{e9}\u{e9}", Pkcs11UriError::Scheme),
            (&long, Pkcs11UriError::TooLong { found: long.len() }),
            ("pkcs11:token", Pkcs11UriError::NotAnAttribute),
            ("pkcs11:token=a;", Pkcs11UriError::NotAnAttribute),
            ("pkcs11:;token=a", Pkcs11UriError::NotAnAttribute),
            ("pkcs11:Token=a", Pkcs11UriError::UnknownAttribute),
            ("pkcs11:x-vendor=a", Pkcs11UriError::UnknownAttribute),
            ("pkcs11:token=a?x=y", Pkcs11UriError::UnknownAttribute),
            ("pkcs11:token=a?", Pkcs11UriError::UnknownAttribute),
            ("pkcs11:token=a;token=a", Pkcs11UriError::Repeated { attribute: "token" }),
            ("pkcs11:id=;id=", Pkcs11UriError::Repeated { attribute: "id" }),
            ("pkcs11:token=%", Pkcs11UriError::PercentEncoding),
            ("pkcs11:token=%2", Pkcs11UriError::PercentEncoding),
            ("pkcs11:token=%+1", Pkcs11UriError::PercentEncoding),
            ("pkcs11:token=a b", Pkcs11UriError::Character { found: b' ' }),
            ("pkcs11:token=a/b", Pkcs11UriError::Character { found: b'/' }),
            ("pkcs11:token=a#b", Pkcs11UriError::Character { found: b'#' }),
            ("pkcs11:token=\u{e9}", Pkcs11UriError::Character { found: 0xc3 }),
            ("pkcs11:token=%FF", Pkcs11UriError::NotUtf8 { attribute: "token" }),
            ("pkcs11:slot-id=-1", Pkcs11UriError::SlotId),
            ("pkcs11:slot-id=%2B1", Pkcs11UriError::SlotId),
            ("pkcs11:slot-id=", Pkcs11UriError::SlotId),
            ("pkcs11:slot-id=18446744073709551616", Pkcs11UriError::SlotId),
            ("pkcs11:type=key", Pkcs11UriError::ObjectType),
            ("pkcs11:token=a?pin-source=file:/etc/pin", Pkcs11UriError::PinRefused),
            ("pkcs11:token=a?pin-value=1234", Pkcs11UriError::PinRefused),
            ("pkcs11:pin-value=1234", Pkcs11UriError::PinRefused),
            ("pkcs11:token=a?module-path=/lib/x.so", Pkcs11UriError::ModuleRefused),
            ("pkcs11:token=a?module-name=x", Pkcs11UriError::ModuleRefused),
        ] {
            assert_eq!(refused(uri), error, "{uri}");
        }
        let serial = format!("pkcs11:serial={}", "1".repeat(17));
        assert_eq!(refused(&serial), Pkcs11UriError::ValueTooLong { attribute: "serial", limit: 16, found: 17 });
        assert!(Pkcs11Uri::token_label(&"a".repeat(33)).is_err());
    }

    #[test]
    fn an_error_never_quotes_a_pin() {
        assert!(!refused("pkcs11:token=a?pin-value=98765").to_string().contains("98765"));
    }
}
