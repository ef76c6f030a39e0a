"""Which further keys a copy gets, and what a copy says that it has. Pure.

A copy with such keys has an annotation with the digest of each, beside the fingerprint of what every copy
has: so what is added to a route, or taken from it, changes no fingerprint.
"""

from collections.abc import Set as AbstractSet

from tasks.config.limits import MAX_DATA_BYTES
from tasks.config.schema import Cluster
from tasks.domain.annotations import KEYS
from tasks.domain.further_keys import KEYSTORES
from tasks.domain.models import Certificate, TargetSecret
from tasks.domain.reasons import Reason
from tasks.domain.text import join_limited


def find_fault(source: Certificate, keys: AbstractSet[str]) -> tuple[Reason, str] | None:
    """Why these keys of a certificate can't be sent with it: the first reason, and what it is about."""
    found = {one.name: one for one in source.further}
    if missing := sorted(keys - found.keys()):
        return Reason.MISSING_KEY, join_limited(missing)
    wanted = [found[name] for name in sorted(keys)]
    for one in wanted:
        if one.fault:
            return one.fault, one.name
    size = source.size + sum(one.size for one in wanted)
    if wanted and size > MAX_DATA_BYTES:
        return Reason.TOO_LARGE, f"{size} bytes with {join_limited(sorted(keys))}, at most {MAX_DATA_BYTES}"
    return None


def record_of(source: Certificate, keys: AbstractSet[str]) -> str:
    """What a copy with these keys notes of them; empty without any."""
    return " ".join(f"{one.name}:{one.digest}" for one in source.further if one.name in keys)


def recorded(copy: TargetSecret) -> str:
    return copy.annotations.get(KEYS, "")


def recorded_keys(copy: TargetSecret) -> frozenset[str]:
    """The further keys that the copy says it has."""
    return frozenset(one.partition(":")[0] for one in recorded(copy).split())


def warn_of_keystores(cluster: Cluster) -> list[str]:
    """At most one line: what is copied there although nobody can tell what it holds."""
    sent = {
        f"{', '.join(sorted(KEYSTORES & set(route.keys)))} of {join_limited(route.certificates)}"
        for route in cluster.routes
        if KEYSTORES & set(route.keys)
    }
    text = "copied without verification, as the routes say (unverified: true)"
    return [f"{text}: {join_limited(sorted(sent))}"] if sent else []
