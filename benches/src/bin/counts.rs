//! Issues certificates without any cryptography, a given number of them over requests that never change, so that valgrind can count
//! what this workspace's own code does for one: see `tests/counts.rs`.
//!
//! `counts make DIRECTORY` writes the requests and the authority anew.

use std::env;
use std::fs;
use std::hint::black_box;
use std::path::Path;

use benches::{Answering, Asked, Authority, Case, Setup, ours};
use getrandom::SysRng;
use pki_core::pem::{CERTIFICATE, encode_pem};
use pki_core::{AuthorityRole, CaCertificate, Hierarchy, Issuer, KeyAlgorithm, Serial};
use rustls_pki_types::pem::PemObject as _;
use rustls_pki_types::{CertificateDer, CertificateSigningRequestDer};
use signer_hsm::SoftwareKey;
use time::UtcDateTime;

const NODES: u8 = 16;

fn count(requests: &str, times: usize) -> Setup<()> {
    let certificate = CertificateDer::from_pem_slice(include_bytes!("../../data/ca.crt"))?;
    let hierarchy = Hierarchy::kubeadm();
    let issuer = Issuer::new(CaCertificate::parse(certificate)?, hierarchy.leaves_of(AuthorityRole::Cluster))?;
    let answering = Answering::of(&issuer);
    let now = UtcDateTime::from_unix_timestamp(1_800_000_000)?;
    let serial = Serial::generate(&mut SysRng)?;
    let approvals = (0..NODES).map(|node| Ok(Asked::of(node)?.approval())).collect::<Setup<Vec<_>>>()?;
    let requests = CertificateSigningRequestDer::pem_slice_iter(requests.as_bytes()).collect::<Result<Vec<_>, _>>()?;
    let cases: Vec<_> = requests.iter().zip(&approvals).collect();
    for (request, approval) in cases.into_iter().cycle().take(times) {
        black_box(ours::issue_without_cryptography(&issuer, &answering, request, approval, serial, now)?);
    }
    Ok(())
}

fn make(directory: &Path) -> Setup<()> {
    let authority = Authority::generate(KeyAlgorithm::P256)?;
    fs::write(directory.join("ca.crt"), encode_pem(CERTIFICATE, authority.issuer.certificate().der()))?;
    for algorithm in [KeyAlgorithm::P256, KeyAlgorithm::Rsa2048] {
        let request =
            |node| -> Setup<_> { Ok(Case::new(node, &SoftwareKey::generate(algorithm)?, algorithm, &authority)?.pem) };
        let requests = (0..NODES).map(request).collect::<Setup<String>>()?;
        fs::write(directory.join(format!("{}.pem", algorithm.id())), requests)?;
    }
    Ok(())
}

fn main() -> Setup<()> {
    let arguments: Vec<_> = env::args().skip(1).collect();
    match arguments.iter().map(String::as_str).collect::<Vec<_>>().as_slice() {
        ["p256", times] => count(include_str!("../../data/p256.pem"), times.parse()?),
        ["rsa2048", times] => count(include_str!("../../data/rsa2048.pem"), times.parse()?),
        ["make", directory] => make(Path::new(directory)),
        _ => Err("expected `p256 TIMES`, `rsa2048 TIMES` or `make DIRECTORY`".into()),
    }
}
