"""The flow, with a real Prefect server and real API servers."""

import io
import logging
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
from prefect.client.orchestration import get_client
from prefect.client.schemas.filters import (
    ArtifactFilter,
    ArtifactFilterFlowRunId,
    FlowRunFilter,
    FlowRunFilterId,
)
from prefect.client.schemas.objects import FlowRun, State, TaskRun
from prefect.exceptions import FailedRun
from prefect.flow_engine import run_flow

from flows.tls_sync import tls_sync
from tasks.config.limits import MIB
from tasks.config.load import load_config
from tasks.domain.errors import ConfigError
from tasks.kube.throttle import MAX_REFUSALS
from tasks.orchestration.process import LOGGERS
from tests.support.clusters import ROUTES, TARGETS, World
from tests.support.fault_proxy import Answer, Forward, Request

pytestmark = [pytest.mark.apiserver, pytest.mark.usefixtures("prefect_server", "no_waiting")]


def run(**parameters: Any) -> State[Any]:
    return tls_sync(**parameters, return_state=True)


def run_id(state: State[Any]) -> UUID:
    assert state.state_details.flow_run_id is not None
    return state.state_details.flow_run_id


def flow_run(state: State[Any]) -> FlowRun:
    with get_client(sync_client=True) as client:
        return client.read_flow_run(run_id(state))


def task_runs(state: State[Any]) -> dict[str, TaskRun]:
    """Task runs by name; the server learns of them through events, some moments later."""
    with get_client(sync_client=True) as client:
        chosen = FlowRunFilter(id=FlowRunFilterId(any_=[run_id(state)]))
        return {run.name: run for run in client.read_task_runs(flow_run_filter=chosen)}


def artifacts(state: State[Any]) -> dict[str, str]:
    with get_client(sync_client=True) as client:
        chosen = ArtifactFilter(flow_run_id=ArtifactFilterFlowRunId(any_=[run_id(state)]))
        found = client.read_artifacts(artifact_filter=chosen)
        return {str(artifact.key): str(artifact.data) for artifact in found}


def descriptions(state: State[Any]) -> dict[str, str]:
    with get_client(sync_client=True) as client:
        chosen = ArtifactFilter(flow_run_id=ArtifactFilterFlowRunId(any_=[run_id(state)]))
        found = client.read_artifacts(artifact_filter=chosen)
        return {str(artifact.key): str(artifact.description) for artifact in found}


@contextmanager
def stopped(world: World, cluster: str) -> Iterator[None]:
    world.sandbox.cluster(cluster).stop()
    try:
        yield
    finally:
        world.sandbox.cluster(cluster).start()


def test_certificates_arrive_on_every_cluster(world: World) -> None:
    """One run copies OPS's certificates to every cluster and is Completed; the next one writes nothing."""
    (secret,) = world.issue("web-tls")
    state = run()
    assert (state.is_completed(), state.message) == (True, "3 clusters: create 3")
    for cluster in TARGETS:
        copy = world.copy("web-tls", cluster)
        assert copy is not None
        assert copy["data"] == secret["data"]
    before = [world.versions(cluster) for cluster in TARGETS]
    assert run().message == "3 clusters: keep 3"
    assert [world.versions(cluster) for cluster in TARGETS] == before


def test_a_dead_cluster_does_not_stop_the_others(world: World) -> None:
    """With one cluster down the others are served, and the run is Failed with its name and reason."""
    world.issue("web-tls")
    with stopped(world, "rct"):
        state = run()
    assert (state.is_failed(), state.name) == (True, "ClustersFailed")
    assert state.message is not None
    assert state.message.startswith("1 of 3 clusters failed: rct (Unreachable: ")
    assert world.copy("web-tls", "dev") is not None
    assert world.copy("web-tls", "prd") is not None
    assert world.copy("web-tls", "rct") is None


def test_a_dead_cluster_is_tried_again_and_a_refusal_is_not(world: World) -> None:
    """What may pass is tried four times, what will not once."""
    world.issue("web-tls")
    foreign = world.issuer.secret("web-tls", ["web-tls.example.org"])
    foreign["metadata"]["namespace"] = "app-a"
    world.admin("dev").create(foreign)
    with stopped(world, "rct"):
        state = run()
    runs = task_runs(state)
    assert (runs["sync-rct"].run_count, runs["sync-dev"].run_count) == (4, 1)
    assert runs["sync-prd"].state_name == "Completed"


@contextmanager
def logged() -> Iterator[io.StringIO]:
    """What a person reads of a run, meanwhile."""
    stream = io.StringIO()
    handler = logging.StreamHandler(stream)
    for name in LOGGERS:
        logging.getLogger(name).addHandler(handler)
    try:
        yield stream
    finally:
        for name in LOGGERS:
            logging.getLogger(name).removeHandler(handler)


@pytest.mark.parametrize("cluster", [None, "nope"], ids=["a refusal", "a faulty parameter"])
def test_a_failed_run_says_why_and_not_where_in_the_code(world: World, cluster: str | None) -> None:
    """As a worker's process runs it, too: no traceback of an engine stands around the report."""
    world.issue("web-tls")
    foreign = world.issuer.secret("web-tls", ["web-tls.example.org"])
    foreign["metadata"]["namespace"] = "app-a"
    world.admin("dev").create(foreign)
    parameters: dict[str, Any] = {"cluster": cluster, "group": None, "certificate": None}
    parameters |= {"dry_run": False, "urgent_only": False}
    with logged() as log, pytest.raises(ConfigError if cluster else FailedRun):
        run_flow(tls_sync, parameters=parameters, error_logger=logging.getLogger(LOGGERS[0]))
    said = log.getvalue()
    assert "Traceback" not in said
    assert "Engine" not in said
    assert ("cluster='nope'" if cluster else "OwnedByCertManager") in said
    assert "Finished in state" in said.splitlines()[-1]


def test_an_ad_hoc_run_touches_one_cluster_only(world: World) -> None:
    """`cluster` selects one; the others are neither read nor mentioned."""
    world.issue("web-tls")
    start = world.log_position("rct")
    with stopped(world, "prd"):
        state = run(cluster="dev")
    assert (state.is_completed(), state.message) == (True, "1 cluster: create 1")
    assert world.requests("rct", start) == []
    assert set(artifacts(state)) == {"tls-sync", "tls-sync-dev"}


def test_the_artifact_of_a_cluster_is_not_repeated(world: World) -> None:
    """It is written where it differs from the latest one: after a change, a failure, and its end."""
    world.issue("web-tls")
    everything = {"tls-sync", *(f"tls-sync-{name}" for name in TARGETS)}
    assert set(artifacts(run())) == everything  # copies were made
    assert set(artifacts(run())) == everything  # they no longer are
    assert set(artifacts(run())) == {"tls-sync"}
    with stopped(world, "rct"):
        assert set(artifacts(run())) == {"tls-sync", "tls-sync-rct"}
        assert set(artifacts(run())) == {"tls-sync"}
    assert set(artifacts(run())) == {"tls-sync", "tls-sync-rct"}


def test_the_description_of_an_artifact_is_a_status(world: World) -> None:
    """It says what was done, or that all is in sync; of a failed cluster, when it was last in sync."""
    world.issue("web-tls")
    first = run()
    assert descriptions(first)["tls-sync-rct"] == "rct ✓ create 1"
    deadline = time.monotonic() + 120  # Prefect's server learns of a task's end some moments later
    while not (task := task_runs(first).get("sync-rct")) or not task.end_time:
        assert time.monotonic() < deadline
    with stopped(world, "rct"):
        found = descriptions(run())
    assert found["tls-sync-dev"] == "dev ✓ in sync, 1 copy"
    assert found["tls-sync-rct"].startswith("rct ✗ Unreachable, last in sync ")
    assert found["tls-sync"] == "✗ 1 of 3 clusters failed: rct (Unreachable)"


def test_an_ad_hoc_run_for_one_certificate_leaves_the_others(world: World) -> None:
    """`certificate` selects one; the others are neither written nor reported."""
    world.issue("web-tls", "web-2-tls")
    assert run(certificate="web-2-tls").message == "3 clusters: create 3"
    assert world.copy("web-tls") is None
    assert world.copy("web-2-tls") is not None


def test_a_dry_run_writes_nothing(world: World) -> None:
    """`dry_run` shows the plan, says that nothing was written, and writes nothing."""
    world.issue("web-tls")
    state = run(dry_run=True)
    assert state.message == "3 clusters: dry run, nothing written: create 3"
    assert "would create" in artifacts(state)["dry-run-tls-sync"]
    assert all(world.versions(cluster) == {} for cluster in TARGETS)


@pytest.mark.parametrize(
    ("parameters", "known"),
    [({"cluster": "prod"}, "dev, rct, prd"), ({"certificate": "api-tls"}, "web-*")],
    ids=["cluster", "certificate"],
)
def test_an_unknown_name_is_an_error_before_any_read(
    world: World, parameters: dict[str, str], known: str
) -> None:
    """An unknown parameter value fails with the known ones, and no API server hears of it."""
    start = world.log_position("ops")
    state = run(**parameters)
    assert state.is_failed()
    assert state.message is not None
    assert known in state.message
    assert world.requests("ops", start) == []


def test_a_broken_configuration_fails_before_any_read(world: World) -> None:
    """A configuration with faults is an error that lists them with their paths."""
    world.config_path.write_text(world.config_path.read_text().replace("owner: ops", "owners: ops"))
    start = world.log_position("ops")
    state = run()
    assert state.is_failed()
    assert state.message is not None
    assert "owner: is required" in state.message
    assert "owners: unknown key" in state.message
    assert world.requests("ops", start) == []


def test_an_unreadable_source_touches_no_cluster(world: World) -> None:
    """With OPS down the run is Failed, says why, and no target hears of it."""
    start = world.log_position("dev")
    with stopped(world, "ops"):
        state = run()
    assert (state.is_failed(), state.name) == (True, "SourceUnreadable")
    assert state.message is not None
    assert "Unreachable" in state.message
    assert "Unreachable" in artifacts(state)["tls-sync"]
    assert world.requests("dev", start) == []


@pytest.mark.parametrize("parameters", [{}, {"dry_run": True}], ids=["run", "dry run"])
def test_more_copies_than_a_run_takes_on_touch_no_cluster(
    world: World, monkeypatch: pytest.MonkeyPatch, parameters: dict[str, bool]
) -> None:
    """At the limit all is copied; beyond it the run is Failed, says how many, and no target hears of it."""
    world.issue("web-a-tls", "web-b-tls")
    monkeypatch.setattr("flows.tls_sync.memory_limit", lambda: 100 * MIB)
    start = world.log_position("dev")
    state = run(**parameters)
    assert (state.is_failed(), state.name) == (True, "TooMany")
    assert state.message is not None
    assert state.message.startswith("nothing was written: TooMany: look at 6 copies on 3 clusters: ")
    assert "TooMany" in next(iter(artifacts(state).values()))
    assert world.requests("dev", start) == []
    monkeypatch.setattr("flows.tls_sync.memory_limit", lambda: 200 * MIB)
    assert run(**parameters).is_completed()


def test_an_empty_source_is_completed_with_a_warning(world: World) -> None:
    """Nothing on OPS, nothing named literally: nothing is written, copies are kept, and the run says so."""
    world.issue("web-tls")
    run()
    before = world.versions()
    world.ops.delete("/api/v1/namespaces/certificates-ops/secrets/web-tls")
    state = run()
    assert state.is_completed()
    assert state.message is not None
    assert "warning: OPS has no certificate that is fit to be sent" in state.message
    assert world.versions() == before


def test_a_certificate_named_literally_but_missing_fails_the_run(world: World) -> None:
    """A wanted certificate that can't be had makes the run Failed, and the message says which."""
    world.issue("web-tls")
    world.configure([*ROUTES, {"certificates": ["api-tls"], "namespaces": ["app-b"]}], clusters=["dev"])
    state = run()
    assert state.is_failed()
    assert state.message is not None
    assert "MissingOnSource: app-b/api-tls" in state.message
    assert world.copy("web-tls") is not None


def test_a_suspended_cluster_is_left_out_and_said(world: World) -> None:
    """A suspended cluster is not touched, and every report says so."""
    world.issue("web-tls")
    document = world.config_path.read_text()
    world.config_path.write_text(document.replace("name: rct", "name: rct\n  suspended: true"))
    state = run()
    assert state.message == "2 clusters: create 2; suspended: rct"
    assert "suspended, so left out: rct" in artifacts(state)["tls-sync"]
    assert world.copy("web-tls", "rct") is None


def test_the_ui_shows_telling_names_and_reports(world: World) -> None:
    """Runs, tasks, tags and artifacts have names that say what they are for."""
    world.issue("web-tls")
    state = run(cluster="dev", dry_run=True)
    assert flow_run(state).name == "sync dev (dry run)"
    assert sorted(flow_run(state).tags) == ["cluster:dev", "dry-run"]
    runs = task_runs(state)
    assert set(runs) == {"collect-certificates", "sync-dev"}
    assert runs["sync-dev"].tags == ["cluster:dev"]
    report = artifacts(run())
    assert set(report) == {"tls-sync", *(f"tls-sync-{cluster}" for cluster in TARGETS)}
    assert "| create | app-a/web-tls | web-tls | MissingOnTarget | - |" in report["tls-sync-dev"]


def resume(state: State[Any]) -> State[Any]:
    """Run the same flow run once more, as a retry or a rescheduled pod does."""
    from prefect.flow_engine import run_flow  # noqa: PLC0415
    from prefect.states import Scheduled  # noqa: PLC0415

    with get_client(sync_client=True) as client:
        client.set_flow_run_state(run_id(state), Scheduled(), force=True)
        again = client.read_flow_run(run_id(state))
    final: State[Any] = run_flow(tls_sync, flow_run=again, parameters={}, return_type="state")  # type: ignore[assignment]
    return final


def test_a_resumed_run_repeats_only_what_is_unfinished(world: World) -> None:
    """The same flow run, resumed: OPS is listed anew, finished clusters are not read again."""
    world.issue("web-tls")
    with stopped(world, "rct"):
        first = run()
    assert first.is_failed()
    positions = {cluster: world.log_position(cluster) for cluster in ("ops", "dev", "rct")}
    second = resume(first)
    assert (second.is_completed(), second.message) == (True, "3 clusters: create 3")
    assert world.requests("dev", positions["dev"]) == []
    assert world.requests("rct", positions["rct"]) != []
    on_ops = [r["verb"] for r in world.requests("ops", positions["ops"])]
    assert on_ops[:4] == ["create", "get", "list", "list"]  # who am I, which cluster is it, the two lists


def test_a_resumed_run_serves_finished_clusters_again_if_ops_has_changed(world: World) -> None:
    """A certificate renewed before the resumption reaches also the clusters that had finished."""
    (secret,) = world.issue("web-tls")
    with stopped(world, "rct"):
        first = run()
    renewed = world.renew(secret)
    assert resume(first).is_completed()
    copy = world.copy("web-tls", "dev")
    assert copy is not None
    assert copy["data"] == renewed["data"]


def test_a_resumed_run_without_its_results_simply_runs_again(world: World, prefect_server: Path) -> None:
    """Results that are gone (a fresh pod) cost a second look and nothing else."""
    world.issue("web-tls")
    first = run()
    for file in (prefect_server / "results").iterdir():
        file.unlink()
    start = world.log_position("dev")
    second = resume(first)
    assert (second.is_completed(), second.message) == (True, "3 clusters: keep 3")
    assert world.requests("dev", start) != []


def test_the_configuration_is_read_at_the_start_of_each_run(world: World) -> None:
    """A route added between two runs counts in the second."""
    world.issue("web-tls", "api-tls")
    run()
    world.configure([*ROUTES, {"certificates": ["api-tls"], "namespaces": ["app-b"]}])
    assert len(load_config().clusters[0].routes) == 2
    assert run().message == "3 clusters: create 3, keep 3"


def test_a_kubeconfig_swapped_in_mid_run_counts_from_the_next_run_on(world: World) -> None:
    """The file of the start serves a run to its end, retries included; the next run sees the new one."""
    world.issue("web-tls")
    throttled, original = [Answer(429)] * MAX_REFUSALS, world.kubeconfig.read_text()

    def swap(request: Request, forward: Forward) -> Answer:
        if "/secrets?" in request.path:  # before the writes, for which OPS is connected to once more
            world.kubeconfig.write_text("contexts: []")
        return throttled.pop() if "/secrets?" in request.path and throttled else forward()

    with world.proxy() as proxy:
        proxy.fault = swap
        state = run()
        again = run()
        world.kubeconfig.write_text(original)
        assert task_runs(state)["sync-dev"].run_count == 2
        assert (state.is_completed(), state.message) == (True, "3 clusters: create 3")
        assert (again.is_failed(), again.name) == (True, "SourceUnreadable")
        assert "KubeconfigInvalid" in str(again.message)


def test_a_run_counts_what_its_earlier_attempts_wrote(world: World) -> None:
    """Where a cluster needs two attempts, the report counts the writes of both, each once."""
    world.issue("web-tls", "web-2-tls")
    world.configure(clusters=["dev"])
    refusals = [Answer(429)] * (MAX_REFUSALS + 1)  # the other copy is answered in between

    def throttle_at_first(request: Request, forward: Forward) -> Answer:
        is_early = request.method == "PATCH" and "web-2-tls" in request.path and refusals
        return refusals.pop() if is_early else forward()

    with world.proxy("dev") as proxy:
        proxy.fault = throttle_at_first
        state = run()
    assert task_runs(state)["sync-dev"].run_count == 2
    assert (state.is_completed(), state.message) == (True, "1 cluster: create 2")
    assert artifacts(state)["tls-sync-dev"].count("MissingOnTarget") == 2


def test_a_resumed_run_serves_finished_clusters_again_if_their_routes_changed(world: World) -> None:
    """A route that was added before the resumption reaches also the clusters that had finished."""
    world.issue("web-tls", "api-tls")
    with stopped(world, "rct"):
        first = run()
    world.configure([*ROUTES, {"certificates": ["api-tls"], "namespaces": ["app-b"]}])
    assert resume(first).is_completed()
    assert world.copy("api-tls", "dev", "app-b") is not None


def test_a_certificate_asked_for_and_not_there_fails_the_run(world: World) -> None:
    """A name that only a glob covers, and that OPS does not have, is a mistake of who asked for it."""
    world.issue("web-tls")
    state = run(certificate="web-typo-tls")
    assert state.is_failed()
    assert state.message is not None
    assert "MissingOnSource: app-a/web-typo-tls" in state.message


def test_a_run_has_an_end(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where the time of the run is up, no cluster is asked any more, and the run is Failed and says so."""
    world.issue("web-tls")
    monkeypatch.setattr("flows.tls_sync.RUN_LIMIT", timedelta(0))
    start = world.log_position("dev")
    state = run()
    assert state.is_failed()
    assert state.message is not None
    assert "DeadlineExceeded" in state.message
    assert world.requests("dev", start) == []
