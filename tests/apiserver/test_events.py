"""What others can build on: our events, and the automation that we ship, on a real Prefect server."""

import json
import os
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from uuid import UUID

import httpx
import pytest
import yaml
from prefect.blocks.notifications import CustomWebhookNotificationBlock
from prefect.settings import PREFECT_API_AUTH_STRING, PREFECT_API_URL, temporary_settings

from tests.support.clusters import World
from tests.support.hook_environment import PASSWORD, guarded_server
from tests.support.prefect_command import http_client
from tests.support.waiting import until

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(900)]

ROOT = Path(__file__).parents[2]
AUTOMATION = ROOT / "deployments" / "automation.yaml"
NAME = yaml.safe_load(AUTOMATION.read_text())["name"]


@pytest.fixture(scope="module")
def prefect(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of a Prefect server."""
    with guarded_server(tmp_path_factory.mktemp("prefect")) as address:
        until("Prefect", lambda: answers(address))
        yield address


def answers(address: str) -> bool:
    try:
        return httpx.get(f"{address}/health").is_success
    except httpx.TransportError:
        return False


@pytest.fixture
def mailbox() -> Iterator["Mailbox"]:
    """Where notifications arrive."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            box.append(json.loads(self.rfile.read(int(self.headers["Content-Length"])))["text"])
            self.send_response(200)
            self.end_headers()

        def log_message(self, *_: object) -> None:
            """No line on standard error."""

    box = Mailbox()
    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        box.url = f"http://127.0.0.1:{server.server_port}/"
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield box
        server.shutdown()


class Mailbox(list[str]):
    url = ""


def command(address: str, *arguments: str) -> int:
    """The exit status of `python -m …` beside that Prefect server."""
    environment = {"PREFECT_API_URL": address, "PREFECT_API_AUTH_STRING": PASSWORD, "DO_NOT_TRACK": "1"}
    done = subprocess.run(
        [sys.executable, "-m", *arguments], cwd=ROOT, env=os.environ | environment, check=False
    )
    return done.returncode


def events(address: str, name: str) -> list[tuple[str, dict[str, Any]]]:
    """Of that name: what each is about, and what it says; sorted."""
    asked = {"filter": {"event": {"name": [name]}}, "limit": 50}
    found = http_client(address, PASSWORD).post("/events/filter", json=asked).json()["events"]
    return sorted((one["resource"]["prefect.resource.name"], one["payload"]) for one in found)


def test_each_renewal_and_each_refusal_is_an_event(world: World, prefect: str) -> None:
    """Of a run in which one Secret is somebody else's: what was written, and what was not."""
    web_b = world.issue("web-a-tls", "web-b-tls")[1]
    foreign = {"name": "web-b-tls", "namespace": "app-a"}
    world.put(web_b | {"metadata": foreign}, "rct")
    assert command(prefect, "flows") == 1
    until("the events", lambda: len(events(prefect, "tls-sync.certificate.synced")) == 5)
    synced = events(prefect, "tls-sync.certificate.synced")
    wanted = {f"{name} on {cluster}" for name in ("web-a-tls", "web-b-tls") for cluster in world.targets}
    assert {name for name, _ in synced} == wanted - {"web-b-tls on rct"}
    assert {said["action"] for _, said in synced} == {"create"}
    ((name, said),) = events(prefect, "tls-sync.certificate.refused")
    assert (name, said["reason"]) == ("web-b-tls on rct", "OwnedByOther")


@pytest.mark.usefixtures("world")
def test_a_run_by_hand_has_heartbeats_only_where_they_are_asked_for(
    prefect: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Who started it sees how it ends; Prefect's setting brings them all the same."""
    ended = len(events(prefect, "prefect.flow-run.Completed"))
    assert command(prefect, "flows", "--dry-run") == 0
    until("its end", lambda: len(events(prefect, "prefect.flow-run.Completed")) == ended + 1)
    assert events(prefect, "prefect.flow-run.heartbeat") == []
    monkeypatch.setenv("PREFECT_FLOWS_HEARTBEAT_FREQUENCY", "30")
    assert command(prefect, "flows", "--dry-run") == 0
    until("the heartbeat", lambda: len(events(prefect, "prefect.flow-run.heartbeat")) == 1)


def test_the_automation_notifies_of_a_failed_run(
    world: World, prefect: str, mailbox: Mailbox, tmp_path: Path
) -> None:
    """As shipped it is off; switched on, each run that fails is told once, and no other one."""
    block = CustomWebhookNotificationBlock(
        name="tls-sync", url=mailbox.url, json_data={"text": "{{subject}}\n{{body}}"}
    )
    with temporary_settings({PREFECT_API_URL: prefect, PREFECT_API_AUTH_STRING: PASSWORD}):
        identity = str(block.save("tls-sync"))
    ours = tmp_path / "automation.yaml"
    ours.write_text(AUTOMATION.read_text().replace(str(UUID(int=0)), identity))
    assert command(prefect, "prefect", "automation", "create", "--from-file", str(ours)) == 0
    automations = http_client(prefect, PASSWORD).post("/automations/filter", json={}).json()
    assert [one["enabled"] for one in automations] == [False]
    assert command(prefect, "prefect", "automation", "resume", NAME) == 0
    world.issue("web-tls")
    assert command(prefect, "flows", "--cluster", "dev") == 0
    world.edit_kubeconfig("clusters", "rct", server="https://127.0.0.1:1")
    assert command(prefect, "flows") == 1
    until("the notification", lambda: mailbox)
    time.sleep(5)  # in which a second one would come
    (told,) = mailbox
    assert told.splitlines()[0] == "tls-sync: sync all: ClustersFailed"
    assert told.splitlines()[1].startswith("1 of 3 clusters failed: rct (Unreachable: ")
