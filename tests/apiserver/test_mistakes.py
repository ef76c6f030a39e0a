"""Ten mistakes of a first hour: each message names the object, what was expected, and what mends it."""

import os
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from deployments.sandbox.world.kubeconfig import context_name
from tests.support.clusters import Manifest, World

pytestmark = [pytest.mark.apiserver, pytest.mark.timeout(600)]

ROOT = Path(__file__).parents[2]
DEV = context_name("dev")
OTHER_ID = "0c2f9a52-5a4e-4f0e-9d0b-6f1f0c6f2b11"
NO_SERVER = "http://127.0.0.1:1/api"
ROLE = "/apis/rbac.authorization.k8s.io/v1/namespaces/app-a/roles/tls-sync"


@dataclass(frozen=True)
class Mistake:
    said: tuple[str, ...]
    """What the message must have: object, expectation, remedy."""
    make: Callable[[World], object] = lambda _: None
    words: tuple[str, ...] = ("preflight", "--cluster", "dev")
    variables: dict[str, str | None] = field(default_factory=dict)


def of_dev(**changes: Any) -> Callable[[World], None]:
    """Change the entry of cluster dev in the configuration."""

    def change(document: Manifest) -> None:
        document["clusters"][0].update(changes)

    return lambda world: world.edit_config(change)


def routed(certificate: str = "web-tls", namespace: str = "app-a") -> Callable[[World], None]:
    return of_dev(routes=[{"certificates": [certificate], "namespaces": [namespace]}])


def badly_indented(world: World) -> None:
    world.config_path.write_text(
        "owner: ops\nsource:\n  namespace: certificates-ops\n   context: cluster-ops\n"
    )


def without_role(world: World) -> None:
    world.admin().delete(ROLE)


MISTAKES = {
    "bad indentation": Mistake(("tls-sync.yaml: ", "line 4"), badly_indented),
    "unknown key": Mistake(("clusters[0] (dev).hostname: ", "unknown key"), of_dev(hostname="x")),
    "wrong context": Mistake(
        ("cluster-dve", "no context of that name", f"known are: {DEV}", "rights kubeconfig"),
        of_dev(context="cluster-dve"),
    ),
    "missing namespace": Mistake(
        ("app-z", f"kubectl --context {DEV} create namespace app-z"), routed(namespace="app-z")
    ),
    "no rights": Mistake(
        ("app-a", "no right on secrets", "tls-sync rights manifests --cluster dev"), without_role
    ),
    "wrong clusterId": Mistake(("WrongCluster", "clusterId"), of_dev(clusterId=OTHER_ID)),
    "clusterId without a form": Mistake(
        ("clusters[0] (dev).clusterId: not the uid of a namespace", "get namespace kube-system"),
        of_dev(clusterId="abc"),
    ),
    "misspelt certificate": Mistake(("wbe-tls", "OPS has web-tls"), routed("wbe-tls")),
    "no KUBECONFIG": Mistake(
        ("/.kube/config does not exist", "KUBECONFIG must name one file"),
        variables={"KUBECONFIG": None, "HOME": "/nonexistent"},
    ),
    "no Prefect server": Mistake(
        (
            "no run can begin",
            "Prefect's API at http://127.0.0.1:1/api does not answer",
            "check PREFECT_API_URL",
        ),
        words=("sync",),
        variables={"PREFECT_API_URL": NO_SERVER, "PREFECT_CLIENT_MAX_RETRIES": "0"},
    ),
    "another folder": Mistake(
        ("TLS_SYNC_CONFIG is not set", "--config", "tls-sync init"), variables={"TLS_SYNC_CONFIG": None}
    ),
}


@pytest.mark.parametrize("name", MISTAKES)
def test_a_mistake_is_named_with_what_mends_it(world: World, tmp_path: Path, name: str) -> None:
    """The exit status is 1, nothing is written, and no traceback is shown, of ours or of Prefect."""
    mistake = MISTAKES[name]
    world.issue("web-tls")
    mistake.make(world)
    (tmp_path / "elsewhere").mkdir()
    variables = {**os.environ, "PYTHONPATH": str(ROOT), "PREFECT_HOME": str(tmp_path), **mistake.variables}
    done = subprocess.run(
        [sys.executable, "-m", "flows.cli", *mistake.words],
        cwd=tmp_path / "elsewhere",
        env={name: value for name, value in variables.items() if value is not None},
        capture_output=True,
        text=True,
        check=False,
    )
    told = " ".join((done.stdout + done.stderr).split())
    assert done.returncode == 1
    assert [part for part in mistake.said if part not in told] == [], told
    assert "Traceback" not in told
    assert world.copy("web-tls") is None
