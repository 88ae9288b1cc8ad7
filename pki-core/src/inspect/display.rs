//! The views as a person reads them: one fact a line, in columns.

use core::fmt;

use super::{BundleView, CertificateView, Content, ExtensionsView, KeyView, Possession, Remark, RequestView};
use crate::calendar::rfc3339;

/// A line of the text: what, and the fact in the second column.
fn line(f: &mut fmt::Formatter<'_>, what: &str, fact: impl fmt::Display) -> fmt::Result {
    writeln!(f, "{:<22}{fact}", format!("{what}:"))
}

fn optional(f: &mut fmt::Formatter<'_>, what: &str, fact: Option<impl fmt::Display>) -> fmt::Result {
    fact.map_or(Ok(()), |fact| line(f, what, fact))
}

impl fmt::Display for CertificateView {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        line(f, "version", self.version)?;
        line(f, "serial number", &self.serial_number)?;
        line(f, "subject", &self.subject.text)?;
        line(
            f,
            "issuer",
            format_args!("{}{}", self.issuer.text, if self.self_issued { " (self-issued)" } else { "" }),
        )?;
        line(f, "not before", rfc3339(self.not_before))?;
        line(f, "not after", rfc3339(self.not_after))?;
        line(f, "public key", &self.public_key)?;
        line(f, "signature algorithm", &self.signature_algorithm)?;
        self.extensions.fmt(f)?;
        line(f, "sha256", self.fingerprint)?;
        looks_like(f, &self.looks_like)?;
        remarks(f, &self.remarks)
    }
}

impl fmt::Display for RequestView {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        line(f, "subject", &self.subject.text)?;
        line(f, "public key", &self.public_key)?;
        line(f, "signature algorithm", &self.signature_algorithm)?;
        self.extensions.fmt(f)?;
        self.other_attributes.iter().try_for_each(|oid| line(f, "attribute", oid))?;
        line(
            f,
            "possession of the key",
            match self.possession {
                Possession::Proven => "proven",
                Possession::Refuted => "refuted",
                Possession::NotChecked => "not checked",
            },
        )?;
        looks_like(f, &self.looks_like)?;
        remarks(f, &self.remarks)
    }
}

impl fmt::Display for KeyView {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.algorithm)?;
        if let Some(curve) = &self.curve {
            write!(f, " {curve}")?;
        }
        self.bits.map_or(Ok(()), |bits| write!(f, ", {bits} bits"))
    }
}

impl fmt::Display for ExtensionsView {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        optional(f, "key usage", self.key_usage.as_ref().map(|usages| usages.join(", ")))?;
        optional(f, "extended key usage", self.extended_key_usage.as_ref().map(|usages| usages.join(", ")))?;
        if let Some(names) = &self.subject_alt_names {
            for (kind, names) in names.by_kind() {
                names.iter().try_for_each(|name| line(f, "alternative name", format_args!("{kind}:{name}")))?;
            }
        }
        if let Some(constraints) = self.basic_constraints {
            let path_len = constraints.path_len.map(|len| format!(", path length {len}")).unwrap_or_default();
            line(f, "basic constraints", format_args!("{}{path_len}", if constraints.ca { "CA" } else { "no CA" }))?;
        }
        optional(f, "subject key id", self.subject_key_id.as_ref())?;
        optional(f, "authority key id", self.authority_key_id.as_ref())?;
        for other in &self.other_extensions {
            let critical = if other.critical { " (critical)" } else { "" };
            line(f, "extension", format_args!("{}{critical}", other.name.unwrap_or(&other.oid)))?;
        }
        Ok(())
    }
}

impl fmt::Display for BundleView {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, block) in self.blocks.iter().enumerate() {
            if index > 0 {
                writeln!(f)?;
            }
            match block.block {
                0 => writeln!(f, "{}, DER", block.label)?,
                number => writeln!(f, "{}, block {number}, line {}", block.label, block.line)?,
            }
            if let Some(first) = block.duplicate_of {
                writeln!(f, "the same certificate as block {first}")?;
                continue;
            }
            match &block.content {
                Content::Certificate(view) => view.fmt(f)?,
                Content::Request(view) => view.fmt(f)?,
                Content::PrivateKey => writeln!(f, "a private key, not decoded")?,
                Content::Other => writeln!(f, "not decoded")?,
                Content::Unreadable(error) => writeln!(f, "not readable: {error}")?,
            }
        }
        match &self.hash {
            Some(hash) => {
                let anchors = self.blocks.iter().filter(|block| block.duplicate_of.is_none()).count();
                writeln!(f, "\nbundle of {anchors} {}, {hash}", if anchors == 1 { "anchor" } else { "anchors" })
            }
            None => Ok(()),
        }
    }
}

fn looks_like(f: &mut fmt::Formatter<'_>, kinds: &[crate::LeafKind]) -> fmt::Result {
    let ids: Vec<_> = kinds.iter().map(|kind| kind.id()).collect();
    optional(f, "looks like", Some(ids.join(" or ")).filter(|ids| !ids.is_empty()))
}

fn remarks(f: &mut fmt::Formatter<'_>, remarks: &[Remark]) -> fmt::Result {
    remarks.iter().try_for_each(|remark| match remark.severity() {
        super::Severity::Fault => line(f, "fault", remark),
        super::Severity::Notice => line(f, "notice", remark),
    })
}
