"""Chains that can be served and chains that can't, each with a leaf that is fit by itself."""

from collections.abc import Mapping
from datetime import datetime, timedelta
from functools import cache
from itertools import count
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import dsa, ec, ed448, ed25519, padding, rsa
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import NameOID

from deployments.sandbox.clusters import pki
from tasks.runtime.silence import without_warnings
from tests.support.factories import NOW
from tests.support.tls_programs import Chain

AnyKey = Any  # cryptography's union of keys that sign
NAME = "homarr.dev.example.org"
YEARS = timedelta(days=1000)
SHA1, MD5 = (bytes.fromhex(f"06092a864886f70d0101{last}") for last in ("05", "04"))
SHA256 = bytes.fromhex("06092a864886f70d01010b")
_serials = count(0x40 << 152)  # of 20 bytes each, whose highest bit makes them negative
END = b"-----END CERTIFICATE-----\n"


@cache
def rsa_key(bits: int = 2048, number: int = 0) -> rsa.RSAPrivateKey:
    return rsa.generate_private_key(public_exponent=65537, key_size=bits)


@cache
def dsa_key() -> dsa.DSAPrivateKey:
    return dsa.generate_private_key(key_size=2048)


def named(text: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, text)])


def certificate(  # noqa: PLR0913  a certificate says that much
    subject: str,
    key: AnyKey,
    issuer: str,
    signer: AnyKey,
    *,
    is_ca: bool | None = True,
    may_sign: bool | None = None,
    not_before: datetime = NOW - YEARS,
    not_after: datetime = NOW + YEARS,
) -> x509.Certificate:
    """Return a certificate, by default of a CA; None leaves out the extension."""
    builder = (
        x509.CertificateBuilder()
        .subject_name(named(subject))
        .issuer_name(named(issuer))
        .public_key(key.public_key())
        .serial_number(next(_serials))
        .not_valid_before(not_before)
        .not_valid_after(not_after)
    )
    if is_ca is not None:
        builder = builder.add_extension(x509.BasicConstraints(ca=is_ca, path_length=None), critical=True)
    if may_sign is not None:
        builder = builder.add_extension(_usage(may_sign=may_sign), critical=True)
    if not is_ca:
        builder = builder.add_extension(x509.SubjectAlternativeName([x509.DNSName(NAME)]), critical=False)
    return builder.sign(signer, None if isinstance(signer, ed25519.Ed25519PrivateKey) else hashes.SHA256())


def _usage(*, may_sign: bool) -> x509.KeyUsage:
    others = ("content_commitment", "key_encipherment", "data_encipherment", "key_agreement", "crl_sign")
    none = dict.fromkeys((*others, "encipher_only", "decipher_only"), False)
    return x509.KeyUsage(digital_signature=True, key_cert_sign=may_sign, **none)


def signed_as_of_old(one: x509.Certificate, signer: rsa.RSAPrivateKey, oid: bytes = SHA1) -> x509.Certificate:
    """Return the certificate signed with SHA-1 or MD5, which cryptography refuses to do."""
    tbs = one.tbs_certificate_bytes.replace(SHA256, oid)
    digest = hashes.SHA1() if oid == SHA1 else hashes.MD5()
    old = one.public_bytes(Encoding.DER).replace(SHA256, oid).replace(one.signature, b"")
    signature = signer.sign(tbs, padding.PKCS1v15(), digest)
    return x509.load_der_x509_certificate(old + signature)


def with_short_serial(
    one: x509.Certificate, signer: ec.EllipticCurvePrivateKey, serial: int
) -> x509.Certificate:
    """Return the certificate with a serial number of one byte, from -128 to 127."""
    long = b"\x02\x14" + one.serial_number.to_bytes(20, "big")
    short = b"\x02\x01" + serial.to_bytes(1, "big", signed=True)
    content = one.tbs_certificate_bytes[4:].replace(long, short)
    tbs = b"\x30" + _length(len(content)) + content
    return _assembled(tbs, one, signer.sign(tbs, ec.ECDSA(hashes.SHA256())))


def with_negative_serial(one: x509.Certificate, signer: ec.EllipticCurvePrivateKey) -> x509.Certificate:
    """Return the certificate with a negative serial number, which cryptography refuses to write."""
    number = one.serial_number.to_bytes(20, "big")
    field = b"\x02\x14" + number
    assert field in one.tbs_certificate_bytes
    tbs = one.tbs_certificate_bytes.replace(field, b"\x02\x14" + bytes([number[0] | 0x80]) + number[1:])
    signature = signer.sign(tbs, ec.ECDSA(hashes.SHA256()))
    return _assembled(tbs, one, signature)


def _assembled(tbs: bytes, one: x509.Certificate, signature: bytes) -> x509.Certificate:
    """Assemble a certificate of these parts."""
    algorithm = one.public_bytes(Encoding.DER)
    begin = algorithm.index(one.tbs_certificate_bytes) + len(one.tbs_certificate_bytes)
    oid = algorithm[begin : begin + 2 + algorithm[begin + 1]]
    bits = b"\x03" + _length(len(signature) + 1) + b"\0" + signature
    content = tbs + oid + bits
    with without_warnings:  # of what is odd on purpose
        return x509.load_der_x509_certificate(b"\x30" + _length(len(content)) + content)


def _length(size: int) -> bytes:
    if size < 0x80:
        return bytes([size])
    return b"\x81" + bytes([size]) if size < 0x100 else b"\x82" + size.to_bytes(2, "big")


class World:
    """A root, an intermediate that is cross-signed, and a leaf."""

    def __init__(self) -> None:
        self.key, self.middle_key, self.root_key, self.other_key = (pki.new_key() for _ in range(4))
        self.root = certificate("Root X1", self.root_key, "Root X1", self.root_key)
        self.middle = certificate("R10", self.middle_key, "Root X1", self.root_key)
        self.leaf = certificate(NAME, self.key, "R10", self.middle_key, is_ca=False)

    def chain(self, *certificates: x509.Certificate, leaf: x509.Certificate | None = None) -> Chain:
        return self.text(pki.pem(leaf or self.leaf, *certificates))

    def text(self, crt: bytes, root: bytes = b"") -> Chain:
        return Chain(crt, pki.key_pem(self.key), root or pki.pem(self.root))

    def issued_by(self, one: x509.Certificate, key: AnyKey) -> x509.Certificate:
        """Return a leaf of this issuer."""
        return certificate(NAME, self.key, _common_name(one), key, is_ca=False)


def _common_name(one: x509.Certificate) -> str:
    return str(one.subject.get_attributes_for_oid(NameOID.COMMON_NAME)[0].value)


def negative_leaf() -> x509.Certificate:
    """Return a certificate for which cryptography warns when it parses it."""
    world = World()
    return with_negative_serial(world.leaf, world.middle_key)


@cache
def cases() -> Mapping[str, Chain]:
    w = World()
    root, middle, leaf = w.root, w.middle, w.leaf
    cross = certificate("R10", w.middle_key, "Root X2", w.other_key)
    second = certificate("E7", w.other_key, "R10", w.middle_key)
    of_second = w.issued_by(second, w.other_key)
    expired: dict[str, Any] = {"not_after": NOW - timedelta(days=1)}
    later: dict[str, Any] = {"not_before": NOW + timedelta(days=1)}
    good = pki.pem(leaf, middle)
    r = rsa_key()
    rsa_root = certificate("RSA Root", r, "RSA Root", r)

    def extra(key: AnyKey, **said: Any) -> Chain:
        return w.chain(middle, certificate("Extra", key, "Root X1", w.root_key, **said))

    def issuer(key: AnyKey | None = None, **said: Any) -> Chain:
        one = certificate("R11", key or w.other_key, "Root X1", w.root_key, **said)
        return w.chain(one, leaf=w.issued_by(one, key or w.other_key))

    def by_rsa(*, of_leaf: bytes = b"", alone: bool = False) -> Chain:
        one = w.issued_by(rsa_root, r)
        one = signed_as_of_old(one, r, of_leaf) if of_leaf else one
        return Chain(pki.pem(one, *[rsa_root] * (not alone)), pki.key_pem(w.key), pki.pem(rsa_root))

    lines = good.split(b"\n")
    return {
        "leaf and issuer": w.chain(middle),
        "with the root": w.chain(middle, root),
        "leaf alone": w.chain(),
        "two cross-signed intermediates": w.chain(middle, cross),
        "two cross-signed intermediates, the other way round": w.chain(cross, middle),
        "the issuer twice": w.chain(middle, middle),
        "the leaf twice": w.chain(leaf, middle),
        "the root before the issuer": w.chain(root, middle),
        "two intermediates in the wrong order": w.chain(middle, second, leaf=of_second),
        "its issuer with the right to sign": issuer(may_sign=True),
        "two intermediates, issued by the second": w.chain(second, middle, leaf=of_second),
        "an expired extra cross-sign": w.chain(
            middle, certificate("Root X1", w.root_key, "DST", w.other_key, **expired)
        ),
        "an extra cross-sign that is not valid yet": w.chain(
            middle, certificate("Root X1", w.root_key, "DST", w.other_key, **later)
        ),
        "an expired cross-signed intermediate": w.chain(
            certificate("R10", w.middle_key, "Root X2", w.other_key, **expired), middle
        ),
        "an unrelated authority": extra(w.other_key),
        "an unrelated leaf": extra(w.other_key, is_ca=False),
        "a root without basicConstraints": w.chain(
            middle, certificate("Root X1", w.root_key, "Root X1", w.root_key, is_ca=None)
        ),
        "a root signed with SHA-1": w.chain(middle, signed_as_of_old(rsa_root, r)),
        "an RSA root right above the leaf": by_rsa(),
        "lines of dashes": w.text(good.replace(END, END + b"-----\n" + b"-" * 64 + b"\n--- issuer ---\n")),
        "dashes at the end of a comment": w.text(
            b"leaf -----\n" + good.replace(END, END + b"----- R10 -----\n")
        ),
        # refused
        "CR-only line ends": w.text(good.replace(b"\n", b"\r")),
        "a blank line inside a block": w.text(b"\n".join([*lines[:3], b"", *lines[3:]])),
        "a byte order mark": w.text(b"\xef\xbb\xbf" + good),
        "the issuer first": w.text(pki.pem(middle, leaf)),
        "an unrelated authority alone": w.chain(root),
        "its issuer expired": issuer(**expired),
        "its issuer not valid yet": issuer(**later),
        "its issuer no authority": issuer(is_ca=None),
        "its issuer without the right to sign": issuer(may_sign=False),
        "its issuer with RSA of 1024 bits": issuer(rsa_key(1024)),
        "a leaf signed with SHA-1": by_rsa(of_leaf=SHA1),
        "a leaf signed with SHA-1, alone": by_rsa(of_leaf=SHA1, alone=True),
        "a leaf signed with MD5": by_rsa(of_leaf=MD5),
        "a leaf signed with MD5, alone": by_rsa(of_leaf=MD5, alone=True),
        "an extra signed with SHA-1": w.chain(
            middle, signed_as_of_old(certificate("Extra", w.other_key, "RSA Root", r), r)
        ),
        "an extra with RSA of 1024 bits": extra(rsa_key(1024)),
        "an extra with RSA of 10240 bits": extra(_big()),
        "an extra with DSA": extra(dsa_key()),
        "an extra on secp256k1": extra(ec.generate_private_key(ec.SECP256K1())),
        "an extra on P-224": extra(ec.generate_private_key(ec.SECP224R1())),
        "an extra with Ed448": extra(ed448.Ed448PrivateKey.generate()),
        "an extra with a negative serial number": w.chain(
            middle, with_negative_serial(certificate("Extra", w.other_key, "Root X1", w.root_key), w.root_key)
        ),
        "a leaf with a negative serial number": w.chain(
            middle, leaf=with_negative_serial(leaf, w.middle_key)
        ),
        "a BEGIN in a comment": w.text(b"-----BEGIN CHAIN-----\n" + good),
        "a BEGIN after blanks": w.text(b"  " + good),
        "a BEGIN after dashes": w.text(b"-" + good),
        "an END in a comment": w.text(good.replace(END, END + b"-----END CHAIN-----\n")),
    }


def _big() -> rsa.RSAPublicKey:
    class Key:
        def public_key(self) -> rsa.RSAPublicKey:
            return rsa.RSAPublicNumbers(65537, (1 << 10239) + 1).public_key()

    return Key()  # type: ignore[return-value]
