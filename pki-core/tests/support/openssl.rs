//! What openssl says of a certificate, fact by fact, in the words of a view.

use pki_core::inspect::CertificateView;

use crate::tools::run;

/// Compares every field of a view with what openssl prints.
pub(crate) fn assert_reads_alike(what: &str, der: &[u8], view: &CertificateView) {
    let options = ["x509", "-inform", "DER", "-noout", "-text", "-subject", "-issuer", "-serial", "-dates"];
    let options = [&options[..], &["-fingerprint", "-sha256", "-nameopt", "RFC2253"]].concat();
    let (success, out, said) = run("openssl", &options, der);
    assert!(success, "{what}: {said}");
    let text = String::from_utf8(out).unwrap();
    let lines: Vec<&str> = text.lines().map(str::trim).collect();
    let after = |prefix: &str| lines.iter().find_map(|line| line.strip_prefix(prefix)).map(str::trim);
    let below = |heading: &str| {
        let heading = lines.iter().position(|line| line.starts_with(heading))?;
        lines.get(heading + 1).copied()
    };
    let digits = |text: &str| text.replace(':', "").to_ascii_lowercase();

    assert_eq!(after("Version: ").unwrap().split(' ').next().unwrap(), view.version.to_string(), "{what}");
    let serial = digits(after("serial=").unwrap());
    assert_eq!(serial.trim_start_matches('0'), view.serial_number.trim_start_matches('0'), "{what}");
    assert_eq!(after("subject=").unwrap(), view.subject.text.as_str(), "{what}");
    assert_eq!(after("issuer=").unwrap(), view.issuer.text.as_str(), "{what}");
    let validity = pki_core::Validity::new(view.not_before, view.not_after).unwrap();
    let dates = pki_core::expiry::ValidityDates(validity).to_string();
    for line in dates.lines() {
        assert!(lines.contains(&line), "{what}: {line}");
    }
    let signature = after("Signature Algorithm: ").unwrap();
    assert_eq!(signature.to_lowercase(), view.signature_algorithm.trim_start_matches("id-").to_lowercase(), "{what}");
    assert_eq!(digits(after("sha256 Fingerprint=").unwrap()), view.fingerprint.to_string(), "{what}");

    let algorithm = match after("Public Key Algorithm: ").unwrap() {
        "rsaEncryption" => "RSA",
        "id-ecPublicKey" => "ECDSA",
        "ED25519" => "Ed25519",
        "ED448" => "Ed448",
        other => other,
    };
    assert_eq!(algorithm, view.public_key.algorithm, "{what}");
    if let Some(bits) = after("Public-Key: (") {
        assert_eq!(bits.split(' ').next().unwrap(), view.public_key.bits.unwrap().to_string(), "{what}");
    }
    assert_eq!(after("NIST CURVE: "), view.public_key.curve.as_deref(), "{what}");

    let extensions = &view.extensions;
    let listed = |heading| below(heading).map(|line| line.split(", ").map(str::to_owned).collect::<Vec<_>>());
    let usages = listed("X509v3 Key Usage:").map(|usages| usages.iter().map(|usage| named(usage)).collect::<Vec<_>>());
    assert_eq!(usages, extensions.key_usage, "{what}");
    let usages = listed("X509v3 Extended Key Usage:");
    let usages = usages.map(|usages| usages.iter().map(|usage| named(usage).to_owned()).collect::<Vec<_>>());
    assert_eq!(usages, extensions.extended_key_usage, "{what}");
    let constraints = extensions.basic_constraints.map(|constraints| {
        let path_len = constraints.path_len.map(|len| format!(", pathlen:{len}")).unwrap_or_default();
        format!("CA:{}{path_len}", if constraints.ca { "TRUE" } else { "FALSE" })
    });
    assert_eq!(below("X509v3 Basic Constraints:"), constraints.as_deref(), "{what}");
    let key_id = |heading| below(heading).map(|line| digits(line.trim_start_matches("keyid:")));
    assert_eq!(key_id("X509v3 Subject Key Identifier:"), extensions.subject_key_id, "{what}");
    assert_eq!(key_id("X509v3 Authority Key Identifier:"), extensions.authority_key_id, "{what}");
    assert_eq!(alt_names(below("X509v3 Subject Alternative Name:")), shown_alt_names(view), "{what}");
}

/// openssl's names for usages, in the words of RFC 5280.
fn named(usage: &str) -> &'static str {
    match usage {
        "Digital Signature" => "digitalSignature",
        "Non Repudiation" => "contentCommitment",
        "Key Encipherment" => "keyEncipherment",
        "Data Encipherment" => "dataEncipherment",
        "Key Agreement" => "keyAgreement",
        "Certificate Sign" => "keyCertSign",
        "CRL Sign" => "cRLSign",
        "Encipher Only" => "encipherOnly",
        "Decipher Only" => "decipherOnly",
        "TLS Web Server Authentication" => "serverAuth",
        "TLS Web Client Authentication" => "clientAuth",
        "Code Signing" => "codeSigning",
        "E-mail Protection" => "emailProtection",
        "Time Stamping" => "timeStamping",
        "OCSP Signing" => "OCSPSigning",
        "Any Extended Key Usage" => "anyExtendedKeyUsage",
        "1.3.6.1.4.1.32473.7" => "1.3.6.1.4.1.32473.7",
        other => panic!("{other}"),
    }
}

/// The names of one line, sorted, for openssl mixes the kinds. It has its own way to write IPv6 and directory names.
fn alt_names(line: Option<&str>) -> Option<Vec<String>> {
    let mut names: Vec<_> = line?
        .split(", ")
        .map(|name| match name.split_once(':').unwrap() {
            ("IP Address", address) => format!("IP:{}", address.parse::<std::net::IpAddr>().unwrap()),
            ("DirName", name) => format!("DirName:{}", name.replace(" = ", "=").trim_start_matches('/')),
            _ => name.to_owned(),
        })
        .collect();
    names.sort();
    Some(names)
}

fn shown_alt_names(view: &CertificateView) -> Option<Vec<String>> {
    let names = view.extensions.subject_alt_names.as_ref()?;
    let kinds = [
        ("DNS", &names.dns_names),
        ("IP", &names.ip_addresses),
        ("email", &names.email_addresses),
        ("URI", &names.uris),
        ("DirName", &names.directory_names),
    ];
    let mut shown: Vec<_> =
        kinds.iter().flat_map(|(kind, names)| names.iter().map(move |name| format!("{kind}:{name}"))).collect();
    shown.sort();
    Some(shown)
}
