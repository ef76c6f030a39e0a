"""The chart's hooks at a real Prefect server behind a password: what they make, take away and refuse."""

import json
from collections.abc import Iterator
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import pytest
import yaml

from deployments.hook import inputs, removal
from deployments.hook.__main__ import main
from deployments.hook.errors import HookError, Unreachable
from deployments.hook.prefect_api import DEPLOYMENTS
from deployments.hook.registration import register
from deployments.hook.rest import Refused, Rest
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
    monkeypatch.setattr(removal, "in_cluster", lambda: (None, "tls-sync"))
    for name in DEPLOYMENTS:
        if deployment := HookWorld(server, tmp_path, monkeypatch).api.deployment(name):
            made.api.delete_deployment(deployment)
    for pool in pools(made):
        rest(made).call("DELETE", f"/work_pools/{pool}")


def rest(world: HookWorld) -> Rest:
    return world.api._rest


def pools(world: HookWorld) -> list[str]:
    return sorted(pool["name"] for pool in rest(world).call("POST", "/work_pools/filter", {}))


def existing(world: HookWorld, name: str, **fields: Any) -> None:
    """A work pool that someone else made."""
    rest(world).call("POST", "/work_pools/", {"name": name, "type": "kubernetes", **fields})


def remove(world: HookWorld, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without a cluster: its Jobs have a test of their own."""
    monkeypatch.setattr(removal, "in_cluster", lambda: (None, "tls-sync"))
    monkeypatch.setattr(removal, "end_jobs", lambda *_: ["tls-sync-abcde"])
    removal.remove(world.settings, world.say)


def test_registering_twice_makes_all_once(world: HookWorld, monkeypatch: pytest.MonkeyPatch) -> None:
    """Work pool, deployments and schedule are there after the first time; the second changes the schedule."""
    register(world.settings, world.say)
    first = world.api.deployment("tls-sync/ops")
    world.set(TLS_SYNC_SCHEDULE="*/5 * * * *", TLS_SYNC_TIMEZONE="Europe/Paris")
    register(world.settings, world.say)
    second = world.api.deployment("tls-sync/ops")
    assert first is not None
    assert second is not None
    assert first["id"] == second["id"]
    assert [one["schedule"]["cron"] for one in first["schedules"]] == ["0 * * * *"]
    assert [one["schedule"]["cron"] for one in second["schedules"]] == ["*/5 * * * *"]
    assert pools(world) == ["ops"]
    assert "deployment tls-sync/ops is up to date; schedule */5 * * * * Europe/Paris" in world.said


def test_removing_leaves_nothing_of_ours(world: HookWorld, monkeypatch: pytest.MonkeyPatch) -> None:
    """Deployments with schedule, limit and runs to come, and the pool, go; a second time is no error."""
    before = limits(world)
    register(world.settings, world.say)
    deployment = world.api.deployment("tls-sync/ops")
    assert deployment is not None
    run = rest(world).call("POST", f"/deployments/{deployment['id']}/create_flow_run", {})
    remove(world, monkeypatch)
    assert pools(world) == []
    assert rest(world).call("POST", "/deployments/filter", {}) == []
    assert limits(world) == before
    kept = rest(world).found(f"/flow_runs/{run['id']}")
    assert kept is None or kept["state"]["type"] == "CANCELLED"
    remove(world, monkeypatch)


def limits(world: HookWorld) -> list[str]:
    found = rest(world).call("POST", "/v2/concurrency_limits/filter", {})
    return sorted(one["name"] for one in found)


def test_what_others_have_in_the_pool_stays(world: HookWorld, monkeypatch: pytest.MonkeyPatch) -> None:
    """A deployment of someone else keeps the pool, and is not touched."""
    register(world.settings, world.say)
    flow = rest(world).call("POST", "/flows/", {"name": "theirs"})
    theirs = rest(world).call(
        "POST", "/deployments/", {"name": "theirs", "flow_id": flow["id"], "work_pool_name": "ops"}
    )
    remove(world, monkeypatch)
    assert world.api.deployment("tls-sync/ops") is None
    assert rest(world).found(f"/deployments/{theirs['id']}") is not None
    assert pools(world) == ["ops"]
    assert any("others use it" in line for line in world.said)
    rest(world).call("DELETE", f"/deployments/{theirs['id']}")


def test_a_pool_that_an_earlier_try_made_is_no_conflict(
    world: HookWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The answer to its creation was lost; one that somebody else made meanwhile is not overwritten."""
    template = json.loads(world.settings.template.read_text())
    api = world.api
    found = api.pool
    for made, fits in (({"base_job_template": template}, True), ({}, False)):
        existing(world, "ops", **made)
        earlier = [None]  # when it was looked for
        monkeypatch.setattr(api, "pool", lambda seen=earlier: seen.pop() if seen else found())
        with nullcontext() if fits else pytest.raises(Refused, match="409"):
            api.write_pool(template)
        rest(world).call("DELETE", "/work_pools/ops")


@pytest.mark.parametrize("kind", ["process", "kubernetes"])
def test_a_pool_of_someone_else_is_not_overwritten(world: HookWorld, kind: str) -> None:
    """A wrong work pool is refused by name, before anything is registered."""
    existing(world, "ops", type=kind)
    with pytest.raises(HookError, match=r"work pool ops .*is not tls-sync's.*prefect\.workPool"):
        register(world.settings, world.say)
    assert world.api.deployment("tls-sync/ops") is None


def test_another_pool_can_be_chosen(world: HookWorld, monkeypatch: pytest.MonkeyPatch) -> None:
    """Beside the other's pool ours gets the name that prefect.workPool gives, and only ours goes."""
    existing(world, "ops")
    world.set(TLS_SYNC_WORK_POOL="certificates")
    register(world.settings, world.say)
    deployment = world.api.deployment("tls-sync/ops")
    assert deployment is not None
    assert deployment["work_pool_name"] == "certificates"
    remove(world, monkeypatch)
    assert pools(world) == ["ops"]


def another_release(world: HookWorld) -> dict[str, Any]:
    """The job template of one that is in another namespace."""
    template: dict[str, Any] = json.loads(world.settings.template.read_text())
    template["job_configuration"]["namespace"] = "tls-sync-web"
    return template


def test_another_releases_pool_is_not_overwritten(world: HookWorld, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of two releases at one server the second is refused, and its uninstall takes nothing from the first."""
    register(world.settings, world.say)
    theirs = another_release(world)
    rest(world).call("PATCH", "/work_pools/ops", {"base_job_template": theirs})
    with pytest.raises(HookError, match="is release tls-sync in namespace tls-sync-web's"):
        register(world.settings, world.say)
    remove(world, monkeypatch)
    assert world.api.deployment("tls-sync/ops") is not None
    pool = world.api.pool()
    assert pool is not None
    assert pool["base_job_template"] == theirs
    assert "work pool ops and its deployments stay: they are not this release's" in world.said


def test_another_releases_schedule_is_not_taken(world: HookWorld) -> None:
    """Nor with a work pool of its own: deployments have the same names, so each needs a server of its own."""
    register(world.settings, world.say)
    rest(world).call("PATCH", "/work_pools/ops", {"base_job_template": another_release(world)})
    world.set(TLS_SYNC_WORK_POOL="certificates")
    with pytest.raises(HookError, match=r"deployment tls-sync\S+ is there already, in work pool ops"):
        register(world.settings, world.say)
    deployment = world.api.deployment("tls-sync/ops")
    assert deployment is not None
    assert deployment["work_pool_name"] == "ops"
    assert pools(world) == ["ops"]


def test_a_release_moves_to_another_pool(world: HookWorld) -> None:
    """Its own deployments are no other release's, whatever pool they were in."""
    register(world.settings, world.say)
    world.set(TLS_SYNC_WORK_POOL="certificates")
    register(world.settings, world.say)
    deployment = world.api.deployment("tls-sync/ops")
    assert deployment is not None
    assert deployment["work_pool_name"] == "certificates"


def test_a_server_with_csrf_protection_is_served(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where Prefect wants a token with each change, the hooks register and remove all the same."""
    (home := tmp_path / "server").mkdir()
    with guarded_server(home, PREFECT_SERVER_CSRF_PROTECTION_ENABLED="true") as address:
        world = HookWorld(address, tmp_path, monkeypatch)
        register(world.settings, world.say)
        with pytest.raises(Refused, match="403"):  # without a token
            rest(world).call("POST", "/work_pools/filter", {})
        assert world.api.deployment("tls-sync/ops") is not None
        remove(world, monkeypatch)
        assert world.api.deployment("tls-sync/ops") is None
        assert world.api.pool() is None


@pytest.mark.parametrize("given", ["", "ops:wrong"])
def test_wrong_credentials_are_named_and_not_shown(world: HookWorld, given: str) -> None:
    """The message names the values to check, and no password."""
    world.set(PREFECT_API_AUTH_STRING=given)
    with pytest.raises(HookError, match=r"refuses our credentials.*prefect\.authSecret") as refused:
        register(world.settings, world.say)
    assert PASSWORD not in str(refused.value)
    assert not given or given not in str(refused.value)


@pytest.mark.parametrize(
    ("embedded", "words"), [("true", "kubectl describe pod"), ("false", "prefect.apiUrl")]
)
def test_no_server_is_said_in_bounded_time(world: HookWorld, embedded: str, words: str) -> None:
    """Where the server does not come, the hook ends and says what to look at."""
    world.set(
        PREFECT_API_URL=f"http://127.0.0.1:{free_port()}/api",
        TLS_SYNC_WAIT_SECONDS="0.1",
        TLS_SYNC_PREFECT_EMBEDDED=embedded,
    )
    with pytest.raises(Unreachable, match=words):
        register(world.settings, world.say)
    assert any("waiting for Prefect's API" in line for line in world.said)


def test_an_existing_server_that_is_away_stops_the_uninstall(
    world: HookWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Else its schedule would stay for ever; the release's own server goes anyway, so it is no reason."""
    away = {"PREFECT_API_URL": f"http://127.0.0.1:{free_port()}/api", "TLS_SYNC_WAIT_SECONDS": "0.1"}
    world.set(**away)
    with pytest.raises(HookError, match="--no-hooks"):
        remove(world, monkeypatch)
    world.set(TLS_SYNC_PREFECT_EMBEDDED="true")
    remove(world, monkeypatch)
    assert "Job tls-sync-abcde was ended" in world.said


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
    """No Secret, a wrong key, a missing context: found before the schedule, with the command to mend it."""
    world.mount(secret)
    with pytest.raises(HookError, match=words) as refused:
        register(world.settings, world.say)
    assert "kubectl create secret generic" in str(refused.value)
    assert "canary-token" not in str(refused.value)
    assert pools(world) == []


def test_a_wrong_configuration_is_refused(world: HookWorld) -> None:
    """What the values' schema can't say, such as a namespace that may not be a target, the hook says."""
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
    """What looks like a cron or a time zone and is none fails the hook, and so the upgrade."""
    world.set(**{variable: given})
    with pytest.raises(HookError, match=words):
        register(world.settings, world.say)


def test_the_command_ends_with_a_sentence(
    world: HookWorld, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Exit status 1 and one line on what to do, no traceback: this is what Helm shows."""
    monkeypatch.setattr("sys.argv", ["hook", "wait"])
    assert main() == 0
    world.set(PREFECT_API_AUTH_STRING="")
    assert main() == 1
    assert capsys.readouterr().err.startswith("tls-sync wait failed: Prefect at ")


def test_an_answer_that_is_an_error_keeps_its_status(world: HookWorld) -> None:
    """Only 404 means that there is nothing."""
    assert rest(world).found("/work_pools/nothing") is None
    with pytest.raises(Refused) as refused:
        rest(world).call("POST", "/work_pools/", {})
    assert refused.value.status == 422
