"""Judges certificates with Python's cryptography (its path validation) and with pkilint.

Reads one JSON object from standard input and writes one to standard output:

- `verify`: cases with `anchors`, `intermediates` and `leaf` (DER in base64), `at` (seconds since 1970), and `server`
  (`{"dns": name}` or `{"ip": address}`) where the leaf has to be fit for that server, `null` where for a client.
  Answered by a list: `null` for a leaf that is accepted, else why it is not.
- `lint`: certificates (DER in base64). Answered by a list of findings for each: `severity`, `code`, `message`, `path`.
"""

import base64
import datetime
import ipaddress
import json
import sys

from cryptography import x509
from cryptography.x509 import verification
from pkilint import loader, validation
from pkilint.pkix import certificate, extension, name


def certificate_of(text):
    return x509.load_der_x509_certificate(base64.b64decode(text))


def client_policies():
    """The defaults, but a client needs no alternative name: Kubernetes knows it by its subject."""
    leaf = verification.ExtensionPolicy.webpki_defaults_ee().may_be_present(
        x509.SubjectAlternativeName, verification.Criticality.AGNOSTIC, None
    )
    return {"ca_policy": verification.ExtensionPolicy.webpki_defaults_ca(), "ee_policy": leaf}


def verify(case):
    store = verification.Store([certificate_of(anchor) for anchor in case["anchors"]])
    at = datetime.datetime.fromtimestamp(case["at"], datetime.timezone.utc).replace(tzinfo=None)
    builder = verification.PolicyBuilder().store(store).time(at)
    match case["server"]:
        case None:
            verifier = builder.extension_policies(**client_policies()).build_client_verifier()
        case {"dns": text}:
            verifier = builder.build_server_verifier(x509.DNSName(text))
        case {"ip": text}:
            verifier = builder.build_server_verifier(x509.IPAddress(ipaddress.ip_address(text)))
    try:
        verifier.verify(certificate_of(case["leaf"]), [certificate_of(text) for text in case["intermediates"]])
    except verification.VerificationError as error:
        return str(error)
    return None


def rfc5280_validator():
    """What `lint_pkix_cert` checks."""
    return certificate.create_pkix_certificate_validator_container(
        certificate.create_decoding_validators(name.ATTRIBUTE_TYPE_MAPPINGS, extension.EXTENSION_MAPPINGS),
        [
            certificate.create_issuer_validator_container([]),
            certificate.create_validity_validator_container(),
            certificate.create_subject_validator_container([]),
            certificate.create_extensions_validator_container([]),
            certificate.create_spki_validator_container([]),
        ],
    )


def lint(validator, text):
    document = loader.load_certificate(base64.b64decode(text), "certificate")
    return [
        {
            "severity": description.finding.severity.name,
            "code": description.finding.code,
            "message": description.message or "",
            "path": result.node.path,
        }
        for result in validator.validate(document.root)
        for description in result.finding_descriptions
        if description.finding.severity <= validation.ValidationFindingSeverity.WARNING
    ]


def main():
    question = json.load(sys.stdin)
    validator = rfc5280_validator()
    answer = {
        "verify": [verify(case) for case in question["verify"]],
        "lint": [lint(validator, text) for text in question["lint"]],
    }
    json.dump(answer, sys.stdout)


main()
