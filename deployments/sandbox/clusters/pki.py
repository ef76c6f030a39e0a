"""Certificate authorities for tests, with new keys each time, which stay in memory."""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
)
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

PrivateKey = ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey
PublicKey = ec.EllipticCurvePublicKey | rsa.RSAPublicKey

# Names and addresses of an API server: on this machine, and inside its cluster.
SERVER_NAMES = ("127.0.0.1", "localhost", "10.0.0.1", "kubernetes.default.svc")

_LIFE = timedelta(days=3650)


def new_key() -> ec.EllipticCurvePrivateKey:
    return ec.generate_private_key(ec.SECP256R1())


def key_pem(key: PrivateKey, form: PrivateFormat = PrivateFormat.PKCS8) -> bytes:
    return key.private_bytes(Encoding.PEM, form, NoEncryption())


def public_pem(key: PrivateKey) -> bytes:
    return key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)


def pem(*certificates: x509.Certificate) -> bytes:
    return b"".join(certificate.public_bytes(Encoding.PEM) for certificate in certificates)


class Authority:
    """A CA that is a year old: self-signed, or intermediate if it has a parent."""

    def __init__(self, name: str, parent: "Authority | None" = None, now: datetime | None = None) -> None:
        self.key = new_key()
        self.name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
        begin = (now or datetime.now(UTC)) - timedelta(days=365)
        self.certificate = (parent or self).sign(
            self.key.public_key(), self.name, not_before=begin, not_after=begin + _LIFE, is_ca=True
        )
        self.pem = pem(self.certificate)

    def sign(  # noqa: PLR0913 (fields of a certificate)
        self,
        public_key: PublicKey,
        subject: x509.Name,
        names: Sequence[str] = (),
        *,
        not_before: datetime,
        not_after: datetime,
        is_ca: bool = False,
    ) -> x509.Certificate:
        builder = (
            x509.CertificateBuilder(self.name, subject, public_key, x509.random_serial_number())
            .not_valid_before(not_before)
            .not_valid_after(not_after)
        )
        for extension, critical in _extensions(public_key, self.key.public_key(), names, is_ca=is_ca):
            builder = builder.add_extension(extension, critical)
        return builder.sign(self.key, hashes.SHA256())

    def serving(self, names: Sequence[str] = SERVER_NAMES) -> tuple[bytes, bytes]:
        """Return a server's key and certificate as PEM."""
        key, now = new_key(), datetime.now(UTC)
        subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, names[0])])
        certificate = self.sign(
            key.public_key(),
            subject,
            names,
            not_before=now - timedelta(hours=1),
            not_after=now + timedelta(days=365),
        )
        return key_pem(key), pem(certificate)


def _extensions(
    subject: PublicKey, issuer: PublicKey, names: Sequence[str], *, is_ca: bool
) -> list[tuple[x509.ExtensionType, bool]]:
    """Return all that strict verifiers require, such as Python 3.13's."""
    extensions: list[tuple[x509.ExtensionType, bool]] = [
        (x509.BasicConstraints(ca=is_ca, path_length=None), True),
        (key_usage(is_ca=is_ca), True),
        (x509.SubjectKeyIdentifier.from_public_key(subject), False),
        (x509.AuthorityKeyIdentifier.from_issuer_public_key(issuer), False),
    ]
    if not is_ca:
        extensions.append((x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), False))
        alternative = x509.SubjectAlternativeName([_general_name(name) for name in names])
        extensions.append((alternative, False))
    return extensions


def key_usage(*, is_ca: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=True,
        content_commitment=False,
        key_encipherment=not is_ca,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=is_ca,
        crl_sign=is_ca,
        encipher_only=False,
        decipher_only=False,
    )


def _general_name(name: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ip_address(name))
    except ValueError:
        return x509.DNSName(name)
