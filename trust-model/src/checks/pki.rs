//! Authorities, leaves and bundles for the tests of checks.

use std::sync::Arc;

use pki_core::{ExtendedKeyUsage, LeafKind, Limits, NodeName};
use rcgen::{
    BasicConstraints, CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
    KeyUsagePurpose, PublicKeyData, SanType,
};
use rustls_pki_types::CertificateDer;
use time::OffsetDateTime;

use super::Check;
use super::testing::{Case, NOW, run};
use crate::fact::{Fact, Place};
use crate::model::{Bundle, Certificate, Leaf, Trust};

const DAY: i64 = 86_400;

pub(crate) fn read(der: CertificateDer<'static>, file: &str) -> Arc<Certificate> {
    Arc::new(Certificate::parse(der, Place::file(file), &Limits::DEFAULT).unwrap())
}

pub(crate) fn chain(certificates: Vec<Arc<Certificate>>) -> Fact<Leaf> {
    Fact::observed(Leaf::Chain(certificates), Place::file("leaf.crt"))
}

pub(crate) fn bundle_of(certificates: Vec<Arc<Certificate>>) -> Fact<Trust> {
    Fact::observed(Trust::Bundle(Bundle::new(certificates).into()), Place::file("ca.crt"))
}

pub(crate) fn bundle(authorities: &[&Ca]) -> Fact<Trust> {
    bundle_of(authorities.iter().map(|ca| ca.certificate()).collect())
}

/// What a check says is wrong, without what it misses.
pub(crate) fn findings(check: &Check, case: &Case) -> Vec<String> {
    run(check, case).into_iter().filter(|line| !line.starts_with("not evaluated")).collect()
}

fn params(common_name: &str, organizations: &[String], first: i64, last: i64) -> CertificateParams {
    let mut params = CertificateParams::default();
    params.distinguished_name = DistinguishedName::new();
    params.distinguished_name.push(DnType::CommonName, common_name);
    if let Some(organization) = organizations.first() {
        params.distinguished_name.push(DnType::OrganizationName, organization.as_str());
    }
    params.not_before = OffsetDateTime::from_unix_timestamp(first).unwrap();
    params.not_after = OffsetDateTime::from_unix_timestamp(last).unwrap();
    params.use_authority_key_identifier_extension = true;
    params
}

pub(crate) struct Ca {
    certificate: Arc<Certificate>,
    issuer: Issuer<'static, KeyPair>,
    first: i64,
    last: i64,
    names_its_key: bool,
}

impl Ca {
    /// Valid for ten years, of which one has passed.
    pub(crate) fn new(name: &str) -> Self {
        Self::between(name, NOW - 365 * DAY, NOW + 3_285 * DAY)
    }

    pub(crate) fn between(name: &str, first: i64, last: i64) -> Self {
        Self::with_key(name, first, last, KeyPair::generate().unwrap())
    }

    fn with_key(name: &str, first: i64, last: i64, key: KeyPair) -> Self {
        let params = Self::params(name, first, last);
        let certificate = read(params.self_signed(&key).unwrap().der().clone(), "ca.crt");
        Self { certificate, issuer: Issuer::new(params, key), first, last, names_its_key: true }
    }

    /// An authority whose leaves do not say which key it has.
    pub(crate) fn anonymous(name: &str) -> Self {
        Self { names_its_key: false, ..Self::new(name) }
    }

    fn params(name: &str, first: i64, last: i64) -> CertificateParams {
        let mut params = params(name, &[], first, last);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature, KeyUsagePurpose::KeyCertSign];
        params
    }

    /// The same key under another name.
    pub(crate) fn again(&self, name: &str) -> Self {
        let key = KeyPair::try_from(self.issuer.key().serialize_der());
        Self::with_key(name, self.first, self.last, key.unwrap())
    }

    /// An authority that this one vouches for.
    pub(crate) fn authority(&self, name: &str) -> Self {
        let params = Self::params(name, self.first, self.last);
        let key = KeyPair::generate().unwrap();
        let certificate = read(params.signed_by(&key, &self.issuer).unwrap().der().clone(), "ca.crt");
        let (first, last) = (self.first, self.last);
        Self { certificate, issuer: Issuer::new(params, key), first, last, names_its_key: true }
    }

    pub(crate) fn certificate(&self) -> Arc<Certificate> {
        Arc::clone(&self.certificate)
    }

    pub(crate) fn key(&self) -> &KeyPair {
        self.issuer.key()
    }

    pub(crate) fn issue(&self, draft: &Draft) -> Arc<Certificate> {
        self.issue_for(draft, &KeyPair::generate().unwrap())
    }

    pub(crate) fn issue_for(&self, draft: &Draft, key: &impl PublicKeyData) -> Arc<Certificate> {
        let mut params = params(&draft.common_name, &draft.organizations, draft.first, draft.last);
        params.subject_alt_names =
            draft.names.iter().map(|name| SanType::DnsName(name.as_str().try_into().unwrap())).collect();
        params.subject_alt_names.extend(draft.addresses.iter().map(|ip| SanType::IpAddress(ip.parse().unwrap())));
        let usage = |usage: &ExtendedKeyUsage| match usage {
            ExtendedKeyUsage::ServerAuth => ExtendedKeyUsagePurpose::ServerAuth,
            _ => ExtendedKeyUsagePurpose::ClientAuth,
        };
        params.extended_key_usages = draft.usages.iter().map(usage).collect();
        params.use_authority_key_identifier_extension = self.names_its_key;
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        read(params.signed_by(key, &self.issuer).unwrap().der().clone(), "leaf.crt")
    }
}

/// A leaf that is right until a test changes it.
#[derive(Clone)]
pub(crate) struct Draft {
    pub(crate) common_name: String,
    pub(crate) organizations: Vec<String>,
    pub(crate) names: Vec<String>,
    pub(crate) addresses: Vec<String>,
    pub(crate) usages: Vec<ExtendedKeyUsage>,
    pub(crate) first: i64,
    pub(crate) last: i64,
}

impl Draft {
    /// Of the node `node-1` where it is a node's; valid for a year, of which a tenth has passed.
    pub(crate) fn of(kind: LeafKind) -> Self {
        let node: NodeName = "node-1".parse().unwrap();
        let subject = kind.subject(None).or_else(|| kind.subject(Some(&node))).unwrap();
        let names: &[&str] = match kind {
            LeafKind::ApiServer => &["kubernetes.default.svc"],
            _ if kind.has_subject_alt_names() => &["node-1"],
            _ => &[],
        };
        Self {
            common_name: subject.common_name().to_owned(),
            organizations: subject.organizations().to_vec(),
            names: names.iter().map(|name| (*name).to_owned()).collect(),
            addresses: Vec::new(),
            usages: kind.extended_key_usage().to_vec(),
            first: NOW - 36 * DAY,
            last: NOW + 329 * DAY,
        }
    }
}
