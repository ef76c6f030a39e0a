"""What an ingress serves, beside what is stored. Pure; who asks is tls_probe.py."""

from collections.abc import Mapping
from datetime import datetime
from typing import NamedTuple

from tasks.domain.models import Certificate
from tasks.domain.names import hostname_allowed, is_name, split_address
from tasks.inventory.model import Content, Served, ServedMatch


class TLSProbe(NamedTuple):
    """Which certificate is served at an address under a name."""

    address: str
    name: str
    """Sent as SNI. Empty where the certificate has none that could be asked for."""


class ServedCertificate(NamedTuple):
    """The first certificate of a handshake."""

    sha256: str
    serial: str
    names: tuple[str, ...]
    not_before: datetime
    not_after: datetime


def question(address: str, certificate: Certificate) -> TLSProbe:
    """Asked for: the address's own name if the certificate has it, else its first name without `*`."""
    host, _ = split_address(address) or ("", 0)
    names = tuple(name.lower() for name in certificate.dns_names)
    if hostname_allowed(host, names) and is_name(host):
        return TLSProbe(address, host)
    return TLSProbe(address, next((name for name in names if is_name(name)), ""))


def compare(
    address: str,
    source: Certificate,
    stored: Content | None,
    answers: Mapping[TLSProbe, ServedCertificate | str],
) -> Served:
    """Is it the stored one? Where nothing of ours is stored, the one on OPS.

    By the leaf's fingerprint where the copy is in sync. The leaf of another copy would have to be read, with
    its key, so there it goes by the serial number that was noted.
    """
    asked = question(address, source)
    if not asked.name:
        return Served(
            address=address,
            likeness=ServedMatch.NO_NAME,
            detail="no name of the certificate without * and not the address's own: "
            "write a name that it covers as the address",
        )
    leaf = answers.get(asked, "not asked")
    if isinstance(leaf, str):
        return Served(address=address, name=asked.name, likeness=ServedMatch.NONE, detail=leaf)
    likeness, detail = _likeness(leaf, asked.name, source, stored)
    return Served(
        address=address,
        name=asked.name,
        likeness=likeness,
        serial=leaf.serial,
        not_after=leaf.not_after,
        detail=detail,
    )


def _likeness(
    leaf: ServedCertificate, name: str, source: Certificate, stored: Content | None
) -> tuple[ServedMatch, str]:
    begin = stored.not_before if stored else source.version.not_before
    if stored is None or stored.fingerprint == source.version.fingerprint:
        same = leaf.sha256 == source.leaf
    else:
        same = bool(stored.serial) and leaf.serial == stored.serial
    if same:
        return ServedMatch.SAME, ""
    if not hostname_allowed(name, tuple(one.lower() for one in leaf.names)):
        return ServedMatch.OTHER, "a certificate for other names"
    if begin and leaf.not_before < begin:
        return ServedMatch.OLDER, "an older certificate: whoever serves it has not loaded the stored one"
    if leaf.sha256 == source.leaf:
        return ServedMatch.OTHER, "the certificate that OPS has, which is not the stored one"
    return ServedMatch.OTHER, "another certificate for this name"
