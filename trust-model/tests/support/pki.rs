//! Authorities and leaves, right and wrong ones, at a time that stands still.

use std::ops::Range;
use std::sync::Arc;

use pki_core::{ExtendedKeyUsage, LeafKind, Limits, NodeName, TrustBundle};
use rcgen::{
    BasicConstraints, CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
    KeyUsagePurpose, SanType,
};
use rustls_pki_types::CertificateDer;
use time::{Duration, OffsetDateTime, UtcDateTime};

/// The moment at which all tests happen: 2026-01-01.
pub(crate) const NOW: i64 = 1_767_225_600;
/// The node of every leaf that has one.
pub(crate) const NODE: &str = "node-1";
/// The name under which servers are dialled.
pub(crate) const SERVER: &str = "server.cluster.test";

pub(crate) fn day(offset: i64) -> UtcDateTime {
    UtcDateTime::from_unix_timestamp(NOW).unwrap() + Duration::days(offset)
}

fn params(common_name: &str, organizations: &[String], days: &Range<i64>) -> CertificateParams {
    let mut params = CertificateParams::default();
    params.distinguished_name = DistinguishedName::new();
    params.distinguished_name.push(DnType::CommonName, common_name);
    for (index, organization) in organizations.iter().enumerate() {
        // rcgen keeps one value per type, and holds the same identifier written out for another type.
        let organization_name =
            if index == 0 { DnType::OrganizationName } else { DnType::CustomDnType(vec![2, 5, 4, 10]) };
        params.distinguished_name.push(organization_name, organization.as_str());
    }
    params.not_before = OffsetDateTime::from(day(days.start));
    params.not_after = OffsetDateTime::from(day(days.end));
    params
}

pub(crate) struct Authority {
    certificate: CertificateDer<'static>,
    issuer: Issuer<'static, KeyPair>,
}

impl Authority {
    pub(crate) fn new(name: &str) -> Self {
        Self::valid(name, -100..100)
    }

    pub(crate) fn valid(name: &str, days: Range<i64>) -> Self {
        let mut params = params(name, &[], &days);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature, KeyUsagePurpose::KeyCertSign];
        let key = KeyPair::generate().unwrap();
        let certificate = params.self_signed(&key).unwrap().der().clone();
        Self { certificate, issuer: Issuer::new(params, key) }
    }

    pub(crate) fn certificate(&self) -> &CertificateDer<'static> {
        &self.certificate
    }

    /// An authority that this one vouches for.
    pub(crate) fn authority(&self, name: &str, key_usages: &[KeyUsagePurpose]) -> Self {
        let mut params = params(name, &[], &(-100..100));
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = key_usages.to_vec();
        let key = KeyPair::generate().unwrap();
        let certificate = params.signed_by(&key, &self.issuer).unwrap().der().clone();
        Self { certificate, issuer: Issuer::new(params, key) }
    }

    /// The certificate in which this one vouches for the name and key of another.
    pub(crate) fn vouch_for(
        &self,
        other: &Self,
        name: &str,
        key_usages: &[KeyUsagePurpose],
    ) -> CertificateDer<'static> {
        let mut params = params(name, &[], &(-100..100));
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = key_usages.to_vec();
        params.use_authority_key_identifier_extension = true;
        params.signed_by(other.issuer.key(), &self.issuer).unwrap().der().clone()
    }

    pub(crate) fn bundle(&self) -> Arc<TrustBundle> {
        bundle(&[self])
    }

    pub(crate) fn issue_for(&self, leaf: &Leaf, key: &KeyPair) -> CertificateDer<'static> {
        let mut params = params(&leaf.common_name, &leaf.organizations, &leaf.days);
        params.subject_alt_names =
            leaf.names.iter().map(|name| SanType::DnsName(name.as_str().try_into().unwrap())).collect();
        params.extended_key_usages = leaf
            .usages
            .iter()
            .map(|usage| match usage {
                ExtendedKeyUsage::ServerAuth => ExtendedKeyUsagePurpose::ServerAuth,
                _ => ExtendedKeyUsagePurpose::ClientAuth,
            })
            .collect();
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.use_authority_key_identifier_extension = leaf.names_key;
        params.signed_by(key, &self.issuer).unwrap().der().clone()
    }

    pub(crate) fn issue(&self, leaf: &Leaf) -> (CertificateDer<'static>, KeyPair) {
        let key = KeyPair::generate().unwrap();
        (self.issue_for(leaf, &key), key)
    }
}

pub(crate) fn bundle(authorities: &[&Authority]) -> Arc<TrustBundle> {
    let certificates = authorities.iter().map(|authority| authority.certificate.clone());
    Arc::new(TrustBundle::from_der(certificates, &Limits::DEFAULT).unwrap())
}

#[derive(Clone)]
pub(crate) struct Leaf {
    pub(crate) common_name: String,
    pub(crate) organizations: Vec<String>,
    pub(crate) names: Vec<String>,
    pub(crate) usages: Vec<ExtendedKeyUsage>,
    pub(crate) days: Range<i64>,
    /// Whether it says which key its issuer has.
    pub(crate) names_key: bool,
}

impl Leaf {
    /// A right leaf: what a cluster's authority would issue.
    pub(crate) fn of(kind: LeafKind) -> Self {
        let node: NodeName = NODE.parse().unwrap();
        let subject = kind.subject(None).or_else(|| kind.subject(Some(&node))).unwrap();
        let names: &[&str] = match kind {
            LeafKind::EtcdServer | LeafKind::EtcdPeer => &[NODE, SERVER],
            _ if kind.has_subject_alt_names() => &[SERVER],
            _ => &[],
        };
        Self {
            common_name: subject.common_name().to_owned(),
            organizations: subject.organizations().to_vec(),
            names: names.iter().map(|&name| name.to_owned()).collect(),
            usages: kind.extended_key_usage().to_vec(),
            days: -1..30,
            names_key: true,
        }
    }
}
