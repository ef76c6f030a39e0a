"""The chart and its values in git, and the Application that Argo CD makes of them."""

import copy
import shutil
from collections.abc import Callable
from functools import cached_property
from typing import Any

import yaml

from deployments.sandbox.argo_cd.application import conditions, describe
from deployments.sandbox.argo_cd.controllers import NAMESPACE, ArgoCD
from deployments.sandbox.argo_cd.repository import Repository, Server
from deployments.sandbox.clusters.manifests import Manifest
from tests.e2e import release
from tests.e2e.machine import NAMESPACE as RELEASE_NAMESPACE
from tests.e2e.machine import Machine
from tests.e2e.prefect_api import PrefectAPI
from tests.support.waiting import until

FOLDER = "deployments/helm/tls-sync"
VALUES = "tls-sync/ops/values.yaml"
APPLICATION_SET = release.ROOT / "deployments" / "argocd" / "applicationset-tls-sync.yaml"
NAME = "tls-sync-ops"
_PATIENCE = 600.0


class GitOps:
    """Two repositories, as the shipped ApplicationSet has them: tls-sync's, and the team's configuration."""

    def __init__(self, machine: Machine, argo: ArgoCD) -> None:
        self.machine, self._argo = machine, argo
        directory = machine.directory / "git"
        directory.mkdir()
        self.charts = Repository(directory / "tls-sync")
        self.configuration = Repository(directory / "configuration")
        shutil.copytree(release.CHART, self.charts.clone / FOLDER)
        self.servers = {"charts": Server(self.charts), "configuration": Server(self.configuration)}
        self.values = release.values(machine)
        self._commits = {"charts": self.charts.push({}, "tls-sync"), "values": ""}
        self._push_values("Values of OPS")

    def apply_application_set(self) -> None:
        """Apply the shipped file after its EDIT marks are followed: here only the addresses differ."""
        text = APPLICATION_SET.read_text()
        for line, server in (
            ("https://git.example.org/platform/tls-sync.git", self.servers["charts"]),
            ("https://git.example.org/platform/configuration.git", self.servers["configuration"]),
        ):
            assert text.count(line) == 1, line
            text = text.replace(line, server.url)
        self.machine.kubectl("apply", "--filename", "-", text=text)

    def push(self, **changes: Any) -> None:
        """Commit other values under `tlsSync`, push them, and wait until they are deployed."""
        self.values["tlsSync"] = {**self.values["tlsSync"], **changes}
        self._push_values(f"Change {', '.join(changes)}")
        self.await_deployed()

    def push_unfit(self, **changes: Any) -> None:
        """Commit values under `tlsSync` that the chart refuses, without waiting."""
        text = yaml.safe_dump({**self.values, "tlsSync": {**self.values["tlsSync"], **changes}})
        self.configuration.push({VALUES: text}, "A mistake")
        self.refresh()

    def push_back(self) -> None:
        """Commit the values of before a mistake, and wait until they are deployed."""
        self._push_values("Revert the mistake")
        self.await_deployed()

    def push_chart(self, version: str) -> None:
        """Commit another version of the chart, push it, and wait until it is deployed."""
        name = f"{FOLDER}/Chart.yaml"
        chart = yaml.safe_load((self.charts.clone / name).read_text())
        text = yaml.safe_dump({**chart, "version": version})
        self._commits["charts"] = self.charts.push({name: text}, f"tls-sync {version}")
        self.await_deployed()

    def routes_of(self, cluster: str) -> tuple[dict[str, Any], list[dict[str, Any]]]:
        """Return a copy of tlsSync.config, and the list of a cluster's routes in it."""
        config = copy.deepcopy(self.values["tlsSync"]["config"])
        (found,) = [entry for entry in config["clusters"] if entry["name"] == cluster]
        return config, found["routes"]

    def application(self, name: str = NAME) -> Manifest:
        return self.machine.ops.get(f"{_APPLICATIONS}/{name}")

    def exists(self, name: str = NAME) -> bool:
        return self.machine.ops.found(f"{_APPLICATIONS}/{name}") is not None

    def refresh(self, name: str = NAME) -> None:
        """Have Argo CD read git now, as a webhook does, and not after up to three minutes."""
        annotations = {"argocd.argoproj.io/refresh": "normal"}
        self.machine.ops.patch(f"{_APPLICATIONS}/{name}", {"metadata": {"annotations": annotations}})

    def await_deployed(self) -> None:
        """Wait until the last commits are Synced and Healthy, and their hook has succeeded."""
        self.await_("the Application", self.exists)
        self.refresh()
        self.await_(f"{NAME} to be Synced and Healthy", self._is_deployed)

    def await_(
        self, what: str, holds: Callable[[], object], name: str = NAME, patience: float = _PATIENCE
    ) -> None:
        """Wait; an error has what Argo CD says of the Application of that name, and the end of each log."""

        def checked() -> object:
            self._argo.require_running()
            return holds()

        try:
            until(what, checked, patience)
        except AssertionError as error:
            application = self.machine.ops.found(f"{_APPLICATIONS}/{name}")
            raise AssertionError(f"{error}:\n{describe(name, application)}\n{self._argo.explain()}") from None

    def conditions(self) -> str:
        """Return what the Application shows people."""
        return "\n".join(conditions(self.application()))

    @cached_property
    def prefect(self) -> PrefectAPI:
        return release.Release(self.machine, self.values, RELEASE_NAMESPACE).prefect

    def _push_values(self, message: str) -> None:
        self._commits["values"] = self.configuration.push({VALUES: yaml.safe_dump(self.values)}, message)

    def _is_deployed(self) -> bool:
        status = self.application().get("status", {})
        sync, health = status.get("sync", {}), status.get("health", {})
        return (
            sync.get("status") == "Synced"
            and set(sync.get("revisions", ())) == set(self._commits.values())
            and health.get("status") == "Healthy"
            and status.get("operationState", {}).get("phase") == "Succeeded"
        )


_APPLICATIONS = f"/apis/argoproj.io/v1alpha1/namespaces/{NAMESPACE}/applications"
