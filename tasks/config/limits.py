"""How much one run takes on. Beyond it nothing is begun, nothing is lost, and a person is told. Pure.

A run holds a fact for each certificate and a row for each copy, so these two decide on its memory.
"""

from collections.abc import Sequence
from datetime import timedelta

from tasks.config.schema import Cluster, Source
from tasks.domain.failure_codes import FailureCode
from tasks.domain.models import Failure, SourceSnapshot
from tasks.domain.names import is_glob, matches

CLUSTER_SECONDS = 300.0
"""What one cluster, or the list of OPS, may take in all, attempts and delays included."""

RUN_LIMIT = timedelta(minutes=50)
"""What a run may take in all: the next one begins an hour after it."""

MAX_CERTIFICATES = 10_000
"""Secrets that a list of OPS may have."""
MAX_COPIES = 100_000
"""That one run looks at, over all its clusters."""


def too_many_secrets(source: Source) -> Failure:
    """Said as soon as a list has more: how many there are in all, nobody has counted."""
    what, detail = f"list secrets in {source.namespace}", f"more than {MAX_CERTIFICATES:,} TLS Secrets"
    return Failure(code=FailureCode.TOO_MANY, cluster=source.label, what=what, detail=detail)


def limit_copies(
    snapshot: SourceSnapshot, source: Source, clusters: Sequence[Cluster], certificate: str | None = None
) -> SourceSnapshot:
    """The snapshot; or, where there would be too much to do with it, one that says so and has nothing else.

    For a dry run as well: it holds as many rows as any other.
    """
    count = 0 if snapshot.failure else count_copies(snapshot, clusters, certificate)
    if count <= MAX_COPIES:
        return snapshot
    what, detail = f"look at {count:,} copies", f"at most {MAX_COPIES:,}"
    return SourceSnapshot(
        failure=Failure(code=FailureCode.TOO_MANY, cluster=source.label, what=what, detail=detail)
    )


def count_copies(
    snapshot: SourceSnapshot, clusters: Sequence[Cluster], certificate: str | None = None
) -> int:
    """How many copies the routes ask for, there or not; no two routes of a cluster ask for the same one.

    Counted without a thought for any single copy: for 100,000 of them, that would take a second.
    """
    names = set(snapshot.entries)
    names = names if certificate is None else {certificate}
    taken_in: dict[str, int] = {}
    for pattern in {one for cluster in clusters for route in cluster.routes for one in route.certificates}:
        literal = int(certificate in (None, pattern))  # counts even if OPS does not have it
        taken_in[pattern] = sum(matches(pattern, name) for name in names) if is_glob(pattern) else literal
    return sum(
        taken_in[pattern] * len(route.namespaces)
        for cluster in clusters
        for route in cluster.routes
        for pattern in route.certificates
    )
