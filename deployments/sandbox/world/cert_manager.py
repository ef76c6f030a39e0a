"""Secrets as cert-manager writes them, issued by a CA that stands in for Let's Encrypt.

Their form is copied from a real cert-manager controller. unfit.py makes Secrets that must not be copied.
"""

import base64
import functools
import itertools
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Literal

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import PrivateFormat
from cryptography.x509.oid import NameOID

from deployments.sandbox.clusters import pki
from deployments.sandbox.clusters.manifests import Manifest

KeyKind = Literal["ec", "rsa"]
KeyFormat = Literal["traditional", "pkcs8"]

SOURCE_NAMESPACE = "certificates-ops"
LIFE = timedelta(days=90)

_AGE = timedelta(days=10)
_BACKDATED = timedelta(hours=1)  # as Let's Encrypt does, for clients whose clocks are slow
_FORMATS = {
    "traditional": PrivateFormat.TraditionalOpenSSL,  # PKCS#1 for RSA, SEC1 for EC
    "pkcs8": PrivateFormat.PKCS8,
}
_RSA_KEYS = 4
_turn = itertools.count()


class Issuer:
    """A ClusterIssuer: an intermediate CA signs the leaves, and follows them in tls.crt.

    `now` is a fixed time; without it, the time of each call counts.
    """

    def __init__(self, namespace: str = SOURCE_NAMESPACE, now: datetime | None = None) -> None:
        self.namespace = namespace
        self.root = pki.Authority("Sandbox Root X1", now=now)
        self.intermediate = pki.Authority("Sandbox R10", self.root, now)
        self._now = now

    @property
    def now(self) -> datetime:
        return (self._now or datetime.now(UTC)).replace(microsecond=0)

    def secret(  # noqa: PLR0913 (all but two have a default)
        self,
        name: str,
        dns_names: Sequence[str],
        *,
        key: KeyKind = "ec",
        key_format: KeyFormat = "traditional",
        not_before: datetime | None = None,
        not_after: datetime | None = None,
        ca_crt: bool = False,
        labels: Mapping[str, str] | None = None,
        annotations: Mapping[str, str] | None = None,
    ) -> Manifest:
        """Return a Secret with a certificate that is, by default, ten days old and fit to be copied."""
        private_key = new_key(key)
        leaf = self.leaf(private_key, dns_names, not_before, not_after)
        data = {
            "tls.crt": pki.pem(leaf, self.intermediate.certificate),
            "tls.key": pki.key_pem(private_key, _FORMATS[key_format]),
        }
        if ca_crt:
            data["ca.crt"] = self.root.pem
        manifest = self.manifest(name, dns_names, data)
        manifest["metadata"]["labels"].update(labels or {})
        manifest["metadata"]["annotations"].update(annotations or {})
        return manifest

    def renew(self, secret: Manifest) -> Manifest:
        """Return the Secret after a renewal: the same names, another key, a later notBefore."""
        old = leaf_of(secret)
        is_rsa = isinstance(old.public_key(), rsa.RSAPublicKey)
        is_pkcs8 = b"BEGIN PRIVATE KEY" in base64.b64decode(secret["data"]["tls.key"])
        renewed = secret
        while renewed is secret or leaf_of(renewed).public_key() == old.public_key():
            renewed = self.secret(
                secret["metadata"]["name"],
                dns_names_of(old),
                key="rsa" if is_rsa else "ec",
                key_format="pkcs8" if is_pkcs8 else "traditional",
                not_before=max(self.now - _BACKDATED, old.not_valid_before_utc + timedelta(seconds=1)),
                ca_crt="ca.crt" in secret["data"],
                labels=secret["metadata"].get("labels"),
                annotations=secret["metadata"].get("annotations"),
            )
        return renewed

    def leaf(
        self,
        key: pki.PrivateKey,
        dns_names: Sequence[str],
        not_before: datetime | None = None,
        not_after: datetime | None = None,
    ) -> x509.Certificate:
        begin = not_before or self.now - _AGE
        return self.intermediate.sign(
            key.public_key(),
            x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, dns_names[0])]),
            dns_names,
            not_before=begin,
            not_after=not_after or begin + LIFE,
        )

    def manifest(self, name: str, dns_names: Sequence[str], data: Mapping[str, bytes]) -> Manifest:
        """Return a Secret of this data with the metadata that cert-manager writes."""
        annotations = {
            "alt-names": ",".join(dns_names),
            "certificate-name": name,
            "common-name": dns_names[0] if dns_names else "",
            "ip-sans": "",
            "issuer-group": "",  # as the Certificate has it, which need not name a group
            "issuer-kind": "ClusterIssuer",
            "issuer-name": "letsencrypt-prod",
            "uri-sans": "",
        }
        return {
            "apiVersion": "v1",
            "kind": "Secret",
            "metadata": {
                "name": name,
                "namespace": self.namespace,
                "labels": {"controller.cert-manager.io/fao": "true"},
                "annotations": {f"cert-manager.io/{key}": value for key, value in annotations.items()},
            },
            "type": "kubernetes.io/tls",
            "data": {key: base64.b64encode(value).decode() for key, value in data.items()},
        }


def leaf_of(secret: Manifest) -> x509.Certificate:
    return x509.load_pem_x509_certificates(base64.b64decode(secret["data"]["tls.crt"]))[0]


def dns_names_of(certificate: x509.Certificate) -> list[str]:
    names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    return names.get_values_for_type(x509.DNSName)


def new_key(kind: KeyKind) -> pki.PrivateKey:
    """Return a new EC key, or one of four RSA keys in turn, since an RSA key takes long to make."""
    return pki.new_key() if kind == "ec" else _rsa_key(next(_turn) % _RSA_KEYS)


@functools.cache
def _rsa_key(_index: int) -> rsa.RSAPrivateKey:
    return rsa.generate_private_key(public_exponent=65537, key_size=2048)
