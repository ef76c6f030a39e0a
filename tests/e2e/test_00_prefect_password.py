"""What a web page in an operator's browser can start on a Prefect server: a real browser, real servers.

Needs Chromium and Helm alone. Each server is set up as we ship it, and once as Prefect comes: all succeeds.
"""

import json
import os
import shutil
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, NamedTuple
from unittest.mock import patch

import httpx
import pytest

from deployments.hook.prefect_api import PrefectApi
from deployments.hook.settings import Settings
from deployments.sandbox import processes
from deployments.sandbox.clusters.api_server import free_port
from deployments.sandbox.demo.prefect_server import prefect_server
from tests.e2e.browser import Browser, browser
from tests.support import chart
from tests.support.prefect_command import http_client

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(1800)]

ROOT = Path(__file__).parents[2]
PASSWORD = "admin:canary-of-this-test"
SECONDS = 600.0
REBOUND = "rebound.example"
"""Somebody else's name that resolves to the server, as with DNS rebinding."""
COMMAND = "sh -c 'cat $KUBECONFIG'"
SEND = """(async () => {
  const send = async (path, content) => { HOW };
  return [await send("/flows/", FLOW), await send("/deployments/DEPLOYMENT/create_flow_run", RUN)];
})()"""
"""Creates a flow, and starts a run with the page's own command."""
BY_BLOB = """const body = new Blob([content]);
  return (await fetch(API + path, {mode: "no-cors", method: "POST", body})).type;"""
AS_ITS_OWN = """const token = await fetch("/api/csrf-token?client=page").then(it => it.ok ? it.json() : {});
  const headers = {"Content-Type": "application/json", "Prefect-Csrf-Client": "page"};
  if (token.token) headers["Prefect-Csrf-Token"] = token.token;
  return (await fetch("/api" + path, {method: "POST", headers, body: content})).status;"""


class Outcome(NamedTuple):
    """Result of a page's requests."""

    page_starts: bool
    """A page of another origin starts a run, by requests that need no CORS preflight."""
    rebound_page_starts: bool
    """A page whose own name resolves to the server starts a run."""
    page_reads: bool
    """A page of another origin reads a response."""


NOTHING = Outcome(page_starts=False, rebound_page_starts=False, page_reads=False)
WAYS = {
    "as Prefect comes": Outcome(page_starts=True, rebound_page_starts=True, page_reads=True),
    "the sandbox": NOTHING,
    "the chart": NOTHING,
    "the chart, insecureNoPassword": Outcome(page_starts=False, rebound_page_starts=True, page_reads=False),
}


@dataclass(frozen=True)
class Server:
    port: int
    password: str
    http: httpx.Client
    """A client with the password."""
    outcome: Outcome

    @property
    def api(self) -> str:
        return f"http://127.0.0.1:{self.port}/api"

    def knows(self, flow: str) -> bool:
        flows = self.http.post("/flows/filter", json={"flows": {"name": {"any_": [flow]}}}).json()
        return bool(flows)

    def runs(self, deployment: str) -> list[dict[str, Any]]:
        asked = {"deployments": {"id": {"any_": [deployment]}}}
        found: list[dict[str, Any]] = self.http.post("/flow_runs/filter", json=asked).json()
        return found


@pytest.fixture(scope="module", params=WAYS)
def server(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A Prefect server in each setup."""
    directory, way = tmp_path_factory.mktemp("prefect"), request.param
    with _started(way, directory) as (port, password):
        settings = Settings(
            api_url=f"http://127.0.0.1:{port}/api",
            api_key="",
            auth_string=password,
            embedded=False,
            pool="ops",
            template=directory,
            home=directory,
            release="tls-sync",
            wait_seconds=SECONDS,
        )
        PrefectApi(settings).wait(SECONDS, lambda _: None)
        yield Server(port, password, http_client(settings.api_url, password), WAYS[way])


@contextmanager
def _started(way: str, directory: Path) -> Iterator[tuple[int, str]]:
    """Start a server. Yields its port and its password."""
    if way == "the sandbox":
        with patch.dict(os.environ), prefect_server(directory) as found:
            yield found.port, found.password
        return
    port = free_port()
    environment = {name: value for name, value in os.environ.items() if not name.startswith("PREFECT_")}
    environment |= _of_the_chart(way) if way.startswith("the chart") else {}
    environment |= {"PREFECT_HOME": str(directory), "DO_NOT_TRACK": "1"}
    environment |= {"PREFECT_SERVER_UI_STATIC_DIRECTORY": str(directory / "ui")}
    environment |= {"PREFECT_SERVER_API_PORT": str(port)}  # its UI calls this port; with `--port` alone, 4200
    where = ["--host", "127.0.0.1", "--port", str(port)]
    command = [sys.executable, "-m", "prefect", "server", "start", *where]
    process = processes.spawn(command, directory / "server.log", ROOT, environment)
    try:
        yield port, environment.get("PREFECT_SERVER_API_AUTH_STRING", "")
    finally:
        processes.stop(process)


def _of_the_chart(way: str) -> dict[str, str]:
    """Return the environment of the server's pod, with the Secret's value."""
    values = chart.VALUES["embedded" if way == "the chart" else "embedded without a password"]
    (container,) = chart.containers(chart.pods(chart.render(values))["tls-sync-server"])
    return {one["name"]: one.get("value", PASSWORD) for one in container["env"]}


@pytest.fixture(scope="module")
def deployment(server: Server) -> str:
    """A deployment whose work pool takes a command from whoever starts a run, as type process does."""
    template = {
        "job_configuration": {"command": "{{ command }}"},
        "variables": {"type": "object", "properties": {"command": {"type": "string"}}},
    }
    pool = {"name": "ops", "type": "process", "base_job_template": template}
    server.http.post("/work_pools/", json=pool)
    flow = server.http.post("/flows/", json={"name": "tls-sync"}).json()
    wanted = {"name": "ops", "flow_id": flow["id"], "work_pool_name": "ops"}
    return str(server.http.post("/deployments/", json=wanted).json()["id"])


@pytest.fixture(scope="module")
def page() -> Iterator[Browser]:
    """A missing browser fails on CI; elsewhere it skips and says how to get it."""
    if not os.environ.get("CI") and not (shutil.which("chromium") and shutil.which("chromedriver")):
        pytest.skip("no browser can be had: install Debian's packages chromium and chromium-driver")
    with browser(f"--host-resolver-rules=MAP {REBOUND} 127.0.0.1") as found:
        yield found


class _Page(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        self.send_response(200)
        self.send_header("Content-Type", "text/html")
        self.end_headers()
        self.wfile.write(b"<title>a web page</title>")

    def log_message(self, *_: object) -> None:
        """Log nothing: the tests look at the server."""


@pytest.fixture(scope="module")
def elsewhere() -> Iterator[str]:
    """Return the address of a page of another origin."""
    with ThreadingHTTPServer(("127.0.0.1", 0), _Page) as found:
        threading.Thread(target=found.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{found.server_port}/"
        found.shutdown()


def _script(how: str, api: str, flow: str, deployment: str) -> str:
    run = {"state": {"type": "SCHEDULED"}, "job_variables": {"command": COMMAND}}
    made = SEND.replace("HOW", how).replace("API", json.dumps(api)).replace("DEPLOYMENT", deployment)
    made = made.replace("FLOW", json.dumps(json.dumps({"name": flow})))
    return made.replace("RUN", json.dumps(json.dumps(run)))


def _started_by(server: Server, deployment: str, flow: str, before: int) -> tuple[bool, bool]:
    """Tell whether the page has created the flow, and whether it has started a run."""
    runs = server.runs(deployment)
    ours = [run for run in runs if run["job_variables"] == {"command": COMMAND}]
    return server.knows(flow), len(ours) > before


def test_the_ui_asks_for_the_password(page: Browser, server: Server) -> None:
    """Somebody with the password sees the runs and stays logged in; without one, the UI asks for none."""
    ui = f"http://127.0.0.1:{server.port}"
    page.open(f"{ui}/runs")
    if server.password:
        page.await_text("Login")
        page.log_in(ui, server.password)
        page.open(f"{ui}/runs")
    page.await_text("Work Pools", "Event Feed")
    assert not page.evaluate("location.pathname").endswith("/login")


def test_a_page_of_another_origin_starts_nothing(
    page: Browser, server: Server, deployment: str, elsewhere: str
) -> None:
    """A body without a type needs no CORS preflight; with a password, it starts nothing."""
    before, flow = len(server.runs(deployment)), "from-another-origin"
    page.open(elsewhere)
    sent = page.evaluate(_script(BY_BLOB, server.api, flow, deployment))
    assert sent == ["opaque", "opaque"], "the browser did not send it"
    assert _started_by(server, deployment, flow, before) == (server.outcome.page_starts,) * 2


def test_a_page_under_a_name_that_leads_to_the_server_starts_nothing(
    page: Browser, server: Server, deployment: str
) -> None:
    """Page and server have one origin, with a foreign Host; with a password, the page starts nothing."""
    before, flow = len(server.runs(deployment)), "from-a-foreign-host"
    page.open(f"http://{REBOUND}:{server.port}/ui-settings")
    assert page.evaluate("location.host") == f"{REBOUND}:{server.port}"
    expected = [201, 201] if server.outcome.rebound_page_starts else [401, 401]
    assert page.evaluate(_script(AS_ITS_OWN, server.api, flow, deployment)) == expected
    assert _started_by(server, deployment, flow, before) == (server.outcome.rebound_page_starts,) * 2


def test_a_page_of_another_origin_reads_nothing(page: Browser, server: Server, elsewhere: str) -> None:
    """The page can't read responses that need no password either: CORS allows only the UI's address."""
    page.open(elsewhere)
    script = f'fetch("{server.api}/health").then(answer => answer.status, () => "forbidden")'
    assert page.evaluate(script) == (200 if server.outcome.page_reads else "forbidden")
