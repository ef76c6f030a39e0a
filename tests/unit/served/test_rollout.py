"""Waves that wait for what the addresses of the waves before present."""

from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tasks import rollout
from tasks.domain.failure_codes import FailureCode
from tasks.domain.models import (
    Action,
    Change,
    ClusterReport,
    SecretRef,
    Served,
    ServedCopy,
    ServedMatch,
)
from tasks.domain.parameters import RunParameters
from tasks.domain.reasons import Reason
from tasks.plan.spec import EVERYTHING, SyncSpec
from tasks.plan.waves import hold_failure
from tests.support.factories import NOW, change, law, version
from tests.unit.plan.test_waves import NAMES, specs

CLUSTERS = ("dev", "qa", "rct", "prd")
"""In the order of their waves: 1, 1, 2, 3."""
Reports = tuple[ClusterReport, ...]


@dataclass
class Clusters:
    """What each cluster has to write, and what its address presents."""

    writes: dict[str, int] = field(default_factory=lambda: dict.fromkeys(CLUSTERS, 2))
    """Cluster -> copies that are to be written; the first one is urgent."""
    serving: dict[str, bool | None] = field(default_factory=lambda: dict.fromkeys(CLUSTERS, True))
    """Cluster -> whether its address presents what is stored; None for no address."""
    stopped_by: BaseException | None = None
    looks: list[set[str]] = field(default_factory=list)
    written: dict[str, int] = field(default_factory=dict)
    """Cluster -> copies that were written."""

    def sync_wave(self, wave: Iterable[SyncSpec], _: object) -> tuple[Reports, BaseException | None]:
        return tuple(map(self._sync, wave)), None

    def _sync(self, spec: SyncSpec) -> ClusterReport:
        name = spec.cluster.name
        before, todo = self.written.get(name, 0), self.writes[name]
        due = min(todo, 1) if spec.urgent_only else todo
        self.written[name] = max(before, due)
        left = todo - self.written[name]
        rows = tuple(row(number, self._state(number, before, due, todo)) for number in range(len(NAMES)))
        held = (hold_failure(spec, left, todo),) if left and not spec.looks_first else ()
        served = () if self.serving[name] is None else (served_copy(name),)
        waiting = left if spec.looks_first else 0
        return ClusterReport(cluster=name, changes=rows, failures=held, served=served, waiting=waiting)

    def _state(self, number: int, before: int, due: int, todo: int) -> bool | None:
        """Whether the row was written; None for one in sync."""
        if number >= todo or number < before:
            return None
        return number < due

    def wait(self, reports: Iterable[ClusterReport], _: object) -> Reports:
        given = tuple(reports)
        self.looks.append({one.cluster for one in given if any(not copy.matches for copy in one.served)})
        if self.stopped_by:
            raise self.stopped_by
        return tuple(
            one.model_copy(update={"served": tuple(self._looked(one.cluster, copy) for copy in one.served)})
            for one in given
        )

    def _looked(self, cluster: str, copy: ServedCopy) -> ServedCopy:
        match = ServedMatch.SAME if self.serving[cluster] else ServedMatch.OLDER
        return copy.model_copy(update={"served": Served(address=copy.address, match=match)})


def row(number: int, written: bool | None) -> Change:
    if written is None:
        return change(Action.KEEP, Reason.IN_SYNC, NAMES[number], namespace="app-a")
    return change(
        Action.UPDATE, Reason.CERTIFICATE_RENEWED, NAMES[number], namespace="app-a", applied=written
    )


def served_copy(cluster: str) -> ServedCopy:
    return ServedCopy(
        address=f"{cluster}.example.org",
        name="web.example.org",
        target=SecretRef(namespace="app-a", name=NAMES[0]),
        certificate=NAMES[0],
        not_before=version().not_before,
        since=NOW,
    )


def run(
    clusters: Clusters, monkeypatch: pytest.MonkeyPatch, parameters: RunParameters = EVERYTHING
) -> dict[str, ClusterReport]:
    monkeypatch.setattr(rollout, "sync_wave", clusters.sync_wave)
    monkeypatch.setattr(rollout, "wait_until_served", clusters.wait)
    given = specs(waves={"verify": "served", "maxFailedShare": 0.5})
    reports, signal = rollout.sync_clusters([replace(one, parameters=parameters) for one in given])
    assert signal is clusters.stopped_by
    return {one.cluster: one for one in reports}


def codes(report: ClusterReport) -> list[FailureCode]:
    return [one.code for one in report.failures]


def test_the_next_wave_begins_once_all_is_served(monkeypatch: pytest.MonkeyPatch) -> None:
    """The run looks at what DEV and QA serve before RCT, and at RCT before PRD; and all is written."""
    clusters = Clusters()
    reports = run(clusters, monkeypatch)
    assert clusters.looks == [{"dev", "qa"}, {"rct"}]
    assert all(one.ok for one in reports.values())
    assert clusters.written == clusters.writes
    assert [sum(one.applied for one in reports[name].changes) for name in CLUSTERS] == [2, 2, 2, 2]
    assert {one.waiting for one in reports.values()} == {0}


def test_an_address_that_is_behind_holds_all_later_waves(monkeypatch: pytest.MonkeyPatch) -> None:
    """Only what is urgent is written; the failure says who presents what; and nobody looks twice."""
    clusters = Clusters()
    clusters.serving["qa"] = False
    reports = run(clusters, monkeypatch)
    assert clusters.written == {"dev": 2, "qa": 2, "rct": 1, "prd": 1}
    assert clusters.looks == [{"dev", "qa"}]
    assert [codes(reports[name]) for name in CLUSTERS] == [[], [], *[[FailureCode.NOT_SERVED]] * 2]
    for name in ("rct", "prd"):
        (failure,) = reports[name].failures
        assert failure.what == "write 1 of 2 secrets"
        assert failure.detail.startswith("1 of 2 handshakes: qa: qa.example.org: older")
        assert "since 2026-03-01 12:00 UTC" in failure.detail
    assert [len(reports[name].warnings) for name in CLUSTERS] == [0, 1, 0, 0]


def test_a_wave_without_work_costs_no_handshake(monkeypatch: pytest.MonkeyPatch) -> None:
    """At rest nobody looks; urgent copies alone wait for nobody either."""
    clusters = Clusters(serving=dict.fromkeys(CLUSTERS, False))
    clusters.writes |= {"rct": 0, "prd": 1}
    reports = run(clusters, monkeypatch)
    assert clusters.looks == []
    assert all(one.ok for one in reports.values())
    assert clusters.written["prd"] == 1


def test_the_last_wave_hears_what_held_the_first(monkeypatch: pytest.MonkeyPatch) -> None:
    """What RCT misses because of it is more than the share that may fail, and not why PRD waits."""
    clusters = Clusters()
    clusters.serving["dev"], clusters.writes["rct"] = False, len(NAMES)
    reports = run(clusters, monkeypatch)
    assert [codes(reports[name]) for name in ("rct", "prd")] == [[FailureCode.NOT_SERVED]] * 2


def test_who_asks_for_urgent_copies_alone_waits_for_nobody(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing else would be written after the look either."""
    clusters = Clusters()
    reports = run(clusters, monkeypatch, RunParameters(urgent_only=True))
    assert (clusters.looks, clusters.written) == ([], dict.fromkeys(CLUSTERS, 1))
    assert {code for one in reports.values() for code in codes(one)} == {FailureCode.HELD_BACK}


def test_a_wave_at_rest_releases_nobody(monkeypatch: pytest.MonkeyPatch) -> None:
    """PRD waits for what DEV serves, even if RCT between them has nothing to do."""
    clusters = Clusters()
    clusters.writes["rct"], clusters.serving["dev"] = 0, False
    reports = run(clusters, monkeypatch)
    assert clusters.looks == [{"dev", "qa", "rct"}]
    assert codes(reports["prd"]) == [FailureCode.NOT_SERVED]


def test_routes_without_addresses_hold_nobody_back(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody is asked, and all is written."""
    clusters = Clusters(serving=dict.fromkeys(CLUSTERS, None))
    assert all(one.ok for one in run(clusters, monkeypatch).values())
    assert (clusters.looks, clusters.written) == ([], clusters.writes)


def test_told_to_stop_while_it_looks_nothing_more_is_written(monkeypatch: pytest.MonkeyPatch) -> None:
    """RCT's other copies are Interrupted, and so is PRD, which has not begun."""
    clusters = Clusters(stopped_by=KeyboardInterrupt())
    monkeypatch.setattr("tasks.orchestration.fan_out.stop", lambda: None)
    monkeypatch.setattr("tasks.orchestration.fan_out._log_stop", lambda _: None)
    reports = run(clusters, monkeypatch)
    assert clusters.written == {"dev": 2, "qa": 2, "rct": 1}
    assert [codes(reports[name]) for name in CLUSTERS] == [[], [], *[[FailureCode.INTERRUPTED]] * 2]
    assert reports["rct"].failures[0].what == "write 1 secrets"


def test_a_fleets_group_looks_at_its_end(monkeypatch: pytest.MonkeyPatch) -> None:
    """Not where only what is urgent is written anyhow, nor where no address is awaited."""
    clusters = Clusters()
    monkeypatch.setattr(rollout, "wait_until_served", clusters.wait)
    reports = (ClusterReport(cluster="dev", served=(served_copy("dev"),)),)
    now: Any = NOW
    assert rollout.look_for_fleet(reports, RunParameters(urgent_only=True), now) == (reports, None)
    assert rollout.look_for_fleet((), RunParameters(), now) == ((), None)
    assert clusters.looks == []
    (looked,), signal = rollout.look_for_fleet(reports, RunParameters(), now)
    assert (looked.served[0].matches, signal) == (True, None)


@law
@given(
    writes=st.tuples(*[st.integers(0, 3)] * 4), serving=st.tuples(*[st.sampled_from([True, False, None])] * 4)
)
def test_no_wave_passes_an_address_that_is_behind(
    writes: tuple[int, ...], serving: tuple[bool | None, ...]
) -> None:
    """Whatever clusters have to write and serve, a later wave writes more than what is urgent only if each
    address of the waves before presents what is stored; and these are asked only if there is more to write.
    """  # noqa: D205
    clusters = Clusters(dict(zip(CLUSTERS, writes, strict=True)), dict(zip(CLUSTERS, serving, strict=True)))
    with pytest.MonkeyPatch.context() as monkeypatch:
        reports = run(clusters, monkeypatch)
    waves = [("dev", "qa"), ("rct",), ("prd",)]
    before: list[str] = []
    asked = False
    for wave in waves:
        behind = any(clusters.serving[name] is False for name in before)
        awaited = any(clusters.serving[name] is not None for name in before)
        more = any(clusters.writes[name] > 1 for name in wave)
        asked = asked or (awaited and more)
        for name in wave:
            allowed = clusters.writes[name] if not behind else min(1, clusters.writes[name])
            assert clusters.written[name] == allowed
            assert reports[name].ok == (clusters.written[name] == clusters.writes[name])
        before += wave
    assert bool(clusters.looks) == asked
