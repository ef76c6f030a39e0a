"""Reports -> Prometheus samples. Pure.

Samples travel in groups, each replaced as a whole or left alone, so that what healed or is gone vanishes and
what a run did not look at stays:

| group            | per     | replaced by                                                        |
| ---------------- | ------- | ------------------------------------------------------------------ |
| tls-sync-run     | owner   | each run                                                           |
| tls-sync-source  | owner   | each run that could read OPS                                       |
| tls-sync         | cluster | each run for all certificates of the cluster                       |
| tls-sync-copies  | cluster | the same, where the cluster could be seen                          |
| tls-sync-success | cluster | the same, where nothing failed: no failure takes away the last one |

A dry run replaces none of them. Labels hold names that Kubernetes bounds, and codes of ours.
"""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from datetime import datetime
from typing import NamedTuple

from tasks import families as f
from tasks.families import MOST, Family
from tasks.models import Action, Certificate, Change, ClusterReport, RunReport, Version
from tasks.reasons import Reason
from tasks.report import verdict

OPS = "OPS"
UNREADABLE = "ConfigurationInvalid"
UNKNOWN_OWNER = "unknown"
"""Where the configuration is too broken to say whose it is."""
NOT_OURS = frozenset(reason for reason in Reason if reason.startswith("OwnedBy"))


class Sample(NamedTuple):
    family: Family
    labels: tuple[str, ...]
    value: float


class Group(NamedTuple):
    """What is replaced together. The fields are labels of a Pushgateway's group."""

    job: str
    owner: str
    cluster: str = ""


Samples = tuple[Sample, ...]
Groups = dict[Group, Samples]
PER_CLUSTER = ("tls-sync", "tls-sync-copies", "tls-sync-success")


def groups_of(report: RunReport) -> Groups:
    """What a run has to tell, the most important first."""
    if report.dry_run:
        return {}
    groups = {Group("tls-sync-run", report.owner): tuple(_of_run(report))}
    if report.inventory.failure:
        return groups
    whole = () if report.certificate else sorted(report.clusters, key=lambda one: one.ok)
    for one in whole:
        groups[Group("tls-sync", report.owner, one.cluster)] = tuple(_of_cluster(report, one))
    for one in whole:
        if one.ok:
            groups[Group("tls-sync-success", report.owner, one.cluster)] = (
                Sample(f.LAST_SUCCESS, (report.owner, one.cluster), report.now.timestamp()),
            )
    groups[Group("tls-sync-source", report.owner)] = tuple(_of_source(report))
    for one in filter(_was_seen, whole):
        groups[Group("tls-sync-copies", report.owner, one.cluster)] = tuple(_of_copies(report, one))
    return groups


def _was_seen(cluster: ClusterReport) -> bool:
    return bool(cluster.changes) or not cluster.failures


def unreadable(owner: str, now: datetime) -> Groups:
    """What a run has to tell that could not read its configuration."""
    return {
        Group("tls-sync-run", owner): (
            Sample(f.RUN_END, (owner,), now.timestamp()),
            Sample(f.RUN_SUCCESS, (owner,), 0),
            Sample(f.RUN_FAILURES, (owner, UNREADABLE), 1),
        )
    }


def merged(held: Mapping[Group, Samples], report: RunReport) -> Groups:
    """What is held after a report; of one certificate alone, its copies take the place of its former ones."""
    groups = {**held, **groups_of(report)}
    if report.certificate and not report.dry_run:
        for one in filter(_was_seen, report.clusters):
            group = Group("tls-sync-copies", report.owner, one.cluster)
            others = (s for s in held.get(group, ()) if not _is_of_copy(s, report.certificate))
            groups[group] = (*others, *_copies(report.owner, one))
    return {group: samples for group, samples in groups.items() if not gone(group, report)}


def _is_of_copy(sample: Sample, certificate: str) -> bool:
    return sample.family.labels == f.COPY_END.labels and sample.labels[-1] == certificate


def gone(group: Group, report: RunReport) -> bool:
    """Whether a group is of a cluster that is configured no more, or suspended."""
    if group == Group("tls-sync-run", UNKNOWN_OWNER):
        return True  # the configuration can be read again
    configured = set(report.configured) - set(report.suspended)
    ours = group.owner == report.owner and group.job in PER_CLUSTER
    return ours and bool(report.configured) and group.cluster not in configured


def _of_run(report: RunReport) -> Iterator[Sample]:
    owner, failure = report.owner, report.inventory.failure
    yield Sample(f.RUN_END, (owner,), report.now.timestamp())
    if report.began:
        yield Sample(f.RUN_SECONDS, (owner,), (report.now - report.began).total_seconds())
    yield Sample(f.RUN_SUCCESS, (owner,), verdict(report).ok)
    if failure:
        yield Sample(f.RUN_FAILURES, (owner, str(failure.code)), 1)
    for one in report.requests:
        yield Sample(f.RUN_REQUESTS, (owner, one.verb, one.code), one.count)
    yield Sample(f.RUN_LOST, (owner,), 0)
    for name in report.configured:
        yield Sample(f.SUSPENDED, (owner, name), name in report.suspended)


def _of_source(report: RunReport) -> Iterator[Sample]:
    owner, inventory = report.owner, report.inventory
    yield Sample(f.SOURCE_CERTIFICATES, (owner,), len(inventory.certificates))
    for reason, count in _counted(one.reason for one in inventory.rejections):
        yield Sample(f.SOURCE_REJECTED, (owner, reason), count)
    if inventory.credential_ends:
        yield Sample(f.CREDENTIAL_END, (owner, OPS), inventory.credential_ends.timestamp())
    yield Sample(f.SOURCE_DROPPED, (owner,), max(0, len(inventory.certificates) - MOST))
    for one in sorted(inventory.certificates, key=_end_of)[:MOST]:
        yield Sample(f.SOURCE_BEGIN, (owner, one.ref.name), one.version.not_before.timestamp())
        yield Sample(f.SOURCE_END, (owner, one.ref.name), one.version.not_after.timestamp())


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
    done = Counter((c.action, c.reason) for c in cluster.changes if c.applied or not c.writes)
    for row, count in sorted(done.items()):
        yield Sample(f.CERTIFICATES, (*where, *map(str, row)), count)
    in_sync = (c for c in cluster.changes if c.applied or c.reason is Reason.IN_SYNC)
    yield Sample(f.IN_SYNC, where, sum(1 for _ in in_sync))
    yield Sample(f.PENDING, where, sum(c.writes and not c.applied for c in cluster.changes))
    for reason, count in _counted(change.reason for change in cluster.changes if change.failed):
        yield Sample(f.REFUSED, (*where, reason), count)


def _counted(codes: Iterable[str]) -> list[tuple[str, int]]:
    return sorted(Counter(str(code) for code in codes).items())


def _of_copies(report: RunReport, cluster: ClusterReport) -> Iterator[Sample]:
    yield from _copies(report.owner, cluster)
    dropped = max(0, len(_held(cluster)) - MOST)
    yield Sample(f.COPIES_DROPPED, (report.owner, cluster.cluster), dropped)


def _copies(owner: str, cluster: ClusterReport) -> Iterator[Sample]:
    for change, version in _held(cluster)[:MOST]:
        target = change.target
        labels = (owner, cluster.cluster, target.namespace, target.name, change.certificate)
        yield Sample(f.COPY_BEGIN, labels, version.not_before.timestamp())
        yield Sample(f.COPY_END, labels, version.not_after.timestamp())


def _held(cluster: ClusterReport) -> list[tuple[Change, Version]]:
    """What our copies hold now, those first that end first."""
    held = [(change, version) for change in cluster.changes if (version := _version(change))]
    return sorted(held, key=lambda one: one[1].not_after)


def _version(change: Change) -> Version | None:
    if change.action is Action.REFUSE and change.reason in NOT_OURS:
        return None
    return change.new if change.applied else change.old
