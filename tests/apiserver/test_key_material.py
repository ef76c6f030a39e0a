"""The law of key material: a canary key is found nowhere but on the clusters."""

import base64
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from deployments.sandbox.world import unfit
from tests.support.clusters import Manifest, World
from tests.support.secret_scan import found_below
from tests.support.waiting import until

pytestmark = pytest.mark.apiserver

ROOT = Path(__file__).parents[2]

# Each line is one round. Where it is to crash, tls-sync first fails with a key in its hands, which nobody
# foresaw; then comes an ordinary run. Retries follow at once.
DRIVER = """
import json, os, pathlib, sys
from flows.tls_sync import tls_sync
from tasks.collect_certificates import collect_certificates
from tasks.target.apply import SecretApplier
from tasks.sync_cluster import sync_cluster
for task in (collect_certificates, sync_cluster):
    task.retry_delay_seconds = [0.0, 0.0, 0.0]
apply = SecretApplier._apply
def crash(self, change, certificate, candidate):
    raise RuntimeError(candidate.data["tls.key"].decode())
for line in sys.stdin:
    given = json.loads(line)
    os.environ |= given["environment"]
    if given["crash"]:
        SecretApplier._apply = crash
        tls_sync(return_state=True)
        SecretApplier._apply = apply
    tls_sync(return_state=True)
    pathlib.Path(given["done"]).touch()
"""


class Runs:
    """A process that runs the flow, with a Prefect server of its own; all that it writes is below `home`."""

    def __init__(self, home: Path) -> None:
        self.home, self._log, self._rounds = home, home / "output", 0
        self.secrets: dict[str, bytes] = {}
        for folder in ("tmp", "user"):
            (home / folder).mkdir(parents=True)
        environment = os.environ | {
            "HOME": str(home / "user"),
            "TMPDIR": str(home / "tmp"),
            "PREFECT_HOME": str(home / "prefect"),
            "PREFECT_RESULTS_LOCAL_STORAGE_PATH": str(home / "results"),
            "PREFECT_LOGGING_LEVEL": "DEBUG",
            "PREFECT_LOGGING_ROOT_LEVEL": "DEBUG",
            "PREFECT_SERVER_LOGGING_LEVEL": "DEBUG",
            "PREFECT_SERVER_EPHEMERAL_STARTUP_TIMEOUT_SECONDS": "180",
            "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
        }
        for name in ("PREFECT_API_URL", "PREFECT_SERVER_DATABASE_CONNECTION_URL"):
            environment.pop(name, None)
        with self._log.open("wb") as output:
            self.process = subprocess.Popen(
                [sys.executable, "-c", DRIVER],
                env=environment,
                cwd=ROOT,
                stdin=subprocess.PIPE,
                stdout=output,
                stderr=subprocess.STDOUT,
            )

    def round(self, world: World, secrets: dict[str, bytes], *, crash: bool = False) -> bytes:
        """What it put out in this round; scanned with the other files, as it is one of them."""
        assert self.process.stdin
        self.secrets |= {f"{name}, {self._rounds}": secret for name, secret in secrets.items()}
        self._rounds += 1
        done, begin = self.home / f"done-{self._rounds}", self._log.stat().st_size
        environment = {"TLS_SYNC_CONFIG": os.environ["TLS_SYNC_CONFIG"], "KUBECONFIG": str(world.kubeconfig)}
        order = {"environment": environment, "crash": crash, "done": str(done)}
        self.process.stdin.write(json.dumps(order).encode() + b"\n")
        self.process.stdin.flush()
        until("the round's end", lambda: done.exists() or self.process.poll() is not None)
        output = self._log.read_bytes()[begin:]
        assert done.exists(), output[-2000:]
        return output


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Runs]:
    """One for all tests here: its Prefect server takes half a minute to start."""
    found = Runs(tmp_path_factory.mktemp("runs"))
    yield found
    found.process.communicate(timeout=120)
    assert found_below(found.home, found.secrets) == {}, "left behind at the end"


def canaries(world: World, *secrets: Manifest) -> dict[str, bytes]:
    """Private keys by the name of their Secret, and the tokens of the kubeconfig."""
    keys = {s["metadata"]["name"]: base64.b64decode(s["data"]["tls.key"]) for s in secrets}
    users = yaml.safe_load(world.kubeconfig.read_text())["users"]
    return keys | {f"token of {user['name']}": user["user"]["token"].encode() for user in users}


def test_no_key_is_left_behind_by_a_run_that_succeeds(world: World, runs: Runs) -> None:
    """After a run that copies, no log, database, result, artifact or file holds a key or a token."""
    (web,), (rsa,) = world.issue("web-tls"), world.issue("web-rsa-tls", key="rsa")
    secrets = canaries(world, web, rsa)
    output = runs.round(world, secrets)
    assert world.copy("web-rsa-tls") is not None
    assert b"MissingOnTarget" in output
    assert found_below(runs.home, secrets) == {}


def test_no_key_is_left_behind_by_runs_that_fail(world: World, runs: Runs) -> None:
    """Nor after refused, forbidden and crashing writes, a dead cluster, and rejected certificates."""
    web, second = world.issue("web-tls", "web-2-tls")
    foreign = world.issuer.secret("web-tls", ["web-tls.example.org"])
    foreign["metadata"] = {"name": "web-tls", "namespace": "app-a"}
    world.admin("prd").create(foreign)
    names = ["web-bad-tls.example.org"]
    bad = world.put(unfit.mismatched_key(world.issuer, "web-bad-tls", names))
    role = "/apis/rbac.authorization.k8s.io/v1/namespaces/app-a/roles/tls-sync"
    world.admin("dev").patch(
        role, {"rules": [{"apiGroups": [""], "resources": ["secrets"], "verbs": ["list"]}]}
    )
    secrets = canaries(world, web, second, bad, foreign | {"metadata": {"name": "foreign"}})
    world.sandbox.cluster("rct").stop()
    try:
        output = runs.round(world, secrets, crash=True)
    finally:
        world.sandbox.cluster("rct").start()
    for expected in (b"Forbidden", b"Unreachable", b"OwnedByOther", b"KeyMismatch", b"InternalError"):
        assert expected in output, expected
    assert found_below(runs.home, secrets) == {}


def test_the_scan_would_find_what_a_run_left(world: World, tmp_path: Path) -> None:
    """The files of a run are really read: a key put into the copy of its log is found."""
    (web,) = world.issue("web-tls")
    (tmp_path / "left").mkdir()
    (tmp_path / "left" / "log").write_bytes(b"..." + base64.b64decode(web["data"]["tls.key"]))
    assert found_below(tmp_path / "left", canaries(world, web)) == {"log": {"web-tls"}}
