//! Attempts at getting a private key out of its token, to show that there is no way.

use cryptoki::error::Error as Raw;
use cryptoki::mechanism::{Mechanism, MechanismType};
use cryptoki::object::{Attribute, AttributeType, ObjectHandle};
use cryptoki::session::Session;
use cryptoki::types::Ulong;
use zeroize::Zeroize;

use super::sessions::Connection;

/// What three ways of getting a private key out of its token came to. No octet of a key is kept.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct ExportProbe {
    /// Reading the secret attributes, such as `CKA_VALUE`.
    pub read: ExportAttempt,
    /// `C_WrapKey` under an AES key that was made for it.
    pub wrap: ExportAttempt,
    /// `C_CopyObject` with `CKA_EXTRACTABLE` and without `CKA_SENSITIVE`, and reading the copy.
    pub copy: ExportAttempt,
}

impl ExportProbe {
    /// Whether each of them was tried and gave nothing out.
    #[must_use]
    pub const fn yields_nothing(&self) -> bool {
        matches!(
            (&self.read, &self.wrap, &self.copy),
            (ExportAttempt::Refused(_), ExportAttempt::Refused(_), ExportAttempt::Refused(_))
        )
    }
}

/// The outcome of one attempt.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ExportAttempt {
    /// The token gave out this many octets.
    Yielded(usize),
    /// The token gave out nothing, for this reason.
    Refused(String),
    /// Nothing was asked of the token, for this reason. It says nothing of the key.
    NotTried(String),
}

impl ExportAttempt {
    fn of(outcome: Result<usize, Raw>) -> Self {
        match outcome {
            Ok(0) => Self::Refused("nothing was given out".to_owned()),
            Ok(octets) => Self::Yielded(octets),
            Err(error) => Self::Refused(error.to_string()),
        }
    }
}

pub(super) fn export(connection: &Connection, key: ObjectHandle) -> ExportProbe {
    let session = connection.session();
    ExportProbe {
        read: ExportAttempt::of(read(session, key)),
        wrap: wrap(session, connection.mechanisms(), key),
        copy: ExportAttempt::of(copy(session, key)),
    }
}

/// The octets of the secret attributes that can be read. A token that refuses gives empty ones, or none.
fn read(session: &Session, key: ObjectHandle) -> Result<usize, Raw> {
    const SECRET: [AttributeType; 4] =
        [AttributeType::Value, AttributeType::PrivateExponent, AttributeType::Prime1, AttributeType::Prime2];

    let mut octets: usize = 0;
    for kind in SECRET {
        for attribute in session.get_attributes(key, &[kind])? {
            if let Attribute::Value(mut value)
            | Attribute::PrivateExponent(mut value)
            | Attribute::Prime1(mut value)
            | Attribute::Prime2(mut value) = attribute
            {
                octets = octets.saturating_add(value.len());
                value.zeroize();
            }
        }
    }
    Ok(octets)
}

fn wrap(session: &Session, offered: &[MechanismType], key: ObjectHandle) -> ExportAttempt {
    let Some(mechanism) = [Mechanism::AesKeyWrapPad, Mechanism::AesKeyWrap]
        .into_iter()
        .find(|mechanism| offered.contains(&mechanism.mechanism_type()))
    else {
        return ExportAttempt::NotTried("the token offers no AES key wrap".to_owned());
    };
    let template = [
        Attribute::Token(false),
        Attribute::Sensitive(true),
        Attribute::Extractable(false),
        Attribute::Wrap(true),
        Attribute::ValueLen(Ulong::new(32)),
    ];
    let wrapping = match session.generate_key(&Mechanism::AesKeyGen, &template) {
        Ok(wrapping) => wrapping,
        Err(error) => return ExportAttempt::NotTried(format!("no key to wrap with: {error}")),
    };
    let outcome = session.wrap_key(&mechanism, wrapping, key).map(|wrapped| wrapped.len());
    // A session object: it is gone with the session at the latest.
    let _gone = session.destroy_object(wrapping);
    ExportAttempt::of(outcome)
}

fn copy(session: &Session, key: ObjectHandle) -> Result<usize, Raw> {
    let template = [Attribute::Token(false), Attribute::Sensitive(false), Attribute::Extractable(true)];
    let copy = session.copy_object(key, &template)?;
    let octets = read(session, copy);
    // A session object, as above.
    let _gone = session.destroy_object(copy);
    octets
}
