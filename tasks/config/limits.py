"""Limits of one run. Above them a run stops before it writes, and its report says what to do. Pure.

The numbers of certificates, of clusters and of copies determine the memory of a run.
"""

from collections.abc import Sequence
from datetime import timedelta

from tasks.config.schema import Cluster, Source
from tasks.domain.failure_codes import FailureCode
from tasks.domain.models import Failure, SourceSnapshot
from tasks.domain.names import is_glob
from tasks.domain.patterns import PatternIndex

CLUSTER_SECONDS = 300.0
"""Maximum number of seconds for one cluster, or for reading OPS, including all attempts and delays."""

RUN_LIMIT = timedelta(minutes=50)
"""Maximum duration of a run: the next one begins an hour after it."""

MAX_DATA_BYTES = 900 * 1024
"""Maximum size of the data of a copy: API servers accept 1 MiB, and a real chain has 4 to 16 KiB."""
MAX_CERTIFICATES = 10_000
"""Maximum number of Secrets that OPS may list."""
MIB = 1024 * 1024
BASE_BYTES = 115 * MIB
"""Memory of a run without certificates, with Prefect. It and the following were measured with Python 3.11 on
Linux."""
CERTIFICATE_BYTES, CLUSTER_BYTES, COPY_BYTES = 3072, 40_960, 614
"""Memory for each certificate on OPS, each cluster, and each copy that the routes define."""


def too_many_secrets(source: Source) -> Failure:
    """Describe a list of OPS that is too long; its total number is not known."""
    operation, detail = f"list secrets in {source.namespace}", f"more than {MAX_CERTIFICATES:,} TLS Secrets"
    return Failure(code=FailureCode.TOO_MANY, cluster=source.label, what=operation, detail=detail)


def refuse_too_many(
    snapshot: SourceSnapshot,
    source: Source,
    clusters: Sequence[Cluster],
    certificate: str | None = None,
    *,
    limit: int | None,
) -> SourceSnapshot:
    """Return the snapshot, or an empty one with a failure if the run would need more memory than `limit`.

    `limit` is in bytes; None means that there is none. A dry run needs as much: its report has as many rows.
    """
    if snapshot.failure or limit is None:
        return snapshot
    copies = count_copies(snapshot, clusters, certificate)
    needed = required_bytes(len(snapshot.entries), len(clusters), copies)
    if needed <= limit:
        return snapshot
    operation = f"look at {copies:,} copies on {len(clusters):,} clusters"
    detail = f"that takes about {needed // MIB} MiB of memory, and {limit // MIB} MiB are allowed"
    return SourceSnapshot(
        failure=Failure(code=FailureCode.TOO_MANY, cluster=source.label, what=operation, detail=detail)
    )


def required_bytes(certificates: int, clusters: int, copies: int) -> int:
    """Return about how much memory a run needs."""
    return BASE_BYTES + certificates * CERTIFICATE_BYTES + clusters * CLUSTER_BYTES + copies * COPY_BYTES


def count_copies(
    snapshot: SourceSnapshot, clusters: Sequence[Cluster], certificate: str | None = None
) -> int:
    """Return the number of copies that the routes define, whether they exist or not.

    Routes of a cluster never overlap, so the numbers per pattern add up. Listing 100,000 copies would take a
    second.
    """
    names = PatternIndex(snapshot.entries if certificate is None else {certificate})
    matching: dict[str, int] = {}
    for pattern in {one for cluster in clusters for route in cluster.routes for one in route.certificates}:
        literal = int(certificate in (None, pattern))  # counts even if it is not on OPS
        matching[pattern] = len(names.overlapping(pattern)) if is_glob(pattern) else literal
    return sum(
        matching[pattern] * len(route.namespaces)
        for cluster in clusters
        for route in cluster.routes
        for pattern in route.certificates
    )
