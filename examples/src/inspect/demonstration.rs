//! A cluster to look at where none was given.

use std::sync::Arc;

use pki_core::pem::{CERTIFICATE, encode_pem};
use pki_core::{AuthorityRole, CaVersion, Hierarchy, LeafKind, Printable};
use signer_hsm::SoftwareKeyStore;
use time::{Date, Duration, Month, UtcDateTime};

use super::{InspectInputError, Inspection, Source};
use crate::AuthorityError;
use crate::authorities::{Anchors, Authorities, Holder};

pub(super) const HEADING: &str =
    "no FILE or DIR given: a demonstration, the certificates of a GDC user cluster that exists in memory only";

/// Certificates of a cluster that was born on 2026-01-01 and looked at half a year later, unless `at` says otherwise.
///
/// # Errors
/// When the certificates cannot be issued.
pub fn demonstrate(at: Option<UtcDateTime>) -> Result<Inspection, InspectInputError> {
    let born = Date::from_calendar_date(2026, Month::January, 1)
        .map_or(UtcDateTime::UNIX_EPOCH, |day| day.midnight().as_utc());
    let sources = sources(born).map_err(InspectInputError::Demonstration)?;
    let at = at.unwrap_or_else(|| born.saturating_add(Duration::days(182)));
    let mut inspection = Inspection::new(at);
    inspection.demonstration = true;
    sources.iter().for_each(|source| inspection.read(source, at));
    inspection.conclude(at);
    Ok(inspection)
}

fn sources(born: UtcDateTime) -> Result<Vec<Source>, AuthorityError> {
    let hierarchy = Hierarchy::gdc();
    let authorities =
        Authorities::new("demonstration".parse()?, hierarchy.clone(), Arc::new(SoftwareKeyStore::new()), born)?;
    let file = |path: String, der: &[u8]| Source {
        path: path.as_str().into(),
        content: Ok(encode_pem(CERTIFICATE, der).into_bytes()),
        mode: None,
    };
    // What lies beside a certificate says that its authority's key is here; no key is in it.
    let key = |path: String| Source {
        path: Printable::from(path.as_str()),
        content: Ok(encode_pem("PRIVATE KEY", &[]).into_bytes()),
        mode: None,
    };
    let mut sources = Vec::new();
    let versions = rotation_fsm::VersionRange::only(CaVersion::FIRST);
    for role in hierarchy.roles().iter().filter(|role| role.is_certificate_authority()) {
        let Anchors::Certificates(bundle) = authorities.anchors(*role, versions)? else { continue };
        for anchor in bundle.certificates() {
            sources.push(file(format!("pki/{}-ca.crt", role.id()), anchor.der()));
        }
        sources.push(key(format!("pki/{}-ca.key", role.id())));
    }
    for leaf in
        LeafKind::ALL.into_iter().filter(|leaf| hierarchy.issuer_of(*leaf) != Some(AuthorityRole::ServiceAccount))
    {
        let holder = holder(leaf)?;
        let held = authorities.enrol(leaf, CaVersion::FIRST, &holder, born)?;
        let chain = held.identity().map(|identity| identity.chain()).unwrap_or_default();
        sources.extend(chain.first().map(|der| file(format!("pki/{}.crt", leaf.id()), der)));
    }
    if let Some(bundle) = authorities.external_bundle()? {
        sources.extend(bundle.certificates().iter().map(|anchor| file("pki/org-ca.crt".to_owned(), anchor.der())));
    }
    let names = holder(LeafKind::ApiServer)?.names;
    if let Some(identity) = authorities.external_identity(names, born)? {
        sources.extend(identity.chain().first().map(|der| file("pki/sni.crt".to_owned(), der)));
    }
    Ok(sources)
}

fn holder(leaf: LeafKind) -> Result<Holder, AuthorityError> {
    let node = Some("node-1".parse()?).filter(|node| leaf.subject(Some(node)).is_some());
    let name = pki_core::SubjectAltName::dns("node-1.example.com")?;
    let names = if leaf.has_subject_alt_names() { vec![name] } else { Vec::new() };
    Ok(Holder { node, names })
}
