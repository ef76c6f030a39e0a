"""prefect.yaml has no misspelt key, and deploying it is safe to repeat."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import yaml
from prefect.cli.deploy._models import (
    ConcurrencyLimitSpec,
    DeploymentConfig,
    PrefectYamlModel,
    RawScheduleConfig,
    WorkPoolConfig,
)
from prefect.utilities.importtools import import_object

from flows.fleet import tls_sync_fleet
from flows.inventory import inventory
from flows.preflight import preflight
from flows.tls_sync import tls_sync
from tasks.fleet.groups import MAX_CONCURRENT_GROUPS
from tasks.orchestration.deploy_home import require_home
from tests.support.prefect_command import (
    ROOT,
    api_url,
    deployments,
    environment,
    http_client,
    make_pool,
    prefect,
)

DOCUMENT = yaml.safe_load((ROOT / "prefect.yaml").read_text())
TEMPLATE = yaml.safe_load((ROOT / "deployments" / "work-pool.json").read_text())


def unknown_keys(document: dict[str, Any]) -> Iterator[str]:
    """Return keys that Prefect would drop silently, at each level."""
    top = {field.alias or name for name, field in PrefectYamlModel.model_fields.items()}
    yield from set(document) - top
    for deployment in document.get("deployments", []):
        yield from set(deployment) - set(DeploymentConfig.model_fields)
        yield from set(deployment.get("work_pool", {})) - set(WorkPoolConfig.model_fields)
        yield from set(deployment.get("concurrency_limit", {})) - set(ConcurrencyLimitSpec.model_fields)
        yield from set(deployment.get("work_pool", {}).get("job_variables", {})) - set(
            TEMPLATE["variables"]["properties"]
        )
        for schedule in deployment.get("schedules", []):
            yield from set(schedule) - set(RawScheduleConfig.model_fields)


def test_no_key_is_misspelt() -> None:
    """Prefect drops unknown keys silently; there are none."""
    assert list(unknown_keys(DOCUMENT)) == []


@pytest.mark.parametrize(
    "path",
    [
        ("pul",),
        ("deployments", 0, "schedulez"),
        ("deployments", 0, "work_pool", "nam"),
        ("deployments", 0, "work_pool", "job_variables", "memory_limt"),
        ("deployments", 0, "concurrency_limit", "collision"),
        ("deployments", 0, "schedules", 0, "time_zone"),
    ],
)
def test_a_misspelt_key_would_be_found(path: tuple[str | int, ...]) -> None:
    """The test above finds an unknown key at each level of the file."""
    document = yaml.safe_load((ROOT / "prefect.yaml").read_text())
    place = document
    for step in path[:-1]:
        place = place[step]
    place[path[-1]] = 1
    assert list(unknown_keys(document)) == [path[-1]]


def test_each_deployment_fits_its_flow() -> None:
    """Each deployment has its flow's entrypoint and exactly its parameters, with the flow's defaults."""
    fitting = {
        "flows/tls_sync.py:tls_sync": tls_sync.parameters.properties,
        "flows/fleet.py:tls_sync_fleet": tls_sync_fleet.parameters.properties,
        "flows/preflight.py:preflight": preflight.parameters.properties,
        "flows/inventory.py:inventory": inventory.parameters.properties,
    }
    for deployment in DOCUMENT["deployments"]:
        properties = fitting[deployment["entrypoint"]]
        assert deployment["parameters"] == {key: one.get("default") for key, one in properties.items()}
    assert {deployment["entrypoint"] for deployment in DOCUMENT["deployments"]} == set(fitting)


def test_descriptions_and_tags_tell_deployments_apart() -> None:
    """Three of them are called `ops`; each has a tag of its own beside ours, and says what it is for."""
    tags = [tuple(deployment["tags"]) for deployment in DOCUMENT["deployments"]]
    assert tags == [("tls-sync", name) for name in ("sync", "group", "fleet", "preflight", "inventory")]
    assert len({deployment["description"] for deployment in DOCUMENT["deployments"]}) == len(tags)


def test_every_step_of_ours_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    """Prefect loads each by its path; the last deployment deletes the schedules of an unused fleet."""
    monkeypatch.chdir(ROOT)
    steps = [
        name for one in (DOCUMENT, *DOCUMENT["deployments"]) for step in one.get("build", []) for name in step
    ]
    ours = [name for name in steps if not name.startswith("prefect.")]
    assert [import_object(name).__name__ for name in ours] == [
        "require_home",
        "require_home",
        "drop_fleet_schedules",
    ]
    assert [name for step in DOCUMENT["deployments"][-1]["build"] for name in step] == ours[1:]


def test_a_fleet_has_slots_of_its_own() -> None:
    """The group's limit is that of a fleet; fleets and scheduled runs take none of these slots."""
    found = {
        f"{one['entrypoint'].rpartition(':')[2]}/{one['name']}": one.get("concurrency_limit", {}).get("limit")
        for one in DOCUMENT["deployments"]
    }
    assert found["tls_sync/group"] == MAX_CONCURRENT_GROUPS
    assert (found["tls_sync/ops"], found["tls_sync_fleet/ops"]) == (1, 1)


@pytest.mark.parametrize(
    ("home", "said"),
    [
        (None, "TLS_SYNC_HOME is not set. Set it to the folder in which runs find this repository. For a "),
        ("", "TLS_SYNC_HOME is empty. "),
        (" ", "TLS_SYNC_HOME is empty. "),
        (".", "TLS_SYNC_HOME is '.', but must be an absolute path. "),
        (str(ROOT / "docs"), "docs', where there is no flows/tls_sync.py. "),
    ],
)
def test_a_home_without_the_flows_ends_the_command(
    home: str | None, said: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The first step says what to do, and raises what Prefect shows no traceback of."""
    monkeypatch.chdir(ROOT)
    monkeypatch.delenv("TLS_SYNC_HOME", raising=False)
    if home is not None:
        monkeypatch.setenv("TLS_SYNC_HOME", home)
    (step,) = DOCUMENT["build"][0]
    with pytest.raises(SystemExit) as raised:
        import_object(step)()
    assert raised.value.code == 1
    assert said in capsys.readouterr().err


@pytest.mark.parametrize("home", [str(ROOT), "/opt/not-on-this-machine"])
def test_a_home_of_runs_is_accepted(home: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A checkout is one, and so is a folder that isn't here: runs in pods have that of their image."""
    monkeypatch.setenv("TLS_SYNC_HOME", home)
    assert require_home() == {}


@pytest.fixture
def env(prefect_server: Path) -> dict[str, str]:
    given = environment(prefect_server)
    make_pool(given)
    return given


def deploy(env: dict[str, str]) -> None:
    done = prefect("deploy", "--all", "--prefect-file", "prefect.yaml", env=env)
    assert done.returncode == 0, done.stdout + done.stderr


class Scheduled(NamedTuple):
    cron: str
    timezone: str
    active: bool
    parameters: dict[str, Any]


def schedules_of(deployment: dict[str, Any]) -> dict[str, Scheduled]:
    """Return the schedules by slug."""
    return {
        one["slug"]: Scheduled(
            one["schedule"]["cron"], one["schedule"]["timezone"], one["active"], one["parameters"]
        )
        for one in deployment["schedules"]
    }


@pytest.mark.apiserver
@pytest.mark.timeout(1500)
def test_deploying_twice_makes_each_deployment_and_schedule_once(env: dict[str, str]) -> None:
    """The second time changes crons and time zone to those of the environment, and adds nothing."""
    deploy(env)
    first = http_client(api_url()).get("/deployments/name/tls-sync/ops").json()
    assert schedules_of(first) == {
        "cron": Scheduled("0 * * * *", "Etc/UTC", active=True, parameters={}),
        "verify": Scheduled("30 3 * * *", "Etc/UTC", active=True, parameters={"verify": True}),
    }
    assert first["concurrency_options"]["collision_strategy"] == "ENQUEUE"
    assert first["global_concurrency_limit"]["limit"] == 1
    before = {one["id"] for one in deployments()}
    deploy(
        {
            **env,
            "TLS_SYNC_SCHEDULE": "*/5 6-22 * * 1-5",
            "TLS_SYNC_TIMEZONE": "Europe/Paris",
            "TLS_SYNC_SCHEDULE_ACTIVE": "false",
            "TLS_SYNC_VERIFY_SCHEDULE": "15 4 * * 0",
        }
    )
    second = http_client(api_url()).get("/deployments/name/tls-sync/ops").json()
    assert schedules_of(second) == {
        "cron": Scheduled("*/5 6-22 * * 1-5", "Europe/Paris", active=False, parameters={}),
        "verify": Scheduled("15 4 * * 0", "Europe/Paris", active=False, parameters={"verify": True}),
    }
    assert {one["id"] for one in deployments()} == before
    for asked in ("preflight", "inventory"):
        assert http_client(api_url()).get(f"/deployments/name/tls-sync-{asked}/ops").json()["schedules"] == []


@pytest.mark.apiserver
@pytest.mark.timeout(1500)
def test_schedules_are_active_in_one_deployment_never_in_both(env: dict[str, str]) -> None:
    """TLS_SYNC_FLEET moves the schedules to the fleet, which has none without it, also none to resume."""
    both, copies, none = ("true", "true"), ("true", "false"), ("false", "true")
    given = [
        ("false", both),
        ("true", both),
        ("false", copies),
        ("true", copies),
        ("true", none),
        ("false", none),
    ]
    for fleet, (active, verify) in given:
        on = {
            slug for slug in ("cron", "verify") if active == "true" and (slug == "cron" or verify == "true")
        }
        switches = {"TLS_SYNC_SCHEDULE_ACTIVE": active, "TLS_SYNC_VERIFY": verify}
        deploy({**env, "TLS_SYNC_FLEET": fleet, **switches})
        found = {}
        for name in ("tls-sync", "tls-sync-fleet"):
            deployment = http_client(api_url()).get(f"/deployments/name/{name}/ops").json()
            schedules = schedules_of(deployment)
            found[name] = {slug for slug, one in schedules.items() if one.active}
        scheduled = "tls-sync-fleet" if fleet == "true" else "tls-sync"
        assert found == {name: on if name == scheduled else set() for name in found}
        assert set(schedules) == ({"cron", "verify"} if fleet == "true" else set())


@pytest.mark.apiserver
@pytest.mark.timeout(1500)
def test_nothing_is_deployed_without_a_home(env: dict[str, str]) -> None:
    """The command ends with a sentence and no traceback, and leaves no deployment behind."""
    before = {one["updated"] for one in deployments()}
    done = prefect("deploy", "--all", env={**env, "TLS_SYNC_HOME": ""})
    assert done.returncode == 1
    assert "tls-sync: nothing was deployed: TLS_SYNC_HOME is empty. " in done.stderr
    assert "Traceback" not in done.stdout + done.stderr
    assert {one["updated"] for one in deployments()} == before


@pytest.mark.apiserver
@pytest.mark.timeout(1500)
def test_a_wrong_schedule_is_an_error(env: dict[str, str]) -> None:
    """Prefect refuses an invalid cron with its exit status."""
    done = prefect("deploy", "--all", env={**env, "TLS_SYNC_SCHEDULE": "99 * * * *"})
    assert done.returncode != 0
    assert "cron" in (done.stdout + done.stderr).lower()
