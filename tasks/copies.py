"""Looks into what is on a target, where its metadata is not enough: once, and only for facts."""

from dataclasses import replace

from tasks.candidate import Candidate, Refused
from tasks.cluster import ClusterClient
from tasks.models import TargetSecret, Version


def read_copy(target: ClusterClient, secret: TargetSecret) -> TargetSecret | None:
    """The same Secret, with facts of the certificate that it really holds; None where it is gone.

    Raises ClusterError. The key in it is not looked at.
    """
    manifest = target.tls_secret(secret.ref)
    if manifest is None:
        return None
    candidate = Candidate(manifest)
    try:
        leaf = candidate.leaf
        held = Version(
            fingerprint=candidate.fingerprint,
            not_before=leaf.not_valid_before_utc,
            not_after=leaf.not_valid_after_utc,
        )
    except Refused:
        held = None
    keys = frozenset(map(str, manifest.get("data") or {}))
    return replace(secret, was_read=True, read=held, keys=keys)
