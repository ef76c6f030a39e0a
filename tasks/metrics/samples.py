"""The Prometheus samples of a report. Pure.

Samples belong to parts. A report replaces a part as a whole or leaves it as it is, so that series of failures
that are gone vanish, and those of clusters that a run did not read stay:

| part    | of          | replaced by                                                          |
| ------- | ----------- | -------------------------------------------------------------------- |
| run     | the owner   | each run                                                             |
| source  | the owner   | each run that could read OPS                                         |
| cluster | one cluster | each run for all certificates of the cluster                         |
| copies  | one cluster | the same, if the cluster could be read                               |
| success | one cluster | the same, if nothing failed: a failed run keeps the last success     |
| served  | one cluster | each of these that asked its addresses, and the inventory            |

What addresses served is forgotten after a week.

A dry run replaces no part. Label values are names of Kubernetes objects and codes of tls-sync.
"""

from collections import Counter, defaultdict
from collections.abc import Container, Iterable, Iterator, Mapping
from datetime import datetime, timedelta
from itertools import groupby
from typing import NamedTuple

from tasks.domain.expiry import renewal_due, renewal_of_copy
from tasks.domain.models import Certificate, Change, ClusterReport, RunReport, Served, ServedMatch, Version
from tasks.domain.names import OPS
from tasks.domain.reasons import Reason
from tasks.metrics import definitions as f
from tasks.metrics.definitions import MAX_COPIES, MAX_SERIES, MIN_COPIES, Family, Kind
from tasks.report.verdict import is_ok

CONFIG_ERROR = "ConfigurationInvalid"
UNKNOWN_OWNER = "unknown"
"""The label `owner` if the owner can't be read from the configuration."""


SERVED_AGE = timedelta(days=7)
"""Time after which it is forgotten what an address presented: nobody asks it any more."""
WORST_FIRST = (
    ServedMatch.OTHER,
    ServedMatch.OLDER,
    ServedMatch.NONE,
    ServedMatch.NO_NAME,
    ServedMatch.SAME,
)


class Sample(NamedTuple):
    family: Family
    labels: tuple[str, ...]
    value: float


class Part(NamedTuple):
    """Samples that are replaced together."""

    kind: Kind
    cluster: str = ""


Samples = tuple[Sample, ...]
Parts = dict[Part, Samples]
Sources = Mapping[str, Certificate]
"""The certificates on OPS, by the name of their Secret."""


def run_samples(report: RunReport) -> Samples:
    """Return the samples that describe the run itself."""
    return () if report.parameters.dry_run else tuple(_run(report))


def merge(previous: Parts, *reports: RunReport) -> Parts:
    """Return the samples of OPS and its targets after these reports, oldest first, given those from before.

    OPS is as the last one shows that could read it. Many reports on one certificate each cost little more
    than one.
    """
    counted = [one for one in reports if not one.parameters.dry_run]
    if not counted:
        return previous
    merged, last = dict(previous), counted[-1]
    read = [one for one in counted if not one.snapshot.failure]
    sources = read[-1].snapshot.by_name if read else {}
    for is_narrowed, group in groupby(read, key=lambda one: bool(one.parameters.certificate)):
        if is_narrowed:
            merged |= dict(_copies_replaced(merged, group, sources, last.owner))
        else:
            merged |= {part: found for one in group for part, found in _replaced(one, sources)}
    if read:
        merged[Part(Kind.SOURCE)] = tuple(_source(read[-1]))
    clusters = last.members or last.configured  # runs of a group have samples of their own
    gone = set(last.suspended)
    if not last.discovery.failure:  # else nobody knows which discovered clusters there are
        gone |= {part.cluster for part in merged} - {*clusters, ""}
    return {
        part: samples
        for part, samples in merged.items()
        if part.cluster not in gone
        and not _is_forgotten(samples, last.now)
        and all(one.labels[0] == last.owner for one in samples)
    }


def by_part(samples: Iterable[Sample]) -> Parts:
    """Return the samples, for example those read from a Pushgateway, by their part."""
    found: dict[Part, list[Sample]] = {}
    for one in samples:
        cluster = dict(zip(one.family.labels, one.labels, strict=True)).get("cluster", "")
        part = Part(Kind.SOURCE) if cluster == OPS else Part(one.family.kind, cluster)
        found.setdefault(part, []).append(one)
    return {part: tuple(listed) for part, listed in found.items()}


def fleet_samples(owner: str, began: datetime, now: datetime, *, ok: bool) -> Samples:
    """Return the samples that describe the run of a fleet; its groups' runs push all others."""
    seconds = (now - began).total_seconds()
    values = ((f.RUN_END, now.timestamp()), (f.RUN_SECONDS, seconds), (f.RUN_SUCCESS, ok))
    return tuple(Sample(family, (owner,), value) for family, value in values)


def previous_parts(
    samples: Mapping[str, Samples], job: str, shared_job: str, *, covers_everything: bool
) -> Parts:
    """Return the parts from before a run.

    Runs of all clusters and runs of a group push to different jobs. The run of a group starts from the shared
    job's samples and its own, a run that covers everything from those of all jobs.
    """
    others = [one for one in sorted(samples) if one != shared_job] if covers_everything else [job]
    return {
        part: found for one in (shared_job, *others) for part, found in by_part(samples.get(one, ())).items()
    }


def without_duplicates(
    samples: Mapping[str, Samples], members: Mapping[str, Iterable[str]], shared_job: str
) -> dict[str, Samples]:
    """Return the samples that remain after the run of a fleet, by job.

    A job keeps those of its clusters (`members`) and of OPS; the shared job only parts that no group has.
    """
    kept = {job: {*members[job], ""} if members[job] else frozenset[str]() for job in samples}
    current = {
        job: {part: found for part, found in by_part(listed).items() if part.cluster in kept[job]}
        for job, listed in samples.items()
    }
    of_groups = {part for job, parts in current.items() if job != shared_job for part in parts}
    return {
        job: tuple(
            sample
            for part, found in parts.items()
            if job != shared_job or part not in of_groups
            for sample in found
        )
        for job, parts in current.items()
    }


def config_error_samples(owner: str, now: datetime) -> Samples:
    """Return the samples of a run that could not read its configuration."""
    return (
        Sample(f.RUN_END, (owner,), now.timestamp()),
        Sample(f.RUN_SUCCESS, (owner,), 0),
        Sample(f.RUN_FAILURES, (owner, CONFIG_ERROR), 1),
    )


def _replaced(report: RunReport, sources: Sources) -> Iterator[tuple[Part, Samples]]:
    """Yield the parts of clusters that a report on all certificates replaces, with their new samples."""
    for one in report.clusters:
        labels = (report.owner, one.cluster)
        yield Part(Kind.CLUSTER, one.cluster), tuple(_cluster(report, one))
        if one.ok:
            success = Sample(f.LAST_SUCCESS, labels, report.now.timestamp())
            yield Part(Kind.SUCCESS, one.cluster), (success,)
        if _was_read(one):
            dropped = Sample(f.COPIES_DROPPED, labels, max(0, len(_copy_versions(one)) - _max_copies(report)))
            yield Part(Kind.COPIES, one.cluster), (*_copies(report, one, sources), dropped)
        if looked := [(copy.certificate, copy.served) for copy in one.served if copy.served]:
            samples = served_samples(labels, looked, report.now, _max_copies(report))
            yield Part(Kind.SERVED, one.cluster), samples


def served_samples(
    of: tuple[str, str], found: Iterable[tuple[str, Served]], now: datetime, most: int
) -> Samples:
    """Return the samples of addresses, each with its certificate. `of` is owner and cluster.

    Of the copies of a certificate that an address is to present, the one that differs most counts.
    """
    ordered = sorted(found, key=lambda one: (WORST_FIRST.index(one[1].match), one[0], one[1].address))
    worst: dict[tuple[str, str], Served] = {}
    for certificate, served in ordered:
        worst.setdefault((certificate, served.address), served)
    shown = list(worst.items())[:most]
    return (
        *(Sample(f.SERVED, (*of, *place, str(one.match)), 1) for place, one in shown),
        *(
            Sample(f.SERVED_END, (*of, *place), one.not_after.timestamp())
            for place, one in shown
            if one.not_after
        ),
        Sample(f.SERVED_CHECK, of, now.timestamp()),
        Sample(f.SERVED_DROPPED, of, len(worst) - len(shown)),
    )


def _is_forgotten(samples: Samples, now: datetime) -> bool:
    limit = (now - SERVED_AGE).timestamp()
    return any(one.family is f.SERVED_CHECK and one.value < limit for one in samples)


def _copies_replaced(
    previous: Parts, reports: Iterable[RunReport], sources: Sources, owner: str
) -> Iterator[tuple[Part, Samples]]:
    """Yield the copies of clusters after reports on one certificate each; those of the others stay."""
    found: dict[str, dict[str, Samples]] = defaultdict(dict)
    for report in reports:
        for one in report.clusters:
            if _was_read(one):
                found[one.cluster][str(report.parameters.certificate)] = tuple(_copies(report, one, sources))
    for cluster, by_certificate in found.items():
        part = Part(Kind.COPIES, cluster)
        of_owner = (one for one in previous.get(part, ()) if one.labels[0] == owner)
        others = (one for one in of_owner if not _is_of_copy(one, by_certificate))
        yield part, (*others, *(one for samples in by_certificate.values() for one in samples))


def _was_read(cluster: ClusterReport) -> bool:
    return bool(cluster.changes) or not cluster.failures


def _is_of_copy(sample: Sample, certificates: Container[str]) -> bool:
    return sample.family is not f.COPIES_DROPPED and sample.labels[-1] in certificates


def _run(report: RunReport) -> Iterator[Sample]:
    owner, failure = report.owner, report.snapshot.failure
    yield Sample(f.RUN_END, (owner,), report.now.timestamp())
    if report.began:
        yield Sample(f.RUN_SECONDS, (owner,), (report.now - report.began).total_seconds())
    yield Sample(f.RUN_SUCCESS, (owner,), is_ok(report))
    for code in sorted({str(known.code) for known in (failure, report.discovery.failure) if known}):
        yield Sample(f.RUN_FAILURES, (owner, code), 1)
    for one in report.requests:
        yield Sample(f.RUN_REQUESTS, (owner, one.verb, one.code), one.count)
    yield Sample(f.RUN_LOST, (owner,), 0)
    suspended = {*report.suspended}
    for name in report.configured:
        yield Sample(f.SUSPENDED, (owner, name), name in suspended)


def _source(report: RunReport) -> Iterator[Sample]:
    owner, snapshot = report.owner, report.snapshot
    yield Sample(f.SOURCE_CERTIFICATES, (owner,), snapshot.fit + snapshot.unchecked)
    yield Sample(f.SOURCE_UNCHECKED, (owner,), snapshot.unchecked)
    for reason, count in _counted(one.reason for one in snapshot.rejections):
        yield Sample(f.SOURCE_REJECTED, (owner, reason), count)
    for reason, count in _counted(one.reason(report.now) for one in snapshot.issuances):
        yield Sample(f.SOURCE_NOT_ISSUED, (owner, reason), count)
    for reason, count in _counted(one.reason for one in snapshot.refused_requests):
        yield Sample(f.SOURCE_NOT_GRANTED, (owner, reason), count)
    unrouted = snapshot.unrouted_rejections + snapshot.unrouted_issuances
    yield Sample(f.SOURCE_UNROUTED, (owner,), unrouted)
    if snapshot.credential_ends:
        yield Sample(f.CREDENTIAL_END, (owner, OPS), snapshot.credential_ends.timestamp())
    yield Sample(f.SOURCE_DROPPED, (owner,), max(0, len(snapshot.certificates) - MAX_SERIES))
    for one in sorted(snapshot.certificates, key=_not_after)[:MAX_SERIES]:
        yield Sample(f.SOURCE_BEGIN, (owner, one.ref.name), one.version.not_before.timestamp())
        yield Sample(f.SOURCE_END, (owner, one.ref.name), one.version.not_after.timestamp())
        due = renewal_due(one.version.not_before, one.version.not_after, one.renewal)
        yield Sample(f.SOURCE_RENEWAL, (owner, one.ref.name), due.timestamp())


def _not_after(certificate: Certificate) -> datetime:
    return certificate.version.not_after


def _cluster(report: RunReport, cluster: ClusterReport) -> Iterator[Sample]:
    labels = (report.owner, cluster.cluster)
    yield Sample(f.CLUSTER_RUN_END, labels, report.now.timestamp())
    yield Sample(f.CLUSTER_SUCCESS, labels, cluster.ok)
    for code, count in _counted(failure.code for failure in cluster.failures):
        yield Sample(f.CLUSTER_FAILURES, (*labels, code), count)
    if cluster.credential_ends:
        yield Sample(f.CREDENTIAL_END, labels, cluster.credential_ends.timestamp())
    rows = Counter((c.action, c.reason) for c in cluster.changes if c.applied or not c.acts)
    for row, count in sorted(rows.items()):
        yield Sample(f.CERTIFICATES, (*labels, *map(str, row)), count)
    in_sync = (c for c in cluster.changes if (c.writes and c.applied) or c.reason is Reason.IN_SYNC)
    yield Sample(f.IN_SYNC, labels, sum(1 for _ in in_sync))
    yield Sample(f.PENDING, labels, sum(c.writes and not c.applied for c in cluster.changes))
    for reason, count in _counted(change.reason for change in cluster.changes if change.failed):
        yield Sample(f.REFUSED, (*labels, reason), count)


def _counted(codes: Iterable[str]) -> list[tuple[str, int]]:
    return sorted(Counter(str(code) for code in codes).items())


def _max_copies(report: RunReport) -> int:
    return max_copies(len(report.configured))


def max_copies(clusters: int) -> int:
    """Return the number of copies per cluster, and of addresses, that may have samples of their own."""
    return max(MIN_COPIES, min(MAX_SERIES, MAX_COPIES // max(1, clusters)))


def _copies(report: RunReport, cluster: ClusterReport, sources: Sources) -> Iterator[Sample]:
    for change, version in _copy_versions(cluster)[: _max_copies(report)]:
        target = change.target
        labels = (report.owner, cluster.cluster, target.namespace, target.name, change.certificate)
        yield Sample(f.COPY_BEGIN, labels, version.not_before.timestamp())
        yield Sample(f.COPY_END, labels, version.not_after.timestamp())
        due = renewal_of_copy(version, sources.get(change.certificate))
        yield Sample(f.COPY_RENEWAL, labels, due.timestamp())


def _copy_versions(cluster: ClusterReport) -> list[tuple[Change, Version]]:
    """Return the rows of our copies, with the content each copy has now, the earliest expiry first."""
    found = [(change, version) for change in cluster.changes if (version := change.effective_version)]
    return sorted(found, key=lambda one: one[1].not_after)
