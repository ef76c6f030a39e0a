"""Installs the chart as people do, with Helm and a file of values."""

import time
from pathlib import Path
from typing import Any

import yaml

from deployments.sandbox.world import scenario
from tests.e2e.machine import NAMESPACE, PASSWORD, PASSWORD_SECRET, CommandError, Machine
from tests.e2e.prefect_api import PrefectAPI

ROOT = Path(__file__).parents[2]
CHART = ROOT / "deployments" / "helm" / "tls-sync"
NAME = "tls-sync"
_SECONDS = 600

EVERY_MINUTE = "* * * * *"
MONTHLY = "17 3 1 * *"
YEARLY = "17 3 1 1 *"


class Release:
    """A release, installed or not; `values` are those of the last command."""

    def __init__(
        self,
        machine: Machine,
        given: dict[str, Any] | None = None,
        namespace: str = NAMESPACE,
        name: str = NAME,
    ) -> None:
        self.machine, self.namespace, self.name = machine, namespace, name
        self.values = given or values(machine)

    def install(self) -> None:
        self._apply("install", "--create-namespace")

    def upgrade(self, **changes: Any) -> None:
        """Upgrade with other values under `tlsSync`."""
        self.change(tlsSync={**self.values["tlsSync"], **changes})

    def change(self, **values: Any) -> None:
        """Upgrade with other values."""
        self.values = {**self.values, **values}
        self._apply("upgrade")

    def uninstall(self) -> None:
        where = [self.name, "--namespace", self.namespace]
        self.machine.helm("uninstall", *where, "--wait", f"--timeout={_SECONDS}s")

    @property
    def prefect(self) -> PrefectAPI:
        """Return the embedded server at its Service's address, once it answers."""
        service = self.machine.ops.get(f"/api/v1/namespaces/{self.namespace}/services/tls-sync-server")
        api = PrefectAPI(service["spec"]["clusterIP"], PASSWORD)
        deadline = time.monotonic() + _SECONDS
        while not api.is_healthy():
            assert time.monotonic() < deadline, f"no answer from {api.url}"
            time.sleep(0.5)
        return api

    def _apply(self, *verb: str) -> None:
        file = self.machine.directory / f"values-{self.namespace}.yaml"
        file.write_text(yaml.safe_dump(self.values, sort_keys=False))
        where = [self.name, str(CHART), "--namespace", self.namespace, "--values", str(file)]
        try:
            self.machine.helm(*verb, *where, "--wait", f"--timeout={_SECONDS}s")
        except CommandError as error:
            raise CommandError(f"{error}\n{self._state()}") from None

    def _state(self) -> str:
        """Print pods, events and logs, for a failed test."""
        here = ["--namespace", self.namespace]
        pods = self.machine.kubectl("get", "pods", *here, "--output=name").split()
        logs = [self._log(pod) for pod in pods]
        return "\n".join([self.machine.kubectl("get", "all", *here), *logs])

    def _log(self, pod: str) -> str:
        try:
            return self.machine.kubectl(
                "logs", pod, "--namespace", self.namespace, "--all-containers", "--tail=30"
            )
        except CommandError as error:
            return str(error)


def values(machine: Machine) -> dict[str, Any]:
    """Return values for the tests: an image that is not pulled, and a frequent schedule."""
    repository, _, tag = "localhost/tls-sync:e2e".rpartition(":")
    return {
        "image": {"repository": repository, "tag": tag, "pullPolicy": "Never"},
        "tlsSync": {
            "schedule": EVERY_MINUTE,
            "verify": {"enabled": False},
            "config": scenario.configuration(machine.sandbox, None),
        },
        "prefect": {"authSecret": {"name": PASSWORD_SECRET}},
        "results": {"persistence": {"enabled": True}},
    }
