"""Compares the certificate that an address serves with the stored one. Pure; tls_probe.py connects."""

from collections.abc import Mapping
from datetime import datetime
from typing import NamedTuple

from tasks.domain.models import Certificate
from tasks.domain.names import HostnamePatterns, is_name, split_address
from tasks.inventory.model import Content, Served, ServedMatch


class TLSProbe(NamedTuple):
    """A TLS handshake with an address."""

    address: str
    name: str
    """The server name (SNI); empty if the certificate has no DNS name to ask for."""


class ServedCertificate(NamedTuple):
    """The leaf certificate of a handshake."""

    sha256: str
    serial: str
    names: tuple[str, ...]
    not_before: datetime
    not_after: datetime


ProbeResults = Mapping[TLSProbe, ServedCertificate | str]
"""The leaf that each probe found, or why there is none."""


def probe_for(address: str, certificate: Certificate) -> TLSProbe:
    """Return a probe for the address's own name if the certificate has it, else its first without `*`."""
    host, _ = split_address(address) or ("", 0)
    names = tuple(name.lower() for name in certificate.dns_names)
    if HostnamePatterns(names).allow(host) and is_name(host):
        return TLSProbe(address, host)
    return TLSProbe(address, next((name for name in names if is_name(name)), ""))


def compare(
    address: str,
    source: Certificate,
    stored: Content | None,
    results: ProbeResults,
) -> Served:
    """Compare the served leaf with the stored one, or with OPS's if no copy of ours is stored.

    If the copy has OPS's content, the fingerprints of the leaves are compared. Otherwise the copy's leaf is
    unknown, since reading it would mean to read its key: then the annotated serial number is compared.
    """
    probe = probe_for(address, source)
    if not probe.name:
        return Served(
            address=address,
            match=ServedMatch.NO_NAME,
            detail="no name of the certificate without * and not the address's own: "
            "write a name that it covers as the address",
        )
    leaf = results.get(probe, "not asked")
    if isinstance(leaf, str):
        return Served(address=address, name=probe.name, match=ServedMatch.NONE, detail=leaf)
    match, detail = _match(leaf, probe.name, source, stored)
    return Served(
        address=address,
        name=probe.name,
        match=match,
        serial=leaf.serial,
        not_after=leaf.not_after,
        detail=detail,
    )


def _match(
    leaf: ServedCertificate, name: str, source: Certificate, stored: Content | None
) -> tuple[ServedMatch, str]:
    begin = stored.not_before if stored else source.version.not_before
    if stored is None or stored.fingerprint == source.version.fingerprint:
        same = leaf.sha256 == source.leaf
    else:
        same = bool(stored.serial) and leaf.serial == stored.serial
    if same:
        return ServedMatch.SAME, ""
    if not HostnamePatterns(one.lower() for one in leaf.names).allow(name):
        return ServedMatch.OTHER, "a certificate for other names"
    if begin and leaf.not_before < begin:
        return ServedMatch.OLDER, "an older certificate: the server has not loaded the stored one"
    if leaf.sha256 == source.leaf:
        return ServedMatch.OTHER, "the certificate that OPS has, which is not the stored one"
    return ServedMatch.OTHER, "another certificate for this name"
