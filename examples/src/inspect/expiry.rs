//! The expiry table of a tree: who is whose issuer, and who renews what.

use std::collections::{BTreeMap, BTreeSet};

use pki_core::expiry::{AuthorityRow, CertificateRow, ExpiryTable, Renewal};
use pki_core::inspect::{CertificateView, Content, IssuerIndex};
use time::UtcDateTime;

use super::{EntryKind, InspectedFile};

/// A certificate, under the name that kubeadm would give it.
struct Named<'a> {
    name: String,
    view: &'a CertificateView,
    /// Whether the private key lies beside it, or in the same file.
    has_key: bool,
    /// Whether it stands in a kubeconfig.
    is_embedded: bool,
}

/// `pki/etcd/server.crt` is `etcd-server`; of a file with several certificates the others are numbered.
fn name_of(path: &str, number: usize) -> String {
    let path = path.strip_prefix("pki/").unwrap_or(path);
    let stem = path.rsplit_once('.').map_or(path, |(stem, extension)| match extension {
        "crt" | "pem" | "cer" | "der" => stem,
        _ => path,
    });
    let name = stem.replace('/', "-");
    if number > 1 { format!("{name} #{number}") } else { name }
}

fn stem(path: &str) -> &str {
    path.rsplit_once('.').map_or(path, |(stem, _)| stem)
}

fn named(files: &[InspectedFile]) -> Vec<Named<'_>> {
    let with_key: BTreeSet<_> =
        files.iter().filter(|file| file.holds_key()).map(|file| stem(file.path.as_str())).collect();
    // The users of a kubeconfig are numbered through.
    let mut numbers = BTreeMap::new();
    let mut found = Vec::new();
    for file in files {
        let distinct = file.content.blocks.iter().filter(|block| block.duplicate_of.is_none());
        let certificates = distinct.filter_map(|block| block.certificate());
        let cluster = file.entry.as_ref().filter(|entry| entry.kind == EntryKind::Cluster);
        for view in certificates {
            let name = match cluster {
                Some(cluster) => format!("{} {cluster}", name_of(file.path.as_str(), 1)),
                None => {
                    let number = numbers.entry(&file.path).or_insert(0_usize);
                    *number += 1;
                    name_of(file.path.as_str(), *number)
                }
            };
            let is_embedded = file.entry.is_some();
            let has_key = !is_embedded && with_key.contains(stem(file.path.as_str()));
            found.push(Named { name, view, has_key, is_embedded });
        }
    }
    found
}

pub(super) fn table(files: &[InspectedFile], at: UtcDateTime) -> ExpiryTable {
    let (mut copies, leaves): (Vec<_>, Vec<_>) =
        named(files).into_iter().partition(|certificate| certificate.view.is_ca());
    // A CA lies in many files, and counts once: where its key is, if it is here at all.
    copies.sort_by_key(|authority| (!authority.has_key, authority.is_embedded));
    let mut seen = BTreeSet::new();
    copies.retain(|authority| seen.insert(authority.view.fingerprint));
    let mut authorities = copies;
    authorities.sort_by(|one, other| one.name.cmp(&other.name));
    let index = IssuerIndex::of(authorities.iter().map(|authority| authority.view));
    let by_fingerprint: BTreeMap<_, _> =
        authorities.iter().map(|authority| (authority.view.fingerprint, authority)).collect();
    let mut table = ExpiryTable::new(at);
    for leaf in &leaves {
        let issuer = index.issuer_of(leaf.view).and_then(|issuer| by_fingerprint.get(&issuer.fingerprint));
        let renewal = match issuer {
            // Its owner's key is elsewhere, so nothing here can renew it.
            Some(issuer) if !issuer.has_key => Renewal::ExternallyManaged,
            // A leaf of the system is renewed by the system; what an administrator made is not.
            Some(_) if !leaf.view.looks_like.is_empty() => Renewal::Automatic,
            None if !leaf.view.self_issued => Renewal::ExternallyManaged,
            Some(_) | None => Renewal::Manual,
        };
        let authority = issuer.map_or("", |issuer| issuer.name.as_str());
        table.certificates.push(row(&leaf.name, leaf.view, authority, renewal));
    }
    for authority in &authorities {
        table.authorities.push(AuthorityRow::new(&authority.name, Some(authority.view.not_after), !authority.has_key));
    }
    table
}

fn row(name: &str, view: &CertificateView, authority: &str, renewal: Renewal) -> CertificateRow {
    CertificateRow::new(name, Some(view.not_after), authority, renewal)
}

/// Remarks on certificates whose issuer is in another file. Within a file that is done.
pub(super) fn compare_issuers(files: &mut [InspectedFile]) {
    let mut seen = BTreeSet::new();
    let authorities: Vec<CertificateView> = files
        .iter()
        .flat_map(|file| file.content.certificates())
        .filter(|view| view.is_ca() && seen.insert(view.fingerprint))
        .cloned()
        .collect();
    let everywhere = IssuerIndex::of(&authorities);
    for file in files {
        let inside = IssuerIndex::of(file.content.certificates());
        let is_compared: Vec<_> = file
            .content
            .blocks
            .iter()
            .map(|block| block.certificate().and_then(|view| inside.issuer_of(view)).is_some())
            .collect();
        for (block, is_compared) in file.content.blocks.iter_mut().zip(is_compared) {
            let Content::Certificate(view) = &mut block.content else { continue };
            if !is_compared && let Some(issuer) = everywhere.issuer_of(view) {
                view.compare_with_issuer(issuer);
            }
        }
    }
}
