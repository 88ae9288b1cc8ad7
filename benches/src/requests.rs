//! Requests of kubelets, and what each way to a certificate needs of them beforehand.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_ASN1, ECDSA_P256_SHA256_ASN1_SIGNING, EcdsaKeyPair, KeyPair, ParsedPublicKey,
    RSA_PKCS1_2048_8192_SHA256, UnparsedPublicKey, VerificationAlgorithm,
};
use der::asn1::BitStringRef;
use der::{Decode, Header, Reader, SliceReader};
use getrandom::SysRng;
use pki_core::verify::{SubjectPublicKey, Verifiers, aws_lc_rs};
use pki_core::{
    Approval, AuthorityRole, CaVersion, CertificationRequest, Hierarchy, Issuer, KeyAlgorithm, KeyLedger, LeafKind,
    Limits, NodeName, Serial, SignError, SignatureAlgorithm, Signer, SubjectAltName, Validity, create_request,
    mint_root, sign_to_vec,
};
use rustls_pki_types::{
    AlgorithmIdentifier, CertificateSigningRequestDer, InvalidSignature, PrivatePkcs8KeyDer,
    SignatureVerificationAlgorithm, SubjectPublicKeyInfoDer,
};
use signer_hsm::SoftwareKey;
use time::UtcDateTime;

use crate::Setup;

/// One P-256 authority, in the hands of everybody who is compared.
#[derive(Debug)]
pub struct Authority {
    /// The issuing pipeline's view of it.
    pub issuer: Issuer,
    /// The key behind the pipeline's `Signer`.
    pub signer: SoftwareKey,
    /// The same key, bare.
    pub key: EcdsaKeyPair,
    /// Its public half, parsed once: the fastest way to check a fresh signature.
    pub public_key: ParsedPublicKey,
    /// A signer with the authority's public key, which answers without signing.
    pub answering: Answering,
    /// The same authority for rcgen.
    pub rcgen: rcgen::Issuer<'static, rcgen::KeyPair>,
    /// The moment of issuing.
    pub now: UtcDateTime,
}

impl Authority {
    /// A fresh cluster root.
    ///
    /// # Errors
    /// When one of the libraries refuses the key or the certificate.
    pub fn generate() -> Setup<Self> {
        let pkcs8 = EcdsaKeyPair::generate_pkcs8(&ECDSA_P256_SHA256_ASN1_SIGNING, &SystemRandom::new())?;
        let signer = SoftwareKey::from_pkcs8_der(pkcs8.as_ref())?;
        let key = EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_ASN1_SIGNING, pkcs8.as_ref())?;
        let public_key = ParsedPublicKey::new(&ECDSA_P256_SHA256_ASN1, key.public_key().as_ref())?;

        let hierarchy = Hierarchy::kubeadm();
        let now = UtcDateTime::from_unix_timestamp(1_800_000_000)?;
        let role = AuthorityRole::Cluster;
        let lifetime = hierarchy.ca_lifetime(role).ok_or("the cluster root has a lifetime")?;
        let validity = Validity::around(now, hierarchy.ca_backdate(), lifetime)?;
        let mut ledger = KeyLedger::new();
        let admitted = ledger.admit(&"bench".parse()?, role, CaVersion::FIRST, &signer)?;
        let certificate = mint_root(&admitted, validity, Serial::generate(&mut SysRng)?, aws_lc_rs())?;

        let rcgen_key = rcgen::KeyPair::try_from(&PrivatePkcs8KeyDer::from(pkcs8.as_ref()))?;
        let rcgen = rcgen::Issuer::from_ca_cert_der(certificate.der(), rcgen_key)?;
        let issuer = Issuer::new(certificate, hierarchy.leaves_of(role))?;
        let answering = Answering::new(&signer)?;
        Ok(Self { issuer, signer, key, public_key, answering, rcgen, now })
    }
}

/// The keys of the requests.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RequestKeys {
    /// P-256, a key of its own for every request.
    P256,
    /// RSA-2048. Generating one is slow, so several requests share a key; their octets and signatures differ.
    Rsa2048,
}

impl RequestKeys {
    /// 256 nodes are rotated through: one request that repeats would flatter, because the branch predictor
    /// learns it.
    const LAST_NODE: u8 = u8::MAX;
    const RSA_KEYS: usize = 16;

    const fn verification(self) -> &'static dyn VerificationAlgorithm {
        match self {
            Self::P256 => &ECDSA_P256_SHA256_ASN1,
            Self::Rsa2048 => &RSA_PKCS1_2048_8192_SHA256,
        }
    }

    /// 256 kubelets that ask for their serving certificates.
    ///
    /// # Errors
    /// When a request is not one that the pipeline takes.
    pub fn cases(self, authority: &Authority) -> Setup<Vec<Case>> {
        let (algorithm, keys) = match self {
            Self::P256 => (KeyAlgorithm::P256, usize::from(Self::LAST_NODE) + 1),
            Self::Rsa2048 => (KeyAlgorithm::Rsa2048, Self::RSA_KEYS),
        };
        let keys = (0..keys).map(|_| SoftwareKey::generate(algorithm)).collect::<Result<Vec<_>, _>>()?;
        let nodes = (0..=Self::LAST_NODE).zip(keys.iter().cycle());
        nodes.map(|(node, key)| Case::new(node, key, self, authority)).collect()
    }
}

/// A signer that gives the same signature to every question.
#[derive(Debug)]
pub struct Answering {
    public_key: SubjectPublicKeyInfoDer<'static>,
    algorithm: SignatureAlgorithm,
    signature: Vec<u8>,
}

impl Answering {
    fn new(signer: &dyn Signer) -> Setup<Self> {
        let signature = sign_to_vec(signer, b"any message")?;
        Ok(Self { public_key: signer.public_key().clone(), algorithm: signer.algorithm(), signature })
    }
}

impl Signer for Answering {
    fn public_key(&self) -> &SubjectPublicKeyInfoDer<'static> {
        &self.public_key
    }

    fn algorithm(&self) -> SignatureAlgorithm {
        self.algorithm
    }

    fn sign(&self, _message: &[u8], signature: &mut [u8]) -> Result<usize, SignError> {
        signature.iter_mut().zip(&self.signature).for_each(|(to, from)| *to = *from);
        Ok(self.signature.len())
    }
}

/// A verification algorithm that believes every signature.
#[derive(Debug)]
struct Believing(SignatureAlgorithm);

impl SignatureVerificationAlgorithm for Believing {
    fn verify_signature(&self, _: &[u8], _: &[u8], _: &[u8]) -> Result<(), InvalidSignature> {
        Ok(())
    }

    fn public_key_alg_id(&self) -> AlgorithmIdentifier {
        self.0.public_key_identifier()
    }

    fn signature_alg_id(&self) -> AlgorithmIdentifier {
        self.0.identifier()
    }
}

/// Verifiers for keys of this kind that verify nothing: what is measured with them is everything else.
#[must_use]
pub const fn believing(keys: RequestKeys) -> Verifiers<'static> {
    static P256: [&dyn SignatureVerificationAlgorithm; 1] = [&Believing(SignatureAlgorithm::EcdsaP256Sha256)];
    static RSA: [&dyn SignatureVerificationAlgorithm; 1] = [&Believing(SignatureAlgorithm::RsaPkcs1Sha256)];
    match keys {
        RequestKeys::P256 => Verifiers::new(&P256),
        RequestKeys::Rsa2048 => Verifiers::new(&RSA),
    }
}

/// One request, with its approval and with the parts that the floor works on.
#[derive(Debug)]
pub struct Case {
    /// The kind of its key.
    pub keys: RequestKeys,
    /// The request.
    pub request: CertificateSigningRequestDer<'static>,
    /// What was approved for it: exactly what it asks for.
    pub approval: Approval,
    /// The octets that the request's signature covers.
    pub info: Vec<u8>,
    /// The request's signature.
    pub signature: Vec<u8>,
    /// The request's key, as a verifier takes it.
    pub public_key: UnparsedPublicKey<Vec<u8>>,
    /// The octets that the authority signs for it.
    pub tbs: Vec<u8>,
}

impl Case {
    fn new(node: u8, key: &SoftwareKey, keys: RequestKeys, authority: &Authority) -> Setup<Self> {
        let name: NodeName = format!("node-{node:03}.pool-a.example").parse()?;
        let subject = LeafKind::KubeletServing.subject(Some(&name)).ok_or("a kubelet has a subject")?;
        let names = [
            SubjectAltName::dns(name.as_str())?,
            SubjectAltName::dns(&format!("node-{node:03}"))?,
            SubjectAltName::ip(IpAddr::V4(Ipv4Addr::new(10, 0, 1, node)))?,
            SubjectAltName::ip(IpAddr::V6(Ipv6Addr::new(0xfd00, 0, 0, 1, 0, 0, 0, u16::from(node) + 1)))?,
        ];
        let request = create_request(&subject, &names, key)?;
        let approval = Approval::new(Hierarchy::kubeadm().leaf_lifetime()).for_node(name).with_names(names);

        let verified = CertificationRequest::parse(&request, &Limits::DEFAULT)?.verify(aws_lc_rs())?;
        let serial = Serial::generate(&mut SysRng)?;
        let prepared =
            authority.issuer.prepare(LeafKind::KubeletServing, verified, &approval, serial, authority.now)?;
        let tbs = prepared.tbs_der().to_vec();

        let (info, signature) = split(&request)?;
        let bits = SubjectPublicKey::parse(key.public_key())?.bits().to_vec();
        let public_key = UnparsedPublicKey::new(keys.verification(), bits);
        Ok(Self { keys, request: request.into(), approval, info, signature, public_key, tbs })
    }
}

/// Signed octets and signature of a `CertificationRequest`.
fn split(request: &[u8]) -> Setup<(Vec<u8>, Vec<u8>)> {
    let mut reader = SliceReader::new(request)?;
    Header::decode(&mut reader)?;
    let info = reader.tlv_bytes()?.to_vec();
    reader.tlv_bytes()?;
    let signature: BitStringRef<'_> = reader.decode()?;
    Ok((info, signature.raw_bytes().to_vec()))
}
