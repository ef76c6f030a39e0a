"""Which clusters are pruned where an address of an earlier wave does not present what is stored."""

from collections.abc import Iterable
from typing import Any

import pytest

from tasks import prune_cluster
from tasks.domain.models import ClusterReport, SecretRef, Served, ServedCopy, ServedMatch
from tasks.plan.prune import PrunePlan, plan_prune
from tasks.plan.spec import SyncSpec
from tests.support.factories import NOW, version
from tests.unit.plan.test_prune import world


def served(match: ServedMatch | None) -> ServedCopy:
    return ServedCopy(
        address="web.example.org",
        name="web.example.org",
        target=SecretRef(namespace="app", name="web-1"),
        certificate="web-1",
        not_before=version().not_before,
        served=Served(address="web.example.org", match=match) if match else None,
    )


@pytest.mark.parametrize(
    ("match", "deleting"),
    [(ServedMatch.SAME, 3), (None, 3), (ServedMatch.OLDER, 2), (ServedMatch.NONE, 2)],
    ids=["as stored", "not asked", "older", "no answer"],
)
def test_after_a_wave_that_does_not_serve_nothing_is_deleted(
    match: ServedMatch | None, deleting: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Waves after one of which an address presents something else keep their copies; nobody else waits."""
    pairs = [world(cluster=name, wave=wave) for name, wave in (("dev", 1), ("rct", 2), ("prd", 3))]
    specs = [spec for spec, _ in pairs]
    reports = {report.cluster: report for _, report in pairs}
    reports["rct"] = reports["rct"].model_copy(update={"served": (served(match),)})
    deletions = list[int]()

    def prune_wave(
        todo: Iterable[tuple[SyncSpec, PrunePlan]], _: Any, __: Any
    ) -> tuple[list[ClusterReport], None]:
        deletions.extend(len(one.deletes) for _, one in todo)
        return [], None

    monkeypatch.setattr(prune_cluster, "_prune_wave", prune_wave)
    monkeypatch.setattr(prune_cluster, "plan_prune", lambda one, two, _: plan_prune(one, two, NOW))
    prune_cluster.prune_clusters(specs, reports.values())
    assert len(deletions) == len(specs)
    assert sum(deletions) == deleting
    assert deletions[:2] == [1, 1]
