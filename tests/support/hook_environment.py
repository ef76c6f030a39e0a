"""A Prefect server with a password, and the environment of the chart's hooks, for their tests."""

import base64
import os
import shutil
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest
import yaml

from deployments.hook.prefect_api import PrefectApi
from deployments.hook.settings import Settings
from deployments.sandbox import processes
from deployments.sandbox.clusters.api_server import free_port
from deployments.sandbox.clusters.pki import Authority
from tests.support.prefect_command import http_client

ROOT = Path(__file__).parents[2]
PASSWORD = "ops:canary-Zm9v-password"
SECONDS = 600.0
CONFIGURATION = {
    "owner": "ops",
    "source": {"namespace": "certificates-ops"},
    "clusters": [
        {
            "name": "dev",
            "context": "cluster-dev",
            "clusterId": "0c2f9a52-5a4e-4f0e-9d0b-6f1f0c6f2b11",
            "hostnames": ["*.dev.example.org"],
            "routes": [{"certificates": ["homarr-dev-tls"], "namespaces": ["homarr-dev"]}],
        }
    ],
}


@contextmanager
def guarded_server(home: Path, port: int = 0, **settings: str) -> Iterator[str]:
    """Start a server that requires a password. Yields the API's address. `settings`: PREFECT_… variables."""
    port = port or free_port()
    environment = {
        **{name: value for name, value in os.environ.items() if not name.startswith("PREFECT_")},
        "PREFECT_HOME": str(home),
        "PREFECT_SERVER_API_AUTH_STRING": PASSWORD,
        "PREFECT_API_AUTH_STRING": PASSWORD,
        "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
        "PREFECT_SERVER_UI_STATIC_DIRECTORY": str(home / "ui"),
        **settings,
    }
    where = ["--host", "127.0.0.1", "--port", str(port)]
    command = [sys.executable, "-m", "prefect", "server", "start", *where]
    process = processes.spawn(command, home / "server.log", ROOT, environment)
    try:
        yield f"http://127.0.0.1:{port}/api"
    finally:
        processes.stop(process)


class HookWorld:
    """A hook's pod: environment, configuration, kubeconfig."""

    def __init__(self, api_url: str, directory: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.directory, self._monkeypatch = directory, monkeypatch
        self.said: list[str] = []
        self.set(
            PREFECT_API_URL=api_url,
            PREFECT_API_AUTH_STRING=PASSWORD,
            PREFECT_HOME=str(directory / "prefect"),
            DO_NOT_TRACK="1",
            TLS_SYNC_HOME=str(ROOT),
            TLS_SYNC_WORK_POOL_TEMPLATE=str(ROOT / "deployments" / "work-pool.json"),
            TLS_SYNC_WAIT_SECONDS=str(SECONDS),
            TLS_SYNC_CONFIG=str(directory / "tls-sync.yaml"),
            KUBECONFIG=str(self.mounted / "config"),
            PATH=f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
            PYTHONPATH=str(ROOT),
        )
        (directory / "tls-sync.yaml").write_text(yaml.safe_dump(CONFIGURATION))
        self.mount({"config": kubeconfig()})

    @property
    def mounted(self) -> Path:
        return self.directory / "kubeconfig"

    def set(self, **variables: str) -> None:
        for name, value in variables.items():
            self._monkeypatch.setenv(name, value)

    def mount(self, secret: dict[str, str]) -> None:
        """Mount a Secret as kubelet does: a missing optional Secret is an empty folder."""
        shutil.rmtree(self.mounted, ignore_errors=True)
        (self.mounted / "..data").mkdir(parents=True)
        for key, content in secret.items():
            (self.mounted / key).write_text(content)

    @property
    def settings(self) -> Settings:
        return Settings.read()

    @property
    def http(self) -> httpx.Client:
        """A client for requests that the hooks do not make."""
        return http_client(self.settings.api_url, PASSWORD)

    @property
    def api(self) -> PrefectApi:
        return PrefectApi(self.settings)

    def say(self, line: str) -> None:
        self.said.append(line)


def kubeconfig(context: str = "cluster-dev") -> str:
    """Return a valid kubeconfig, whose server gets no request in these tests."""
    authority = base64.b64encode(Authority("tls-sync test CA").pem).decode()
    server = {"server": "https://dev.example.org:6443", "certificate-authority-data": authority}
    document: dict[str, Any] = {
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{"name": "dev", "cluster": server}],
        "users": [{"name": "dev", "user": {"token": "canary-token"}}],
        "contexts": [{"name": context, "context": {"cluster": "dev", "user": "dev"}}],
    }
    return str(yaml.safe_dump(document))
