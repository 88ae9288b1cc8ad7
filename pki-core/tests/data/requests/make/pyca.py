#!/usr/bin/env python3
"""Writes the request of a front proxy by Python's cryptography."""

import sys

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

request = (
    x509.CertificateSigningRequestBuilder()
    .subject_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "front-proxy-client")]))
    .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
    .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.CLIENT_AUTH]), critical=False)
    .add_extension(x509.SubjectAlternativeName([x509.DNSName("front-proxy.example.com")]), critical=False)
    .sign(rsa.generate_private_key(65537, 3072), hashes.SHA256())
)
with open(sys.argv[1], "wb") as file:
    file.write(request.public_bytes(serialization.Encoding.PEM))
