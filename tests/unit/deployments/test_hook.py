"""The chart's hooks at a real Prefect server with a password: what they create, delete and refuse."""

import json
from collections.abc import Iterator
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import httpx
import pytest
import yaml
from prefect.client.schemas.filters import FlowRunFilter, FlowRunFilterId
from prefect.client.schemas.objects import StateType
from prefect.client.schemas.responses import DeploymentResponse
from prefect.client.schemas.schedules import CronSchedule

from deployments.hook import inputs, removal
from deployments.hook.__main__ import main
from deployments.hook.errors import HookError, Unreachable
from deployments.hook.prefect_api import DEPLOYMENTS
from deployments.hook.registration import register
from deployments.sandbox.clusters.api_server import free_port
from tests.support.hook_environment import CONFIGURATION, PASSWORD, HookWorld, guarded_server, kubeconfig

pytestmark = [pytest.mark.apiserver, pytest.mark.timeout(1500)]


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with guarded_server(tmp_path_factory.mktemp("guarded")) as address:
        yield address


@pytest.fixture
def world(server: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[HookWorld]:
    made = HookWorld(server, tmp_path, monkeypatch)
    yield made
    api = HookWorld(server, tmp_path, monkeypatch).api
    for name in DEPLOYMENTS:
        if deployment := api.deployment(name):
            api.delete_deployment(deployment)
    for pool in pools(made):
        made.http.delete(f"/work_pools/{pool}")


def pools(world: HookWorld) -> list[str]:
    return sorted(pool.name for pool in world.api.client.read_work_pools())


def existing(world: HookWorld, name: str, **fields: Any) -> None:
    """Create someone else's work pool."""
    world.http.post("/work_pools/", json={"name": name, "type": "kubernetes", **fields})


def crons(deployment: DeploymentResponse) -> list[str]:
    found = (one.schedule.cron for one in deployment.schedules if isinstance(one.schedule, CronSchedule))
    return sorted(found)


def remove(world: HookWorld, monkeypatch: pytest.MonkeyPatch) -> None:
    """Run the removal without a cluster: Jobs have their own test."""
    monkeypatch.setattr(removal, "in_cluster", lambda: (None, "tls-sync"))
    monkeypatch.setattr(removal, "end_jobs", lambda *_: ["tls-sync-abcde"])
    removal.remove(world.settings, world.say)


def test_registering_twice_creates_all_once(world: HookWorld, monkeypatch: pytest.MonkeyPatch) -> None:
    """Work pool, deployments and schedule exist after the first time; the second changes the schedule."""
    register(world.settings, world.say)
    first = world.api.deployment("tls-sync/ops")
    world.set(TLS_SYNC_SCHEDULE="*/5 * * * *", TLS_SYNC_TIMEZONE="Europe/Paris")
    register(world.settings, world.say)
    second = world.api.deployment("tls-sync/ops")
    assert first is not None
    assert second is not None
    assert first.id == second.id
    assert crons(first) == ["0 * * * *", "30 3 * * *"]
    assert crons(second) == ["*/5 * * * *", "30 3 * * *"]
    assert pools(world) == ["ops"]
    _, said = (line for line in world.said if line.startswith("deployment tls-sync/ops is up to date; "))
    assert set(said.split("; ")[1:]) == {
        "schedule */5 * * * * Europe/Paris",
        'schedule 30 3 * * * Europe/Paris with {"verify": true}',
    }


def test_forms_offer_the_clusters_of_the_configuration(world: HookWorld) -> None:
    """Prefect's form has them as choices; a cluster that was added since is not refused by the server."""
    register(world.settings, world.say)
    deployment = world.api.deployment("tls-sync/ops")
    assert deployment is not None
    schema = deployment.parameter_openapi_schema or {}
    assert schema["properties"]["cluster"]["anyOf"] == [
        {"type": "string", "enum": ["dev"]},
        {"type": "null"},
    ]
    assert crons(deployment) == ["0 * * * *", "30 3 * * *"]
    asked = {"parameters": {"cluster": "new"}}
    run = world.http.post(f"/deployments/{deployment.id}/create_flow_run", json=asked).json()
    assert run["parameters"]["cluster"] == "new"
    world.http.delete(f"/flow_runs/{run['id']}")


def test_a_fleet_that_is_not_used_has_no_schedule(world: HookWorld, monkeypatch: pytest.MonkeyPatch) -> None:
    """Once a fleet has been used, too: after the next upgrade nobody can resume it by a click."""
    for used, expected in (("true", ["0 * * * *", "30 3 * * *"]), ("false", [])):
        monkeypatch.setenv("TLS_SYNC_FLEET", used)
        register(world.settings, world.say)
        fleet = world.api.deployment("tls-sync-fleet/ops")
        assert fleet is not None
        assert crons(fleet) == expected


def test_removing_leaves_nothing_of_ours(world: HookWorld, monkeypatch: pytest.MonkeyPatch) -> None:
    """Deployments with schedule, limit and scheduled runs, and the pool, are deleted; twice is no error."""
    before = limits(world)
    register(world.settings, world.say)
    deployment = world.api.deployment("tls-sync/ops")
    assert deployment is not None
    run = world.http.post(f"/deployments/{deployment.id}/create_flow_run", json={}).json()
    remove(world, monkeypatch)
    assert pools(world) == []
    assert world.api.client.read_deployments() == []
    assert limits(world) == before
    chosen = FlowRunFilter(id=FlowRunFilterId(any_=[run["id"]]))
    for kept in world.api.client.read_flow_runs(flow_run_filter=chosen):
        assert kept.state_type == StateType.CANCELLED
    remove(world, monkeypatch)


def limits(world: HookWorld) -> list[str]:
    found = world.http.post("/v2/concurrency_limits/filter", json={}).json()
    return sorted(one["name"] for one in found)


def test_others_deployments_in_the_pool_stay(world: HookWorld, monkeypatch: pytest.MonkeyPatch) -> None:
    """The pool stays while it has someone else's deployment, and that deployment stays."""
    register(world.settings, world.say)
    flow = world.http.post("/flows/", json={"name": "theirs"}).json()
    fields = {"name": "theirs", "flow_id": flow["id"], "work_pool_name": "ops"}
    theirs = world.http.post("/deployments/", json=fields).json()
    remove(world, monkeypatch)
    assert world.api.deployment("tls-sync/ops") is None
    assert world.api.deployment("theirs/theirs") is not None
    assert pools(world) == ["ops"]
    assert any("other deployments use it" in line for line in world.said)
    world.http.delete(f"/deployments/{theirs['id']}")


def test_a_pool_that_an_earlier_try_made_is_no_conflict(
    world: HookWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The response to its creation was lost. A pool that somebody else makes meanwhile is not overwritten."""
    template = json.loads(world.settings.template.read_text())
    api = world.api
    found = api.pool
    for made, fits in (({"base_job_template": template}, True), ({}, False)):
        existing(world, "ops", **made)
        earlier = [None]  # at the first look
        monkeypatch.setattr(api, "pool", lambda seen=earlier: seen.pop() if seen else found())
        with nullcontext() if fits else pytest.raises(HookError, match="someone else has just changed"):
            api.write_pool(template)
        world.http.delete("/work_pools/ops")


@pytest.mark.parametrize("kind", ["process", "kubernetes"])
def test_a_pool_of_someone_else_is_not_overwritten(world: HookWorld, kind: str) -> None:
    """The hook names the work pool and registers nothing."""
    existing(world, "ops", type=kind)
    with pytest.raises(HookError, match=r"work pool ops .*is not tls-sync's.*prefect\.workPool"):
        register(world.settings, world.say)
    assert world.api.deployment("tls-sync/ops") is None


def test_another_pool_can_be_chosen(world: HookWorld, monkeypatch: pytest.MonkeyPatch) -> None:
    """Our pool gets the name in prefect.workPool, and only ours is deleted."""
    existing(world, "ops")
    world.set(TLS_SYNC_WORK_POOL="certificates")
    register(world.settings, world.say)
    deployment = world.api.deployment("tls-sync/ops")
    assert deployment is not None
    assert deployment.work_pool_name == "certificates"
    remove(world, monkeypatch)
    assert pools(world) == ["ops"]


def another_release(world: HookWorld) -> dict[str, Any]:
    """Return the job template of a release in another namespace."""
    template: dict[str, Any] = json.loads(world.settings.template.read_text())
    template["job_configuration"]["namespace"] = "tls-sync-web"
    return template


def test_another_releases_pool_is_not_overwritten(world: HookWorld, monkeypatch: pytest.MonkeyPatch) -> None:
    """A second release at one server is refused, and its uninstall deletes nothing of the first."""
    register(world.settings, world.say)
    theirs = another_release(world)
    world.http.patch("/work_pools/ops", json={"base_job_template": theirs})
    with pytest.raises(HookError, match="is release tls-sync's in namespace tls-sync-web"):
        register(world.settings, world.say)
    remove(world, monkeypatch)
    assert world.api.deployment("tls-sync/ops") is not None
    pool = world.api.pool()
    assert pool is not None
    assert pool.base_job_template == theirs
    assert "work pool ops and its deployments stay: they are not this release's" in world.said


def test_another_releases_schedule_is_not_taken(world: HookWorld) -> None:
    """A second release is refused with its own work pool, too: deployments have the same names."""
    register(world.settings, world.say)
    world.http.patch("/work_pools/ops", json={"base_job_template": another_release(world)})
    world.set(TLS_SYNC_WORK_POOL="certificates")
    with pytest.raises(HookError, match=r"deployment tls-sync\S+ exists already, in work pool ops"):
        register(world.settings, world.say)
    deployment = world.api.deployment("tls-sync/ops")
    assert deployment is not None
    assert deployment.work_pool_name == "ops"
    assert pools(world) == ["ops"]


def test_a_release_moves_to_another_pool(world: HookWorld) -> None:
    """A release's own deployments are not taken for another's, whatever pool they were in."""
    register(world.settings, world.say)
    world.set(TLS_SYNC_WORK_POOL="certificates")
    register(world.settings, world.say)
    deployment = world.api.deployment("tls-sync/ops")
    assert deployment is not None
    assert deployment.work_pool_name == "certificates"


def test_the_hooks_work_with_csrf_protection(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where Prefect requires a CSRF token, the hooks register and remove all the same."""
    (home := tmp_path / "server").mkdir()
    with guarded_server(home, PREFECT_SERVER_CSRF_PROTECTION_ENABLED="true") as address:
        world = HookWorld(address, tmp_path, monkeypatch)
        register(world.settings, world.say)
        basic = httpx.BasicAuth(*PASSWORD.split(":"))
        refused = httpx.post(f"{address}/work_pools/filter", json={}, auth=basic)
        assert refused.status_code == 403  # without a token
        assert world.api.deployment("tls-sync/ops") is not None
        remove(world, monkeypatch)
        assert world.api.deployment("tls-sync/ops") is None
        assert world.api.pool() is None


@pytest.mark.parametrize("given", ["", "ops:wrong"])
def test_wrong_credentials_are_named_and_not_shown(world: HookWorld, given: str) -> None:
    """The message names the values to check, and has no password."""
    world.set(PREFECT_API_AUTH_STRING=given)
    with pytest.raises(HookError, match=r"refuses our credentials.*prefect\.authSecret") as refused:
        register(world.settings, world.say)
    assert PASSWORD not in str(refused.value)
    assert not given or given not in str(refused.value)


@pytest.mark.parametrize(
    ("embedded", "words"), [("true", "kubectl describe pod"), ("false", "prefect.apiUrl")]
)
def test_a_missing_server_ends_the_hook_in_bounded_time(world: HookWorld, embedded: str, words: str) -> None:
    """Where the server never answers, the hook ends and says what to check."""
    world.set(
        PREFECT_API_URL=f"http://127.0.0.1:{free_port()}/api",
        TLS_SYNC_WAIT_SECONDS="2",  # longer than one attempt of the client
        TLS_SYNC_PREFECT_EMBEDDED=embedded,
    )
    with pytest.raises(Unreachable, match=words):
        register(world.settings, world.say)
    assert any("waiting for Prefect's API" in line for line in world.said)


def test_an_existing_server_that_is_away_stops_the_uninstall(
    world: HookWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Else its schedule would stay; the release's own server is deleted anyway, so it stops nothing."""
    away = {"PREFECT_API_URL": f"http://127.0.0.1:{free_port()}/api", "TLS_SYNC_WAIT_SECONDS": "0.1"}
    world.set(**away)
    with pytest.raises(HookError, match="--no-hooks"):
        remove(world, monkeypatch)
    world.set(TLS_SYNC_PREFECT_EMBEDDED="true")
    remove(world, monkeypatch)
    assert "Job tls-sync-abcde was deleted" in world.said


@pytest.mark.parametrize(
    ("secret", "words"),
    [
        ({}, "has no key"),
        ({"kubeconfig": kubeconfig()}, "has the keys kubeconfig"),
        ({"config": kubeconfig("cluster-rct")}, "no context of that name"),
        ({"config": "- no kubeconfig"}, "not a mapping"),
    ],
)
def test_a_kubeconfig_that_can_not_serve_is_refused(
    world: HookWorld, secret: dict[str, str], words: str
) -> None:
    """A missing Secret, key or context is found before scheduling, and the message has the remedy."""
    world.mount(secret)
    with pytest.raises(HookError, match=words) as refused:
        register(world.settings, world.say)
    assert "kubectl create secret generic" in str(refused.value)
    assert "canary-token" not in str(refused.value)
    assert pools(world) == []


def test_a_wrong_configuration_is_refused(world: HookWorld) -> None:
    """The hook refuses what the values' schema can't check, such as a protected namespace."""
    routes = [{"certificates": ["a-tls"], "namespaces": ["kube-system"]}]
    (cluster,) = CONFIGURATION["clusters"]
    faulty = {**CONFIGURATION, "clusters": [{**cluster, "routes": routes}]}  # type: ignore[dict-item]
    (world.directory / "tls-sync.yaml").write_text(yaml.safe_dump(faulty))
    with pytest.raises(HookError, match=r"tlsSync\.config: .*\n.*namespaces\[0\]: a protected namespace"):
        inputs.check_inputs()


@pytest.mark.parametrize(
    ("variable", "given", "words"),
    [("TLS_SYNC_SCHEDULE", "99 * * * *", r"(?i)cron"), ("TLS_SYNC_TIMEZONE", "Mars/Phobos", r"(?i)timezone")],
)
def test_a_wrong_schedule_is_an_error_with_prefects_words(
    world: HookWorld, variable: str, given: str, words: str
) -> None:
    """An invalid cron or time zone fails the hook, and so the upgrade."""
    world.set(**{variable: given})
    with pytest.raises(HookError, match=words):
        register(world.settings, world.say)


def test_the_command_ends_with_a_sentence(
    world: HookWorld, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """A failure is exit status 1 and one line on what to do, without traceback: Helm shows it."""
    monkeypatch.setattr("sys.argv", ["hook", "wait"])
    assert main() == 0
    world.set(PREFECT_API_AUTH_STRING="")
    assert main() == 1
    assert capsys.readouterr().err.startswith("tls-sync wait failed: Prefect at ")
