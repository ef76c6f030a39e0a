"""Secrets in cert-manager's namespace that must not be copied to any cluster."""

import uuid
from collections.abc import Sequence
from datetime import timedelta

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    PrivateFormat,
)
from cryptography.x509.oid import NameOID

from deployments.sandbox.clusters import pki
from deployments.sandbox.clusters.manifests import Manifest
from deployments.sandbox.world.cert_manager import LIFE, Issuer


def staged_key(issuer: Issuer, certificate: str) -> Manifest:
    """Return the next private key, which cert-manager stores before it orders the certificate."""
    manifest = issuer.manifest(f"{certificate}-x7k2p", [], {"tls.key": pki.key_pem(pki.new_key())})
    manifest["type"] = "Opaque"
    metadata = manifest["metadata"]
    del metadata["annotations"]
    metadata["labels"]["cert-manager.io/next-private-key"] = "true"
    owner = {"apiVersion": "cert-manager.io/v1", "kind": "Certificate", "name": certificate}
    metadata["ownerReferences"] = [
        {**owner, "uid": str(uuid.uuid4()), "controller": True, "blockOwnerDeletion": True}
    ]
    return manifest


def temporary(issuer: Issuer, name: str, dns_names: Sequence[str]) -> Manifest:
    """Return what cert-manager writes, where it is told to, until the real certificate is issued.

    It has no annotations of an issuer, and the CA that signs it exists for this signature alone.
    """
    key, signer = pki.new_key(), ec.generate_private_key(ec.SECP521R1())
    certificate = (
        x509.CertificateBuilder()
        .issuer_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "cert-manager.local")]))
        .subject_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, dns_names[0])]))
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(issuer.now)
        .not_valid_after(issuer.now + LIFE)
        .add_extension(pki.key_usage(is_ca=False), critical=True)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(
            x509.AuthorityKeyIdentifier.from_issuer_public_key(signer.public_key()), critical=False
        )
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(one) for one in dns_names]), critical=False)
        .sign(signer, hashes.SHA512())
    )
    manifest = issuer.manifest(name, dns_names, {"tls.crt": pki.pem(certificate), "tls.key": _sec1(key)})
    annotations = manifest["metadata"]["annotations"]
    for about in ("name", "kind", "group"):
        del annotations[f"cert-manager.io/issuer-{about}"]
    return manifest


def not_issued(issuer: Issuer, name: str, dns_names: Sequence[str]) -> Manifest:
    """Return a Secret with an empty tls.crt: the state before the first issuance."""
    return issuer.manifest(name, dns_names, {"tls.crt": b"", "tls.key": _sec1(pki.new_key())})


def expired(issuer: Issuer, name: str, dns_names: Sequence[str]) -> Manifest:
    yesterday = issuer.now - timedelta(days=1)
    return issuer.secret(name, dns_names, not_before=yesterday - LIFE, not_after=yesterday)


def not_yet_valid(issuer: Issuer, name: str, dns_names: Sequence[str]) -> Manifest:
    return issuer.secret(name, dns_names, not_before=issuer.now + timedelta(days=1))


def mismatched_key(issuer: Issuer, name: str, dns_names: Sequence[str]) -> Manifest:
    """Return a valid certificate with another certificate's key."""
    return _with_chain(issuer, name, dns_names, key_pem=_sec1(pki.new_key()))


def encrypted_key(issuer: Issuer, name: str, dns_names: Sequence[str]) -> Manifest:
    key = pki.new_key()
    pem = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, BestAvailableEncryption(b"secret"))
    return _with_chain(issuer, name, dns_names, key, pem)


def weak_key(issuer: Issuer, name: str, dns_names: Sequence[str]) -> Manifest:
    """Return a certificate with an RSA key of 1024 bits."""
    key = rsa.generate_private_key(public_exponent=65537, key_size=1024)  # noqa: S505 (on purpose)
    return _with_chain(issuer, name, dns_names, key)


def reversed_chain(issuer: Issuer, name: str, dns_names: Sequence[str]) -> Manifest:
    """Return a chain with the intermediate certificate before the leaf."""
    key = pki.new_key()
    chain = pki.pem(issuer.intermediate.certificate, issuer.leaf(key, dns_names))
    return issuer.manifest(name, dns_names, {"tls.crt": chain, "tls.key": _sec1(key)})


def authority(issuer: Issuer, name: str) -> Manifest:
    """Return a CA issuer's CA, which cert-manager stores in a Secret of the same type as leaves."""
    root = pki.Authority(name)
    data = {"tls.crt": root.pem, "tls.key": _sec1(root.key), "ca.crt": root.pem}
    return issuer.manifest(name, [], data)


def opaque(issuer: Issuer, name: str) -> Manifest:
    """Return a Secret without certificates."""
    manifest = issuer.manifest(name, [], {"password": b"correct horse battery staple"})
    manifest["type"] = "Opaque"
    del manifest["metadata"]["labels"], manifest["metadata"]["annotations"]
    return manifest


def _with_chain(
    issuer: Issuer,
    name: str,
    dns_names: Sequence[str],
    key: pki.PrivateKey | None = None,
    key_pem: bytes | None = None,
) -> Manifest:
    key = key or pki.new_key()
    chain = pki.pem(issuer.leaf(key, dns_names), issuer.intermediate.certificate)
    data = {"tls.crt": chain, "tls.key": key_pem or _sec1(key)}
    return issuer.manifest(name, dns_names, data)


def _sec1(key: pki.PrivateKey) -> bytes:
    """Return a key as cert-manager writes it: SEC1, or PKCS#1 for RSA."""
    return pki.key_pem(key, PrivateFormat.TraditionalOpenSSL)
