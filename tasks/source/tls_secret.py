"""Decodes and parses one Secret. Holds key material, so an instance never outlives one function call."""

import base64
import hashlib
import re
from collections.abc import Iterable
from functools import cached_property
from typing import Any, NoReturn, TypeVar

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric.types import PublicKeyTypes
from cryptography.x509.oid import NameOID

from tasks.config.limits import MAX_DATA_BYTES
from tasks.domain.names import data_keys
from tasks.domain.reasons import Reason
from tasks.kube.listed_secrets import written_of
from tasks.source.check_failure import CheckFailed, as_check_failure

CERTIFICATE, KEY, CA = "tls.crt", "tls.key", "ca.crt"
MAX_CERTIFICATE_BYTES = 256 * 1024  # of tls.crt; OpenSSL's clients accept 100 KiB from a server
MAX_KEY_BYTES = 64 * 1024  # of tls.key; RSA with 8192 bits has 7 KiB
MAX_CERTIFICATES = 10
MAX_OTHER_KEYS = 20
"""Maximum number of keys named that are not copied."""
MAX_NAME = 100
# cert-manager writes both annotations, but only the first for a temporary certificate (since v1.13).
CERTIFICATE_NAME, ISSUER_NAME = "cert-manager.io/certificate-name", "cert-manager.io/issuer-name"
KEY_LABELS = frozenset({"PRIVATE KEY", "RSA PRIVATE KEY", "EC PRIVATE KEY"})

E = TypeVar("E", bound=x509.ExtensionType)

BOUNDARY = re.compile(rb"-----(BEGIN|END) ([A-Z0-9 ]{1,64})-----")
DAMAGED = re.compile(rb"-----(BEGIN|END)")
BASE64 = re.compile(rb"[A-Za-z0-9+/]+={0,2}")


class TLSSecret:
    """The data of one Secret, decoded and parsed on demand. Every fault raises CheckFailed."""

    def __init__(self, secret: dict[str, Any]) -> None:
        metadata, data = secret.get("metadata"), secret.get("data")
        metadata = metadata if isinstance(metadata, dict) else {}
        self.uid = str(metadata.get("uid", ""))
        self.resource_version = str(metadata.get("resourceVersion", ""))
        self.written = written_of(metadata)
        self._encoded: dict[str, Any] = data if isinstance(data, dict) else {}
        annotations = metadata.get("annotations")
        annotations = annotations if isinstance(annotations, dict) else {}
        self.lacks_issuer = CERTIFICATE_NAME in annotations and ISSUER_NAME not in annotations
        """cert-manager wrote the Secret without naming an issuer."""

    def __repr__(self) -> str:
        return "TLSSecret(…)"

    def __reduce__(self) -> NoReturn:
        raise TypeError("key material is never pickled")

    @cached_property
    def data(self) -> dict[str, bytes]:
        """The data that is copied, decoded. An empty ca.crt is left out."""
        return {key: value for key in (CERTIFICATE, KEY, CA) if (value := self._decode(key))}

    def data_with(self, keys: Iterable[str]) -> dict[str, bytes]:
        """The data of a copy that gets these keys, too."""
        return self.data | {key: self.value_of(key) for key in keys}

    @property
    def names_of_keys(self) -> frozenset[str]:
        return data_keys(self._encoded)

    def value_of(self, key: str) -> bytes:
        return self._decode(key)

    @property
    def other_keys(self) -> tuple[str, ...]:
        """Names of the keys that are not copied, at most MAX_OTHER_KEYS."""
        return tuple(sorted(data_keys(self._encoded) - {CERTIFICATE, KEY, CA})[:MAX_OTHER_KEYS])

    def _decode(self, key: str) -> bytes:
        with as_check_failure(Reason.INVALID_ENCODING, key):
            return base64.b64decode(self._encoded.get(key) or "", validate=True)

    @cached_property
    def fingerprint(self) -> str:
        """Digest over the sorted (key, length, value) of the data that is copied."""
        digest = hashlib.sha256()
        for key, value in sorted(self.data.items()):
            digest.update(b"%d:%b%d:" % (len(key), key.encode(), len(value)))
            digest.update(value)
        return f"v1:sha256:{digest.hexdigest()}"

    def require_data(self) -> None:
        missing = [key for key in (CERTIFICATE, KEY) if not self.data.get(key)]
        if missing:
            raise CheckFailed(Reason.MISSING_DATA, ", ".join(missing))
        size = sum(map(len, self.data.values()))
        if size > MAX_DATA_BYTES:
            raise CheckFailed(Reason.TOO_LARGE, f"{size} bytes, at most {MAX_DATA_BYTES}")
        for key, limit in ((CERTIFICATE, MAX_CERTIFICATE_BYTES), (KEY, MAX_KEY_BYTES)):
            if (size := len(self.data[key])) > limit:
                raise CheckFailed(Reason.TOO_LARGE, f"{key}: {size} bytes, at most {limit}")

    def require_certificate_blocks(self) -> None:
        for key in (CERTIFICATE, CA):
            if key not in self.data:
                continue
            labels = self._labels(key)
            if set(labels) != {"CERTIFICATE"}:
                raise CheckFailed(Reason.UNEXPECTED_BLOCK, f"{key} must hold certificates only")
            if key == CERTIFICATE and len(labels) > MAX_CERTIFICATES:
                detail = f"{key} holds {len(labels)} certificates, at most {MAX_CERTIFICATES}"
                raise CheckFailed(Reason.UNEXPECTED_BLOCK, detail)
            if len(self._certificates(key)) != len(labels):
                raise CheckFailed(Reason.INVALID_CERTIFICATE, key)

    def require_key_block(self) -> None:
        if b"ENCRYPTED" in self.data[KEY]:  # in the label (PKCS#8) or in a header (RFC 1421)
            raise CheckFailed(Reason.ENCRYPTED_KEY)
        labels = [label for label in self._labels(KEY) if label != "EC PARAMETERS"]
        if len(labels) != 1 or labels[0] not in KEY_LABELS:
            raise CheckFailed(Reason.UNEXPECTED_BLOCK, f"{KEY} must hold one private key")

    def _labels(self, key: str) -> list[str]:
        """Return the labels of the PEM blocks, as strictly as OpenSSL: a boundary fills its line.

        Any other text between blocks is a comment, including lines of dashes.
        """
        labels: list[str] = []
        inside: bytes | None = None
        lines = self.data[key].replace(b"\r\n", b"\n").split(b"\n")
        for number, line in enumerate(lines, start=1):
            if inside is None and b"-----" not in line:
                continue
            boundary = BOUNDARY.fullmatch(line.rstrip(b" \t"))
            if boundary and boundary[1] == b"BEGIN" and inside is None:
                inside = boundary[2]
            elif boundary and inside and boundary[1] == b"END" and boundary[2] == inside:
                labels.append(inside.decode("ascii"))
                inside = None
            elif boundary or DAMAGED.search(line) or (inside and not BASE64.fullmatch(line.rstrip(b" \t"))):
                raise CheckFailed(Reason.UNEXPECTED_BLOCK, f"{key}: line {number} does not fit a PEM block")
        if inside:
            raise CheckFailed(Reason.UNEXPECTED_BLOCK, f"{key}: the last block has no END line")
        return labels

    def _certificates(self, key: str) -> list[x509.Certificate]:
        with as_check_failure(Reason.INVALID_CERTIFICATE, key):
            return x509.load_pem_x509_certificates(self.data.get(key, b""))

    @cached_property
    def chain(self) -> list[x509.Certificate]:
        return self._certificates(CERTIFICATE)

    @cached_property
    def authorities(self) -> list[x509.Certificate]:
        """The certificates of ca.crt."""
        return self._certificates(CA) if CA in self.data else []

    @property
    def leaf(self) -> x509.Certificate:
        return self.chain[0]

    @cached_property
    def public_key(self) -> PublicKeyTypes:
        with as_check_failure(Reason.INVALID_CERTIFICATE, "its public key"):
            return self.leaf.public_key()

    @cached_property
    def names(self) -> tuple[x509.Name, x509.Name]:
        """Subject and issuer."""
        with as_check_failure(Reason.INVALID_CERTIFICATE, "its names"):
            return self.leaf.subject, self.leaf.issuer

    @cached_property
    def _alternative_names(self) -> list[x509.GeneralName]:
        return list(self._extension(x509.SubjectAlternativeName) or ())

    @property
    def dns_names(self) -> tuple[str, ...]:
        return tuple(n.value for n in self._alternative_names if isinstance(n, x509.DNSName))

    @property
    def other_names(self) -> tuple[str, ...]:
        """The kinds of the other alternative names; a value could contain anything."""
        others = (n for n in self._alternative_names if not isinstance(n, x509.DNSName))
        return tuple(type(name).__name__ for name in others)

    @cached_property
    def is_ca(self) -> bool:
        return is_authority(self.leaf)

    def _extension(self, kind: type[E]) -> E | None:
        return _extension_of(self.leaf, kind)


def is_authority(certificate: x509.Certificate) -> bool:
    constraints = _extension_of(certificate, x509.BasicConstraints)
    return constraints is not None and constraints.ca


def may_sign_certificates(certificate: x509.Certificate) -> bool:
    usage = _extension_of(certificate, x509.KeyUsage)
    return usage is None or usage.key_cert_sign


def common_name(name: x509.Name) -> str:
    """Return the common name, or the whole name in the form of RFC 4514, at most MAX_NAME characters."""
    attributes = name.get_attributes_for_oid(NameOID.COMMON_NAME)
    text = str(attributes[0].value) if attributes else name.rfc4514_string()
    return text[:MAX_NAME]


def _extension_of(certificate: x509.Certificate, kind: type[E]) -> E | None:
    with as_check_failure(Reason.INVALID_CERTIFICATE, "its extensions"):
        try:
            return certificate.extensions.get_extension_for_class(kind).value
        except x509.ExtensionNotFound:
            return None
