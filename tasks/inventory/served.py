"""Compares what an address presents with the copy that the inventory found stored. Pure."""

from tasks.domain.models import Certificate, Served
from tasks.inventory.model import Content
from tasks.served.compare import Expected, ProbeResults, presented, probe_for


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
    if stored is None:
        expected = Expected(source.leaf, source.serial, source.version.not_before)
    else:
        same = stored.fingerprint == source.version.fingerprint
        expected = Expected(source.leaf if same else "", stored.serial, stored.not_before)
    return presented(probe_for(address, source), expected, results, source.leaf)
