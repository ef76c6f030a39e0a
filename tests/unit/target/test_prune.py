"""What is noted on a cluster, on the API in memory: by whose clock."""

from contextlib import nullcontext
from datetime import UTC, datetime, timedelta

import pytest

from tasks.config.schema import SyncConfig
from tasks.domain.annotations import (
    FIELD_MANAGER,
    ORPHAN_MARKS,
    ORPHANED_RUNS,
    ORPHANED_SEEN,
    ORPHANED_SINCE,
    SECRET_TYPE,
)
from tasks.domain.models import ClusterReport
from tasks.kube.client import APPLY, JSON
from tasks.kube.transport import Request
from tasks.plan import ownership
from tasks.plan.decide import make_plan
from tasks.plan.prune import plan_prune
from tasks.plan.spec import SyncSpec
from tasks.report.rows import explain
from tasks.target import prune
from tests.support import factories as f
from tests.support.in_memory_api import ACCOUNT, WRITES, Hand, Manifest, MemoryApi, Wire, WiredClient, path_of

MINUTE = timedelta(minutes=1)
NAME = "web-0"


def copied(api: MemoryApi) -> WiredClient:
    """A client of a cluster that has our copy of one certificate."""
    lost = f.certificate(NAME)
    annotations = ownership.annotations(lost) | ownership.source_cluster_annotation(f.US)
    metadata = {"labels": ownership.labels(f.OWNER), "annotations": annotations}
    body = {
        "apiVersion": "v1",
        "kind": "Secret",
        "type": SECRET_TYPE,
        "metadata": {"name": NAME, "namespace": "app", **metadata},
        "data": {"tls.crt": "eA==", "tls.key": "eA=="},
    }
    query = {"fieldManager": FIELD_MANAGER}
    assert api.exchange(Request("PATCH", path_of("app", NAME), JSON, query, body, APPLY), ACCOUNT)[0] == 201
    return WiredClient("dev", Wire(api.answer, lambda _: None))


def pruned(api: MemoryApi, client: WiredClient, monkeypatch: pytest.MonkeyPatch) -> ClusterReport:
    """What a run makes of it that finds the certificate gone."""
    entry = f.cluster(f.route(["web-*"], ["app"]), prune=True, clusterId=api.uid)
    source = {"namespace": f.SOURCE_NAMESPACE, "clusterId": f.OPS_ID}
    config = SyncConfig.model_validate(
        {"owner": f.OWNER, "source": source, "clusters": [entry.model_dump(by_alias=True)]}
    )
    spec = SyncSpec(config, entry, f.snapshot(f.certificate("other"), cluster_id=f.OPS_ID))
    now = datetime.now(UTC)
    plan = make_plan(entry, spec.snapshot, client.target_secrets("app"), owner=f.US, now=now)
    report = ClusterReport(cluster="dev", changes=plan.changes)
    (prune_plan,) = plan_prune([spec], [report], now)
    monkeypatch.setattr(prune, "client_of_target", lambda *_: nullcontext(client))
    return prune.prune(spec, prune_plan, report, "")


def notes(api: MemoryApi) -> Manifest:
    found = Hand(api.exchange).get("app", NAME)
    assert found
    return {key: value for key, value in found["metadata"]["annotations"].items() if key in ORPHAN_MARKS}


@pytest.mark.parametrize("minutes", [0, 4, -4])
def test_a_note_bears_the_targets_time(minutes: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """A note has the target's time; ours is only compared with it."""
    api = MemoryApi({"app": WRITES}, policy=False)
    told = datetime.now(UTC).replace(microsecond=0) + minutes * MINUTE
    api.clock = lambda: told
    report = pruned(api, copied(api), monkeypatch)
    assert report.ok
    assert notes(api) == {
        ORPHANED_SINCE: told.isoformat(),
        ORPHANED_SEEN: told.isoformat(),
        ORPHANED_RUNS: "1",
    }


@pytest.mark.parametrize("minutes", [6, -6, None], ids=["ahead", "behind", "no clock"])
def test_by_a_clock_that_is_wrong_nothing_is_noted(
    minutes: int | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With a wrong clock nothing is noted, and the copy's row says why; nothing has failed."""
    api = MemoryApi({"app": WRITES}, policy=False)
    told = None if minutes is None else datetime.now(UTC).replace(microsecond=0) + minutes * MINUTE
    api.clock = lambda: told
    report = pruned(api, copied(api), monkeypatch)
    assert report.ok
    assert notes(api) == {}
    (row,) = report.changes
    said = f"clock says {told:%Y-%m-%d %H:%M:%S} UTC" if told else "have no Date"
    assert said in explain(row)
