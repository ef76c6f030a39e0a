"""Which addresses are to present which certificate, and what they present. Pure.

With `waves.verify: served`, later waves wait until each address under `served` of the waves before presents
the certificate of the copies there. Copies that could not be written are left to the share of failed copies.
"""

from collections.abc import Iterable, Iterator, Mapping
from datetime import datetime

from tasks.config.routing import Routing
from tasks.domain import annotations
from tasks.domain.models import (
    Certificate,
    Change,
    ClusterReport,
    ListedSecret,
    SecretRef,
    ServedCopy,
    SourceEntry,
    TargetSecret,
    Version,
)
from tasks.domain.reasons import Reason
from tasks.plan.spec import SyncSpec
from tasks.report.served import not_served_lines
from tasks.served.compare import Expected, ProbeResults, TLSProbe, presented, probe_for

Copies = Mapping[SecretRef, TargetSecret]


def is_verified(spec: SyncSpec) -> bool:
    """Whether later waves wait for what the addresses of this cluster present. Nothing waits in a dry run."""
    verifies = spec.config.waves.verify == "served" and not spec.dry_run
    return (
        verifies
        and any(route.served for route in spec.cluster.routes)
        and spec.cluster.wave < spec.config.last_wave
    )


def served_copies(
    spec: SyncSpec, changes: Iterable[Change], copies: Copies, now: datetime
) -> tuple[ServedCopy, ...]:
    """Return what the addresses of a cluster are to present: its copies in sync, and those just written."""
    if not is_verified(spec):
        return ()
    routing, entries = Routing(spec.cluster), spec.snapshot.entries
    found: dict[tuple[str, str, str], ServedCopy] = {}
    for change in changes:
        if change.applied or change.reason is Reason.IN_SYNC:
            entry, copy = entries.get(change.certificate), copies.get(change.target)
            for address in routing.served_at(change.certificate, change.target.namespace):
                one = _served_copy(address, change, entry, copy, now)
                if one:
                    found.setdefault((address, one.name, change.certificate), one)
    return tuple(found.values())


def _served_copy(
    address: str, change: Change, source: SourceEntry | None, copy: TargetSecret | None, now: datetime
) -> ServedCopy | None:
    version = change.effective_version
    if version is None or not isinstance(source, Certificate | ListedSecret):
        return None
    expected = _expected(version, source, copy)
    return ServedCopy(
        address=address,
        name=probe_for(address, source).name,
        target=change.target,
        certificate=change.certificate,
        leaf=expected.leaf,
        serial=expected.serial,
        not_before=version.not_before,
        since=now if change.applied else _written(copy),
    )


def _expected(version: Version, source: Certificate | ListedSecret, copy: TargetSecret | None) -> Expected:
    """The certificate was read, or else the copy's annotations tell it.

    Where neither knows this version, since OPS has renewed it a moment ago, none is the expected one.
    """
    if isinstance(source, Certificate) and source.version.fingerprint == version.fingerprint:
        return Expected(source.leaf, source.serial, version.not_before)
    noted = copy.annotations if copy else {}
    is_noted = noted.get(annotations.FINGERPRINT) == version.fingerprint
    return Expected("", noted.get(annotations.SERIAL, "") if is_noted else "", version.not_before)


def _written(copy: TargetSecret | None) -> datetime | None:
    """When the copy was written, as its API server says."""
    try:
        found = datetime.fromisoformat(copy.managed.written) if copy else None
    except ValueError:
        return None
    return found if found and found.tzinfo else None


def all_match(reports: Iterable[ClusterReport]) -> bool:
    """Whether each address presents what it should. Where nothing is awaited, each does."""
    return all(one.matches for report in reports for one in report.served)


def not_matching(reports: Iterable[ClusterReport]) -> int:
    return sum(not one.matches for report in reports for one in report.served)


def probes_of(reports: Iterable[ClusterReport]) -> frozenset[TLSProbe]:
    """Return the handshakes to make: with addresses that have not presented the right certificate so far."""
    return frozenset(
        TLSProbe(one.address, one.name)
        for report in reports
        for one in report.served
        if one.name and not one.matches
    )


def with_results(reports: Iterable[ClusterReport], results: ProbeResults) -> tuple[ClusterReport, ...]:
    """Return the reports with what the addresses presented; one that has presented the right one stays."""
    return tuple(
        report.model_copy(update={"served": tuple(_with_result(one, results) for one in report.served)})
        if report.served
        else report
        for report in reports
    )


def _with_result(one: ServedCopy, results: ProbeResults) -> ServedCopy:
    if one.matches:
        return one
    expected = Expected(one.leaf, one.serial, one.not_before)
    found = presented(TLSProbe(one.address, one.name), expected, results)
    return one.model_copy(update={"served": found})


def with_warnings(reports: Iterable[ClusterReport]) -> Iterator[ClusterReport]:
    """Yield the reports, with a warning for each address that presents something else."""
    for report in reports:
        lines = tuple(not_served_lines(report))
        yield report.model_copy(update={"warnings": (*report.warnings, *lines)}) if lines else report
