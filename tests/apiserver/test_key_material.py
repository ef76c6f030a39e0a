"""The law of key material: a canary key is found nowhere but on the clusters."""

import base64
import os
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from deployments.sandbox import unfit
from tests.canary import found_below, found_in
from tests.world import Manifest, World

pytestmark = pytest.mark.apiserver

ROOT = Path(__file__).parents[2]

# A run in which tls-sync itself fails with a key in its hands, which nobody foresaw; then an ordinary one.
DRIVER = """
from flows.tls_sync import tls_sync
from tasks.sender import Sender
if {crash}:
    apply = Sender._apply
    def crash(self, change, certificate, candidate):
        raise RuntimeError(candidate.material["tls.key"].decode())
    Sender._apply = crash
    tls_sync(return_state=True)
    Sender._apply = apply
tls_sync(return_state=True)
"""


def run(home: Path, *, crash: bool = False) -> bytes:
    """Runs of the flow in a process that keeps all that it writes below `home`; its output."""
    for folder in ("tmp", "user"):
        (home / folder).mkdir(parents=True, exist_ok=True)
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
    driver = DRIVER.format(crash=crash)
    done = subprocess.run(
        [sys.executable, "-c", driver], env=environment, cwd=ROOT, capture_output=True, check=False
    )
    assert done.returncode == 0, done.stderr[-2000:]
    return done.stdout + done.stderr


def canaries(world: World, *secrets: Manifest) -> dict[str, bytes]:
    """Private keys by the name of their Secret, and the tokens of the kubeconfig."""
    keys = {s["metadata"]["name"]: base64.b64decode(s["data"]["tls.key"]) for s in secrets}
    users = yaml.safe_load(world.kubeconfig.read_text())["users"]
    return keys | {f"token of {user['name']}": user["user"]["token"].encode() for user in users}


def test_no_key_is_left_behind_by_a_run_that_succeeds(world: World, tmp_path: Path) -> None:
    """After a run that copies, no log, database, result, artifact or file holds a key or a token."""
    (web,), (rsa,) = world.issue("web-tls"), world.issue("web-rsa-tls", key="rsa")
    secrets = canaries(world, web, rsa)
    output = run(tmp_path / "home")
    assert world.copy("web-rsa-tls") is not None
    assert b"MissingOnTarget" in output
    assert found_in(output, secrets) == set()
    assert found_below(tmp_path / "home", secrets) == {}


def test_no_key_is_left_behind_by_runs_that_fail(world: World, tmp_path: Path) -> None:
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
        output = run(tmp_path / "home", crash=True)
    finally:
        world.sandbox.cluster("rct").start()
    for expected in (b"Forbidden", b"Unreachable", b"OwnedByOther", b"KeyMismatch", b"InternalError"):
        assert expected in output, expected
    assert found_in(output, secrets) == set()
    assert found_below(tmp_path / "home", secrets) == {}


def test_the_scan_would_find_what_a_run_left(world: World, tmp_path: Path) -> None:
    """The files of a run are really read: a key put into the copy of its log is found."""
    (web,) = world.issue("web-tls")
    (tmp_path / "left").mkdir()
    (tmp_path / "left" / "log").write_bytes(b"..." + base64.b64decode(web["data"]["tls.key"]))
    assert found_below(tmp_path / "left", canaries(world, web)) == {"log": {"web-tls"}}
