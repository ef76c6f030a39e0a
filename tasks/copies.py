"""Looks into what is on a target, where its metadata is not enough: once, and only for facts."""

from dataclasses import replace

from tasks.candidate import Candidate
from tasks.cluster import ClusterClient
from tasks.models import TargetSecret, Version
from tasks.refusal import Refused, refusing_the_unforeseen


def read_copy(target: ClusterClient, secret: TargetSecret) -> TargetSecret | None:
    """The same Secret, with facts of the certificate that it really holds; None where it is gone.

    Raises ClusterError. The key in it is not looked at.
    """
    manifest = target.tls_secret(secret.ref)
    if manifest is None:
        return None
    data = manifest.get("data")
    keys = frozenset(map(str, data)) if isinstance(data, dict) else frozenset[str]()
    try:
        with refusing_the_unforeseen():
            held = _held(Candidate(manifest))
    except Refused:
        held = None
    return replace(secret, was_read=True, read=held, keys=keys)


def _held(candidate: Candidate) -> Version:
    leaf = candidate.leaf
    return Version(
        fingerprint=candidate.fingerprint,
        not_before=leaf.not_valid_before_utc,
        not_after=leaf.not_valid_after_utc,
    )
