//! Requests that other software made: strictness must not cost a real requester its certificate.

#[cfg(test)]
#[path = "support/keys.rs"]
mod keys;

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::path::Path;

    use pki_core::{
        CertificationRequest, ExtendedKeyUsage, KeyAlgorithm, LeafKind, Limits, RequestError, Signer, SubjectAltName,
        UnusedExtensions, create_request, request_der,
    };
    use rcgen::{CertificateParams, DnType, ExtendedKeyUsagePurpose, KeyPair, KeyUsagePurpose, SanType};
    use x509_cert::der::{Decode, Encode};
    use x509_cert::request::CertReq;

    use crate::keys::{VERIFIERS, key};

    /// A file under `data/requests`, and what is to be read in it.
    struct Expected {
        file: &'static str,
        algorithm: KeyAlgorithm,
        subject: &'static str,
        names: &'static [&'static str],
        usages: &'static [ExtendedKeyUsage],
        unused: UnusedExtensions,
    }

    const NODE: &str = "O=system:nodes,CN=system:node:node-1";

    const fn without_extensions(file: &'static str, algorithm: KeyAlgorithm, subject: &'static str) -> Expected {
        Expected { file, algorithm, subject, names: &[], usages: &[], unused: UnusedExtensions::Refuse }
    }

    const EVERY: &[Expected] = &[
        without_extensions("go-kubelet-client.der", KeyAlgorithm::P256, NODE),
        Expected {
            names: &["node-1", "node-1.example.com", "10.0.0.1", "fd00::1"],
            ..without_extensions("go-kubelet-serving.der", KeyAlgorithm::P256, NODE)
        },
        // Go puts them into one RDN and in the order of their octets with their lengths.
        without_extensions(
            "go-several-organizations.der",
            KeyAlgorithm::P256,
            "O=ops,O=developers,O=ops:on-call,CN=admin",
        ),
        without_extensions(
            "go-kubeadm-rsa.der",
            KeyAlgorithm::Rsa2048,
            "O=kubeadm:cluster-admins,CN=kube-apiserver-kubelet-client",
        ),
        without_extensions("go-p384.der", KeyAlgorithm::P384, "CN=system:kube-scheduler"),
        Expected {
            names: &["webhook.example.svc"],
            ..without_extensions("go-ed25519.der", KeyAlgorithm::Ed25519, "CN=webhook")
        },
        Expected {
            names: &["node-1.example.com", "10.0.0.1"],
            ..without_extensions("cfssl.pem", KeyAlgorithm::P256, NODE)
        },
        Expected {
            names: &["node-1.example.com", "10.0.0.1"],
            usages: &[ExtendedKeyUsage::ServerAuth],
            ..without_extensions("certtool.der", KeyAlgorithm::P256, NODE)
        },
        // keytool asks for a subject key identifier every time, which a request has no say in.
        Expected {
            names: &["node-1.example.com", "10.0.0.1"],
            unused: UnusedExtensions::Drop,
            ..without_extensions("keytool.der", KeyAlgorithm::P256, NODE)
        },
        Expected {
            names: &["front-proxy.example.com"],
            usages: &[ExtendedKeyUsage::ClientAuth],
            ..without_extensions("pyca.pem", KeyAlgorithm::Rsa3072, "CN=front-proxy-client")
        },
    ];

    fn directory() -> &'static Path {
        Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/data/requests"))
    }

    fn assert_reads(received: &[u8], expected: &Expected) {
        let file = expected.file;
        let der = request_der(received, &Limits::DEFAULT).unwrap_or_else(|error| panic!("{file}: {error}"));
        let request = CertificationRequest::parse(&der, &Limits::DEFAULT).unwrap_or_else(|e| panic!("{file}: {e}"));
        let proven = request.prove(VERIFIERS).unwrap_or_else(|error| panic!("{file}: {error}"));
        let presented = proven.presented_names().unwrap_or_else(|error| panic!("{file}: {error}"));
        let verified = proven.read(expected.unused).unwrap_or_else(|error| panic!("{file}: {error}"));
        assert_eq!(verified.subject().to_string(), expected.subject, "{file}");
        assert_eq!(verified.public_key().algorithm(), expected.algorithm, "{file}");
        let read: Vec<_> = verified.subject_alt_names().to_vec().iter().map(name).collect();
        assert_eq!(read, expected.names, "{file}");
        assert_eq!(verified.extended_key_usage(), expected.usages, "{file}");
        // Upstream sees the same names.
        assert_eq!(presented.common_name, verified.subject().common_name(), "{file}");
        assert!(verified.subject().organizations().eq(&presented.organizations), "{file}");
        assert_eq!(presented.dns_names.len() + presented.ip_addresses.len(), read.len(), "{file}");
        assert!(presented.email_addresses.is_empty() && presented.uris.is_empty(), "{file}");
    }

    fn name(name: &SubjectAltName) -> String {
        match name {
            SubjectAltName::Dns(dns) => dns.to_string(),
            SubjectAltName::Ip(ip) => ip.to_string(),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn requests_of_other_software_are_accepted() {
        for expected in EVERY {
            assert_reads(&std::fs::read(directory().join(expected.file)).unwrap(), expected);
        }
    }

    #[test]
    fn no_request_lies_here_unread() {
        let is_request = |name: &String| name.ends_with(".der") || name.ends_with(".pem");
        let entries = std::fs::read_dir(directory()).unwrap();
        let files = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).filter(is_request);
        let expected = EVERY.iter().map(|expected| expected.file.to_owned());
        assert_eq!(files.collect::<BTreeSet<_>>(), expected.collect());
    }

    #[test]
    fn the_key_identifier_that_keytool_asks_for_is_refused_by_default() {
        let der = std::fs::read(directory().join("keytool.der")).unwrap();
        let request = CertificationRequest::parse(&der, &Limits::DEFAULT).unwrap();
        assert_eq!(request.verify(VERIFIERS).unwrap_err(), RequestError::Extension("2.5.29.14".to_owned()));
    }

    #[test]
    fn requests_of_rcgen_are_accepted() {
        for (algorithm, expected) in [
            (&rcgen::PKCS_ECDSA_P256_SHA256, KeyAlgorithm::P256),
            (&rcgen::PKCS_ECDSA_P384_SHA384, KeyAlgorithm::P384),
            (&rcgen::PKCS_ED25519, KeyAlgorithm::Ed25519),
        ] {
            let mut params = CertificateParams::default();
            params.distinguished_name = rcgen::DistinguishedName::new();
            params.distinguished_name.push(DnType::OrganizationName, "system:nodes");
            params.distinguished_name.push(DnType::CommonName, "system:node:node-1");
            params.subject_alt_names =
                vec![SanType::DnsName("node-1".try_into().unwrap()), SanType::IpAddress("10.0.0.1".parse().unwrap())];
            params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
            params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
            let key = KeyPair::generate_for(algorithm).unwrap();
            let made = params.serialize_request(&key).unwrap();
            assert_reads(
                made.der(),
                &Expected {
                    names: &["node-1", "10.0.0.1"],
                    usages: &[ExtendedKeyUsage::ServerAuth],
                    ..without_extensions("rcgen", expected, NODE)
                },
            );
        }
    }

    #[test]
    fn x509_cert_reads_our_requests() {
        let node = "node-1".parse().unwrap();
        let subject = LeafKind::KubeletServing.subject(Some(&node)).unwrap();
        for algorithm in KeyAlgorithm::ALL {
            let key = key(algorithm);
            let der = create_request(&subject, &[SubjectAltName::dns("node-1").unwrap()], &key).unwrap();
            let read = CertReq::from_der(&der).unwrap();
            assert_eq!(read.to_der().unwrap(), der, "{algorithm}");
            assert_eq!(read.info.public_key.to_der().unwrap(), key.public_key().as_ref(), "{algorithm}");
            assert_eq!(read.info.subject.to_string(), "CN=system:node:node-1,O=system:nodes", "{algorithm}");
        }
    }
}
