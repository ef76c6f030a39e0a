"""Compares the certificate that an address presents with the expected one. Pure; tls_probe.py connects."""

from collections.abc import Mapping
from datetime import datetime
from typing import NamedTuple

from tasks.domain.models import Certificate, ListedSecret, Served, ServedMatch
from tasks.domain.names import HostnamePatterns, is_name, split_address

NO_NAME = (
    "no name of the certificate without * and not the address's own: "
    "write a name that it covers as the address"
)


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


class Expected(NamedTuple):
    """The leaf that an address is to present: by its X.509 fingerprint, or else by its serial number."""

    leaf: str
    serial: str
    not_before: datetime | None


def probe_for(address: str, source: Certificate | ListedSecret) -> TLSProbe:
    """Return a probe for the address's own name if the certificate has it, else its first without `*`.

    Where no metadata tells the names of the certificate, the address's own name is asked for.
    """
    host, _ = split_address(address) or ("", 0)
    names = tuple(name.lower() for name in source.dns_names)
    if is_name(host) and (not names or HostnamePatterns(names).allow(host)):
        return TLSProbe(address, host)
    return TLSProbe(address, next((name for name in names if is_name(name)), ""))


def presented(probe: TLSProbe, expected: Expected, results: ProbeResults, on_ops: str = "") -> Served:
    """Return what the probe found. `on_ops` is the X.509 fingerprint of the leaf that OPS has, if known."""
    if not probe.name:
        return Served(address=probe.address, match=ServedMatch.NO_NAME, detail=NO_NAME)
    leaf = results.get(probe, "not asked")
    if isinstance(leaf, str):
        return Served(address=probe.address, name=probe.name, match=ServedMatch.NONE, detail=leaf)
    match, detail = _match(leaf, probe.name, expected, on_ops)
    return Served(
        address=probe.address,
        name=probe.name,
        match=match,
        serial=leaf.serial,
        not_after=leaf.not_after,
        detail=detail,
    )


def _match(leaf: ServedCertificate, name: str, expected: Expected, on_ops: str) -> tuple[ServedMatch, str]:
    if expected.leaf:
        same = leaf.sha256 == expected.leaf
    else:
        same = bool(expected.serial) and leaf.serial == expected.serial
    if same:
        return ServedMatch.SAME, ""
    if not HostnamePatterns(one.lower() for one in leaf.names).allow(name):
        return ServedMatch.OTHER, "a certificate for other names"
    if expected.not_before and leaf.not_before < expected.not_before:
        return ServedMatch.OLDER, "an older certificate: the server has not loaded the stored one"
    if on_ops and leaf.sha256 == on_ops:
        return ServedMatch.OTHER, "the certificate that OPS has, which is not the stored one"
    return ServedMatch.OTHER, "another certificate for this name"
