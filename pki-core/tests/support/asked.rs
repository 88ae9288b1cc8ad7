//! Requests that ask for what no leaf gets: by their subject, their extensions, their alternative names.

use pki_core::PresentedNames;

use crate::der::*;
use crate::draft::*;
use crate::hostile::{Case, Refusal, malformed, refuse};

// The refusals that several requests meet.
const STRING: Refusal = malformed("Name: a value is not a non-empty UTF8String or PrintableString");
const CERTIFICATE_AUTHORITY: Refusal =
    ("request.certificate_authority", "the request asks to become a CA (RFC 5280 4.2.1.9)");
const NAMED_BITS: Refusal = malformed("keyUsage: not a named bit list that ends with its last one (X.690 11.2)");
const EXTENDED_KEY_USAGE: Refusal =
    ("request.extended_key_usage", "the request has an extended key usage that no leaf has");
const CRITICAL_BOOLEAN: Refusal = malformed("Extension: a BOOLEAN that is not DER TRUE (X.690 11.1, 11.5)");
const DNS: Refusal = malformed("subjectAltName: a dNSName is not a DNS-1123 subdomain");
const IP: Refusal = malformed("subjectAltName: an iPAddress is not the address of one host");
const OTHER_NAME: Refusal = malformed("subjectAltName: a name that is neither dNSName nor iPAddress");

/// Subjects that readers understand differently, or not at all.
pub(crate) fn subjects() -> Vec<Case> {
    const TELETEX: u8 = 0x14;
    const IA5: u8 = 0x16;
    const UNIVERSAL: u8 = 0x1c;
    const BMP: u8 = 0x1e;
    let cn = |text: &[u8]| rdn(COMMON_NAME, UTF8, text);
    let o = |text: &[u8]| rdn(ORGANIZATION, UTF8, text);
    let attribute = |kind: &[u8], text: &[u8]| seq(&[&oid(kind), &tlv(UTF8, text)]);
    let multi = |parts: &[Vec<u8>]| tlv(SET, &parts.concat());
    let ou = rdn(ORGANIZATIONAL_UNIT, UTF8, b"unit");
    let mut padded = COMMON_NAME.to_vec();
    padded.insert(2, 0x80);
    vec![
        refuse("empty subject", with_subject(&[]), malformed("Name: no common name")),
        refuse("groups without user", with_subject(&[o(b"system:nodes")]), malformed("Name: no common name")),
        refuse(
            "two common names",
            with_subject(&[cn(b"system:node:a"), cn(b"system:node:b")]),
            malformed("Name: more than one common name"),
        ),
        refuse(
            "one common name twice",
            with_subject(&[cn(b"system:node:a"), cn(b"system:node:a")]),
            malformed("Name: more than one common name"),
        ),
        refuse(
            "organizational unit",
            with_subject(&[ou, cn(b"a")]),
            malformed("Name: an attribute other than CN and O"),
        ),
        refuse(
            "two groups in one RDN, out of order",
            with_subject(&[multi(&[attribute(ORGANIZATION, b"b"), attribute(ORGANIZATION, b"a")]), cn(b"c")]),
            malformed("Name: a SET OF that is not in order (X.690 11.6)"),
        ),
        refuse(
            "one group twice in one RDN",
            with_subject(&[multi(&[attribute(ORGANIZATION, b"a"), attribute(ORGANIZATION, b"a")]), cn(b"c")]),
            malformed("Name: a SET OF that is not in order (X.690 11.6)"),
        ),
        refuse(
            "two users in one RDN",
            with_subject(&[multi(&[attribute(COMMON_NAME, b"a"), attribute(COMMON_NAME, b"b")])]),
            malformed("Name: a relative distinguished name of several values"),
        ),
        refuse(
            "user after a group in one RDN",
            with_subject(&[multi(&[attribute(ORGANIZATION, b"b"), attribute(COMMON_NAME, b"a")])]),
            malformed("Name: a relative distinguished name of several values"),
        ),
        refuse(
            "group and user in one RDN",
            with_subject(&[multi(&[attribute(COMMON_NAME, b"a"), attribute(ORGANIZATION, b"b")])]),
            malformed("Name: a relative distinguished name of several values"),
        ),
        refuse(
            "empty RDN",
            with_subject(&[tlv(SET, &[]), cn(b"a")]),
            malformed("Name: ends before a required element"),
        ),
        refuse(
            "RDN as SEQUENCE",
            with_subject(&[seq(&[&attribute(COMMON_NAME, b"a")])]),
            malformed("Name: expected tag 0x31, found 0x30 at octet 0"),
        ),
        refuse(
            "attribute with a third element",
            with_subject(&[tlv(SET, &seq(&[&oid(COMMON_NAME), &tlv(UTF8, b"a"), &NULL]))]),
            malformed("Name: octets after the end, at octet 8"),
        ),
        refuse(
            "attribute without value",
            with_subject(&[tlv(SET, &seq(&[&oid(COMMON_NAME)]))]),
            malformed("Name: not DER (X.690) at octet 5: ASN.1 DER message is incomplete: expected 6, actual 5"),
        ),
        refuse(
            "common name by a padded identifier",
            with_subject(&[rdn(&padded, UTF8, b"a")]),
            malformed("Name: a padded OBJECT IDENTIFIER (X.690 8.19.2)"),
        ),
        refuse("empty common name", with_common_name(UTF8, b""), STRING),
        refuse("empty group", with_subject(&[o(b""), cn(b"a")]), STRING),
        refuse("common name as IA5String", with_common_name(IA5, b"a"), STRING),
        refuse("common name as TeletexString", with_common_name(TELETEX, b"a"), STRING),
        refuse("common name as BMPString", with_common_name(BMP, b"\0a"), STRING),
        refuse(
            "common name as UniversalString",
            with_common_name(UNIVERSAL, b"\0\0\0a"),
            malformed("Name: not DER (X.690) at octet 6: unknown/unsupported ASN.1 DER tag: 0x1c"),
        ),
        refuse("common name as INTEGER", with_common_name(INTEGER, &[1]), STRING),
        refuse("common name as SEQUENCE", with_common_name(SEQUENCE, &tlv(UTF8, b"a")), STRING),
        refuse(
            "common name as constructed UTF8String",
            with_common_name(UTF8 | 0x20, &tlv(UTF8, b"a")),
            malformed("Name: not DER (X.690) at octet 6: unknown/unsupported ASN.1 DER tag: 0x2c"),
        ),
        refuse("`*` in a PrintableString", with_common_name(PRINTABLE, b"*"), STRING),
        refuse("`@` in a PrintableString", with_common_name(PRINTABLE, b"a@b"), STRING),
        refuse("`_` in a PrintableString", with_common_name(PRINTABLE, b"a_b"), STRING),
        refuse("non-ASCII in a PrintableString", with_common_name(PRINTABLE, "ä".as_bytes()), STRING),
        refuse("invalid UTF-8", with_common_name(UTF8, &[b'a', 0xff]), STRING),
        refuse("overlong UTF-8", with_common_name(UTF8, &[0xc0, 0xaf]), STRING),
        refuse("surrogate in UTF-8", with_common_name(UTF8, &[0xed, 0xa0, 0x80]), STRING),
        refuse("NUL", with_common_name(UTF8, b"system:node:a\0.example"), STRING),
        refuse("line feed", with_common_name(UTF8, b"system:node:a\n"), STRING),
        refuse("C1 control", with_common_name(UTF8, "a\u{85}".as_bytes()), STRING),
        refuse(
            "common name of 2 KiB",
            with_common_name(UTF8, &[b'a'; 2 << 10]),
            malformed("Name: longer than the limit"),
        ),
        refuse(
            "a hundred groups",
            with_subject(&[o(b"g").repeat(100), cn(b"a")]),
            malformed("Name: longer than the limit"),
        ),
    ]
}

/// Extensions that no leaf may ask for, and ones that are encoded badly.
pub(crate) fn extensions() -> Vec<Case> {
    let ca = |content: &[&[u8]]| with_extensions(&[&critical_extension(BASIC_CONSTRAINTS, &seq(content))]);
    let usage = |bit_string: &[u8]| with_extensions(&[&critical_extension(KEY_USAGE, bit_string)]);
    let purposes = |content: &[&[u8]]| with_extensions(&[&extension(EXT_KEY_USAGE, &seq(content))]);
    let good = seq(&[&dns(b"a")]);
    let with_critical =
        |boolean: &[u8]| with_extensions(&[&seq(&[&oid(SUBJECT_ALT_NAME), boolean, &tlv(OCTET_STRING, &good)])]);
    vec![
        refuse("CA", ca(&[&[1, 1, 0xff]]), CERTIFICATE_AUTHORITY),
        refuse(
            "CA, not critical",
            with_extensions(&[&extension(BASIC_CONSTRAINTS, &seq(&[&[1, 1, 0xff]]))]),
            CERTIFICATE_AUTHORITY,
        ),
        refuse("CA with path length", ca(&[&[1, 1, 0xff], &[2, 1, 0]]), CERTIFICATE_AUTHORITY),
        refuse("path length without CA", ca(&[&[2, 1, 0]]), CERTIFICATE_AUTHORITY),
        refuse(
            "path length below zero",
            ca(&[&[2, 1, 0xff]]),
            malformed("basicConstraints: not DER (X.690) at octet 3: malformed ASN.1 DER value for INTEGER"),
        ),
        refuse(
            "CA FALSE encoded",
            ca(&[&[1, 1, 0]]),
            malformed("basicConstraints: a BOOLEAN that is not DER TRUE (X.690 11.1, 11.5)"),
        ),
        refuse(
            "CA by BOOLEAN 01",
            ca(&[&[1, 1, 1]]),
            malformed("basicConstraints: a BOOLEAN that is not DER TRUE (X.690 11.1, 11.5)"),
        ),
        refuse(
            "third basic constraint",
            ca(&[&[1, 1, 0xff], &[2, 1, 0], &NULL]),
            malformed("basicConstraints: octets after the end, at octet 6"),
        ),
        refuse("keyCertSign", usage(&[3, 2, 2, 0x84]), CERTIFICATE_AUTHORITY),
        refuse("keyCertSign alone", usage(&[3, 2, 2, 0x04]), CERTIFICATE_AUTHORITY),
        refuse("cRLSign", usage(&[3, 2, 1, 0x82]), CERTIFICATE_AUTHORITY),
        refuse("key usage with trailing zero bits", usage(&[3, 2, 0, 0x80]), NAMED_BITS),
        refuse("key usage with a trailing zero octet", usage(&[3, 3, 7, 0x80, 0]), NAMED_BITS),
        refuse("key usage with unused bits set", usage(&[3, 2, 5, 0xb0]), NAMED_BITS),
        refuse("key usage without any", usage(&[3, 1, 0]), NAMED_BITS),
        refuse(
            "key usage followed by an octet",
            usage(&[3, 2, 7, 0x80, 0]),
            malformed("keyUsage: octets after the end, at octet 4"),
        ),
        refuse(
            "key usage as INTEGER",
            usage(&[2, 1, 0x80]),
            malformed("keyUsage: expected tag 0x03, found 0x02 at octet 0"),
        ),
        refuse("code signing", purposes(&[&oid(CODE_SIGNING)]), EXTENDED_KEY_USAGE),
        refuse(
            "code signing beside serverAuth",
            purposes(&[&oid(SERVER_AUTH), &oid(CODE_SIGNING)]),
            EXTENDED_KEY_USAGE,
        ),
        refuse("any purpose", purposes(&[&oid(ANY_PURPOSE)]), EXTENDED_KEY_USAGE),
        refuse("no purpose", purposes(&[]), malformed("extKeyUsage: empty (RFC 5280 4.2.1.12)")),
        refuse(
            "purpose as INTEGER",
            purposes(&[&[2, 1, 1]]),
            malformed("extKeyUsage: expected tag 0x06, found 0x02 at octet 0"),
        ),
        refuse(
            "unknown critical extension",
            with_extensions(&[&critical_extension(&[0x2a, 3, 4], &NULL)]),
            ("request.extension", "the request has the extension `1.2.3.4`, which no leaf has"),
        ),
        refuse(
            "unknown extension",
            with_extensions(&[&extension(&[0x2a, 3, 4], &NULL)]),
            ("request.extension", "the request has the extension `1.2.3.4`, which no leaf has"),
        ),
        refuse(
            "name constraints",
            with_extensions(&[&critical_extension(NAME_CONSTRAINTS, &seq(&[]))]),
            ("request.extension", "the request has the extension `2.5.29.30`, which no leaf has"),
        ),
        refuse(
            "subject key identifier",
            with_extensions(&[&extension(SUBJECT_KEY_ID, &tlv(OCTET_STRING, &[7; 20]))]),
            ("request.extension", "the request has the extension `2.5.29.14`, which no leaf has"),
        ),
        refuse(
            "authority key identifier",
            with_extensions(&[&extension(AUTHORITY_KEY_ID, &seq(&[&tlv(0x80, &[7; 20])]))]),
            ("request.extension", "the request has the extension `2.5.29.35`, which no leaf has"),
        ),
        refuse(
            "thousands of extensions",
            with_extensions(&[&many_extensions()]),
            malformed("Extensions: more than any certificate of a cluster has"),
        ),
        refuse(
            "same extension twice",
            with_extensions(&[&names(&[dns(b"a")]), &names(&[dns(b"b")])]),
            malformed("Extensions: one identifier stands twice (RFC 5280 4.2)"),
        ),
        refuse(
            "extension by a padded identifier",
            with_extensions(&[&extension(&[0x55, 0x1d, 0x80, 17], &good)]),
            malformed("Extension: a padded OBJECT IDENTIFIER (X.690 8.19.2)"),
        ),
        refuse(
            "extension by an empty identifier",
            with_extensions(&[&extension(&[], &good)]),
            malformed("Extension: not DER (X.690) at octet 2: malformed OID"),
        ),
        refuse("critical FALSE encoded", with_critical(&[1, 1, 0]), CRITICAL_BOOLEAN),
        refuse("critical by BOOLEAN 01", with_critical(&[1, 1, 1]), CRITICAL_BOOLEAN),
        refuse("critical of two octets", with_critical(&[1, 2, 0xff, 0xff]), CRITICAL_BOOLEAN),
        refuse(
            "octet behind the extension's value",
            with_extensions(&[&extension(SUBJECT_ALT_NAME, &[good.as_slice(), &[0]].concat())]),
            malformed("subjectAltName: octets after the end, at octet 5"),
        ),
        refuse(
            "extension without a value",
            with_extensions(&[&seq(&[&oid(SUBJECT_ALT_NAME)])]),
            malformed("Extension: ends before a required element"),
        ),
        refuse(
            "extension with a fourth element",
            with_extensions(&[&seq(&[&oid(SUBJECT_ALT_NAME), &CRITICAL, &tlv(OCTET_STRING, &good), &NULL])]),
            malformed("Extension: octets after the end, at octet 15"),
        ),
        refuse(
            "value in a constructed OCTET STRING",
            with_extensions(&[&seq(&[&oid(SUBJECT_ALT_NAME), &tlv(0x24, &tlv(OCTET_STRING, &good))])]),
            malformed("Extension: expected tag 0x04, found 0x24 at octet 5"),
        ),
    ]
}

/// As many different extensions as fit, which a search for repetitions must not take quadratic time over.
fn many_extensions() -> Vec<u8> {
    (1..=0x3fff_u16)
        .map(|number| number.to_be_bytes())
        .filter(|[high, low]| *high > 0 && *low < 0x80)
        .take(5000)
        .flat_map(|[high, low]| extension(&[0x2a, 0x80 | high, low], &[]))
        .collect()
}

/// Alternative names that are none of one host's.
pub(crate) fn alternative_names() -> Vec<Case> {
    let one_dns = |text: &[u8]| with_names(&[dns(text)]);
    let one_ip = |octets: &[u8]| with_names(&[ip(octets)]);
    let v6 = |text: &str| one_ip(&text.parse::<std::net::Ipv6Addr>().unwrap().octets());
    let other_name = tlv(CONTEXT_0, &[oid(&[0x2a, 3, 4]), tlv(CONTEXT_0, &tlv(UTF8, b"a"))].concat());
    let hundred_and_one: Vec<_> = (0..101).map(|index| dns(format!("n{index}").as_bytes())).collect();
    vec![
        refuse("wildcard", one_dns(b"*.example.com"), DNS),
        refuse("underscore", one_dns(b"a_b.example.com"), DNS),
        refuse("trailing dot", one_dns(b"a.example.com."), DNS),
        refuse("leading dot", one_dns(b".example.com"), DNS),
        refuse("upper case", one_dns(b"A.example.com"), DNS),
        refuse("space", one_dns(b" "), DNS),
        refuse("empty dNSName", one_dns(b""), DNS),
        refuse("an address as dNSName", one_dns(b"10.0.0.1"), DNS),
        refuse("label of 64 octets", one_dns(&[b'a'; 64]), DNS),
        refuse("name of 255 octets", one_dns(&b"a.".repeat(128)[..255]), DNS),
        refuse("non-ASCII", one_dns("bücher.example".as_bytes()), DNS),
        refuse("invalid UTF-8 in a name", one_dns(&[0xff]), DNS),
        refuse("NUL in a name", one_dns(b"a\0.example.com"), DNS),
        refuse("hyphen at the end", one_dns(b"a-.example.com"), DNS),
        refuse("address of no octet", one_ip(&[]), IP),
        refuse("address of 5 octets", one_ip(&[10, 0, 0, 1, 0]), IP),
        refuse("address of 8 octets, with a mask", one_ip(&[10, 0, 0, 1, 255, 0, 0, 0]), IP),
        refuse("address of 17 octets", one_ip(&[1; 17]), IP),
        refuse("0.0.0.0", one_ip(&[0; 4]), IP),
        refuse("::", one_ip(&[0; 16]), IP),
        refuse("multicast", one_ip(&[224, 0, 0, 1]), IP),
        refuse("multicast of IPv6", v6("ff02::1"), IP),
        refuse("IPv4 in the guise of IPv6", v6("::ffff:10.0.0.1"), IP),
        refuse("e-mail", with_names(&[tlv(0x81, b"a@example.com")]), OTHER_NAME),
        refuse("URI", with_names(&[tlv(0x86, b"spiffe://example.com/a")]), OTHER_NAME),
        refuse("otherName", with_names(&[other_name]), OTHER_NAME),
        refuse("directoryName", with_names(&[tlv(0xa4, &name(&[rdn(COMMON_NAME, UTF8, b"a")]))]), OTHER_NAME),
        refuse("x400Address", with_names(&[tlv(0xa3, &NULL)]), OTHER_NAME),
        refuse("ediPartyName", with_names(&[tlv(0xa5, &tlv(0x81, b"a"))]), OTHER_NAME),
        refuse("a name of no kind", with_names(&[tlv(0x89, b"a")]), OTHER_NAME),
        refuse("dNSName as a UTF8String", with_names(&[tlv(UTF8, b"a")]), OTHER_NAME),
        refuse("registeredID", with_names(&[tlv(0x88, &[0x2a, 3, 4])]), OTHER_NAME),
        refuse("a good name, then an e-mail", with_names(&[dns(b"a"), tlv(0x81, b"a@example.com")]), OTHER_NAME),
        refuse("no names", with_names(&[]), malformed("subjectAltName: empty (RFC 5280 4.2.1.6)")),
        refuse("nesting of 2000", with_names(&[(0..2000).fold(Vec::new(), |inner, _| tlv(0xa4, &inner))]), OTHER_NAME),
        refuse("101 names", with_names(&hundred_and_one), malformed("subjectAltName: more names than the limit")),
        refuse(
            "names in a SET",
            with_extensions(&[&extension(SUBJECT_ALT_NAME, &tlv(SET, &dns(b"a")))]),
            malformed("subjectAltName: expected tag 0x30, found 0x31 at octet 0"),
        ),
    ]
}

/// What follows `system:node:` in names that look like one of node-1 or lead elsewhere.
pub(crate) const NODE_NAMES_IN_DISGUISE: [&str; 14] = [
    "",
    ".",
    "..",
    "../node-1",
    "node-1/a",
    "Node-1",
    "node-1 ",
    " node-1",
    "node-1.",
    "node_1",
    "\u{feff}node-1",
    "node-1\u{202e}",
    "n\u{43e}de-1",
    "n\u{200b}ode-1",
];

/// Requests of which upstream sees other names than a strict reader, and what it sees.
pub(crate) fn presented() -> Vec<(&'static str, Vec<u8>, PresentedNames)> {
    let cn = |text: &[u8]| rdn(COMMON_NAME, UTF8, text);
    let o = |text: &str| seq(&[&oid(ORGANIZATION), &tlv(UTF8, text.as_bytes())]);
    let texts = |texts: &[&str]| texts.iter().map(|text| (*text).to_owned()).collect::<Vec<_>>();
    let node = PresentedNames {
        common_name: "system:node:node-1".to_owned(),
        organizations: texts(&["system:nodes"]),
        ..PresentedNames::default()
    };
    let other_name = tlv(CONTEXT_0, &[oid(&[0x2a, 3, 4]), tlv(CONTEXT_0, &tlv(UTF8, b"a"))].concat());
    vec![
        ("empty subject", with_subject(&[]), PresentedNames::default()),
        (
            "of two common names the last",
            with_subject(&[cn(b"system:node:a"), cn(b"system:node:b")]),
            PresentedNames { common_name: "system:node:b".to_owned(), ..PresentedNames::default() },
        ),
        (
            "of two common names in one RDN the last",
            with_subject(&[tlv(SET, &[b"a", b"b"].map(|text| seq(&[&oid(COMMON_NAME), &tlv(UTF8, text)])).concat())]),
            PresentedNames { common_name: "b".to_owned(), ..PresentedNames::default() },
        ),
        (
            "every organization, in order",
            with_subject(&[tlv(SET, &o("b")), cn(b"u"), tlv(SET, &[o("c"), o("a")].concat())]),
            PresentedNames {
                common_name: "u".to_owned(),
                organizations: texts(&["b", "c", "a"]),
                ..PresentedNames::default()
            },
        ),
        (
            "no organizational unit",
            with_subject(&[rdn(ORGANIZATIONAL_UNIT, UTF8, b"unit"), cn(b"u")]),
            PresentedNames { common_name: "u".to_owned(), ..PresentedNames::default() },
        ),
        (
            "what is not UTF-8, as something that no rule accepts",
            with_common_name(UTF8, b"system:node:\xff"),
            PresentedNames { common_name: "system:node:\u{fffd}".to_owned(), ..PresentedNames::default() },
        ),
        (
            "e-mail addresses and URIs",
            with_names(&[
                tlv(0x81, b"a@example.com"),
                dns(b"*.example.com"),
                tlv(0x86, b"spiffe://example.com/a"),
                ip(&[0; 4]),
                tlv(0x81, b"b@example.com"),
            ]),
            PresentedNames {
                dns_names: texts(&["*.example.com"]),
                email_addresses: texts(&["a@example.com", "b@example.com"]),
                ip_addresses: vec!["0.0.0.0".parse().unwrap()],
                uris: texts(&["spiffe://example.com/a"]),
                ..node.clone()
            },
        ),
        (
            "no names of other kinds",
            with_names(&[other_name, tlv(0xa4, &name(&[cn(b"a")])), tlv(0x88, &[0x2a, 3, 4])]),
            node.clone(),
        ),
        ("no names where there are none", with_names(&[]), node),
    ]
}
