//! A certificate is signed with MD5 or SHA-1.

use std::sync::Arc;

use pki_core::inspect::Remark;

use crate::chains::Presented;
use crate::check::{Check, Context, Judged, Outcomes, Run, Severity};
use crate::model::Certificate;

pub(in crate::checks) static CHECK: Check = Check {
    id: "leaf.weak_signature",
    severity: Severity::Error,
    summary: "a certificate is signed with MD5 or SHA-1",
    applies_to: "leaves that were read, and what is sent along with them",
    rationale: "Who finds a collision has a certificate of his own under the same signature. Go's verifier, and \
                with it every component of Kubernetes, refuses these signatures.",
    remediation: "Issue the certificate anew with SHA-256.",
    source: "NIST SP 800-131A revision 2, 9; RFC 6151; RFC 6194",
    channels: &[],
    run: Run::Leaf(run),
};

fn run(_: &Context<'_>, leaf: &Presented<'_>, certificate: &Arc<Certificate>, _: &mut Outcomes) -> Judged {
    let chain = core::iter::once(certificate).chain(leaf.intermediates());
    let weak = chain.flat_map(|one| &one.view().remarks).find_map(|remark| match remark {
        Remark::WeakSignature { algorithm } => Some(algorithm),
        _ => None,
    });
    match weak {
        None => Judged::Pass,
        Some(algorithm) => Judged::Fail("SHA-256 or better".to_owned(), algorithm.clone()),
    }
}

#[cfg(test)]
mod tests {
    use pki_core::LeafKind;

    use super::*;
    use crate::checks::leaf::testing;
    use crate::checks::pki::{Ca, Draft, chain, findings, read};
    use crate::checks::testing::Case;

    /// Of a certificate that rcgen signs with ECDSA and SHA-256, both names of the algorithm become those of ECDSA and
    /// SHA-1: 1.2.840.10045.4.3.2 is longer by an octet than 1.2.840.10045.4.1, so another SHA-1 of its length is written.
    fn sha1(der: &[u8]) -> Vec<u8> {
        const ECDSA_SHA256: [u8; 10] = [6, 8, 0x2a, 0x86, 0x48, 0xce, 0x3d, 4, 3, 2];
        // 1.2.840.10040.4.3, DSA with SHA-1, and its length made up by the outer SEQUENCE of the algorithm.
        const DSA_SHA1: [u8; 9] = [6, 7, 0x2a, 0x86, 0x48, 0xce, 0x38, 4, 3];
        let mut out = der.to_vec();
        let mut at = 0;
        let mut removed = 0;
        while let Some(found) = out[at..].windows(10).position(|window| window == ECDSA_SHA256) {
            let start = at + found;
            out.splice(start..start + 10, DSA_SHA1);
            out[start - 1] -= 1;
            at = start;
            removed += 1;
        }
        assert_eq!(removed, 2);
        // The lengths of Certificate (two octets long) and TBSCertificate shrink with them.
        let shrink = |out: &mut Vec<u8>, at: usize, by: u16| {
            let length = u16::from_be_bytes([out[at], out[at + 1]]) - by;
            out[at..at + 2].copy_from_slice(&length.to_be_bytes());
        };
        assert!(out[1] == 0x82 && out[5] == 0x82);
        shrink(&mut out, 2, 2);
        shrink(&mut out, 6, 1);
        out
    }

    fn case(rewrite: impl FnOnce(&[u8]) -> Vec<u8>) -> Case {
        let leaf = Ca::new("kubernetes").issue(&Draft::of(LeafKind::KubeletClient));
        let mut case = Case::default();
        let leaf = read(rewrite(leaf.der()).into(), "leaf.crt");
        case.kubelet().leaves.insert(LeafKind::KubeletClient, chain(vec![leaf]));
        case
    }

    #[test]
    fn fails_for_sha1() {
        let found = findings(&CHECK, &case(sha1));
        assert_eq!(found.len(), 1);
        let line = "kubelet node-1 kubelet-client: expected SHA-256 or better, found ";
        assert!(found.iter().all(|found| found.starts_with(line)), "{found:?}");
    }

    #[test]
    fn passes_for_sha256() {
        assert!(findings(&CHECK, &case(<[u8]>::to_vec)).is_empty());
    }

    #[test]
    fn is_not_evaluated_where_a_leaf_was_not_read() {
        testing::is_not_evaluated_where_a_leaf_was_not_read(&CHECK);
    }
}
