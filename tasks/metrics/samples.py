"""Reports -> Prometheus samples. Pure.

Samples come in parts, each replaced as a whole or left alone, so that what healed or is gone vanishes and
what a run did not look at stays:

| part    | of          | replaced by                                                        |
| ------- | ----------- | ------------------------------------------------------------------ |
| run     | the owner   | each run                                                           |
| source  | the owner   | each run that could read OPS                                       |
| cluster | one cluster | each run for all certificates of the cluster                       |
| copies  | one cluster | the same, where the cluster could be seen                          |
| success | one cluster | the same, where nothing failed: no failure takes away the last one |

A dry run replaces none of them. Labels hold names that Kubernetes bounds, and codes of ours.
"""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from datetime import datetime
from typing import NamedTuple

from tasks.domain.expiry import renewal_due, renewal_of_copy
from tasks.domain.models import Certificate, Change, ClusterReport, RunReport, Version
from tasks.domain.names import OPS
from tasks.domain.reasons import Reason
from tasks.metrics import definitions as f
from tasks.metrics.definitions import FEWEST, MOST, MOST_COPIES, Family, Kind
from tasks.report.verdict import run_verdict

UNREADABLE = "ConfigurationInvalid"
UNKNOWN_OWNER = "unknown"
"""Where the configuration is too broken to say whose it is."""


class Sample(NamedTuple):
    family: Family
    labels: tuple[str, ...]
    value: float


class Part(NamedTuple):
    """What is replaced together."""

    kind: Kind
    cluster: str = ""


Samples = tuple[Sample, ...]
Parts = dict[Part, Samples]


def of_run(report: RunReport) -> Samples:
    """What a run has to tell of itself; needs nothing that was known before."""
    return () if report.dry_run else tuple(_of_run(report))


def merged(held: Parts, report: RunReport) -> Parts:
    """What is known of OPS and its targets after a run, given what was known before."""
    if report.dry_run:
        return held
    known = {**held, **dict(_news(held, report))}
    ours = report.members or report.configured  # the samples of a group are kept apart from all others
    gone = set(report.suspended) | {part.cluster for part in known} - {*ours, ""}
    return {part: told for part, told in known.items() if part.cluster not in gone and _is_of(told, report)}


def parts(samples: Iterable[Sample]) -> Parts:
    """Samples that come from elsewhere, taken apart."""
    found: dict[Part, list[Sample]] = {}
    for one in samples:
        place = dict(zip(one.family.labels, one.labels, strict=True)).get("cluster", "")
        part = Part(Kind.SOURCE) if place == OPS else Part(one.family.kind, place)
        found.setdefault(part, []).append(one)
    return {part: tuple(told) for part, told in found.items()}


def of_fleet(owner: str, began: datetime, now: datetime, *, ok: bool) -> Samples:
    """What a fleet has to tell of itself; the runs of its groups have told the rest."""
    told = ((f.RUN_END, now.timestamp()), (f.RUN_SECONDS, (now - began).total_seconds()), (f.RUN_SUCCESS, ok))
    return tuple(Sample(family, (owner,), value) for family, value in told)


def base_of(held: Mapping[str, Samples], job: str, rest: str, *, whole: bool) -> Parts:
    """What was known before a run, where runs of groups, and those of all, keep it in different places.

    The run of a group begins with what runs of all knew of it; a whole run, with what the runs of groups did.
    """
    others = [one for one in sorted(held) if one != rest] if whole else [job]
    return {part: told for one in (rest, *others) for part, told in parts(held.get(one, ())).items()}


def tidied(
    held: Mapping[str, Samples], members: Mapping[str, Iterable[str]], rest: str
) -> dict[str, Samples]:
    """What is still of use where runs of groups tell all: of each place its members, and each part once."""
    split = {job: parts(samples) for job, samples in held.items()}
    told = {
        part
        for job, known in split.items()
        for part in known
        if job != rest and part.cluster in {*members[job], ""} and members[job]
    }
    return {
        job: tuple(
            sample
            for part, samples in known.items()
            for sample in samples
            if members[job] and part.cluster in {*members[job], ""} and not (job == rest and part in told)
        )
        for job, known in split.items()
    }


def unreadable(owner: str, now: datetime) -> Samples:
    """What a run has to tell of itself that could not read its configuration."""
    return (
        Sample(f.RUN_END, (owner,), now.timestamp()),
        Sample(f.RUN_SUCCESS, (owner,), 0),
        Sample(f.RUN_FAILURES, (owner, UNREADABLE), 1),
    )


def _news(held: Parts, report: RunReport) -> Iterator[tuple[Part, Samples]]:
    if report.inventory.failure:
        return
    yield Part(Kind.SOURCE), tuple(_of_source(report))
    for one in report.clusters:
        seen, copies = bool(one.changes) or not one.failures, Part(Kind.COPIES, one.cluster)
        if report.certificate:
            others = (s for s in held.get(copies, ()) if not _is_of_copy(s, report.certificate))
            if seen:
                yield copies, (*others, *_copies(report, one))
            continue
        where = (report.owner, one.cluster)
        yield Part(Kind.CLUSTER, one.cluster), tuple(_of_cluster(report, one))
        if one.ok:
            yield (
                Part(Kind.SUCCESS, one.cluster),
                (Sample(f.LAST_SUCCESS, where, report.now.timestamp()),),
            )
        if seen:
            dropped = Sample(f.COPIES_DROPPED, where, max(0, len(_held(one)) - _share(report)))
            yield copies, (*_copies(report, one), dropped)


def _is_of(samples: Samples, report: RunReport) -> bool:
    return all(one.labels[0] == report.owner for one in samples)


def _is_of_copy(sample: Sample, certificate: str) -> bool:
    return sample.family is not f.COPIES_DROPPED and sample.labels[-1] == certificate


def _of_run(report: RunReport) -> Iterator[Sample]:
    owner, failure = report.owner, report.inventory.failure
    yield Sample(f.RUN_END, (owner,), report.now.timestamp())
    if report.began:
        yield Sample(f.RUN_SECONDS, (owner,), (report.now - report.began).total_seconds())
    yield Sample(f.RUN_SUCCESS, (owner,), run_verdict(report).ok)
    if failure:
        yield Sample(f.RUN_FAILURES, (owner, str(failure.code)), 1)
    for one in report.requests:
        yield Sample(f.RUN_REQUESTS, (owner, one.verb, one.code), one.count)
    yield Sample(f.RUN_LOST, (owner,), 0)
    for name in report.configured:
        yield Sample(f.SUSPENDED, (owner, name), name in report.suspended)


def _of_source(report: RunReport) -> Iterator[Sample]:
    owner, snapshot = report.owner, report.inventory
    yield Sample(f.SOURCE_CERTIFICATES, (owner,), len(snapshot.certificates))
    for reason, count in _counted(one.reason for one in snapshot.rejections):
        yield Sample(f.SOURCE_REJECTED, (owner, reason), count)
    for reason, count in _counted(one.reason(report.now) for one in snapshot.issuances):
        yield Sample(f.SOURCE_NOT_ISSUED, (owner, reason), count)
    unrouted = snapshot.unrouted_rejections + snapshot.unrouted_issuances
    yield Sample(f.SOURCE_UNROUTED, (owner,), unrouted)
    if snapshot.credential_ends:
        yield Sample(f.CREDENTIAL_END, (owner, OPS), snapshot.credential_ends.timestamp())
    yield Sample(f.SOURCE_DROPPED, (owner,), max(0, len(snapshot.certificates) - MOST))
    for one in sorted(snapshot.certificates, key=_end_of)[:MOST]:
        yield Sample(f.SOURCE_BEGIN, (owner, one.ref.name), one.version.not_before.timestamp())
        yield Sample(f.SOURCE_END, (owner, one.ref.name), one.version.not_after.timestamp())
        due = renewal_due(one.version.not_before, one.version.not_after, one.renewal)
        yield Sample(f.SOURCE_RENEWAL, (owner, one.ref.name), due.timestamp())


def _end_of(certificate: Certificate) -> datetime:
    return certificate.version.not_after


def _of_cluster(report: RunReport, cluster: ClusterReport) -> Iterator[Sample]:
    where = (report.owner, cluster.cluster)
    yield Sample(f.CLUSTER_RUN_END, where, report.now.timestamp())
    yield Sample(f.CLUSTER_SUCCESS, where, cluster.ok)
    for code, count in _counted(failure.code for failure in cluster.failures):
        yield Sample(f.CLUSTER_FAILURES, (*where, code), count)
    if cluster.credential_ends:
        yield Sample(f.CREDENTIAL_END, where, cluster.credential_ends.timestamp())
    done = Counter((c.action, c.reason) for c in cluster.changes if c.applied or not c.acts)
    for row, count in sorted(done.items()):
        yield Sample(f.CERTIFICATES, (*where, *map(str, row)), count)
    in_sync = (c for c in cluster.changes if (c.writes and c.applied) or c.reason is Reason.IN_SYNC)
    yield Sample(f.IN_SYNC, where, sum(1 for _ in in_sync))
    yield Sample(f.PENDING, where, sum(c.writes and not c.applied for c in cluster.changes))
    for reason, count in _counted(change.reason for change in cluster.changes if change.failed):
        yield Sample(f.REFUSED, (*where, reason), count)


def _counted(codes: Iterable[str]) -> list[tuple[str, int]]:
    return sorted(Counter(str(code) for code in codes).items())


def _share(report: RunReport) -> int:
    """How many copies of a cluster may have samples of their own."""
    return max(FEWEST, min(MOST, MOST_COPIES // max(1, len(report.configured))))


def _copies(report: RunReport, cluster: ClusterReport) -> Iterator[Sample]:
    sources = report.inventory.by_name
    for change, version in _held(cluster)[: _share(report)]:
        target = change.target
        labels = (report.owner, cluster.cluster, target.namespace, target.name, change.certificate)
        yield Sample(f.COPY_BEGIN, labels, version.not_before.timestamp())
        yield Sample(f.COPY_END, labels, version.not_after.timestamp())
        due = renewal_of_copy(version, sources.get(change.certificate))
        yield Sample(f.COPY_RENEWAL, labels, due.timestamp())


def _held(cluster: ClusterReport) -> list[tuple[Change, Version]]:
    """What our copies hold now, those first that end first."""
    held = [(change, version) for change in cluster.changes if (version := change.effective_version)]
    return sorted(held, key=lambda one: one[1].not_after)
