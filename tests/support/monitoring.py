"""Real programs that keep metrics: Pushgateway, Prometheus and Alertmanager, from Debian's packages."""

import json
import os
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from shutil import which
from typing import Any, Self

import pytest
import yaml
from prometheus_client.parser import text_string_to_metric_families

from deployments.sandbox import processes
from deployments.sandbox.clusters.api_server import free_port
from deployments.sandbox.errors import SandboxError
from deployments.sandbox.programs import packages
from tests.support.waiting import until

"""Seconds for what should take one; a busy machine is no failure."""

Labels = dict[str, str]
Samples = list[tuple[Labels, float]]


def demand() -> None:
    """A missing program fails in CI and skips elsewhere."""
    try:
        packages.require_monitoring()
    except SandboxError as error:
        if os.environ.get("CI"):
            raise
        pytest.skip(str(error))


def fetch(url: str) -> str:
    with urllib.request.urlopen(url, timeout=30) as answer:
        return str(answer.read().decode())


class Program:
    """A server on a port of its own, from its start to its end."""

    def __init__(self, directory: Path, name: str, *arguments: str, health: str = "/-/ready") -> None:
        self.port, self.directory = free_port(), directory
        self.url = f"http://127.0.0.1:{self.port}"
        self.log = directory / f"{name}.log"
        self._command = [str(which(name)), *arguments, f"--web.listen-address=127.0.0.1:{self.port}"]
        self._health = health
        self._process: processes.Process | None = None

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def start(self) -> None:
        self._process = process = processes.spawn(self._command, self.log, self.directory)

        def answers() -> bool:
            assert process.poll() is None, processes.tail(self.log)
            return bool(fetch(self.url + self._health))

        if self._health:
            until(f"a start; {self.log}", answers)

    def stop(self) -> None:
        if self._process:
            processes.stop(self._process)


class Pushgateway(Program):
    def __init__(self, directory: Path, *arguments: str, health: str = "/-/ready") -> None:
        given = ("--persistence.file=", *arguments)
        super().__init__(directory, "prometheus-pushgateway", *given, health=health)

    def samples(self, name: str) -> Samples:
        families = text_string_to_metric_families(fetch(f"{self.url}/metrics"))
        return [(one.labels, one.value) for f in families for one in f.samples if one.name == name]

    def values(self, name: str, *labels: str) -> dict[tuple[str, ...], float]:
        """By these labels."""
        return {tuple(one[label] for label in labels): value for one, value in self.samples(name)}


class Alertmanager(Program):
    def __init__(self, directory: Path) -> None:
        path = directory / "alertmanager.yaml"
        path.write_text(yaml.safe_dump({"route": {"receiver": "none"}, "receivers": [{"name": "none"}]}))
        given = (f"--config.file={path}", f"--storage.path={directory / 'alertmanager'}")
        super().__init__(directory, "prometheus-alertmanager", *given, "--cluster.listen-address=")

    def firing(self) -> list[Labels]:
        return [one["labels"] for one in json.loads(fetch(f"{self.url}/api/v2/alerts?active=true"))]


class Prometheus(Program):
    """Scrapes these addresses every second, and knows these rules."""

    def __init__(
        self,
        directory: Path,
        targets: Mapping[str, int],
        rules: Mapping[str, Any] | None = None,
        alertmanager: Alertmanager | None = None,
    ) -> None:
        jobs = [
            {"job_name": job, "honor_labels": True, "static_configs": [{"targets": [f"127.0.0.1:{port}"]}]}
            for job, port in targets.items()
        ]
        managers = [f"127.0.0.1:{alertmanager.port}"] if alertmanager else []
        (directory / "rules.yaml").write_text(yaml.safe_dump(rules or {"groups": []}))
        document = {
            "global": {"scrape_interval": "1s", "evaluation_interval": "1s"},
            "rule_files": [str(directory / "rules.yaml")],
            "scrape_configs": jobs,
            "alerting": {"alertmanagers": [{"static_configs": [{"targets": managers}]}]},
        }
        path = directory / "prometheus.yaml"
        path.write_text(yaml.safe_dump(document))
        data = directory / "prometheus"
        super().__init__(directory, "prometheus", f"--config.file={path}", f"--storage.tsdb.path={data}")

    def query(self, expression: str) -> Samples:
        """What it holds now; an expression that is none is an error with its words."""
        asked = urllib.parse.urlencode({"query": expression})
        try:
            answer = json.loads(fetch(f"{self.url}/api/v1/query?{asked}"))
        except urllib.error.HTTPError as error:
            raise AssertionError(f"{expression}: {error.read().decode()}") from None
        return [(one["metric"], float(one["value"][1])) for one in answer["data"]["result"]]


@contextmanager
def pushgateway(directory: Path, *arguments: str, health: str = "/-/ready") -> Iterator[Pushgateway]:
    demand()
    with Pushgateway(directory, *arguments, health=health) as found:
        yield found
