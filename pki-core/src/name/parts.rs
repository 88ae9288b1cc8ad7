//! A subject before it is one: in the parts from which a profile and a node's name make it.

use core::{iter, mem};

use super::encoded::{Attributes, Kind};
use super::{NodeName, Subject, SubjectRef};
use crate::certificate::oids;
use crate::decode::DecodeError;
use crate::encode::{self, tag};

/// A subject that was decided on. What makes it up is shared, so that it costs nothing to keep.
#[derive(Clone, Debug)]
pub(crate) enum DecidedSubject {
    /// Of a profile that belongs to nobody in particular.
    Fixed { common_name: &'static str, groups: &'static [&'static str] },
    /// Of a node, behind a prefix.
    Node { prefix: &'static str, node: NodeName, groups: &'static [&'static str] },
    /// As somebody else has decided.
    Granted(Subject),
}

impl DecidedSubject {
    pub(crate) fn parts(&self) -> SubjectParts<'_> {
        match self {
            Self::Fixed { common_name, groups } => {
                SubjectParts { prefix: "", name: common_name, fixed: groups, own: &[] }
            }
            Self::Node { prefix, node, groups } => {
                SubjectParts { prefix, name: node.as_str(), fixed: groups, own: &[] }
            }
            Self::Granted(subject) => subject.into(),
        }
    }
}

/// A subject as it is to be, wherever its texts lie.
#[derive(Clone, Copy, Debug)]
pub(crate) struct SubjectParts<'a> {
    /// Two halves of the common name.
    prefix: &'static str,
    name: &'a str,
    /// The groups: those of a profile, then those of a subject. One of them is empty.
    fixed: &'static [&'static str],
    own: &'a [String],
}

impl<'a> SubjectParts<'a> {
    fn organizations(&self) -> impl Iterator<Item = &'a str> {
        self.fixed.iter().copied().chain(self.own.iter().map(String::as_str))
    }

    /// Whether that is what was read.
    pub(crate) fn is(&self, read: SubjectRef<'_>) -> bool {
        self.is_named(read.common_name().as_bytes())
            && read.organization_octets().eq(self.organizations().map(str::as_bytes))
    }

    fn is_named(&self, common_name: &[u8]) -> bool {
        common_name.strip_prefix(self.prefix.as_bytes()) == Some(self.name.as_bytes())
    }

    /// Whether a `Name` says that and nothing else, each text a UTF8String in a relative distinguished name of its own.
    ///
    /// What the texts say was judged when they were decided on.
    pub(crate) fn are_in(&self, name: &[u8]) -> bool {
        self.read_in(name).unwrap_or(false)
    }

    fn read_in(&self, name: &[u8]) -> Result<bool, DecodeError> {
        let mut attributes = Attributes::of(name)?;
        let (mut organizations, mut is_named) = (self.organizations(), false);
        while let Some(attribute) = attributes.next()? {
            let is_expected = match attribute.kind {
                Kind::CommonName => !mem::replace(&mut is_named, true) && self.is_named(attribute.value),
                Kind::Organization => organizations.next().map(str::as_bytes) == Some(attribute.value),
                Kind::Other => false,
            };
            if !is_expected || !attribute.is_alone() || attribute.string != der::Tag::Utf8String {
                return Ok(false);
            }
        }
        Ok(is_named && organizations.next().is_none())
    }

    pub(crate) fn to_subject(self) -> Subject {
        let organizations = self.organizations().map(str::to_owned).collect();
        Subject { common_name: [self.prefix, self.name].concat(), organizations }
    }

    /// Each relative distinguished name, of one UTF8String: each O, then the CN.
    fn attributes(&self) -> impl Iterator<Item = (&'static [u8], [&'a str; 2])> {
        const COMMON_NAME: &[u8] = oids::COMMON_NAME.as_bytes();
        const ORGANIZATION_NAME: &[u8] = oids::ORGANIZATION_NAME.as_bytes();
        let organizations = self.organizations().map(|group| (ORGANIZATION_NAME, [group, ""]));
        organizations.chain(iter::once((COMMON_NAME, [self.prefix, self.name])))
    }

    fn content_len(&self) -> usize {
        let attributes = self.attributes();
        attributes.map(|(oid, value)| encode::element_len(encode::element_len(attribute_len(oid, value)))).sum()
    }

    /// The octets of the whole `Name`.
    pub(crate) fn encoded_len(&self) -> usize {
        encode::element_len(self.content_len())
    }

    pub(crate) fn push(&self, out: &mut Vec<u8>) {
        encode::push_header(out, tag::SEQUENCE, self.content_len());
        for (oid, value) in self.attributes() {
            let attribute = attribute_len(oid, value);
            encode::push_header(out, tag::SET, encode::element_len(attribute));
            encode::push_header(out, tag::SEQUENCE, attribute);
            encode::push_element(out, tag::OBJECT_IDENTIFIER, oid);
            encode::push_header(out, tag::UTF8_STRING, value.map(str::len).iter().sum());
            value.iter().for_each(|part| out.extend_from_slice(part.as_bytes()));
        }
    }
}

/// What stands in an `AttributeTypeAndValue`.
fn attribute_len(oid: &[u8], value: [&str; 2]) -> usize {
    encode::element_len(oid.len()) + encode::element_len(value.map(str::len).iter().sum())
}

impl<'a> From<&'a Subject> for SubjectParts<'a> {
    fn from(subject: &'a Subject) -> Self {
        Self { prefix: "", name: subject.common_name(), fixed: &[], own: subject.organizations() }
    }
}
