//! The rules at work, on a CA and requests that exist in memory only.

use core::fmt::Write as _;

use pki_core::kubernetes::{SignerName, SignerPolicy, Usages};
use pki_core::verify::aws_lc_rs;
use pki_core::{KeyAlgorithm, LeafKind, NameError, NodeName, SubjectAltName, UnusedExtensions, create_request};
use signer_hsm::SoftwareKey;
use time::UtcDateTime;

use super::{CaDirectory, SigningOrder, node_address, sign_csr};

/// What an administrator sees who gives no arguments: four requests, two of which a signer should not sign.
///
/// # Errors
/// When a key or the CA cannot be made.
pub fn demonstration(now: UtcDateTime) -> Result<String, Box<dyn core::error::Error>> {
    let ca = CaDirectory::in_memory(now)?;
    let node: NodeName = "node-1".parse()?;
    let names = |names: &[&str]| -> Result<Vec<_>, NameError> {
        names.iter().map(|name| name.parse().map_or_else(|_| SubjectAltName::dns(name), SubjectAltName::ip)).collect()
    };
    let known = names(&["node-1.example.com", "10.0.0.11"])?;
    let stuffed = names(&["node-1.example.com", "kubernetes.default.svc"])?;
    let (client, serving) = (LeafKind::KubeletClient, LeafKind::KubeletServing);
    let asked = [
        ("a kubelet's client certificate", client, SignerName::KubeApiServerClientKubelet, "client auth", vec![]),
        ("its serving certificate", serving, SignerName::KubeletServing, "server auth", known),
        ("the same with a name of the API server", serving, SignerName::KubeletServing, "server auth", stuffed),
        ("the same without any name", serving, SignerName::KubeletServing, "server auth", vec![]),
    ];
    let mut text = String::from("A CA and four requests in memory; see --help for how to sign files.\n\n");
    for (what, leaf, signer, usage, names) in asked {
        let subject = leaf.subject(Some(&node)).ok_or("a kubelet has a node")?;
        let request = create_request(&subject, &names, &SoftwareKey::generate(KeyAlgorithm::P256)?)?;
        let order = SigningOrder {
            policy: SignerPolicy::new(signer)?,
            usages: Usages::parse(["digital signature", usage])?,
            expiration_seconds: None,
            requestor: Some(subject.common_name().to_owned()),
            addresses: vec![node_address("node-1.example.com")?, node_address("10.0.0.11")?],
            unused_extensions: UnusedExtensions::Refuse,
        };
        match sign_csr(&ca, &order, &request, aws_lc_rs(), now) {
            Ok(signed) => writeln!(text, "{what}\n  signed: {}\n", signed.record)?,
            Err(unsigned) => writeln!(text, "{what}\n  refused: {}: {unsigned}\n", unsigned.code())?,
        }
    }
    Ok(text)
}
