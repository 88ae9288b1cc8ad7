//! Requests of kubelets, and what each way to a certificate needs of them beforehand.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use aws_lc_rs::signature::{ParsedPublicKey, UnparsedPublicKey};
use der::asn1::BitStringRef;
use der::{Decode, Header, Reader, SliceReader};
use getrandom::SysRng;
use pki_core::pem::{CERTIFICATE_REQUEST, PRIVATE_KEY, decode_single_pem, encode_pem};
use pki_core::verify::{SubjectPublicKey, Verifiers, aws_lc_rs};
use pki_core::{
    Approval, AuthorityRole, CaVersion, CertificationRequest, Hierarchy, Issuer, KeyAlgorithm, KeyLedger, LeafKind,
    Limits, NodeName, Serial, SignError, SignatureAlgorithm, Signer, Subject, SubjectAltName, Validity, create_request,
    mint_root,
};
use rustls_pki_types::{
    AlgorithmIdentifier, CertificateSigningRequestDer, InvalidSignature, PrivateKeyDer, SignatureVerificationAlgorithm,
    SubjectPublicKeyInfoDer,
};
use signer_hsm::{ExportableKey, SoftwareKey};
use time::UtcDateTime;

use crate::Setup;
use crate::keys::{AwsKey, RingKey, aws_verification, ring_verification};

/// One authority, in the hands of everybody who is compared.
#[derive(Debug)]
pub struct Authority {
    /// The kind of its key.
    pub algorithm: KeyAlgorithm,
    /// The issuing pipeline's view of it.
    pub issuer: Issuer,
    /// The key behind the pipeline's `Signer`.
    pub signer: SoftwareKey,
    /// The same key in PKCS#8.
    pub pkcs8: Vec<u8>,
    /// The same key in aws-lc-rs, bare.
    pub key: AwsKey,
    /// The same key in ring, bare.
    pub ring_key: RingKey,
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
    pub fn generate(algorithm: KeyAlgorithm) -> Setup<Self> {
        Self::of(&ExportableKey::generate(algorithm)?.to_pem(), algorithm)
    }

    /// A cluster root with the key of this PKCS#8 file.
    ///
    /// # Errors
    /// As [`generate`](Self::generate).
    pub fn of(pem: &str, algorithm: KeyAlgorithm) -> Setup<Self> {
        let pkcs8 = decode_single_pem(pem.as_bytes(), PRIVATE_KEY, &Limits::DEFAULT)?;
        let signer = SoftwareKey::from_pkcs8_der(&pkcs8)?;
        let key = AwsKey::from_pkcs8(algorithm, &pkcs8)?;
        let ring_key = RingKey::from_pkcs8(algorithm, &pkcs8)?;
        let bits = SubjectPublicKey::parse(signer.public_key())?.bits().to_vec();
        let public_key = ParsedPublicKey::new(aws_verification(algorithm), &bits)?;

        let hierarchy = Hierarchy::kubeadm();
        let now = UtcDateTime::from_unix_timestamp(1_800_000_000)?;
        let role = AuthorityRole::Cluster;
        let lifetime = hierarchy.ca_lifetime(role).ok_or("the cluster root has a lifetime")?;
        let validity = Validity::around(now, hierarchy.ca_backdate(), lifetime)?;
        let mut ledger = KeyLedger::new();
        let admitted = ledger.admit(&"bench".parse()?, role, CaVersion::FIRST, &signer)?;
        let certificate = mint_root(&admitted, validity, Serial::generate(&mut SysRng)?, aws_lc_rs())?;

        let rcgen_key = rcgen::KeyPair::try_from(&PrivateKeyDer::Pkcs8(pkcs8.as_slice().into()))?;
        let rcgen = rcgen::Issuer::from_ca_cert_der(certificate.der(), rcgen_key)?;
        let issuer = Issuer::new(certificate, hierarchy.leaves_of(role))?;
        let answering = Answering::of(&issuer);
        Ok(Self { algorithm, issuer, signer, pkcs8, key, ring_key, public_key, answering, rcgen, now })
    }
}

/// 256 nodes are rotated through: one request that repeats would flatter, because the branch predictor learns it.
const LAST_NODE: u8 = u8::MAX;

/// Generating an RSA key is slow, so several requests share one; their octets and signatures differ.
const RSA_KEYS: u8 = 16;

/// A signer that gives the same signature to every question.
#[derive(Debug)]
pub struct Answering {
    public_key: SubjectPublicKeyInfoDer<'static>,
    algorithm: SignatureAlgorithm,
    signature: Vec<u8>,
}

impl Answering {
    /// As if it held the key of this authority.
    #[must_use]
    pub fn of(issuer: &Issuer) -> Self {
        let algorithm = issuer.signature_algorithm();
        let public_key = issuer.certificate().public_key().clone();
        Self { public_key, algorithm, signature: vec![0; algorithm.signature_len_max()] }
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

/// Verifiers that verify nothing: what is measured with them is everything else.
#[must_use]
pub const fn believing() -> Verifiers<'static> {
    static ALGORITHMS: [&dyn SignatureVerificationAlgorithm; 4] = [
        &Believing(SignatureAlgorithm::EcdsaP256Sha256),
        &Believing(SignatureAlgorithm::EcdsaP384Sha384),
        &Believing(SignatureAlgorithm::RsaPkcs1Sha256),
        &Believing(SignatureAlgorithm::Ed25519),
    ];
    Verifiers::new(&ALGORITHMS)
}

/// One request, with its approval and with the parts that the floor works on.
#[derive(Debug)]
pub struct Case {
    /// The kind of its key.
    pub algorithm: KeyAlgorithm,
    /// The request.
    pub request: CertificateSigningRequestDer<'static>,
    /// The request as PEM.
    pub pem: String,
    /// What was approved for it: exactly what it asks for.
    pub approval: Approval,
    /// The octets that the request's signature covers.
    pub info: Vec<u8>,
    /// The request's signature.
    pub signature: Vec<u8>,
    /// The request's key, as its `SubjectPublicKeyInfo`.
    pub spki: SubjectPublicKeyInfoDer<'static>,
    /// The request's key, as aws-lc-rs takes it.
    pub public_key: UnparsedPublicKey<Vec<u8>>,
    /// The request's key, as ring takes it.
    pub ring_public_key: ring::signature::UnparsedPublicKey<Vec<u8>>,
    /// The octets that the authority signs for it.
    pub tbs: Vec<u8>,
}

impl Case {
    /// 256 kubelets that ask for their serving certificates, each with a key of its own, of 16 if it is RSA.
    ///
    /// # Errors
    /// When a request is not one that the pipeline takes.
    pub fn all(algorithm: KeyAlgorithm, authority: &Authority) -> Setup<Vec<Self>> {
        let keys = match algorithm {
            KeyAlgorithm::P256 | KeyAlgorithm::P384 | KeyAlgorithm::Ed25519 => usize::from(LAST_NODE) + 1,
            _ => usize::from(RSA_KEYS),
        };
        let keys = (0..keys).map(|_| SoftwareKey::generate(algorithm)).collect::<Result<Vec<_>, _>>()?;
        let nodes = (0..=LAST_NODE).zip(keys.iter().cycle());
        nodes.map(|(node, key)| Self::new(node, key, algorithm, authority)).collect()
    }

    /// The request of this node.
    ///
    /// # Errors
    /// As [`all`](Self::all).
    pub fn new(node: u8, key: &SoftwareKey, algorithm: KeyAlgorithm, authority: &Authority) -> Setup<Self> {
        let asked = Asked::of(node)?;
        let request = create_request(&asked.subject, &asked.names, key)?;
        let approval = asked.approval();

        let verified = CertificationRequest::parse(&request, &Limits::DEFAULT)?.verify(aws_lc_rs())?;
        let serial = Serial::generate(&mut SysRng)?;
        let prepared =
            authority.issuer.prepare(LeafKind::KubeletServing, verified, &approval, serial, authority.now)?;
        let tbs = prepared.tbs_der().to_vec();

        let (info, signature) = split(&request)?;
        let bits = SubjectPublicKey::parse(key.public_key())?.bits().to_vec();
        let public_key = UnparsedPublicKey::new(aws_verification(algorithm), bits.clone());
        let ring_public_key = ring::signature::UnparsedPublicKey::new(ring_verification(algorithm), bits);
        let pem = encode_pem(CERTIFICATE_REQUEST, &request);
        let (request, spki) = (request.into(), key.public_key().clone());
        Ok(Self { algorithm, request, pem, approval, info, signature, spki, public_key, ring_public_key, tbs })
    }
}

/// What a kubelet asks for.
#[derive(Debug)]
pub struct Asked {
    node: NodeName,
    subject: Subject,
    names: [SubjectAltName; 4],
}

impl Asked {
    /// What the kubelet of this node does.
    ///
    /// # Errors
    /// When it is no name.
    pub fn of(node: u8) -> Setup<Self> {
        let name: NodeName = format!("node-{node:03}.pool-a.example").parse()?;
        let subject = LeafKind::KubeletServing.subject(Some(&name)).ok_or("a kubelet has a subject")?;
        let names = [
            SubjectAltName::dns(name.as_str())?,
            SubjectAltName::dns(&format!("node-{node:03}"))?,
            SubjectAltName::ip(IpAddr::V4(Ipv4Addr::new(10, 0, 1, node)))?,
            SubjectAltName::ip(IpAddr::V6(Ipv6Addr::new(0xfd00, 0, 0, 1, 0, 0, 0, u16::from(node) + 1)))?,
        ];
        Ok(Self { node: name, subject, names })
    }

    /// The approval of exactly that.
    #[must_use]
    pub fn approval(self) -> Approval {
        Approval::new(Hierarchy::kubeadm().leaf_lifetime()).for_node(self.node).with_names(self.names)
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
