#!/usr/bin/env python3
"""Writes requests of RSA keys that are weak, and of two that just are not.

Needs gmpy2 and, as the judge of the results, badkeys. Every run gives other keys.
"""

import hashlib
import secrets
import sys

import gmpy2
from badkeys.rsakeys import fermat, roca

E = 65537


def random_prime(bits):
    """A prime of this many bits, the two highest set."""
    while True:
        candidate = gmpy2.next_prime(secrets.randbits(bits) | 3 << (bits - 2))
        if candidate.bit_length() == bits and gmpy2.gcd(candidate - 1, E) == 1:
            return candidate


def roca_prime(bits, primes):
    """A prime as Infineon's RSALib made it: a multiple of a primorial plus a power of 65537."""
    primorial = gmpy2.primorial(primes)
    while True:
        multiple = secrets.randbits(bits - primorial.bit_length() + 1)
        power = gmpy2.powmod(E, secrets.randbits(256), primorial)
        candidate = multiple * primorial + power
        if candidate.bit_length() == bits and candidate >> (bits - 2) == 3 and gmpy2.is_prime(candidate):
            if gmpy2.gcd(candidate - 1, E) == 1:
                return candidate


def rounds(p, q):
    """In which round of Fermat's method these two are found, counted from 0."""
    n = p * q
    root = gmpy2.isqrt(n)
    return (p + q) // 2 - (root if root * root == n else root + 1)


def close_primes(bits, wanted):
    """Two primes that are found in exactly this round."""
    while True:
        p = random_prime(bits)
        # ((p - q) / 2)^2 is about 2 * sqrt(n) * rounds.
        half = gmpy2.isqrt(2 * p * wanted + p)
        q = gmpy2.next_prime(p + 2 * half)
        for _ in range(2000):
            found = rounds(p, q)
            if found > wanted:
                break
            if found == wanted and gmpy2.gcd(q - 1, E) == 1:
                return p, q
            q = gmpy2.next_prime(q)


def tlv(tag, *parts):
    content = b"".join(parts)
    length = len(content)
    size = (length.bit_length() + 7) // 8
    return bytes([tag]) + (bytes([length]) if length < 128 else bytes([0x80 | size]) + length.to_bytes(size, "big")) + content


def integer(number):
    number = int(number)
    return tlv(2, number.to_bytes(number.bit_length() // 8 + 1, "big"))


def request(p, q):
    n = int(p * q)
    phi = p * (p - 1) if p == q else (p - 1) * (q - 1)
    rsa = tlv(0x30, bytes.fromhex("06092a864886f70d010101"), b"\x05\0")
    key = tlv(0x30, rsa, tlv(3, b"\0", tlv(0x30, integer(n), integer(E))))
    subject = tlv(0x30, tlv(0x31, tlv(0x30, bytes.fromhex("0603550403"), tlv(0x0C, b"weak"))))
    info = tlv(0x30, b"\x02\1\0", subject, key, tlv(0xA0))
    digest = bytes.fromhex("3031300d060960864801650304020105000420") + hashlib.sha256(info).digest()
    size = n.bit_length() // 8
    padded = b"\0\1" + b"\xff" * (size - 3 - len(digest)) + b"\0" + digest
    signature = pow(int.from_bytes(padded, "big"), int(gmpy2.invert(E, phi)), n).to_bytes(size, "big")
    algorithm = tlv(0x30, bytes.fromhex("06092a864886f70d01010b"), b"\x05\0")
    return tlv(0x30, info, algorithm, tlv(3, b"\0", signature))


def with_factor(factor):
    """A modulus of 2048 bits with this factor."""
    while True:
        other = gmpy2.next_prime(secrets.randbits(2048) // factor)
        if (factor * other).bit_length() == 2048 and gmpy2.gcd(other - 1, E) == 1:
            return gmpy2.mpz(factor), other


def main(directory):
    square = random_prime(1024)
    keys = {
        "roca-2048": (roca_prime(1024, 701), roca_prime(1024, 701)),
        "roca-4096": (roca_prime(2048, 1427), roca_prime(2048, 1427)),
        "factor-3": with_factor(3),
        "factor-751": with_factor(751),
        "factor-757": with_factor(757),
        "square": (square, square),
        "close-round-0": close_primes(1024, 0),
        "close-round-99": close_primes(1024, 99),
        "close-round-100": close_primes(1024, 100),
        "close-3072-round-99": close_primes(1536, 99),
        "close-4096-round-99": close_primes(2048, 99),
    }
    for name, (p, q) in keys.items():
        close = name == "square" or name.startswith("close") and name != "close-round-100"
        assert (bool(roca(p * q)), bool(fermat(p * q))) == (name.startswith("roca"), close), name
        with open(f"{directory}/{name}.der", "wb") as file:
            file.write(request(p, q))


main(sys.argv[1])
