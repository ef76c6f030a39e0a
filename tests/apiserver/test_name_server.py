"""A real name server that never answers: what the commands do while the system waits for it."""

import os
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest
from prefect.settings import PREFECT_API_URL

from tests.support.clusters import World
from tests.support.waiting import PATIENCE, until

pytestmark = [pytest.mark.apiserver, pytest.mark.usefixtures("prefect_server")]

ROOT = Path(__file__).parents[2]
PLACE = ("127.53.53.53", 53)
LABEL = b"silent-api"
NAME = f"{LABEL.decode()}.example.org"
RESOLV_CONF = f"""nameserver {PLACE[0]}
search a.example b.example c.example d.example e.example
options timeout:30 attempts:5 ndots:15
"""
"""With these, the system's own lookup takes a quarter of an hour."""
IN_A_NAMESPACE = 'mount --make-rprivate / && mount --bind "$0" /etc/resolv.conf && exec "$@"'


class Silent:
    """Hears what it is asked, on UDP, and says nothing."""

    def __init__(self, listener: socket.socket) -> None:
        self.asked = threading.Event()
        self._listener = listener
        threading.Thread(target=self._hear, daemon=True).start()

    def _hear(self) -> None:
        with suppress(OSError):
            while question := self._listener.recv(4096):
                if LABEL in question:
                    self.asked.set()


@pytest.fixture
def name_server() -> Iterator[Silent]:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as listener:
        try:
            listener.bind(PLACE)
        except OSError:
            pytest.skip("no name server can be started here: root may, on Linux")
        yield Silent(listener)
        with suppress(OSError):
            listener.shutdown(socket.SHUT_RDWR)


@contextmanager
def begun(directory: Path, *command: str) -> Iterator[subprocess.Popen[str]]:
    """In a namespace of its own for mounts, in which that name server is the system's."""
    conf = directory / "resolv.conf"
    conf.write_text(RESOLV_CONF)
    enter = ["unshare", "-m", "sh", "-c", IN_A_NAMESPACE, str(conf)]
    if subprocess.run([*enter, "true"], check=False, capture_output=True).returncode:
        pytest.skip("no mount namespace can be had here: root may, on Linux")
    with subprocess.Popen(
        [*enter, sys.executable, "-m", *command],
        cwd=ROOT,
        env=os.environ | {"PREFECT_API_URL": str(PREFECT_API_URL.value())},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    ) as run:
        try:
            yield run
        finally:
            run.kill()


def test_the_preflight_names_the_cluster_and_looks_at_the_others(
    world: World, name_server: Silent, tmp_path: Path
) -> None:
    """It ends long before the system's lookup does, and the name server's silence is what it tells."""
    with world.reached_at(f"https://{NAME}:6443"), begun(tmp_path, "flows", "--preflight") as run:
        output, _ = run.communicate()
    assert name_server.asked.is_set()
    assert run.returncode == 1
    assert "1 of 3 clusters not ready: dev (Unreachable)" in output
    assert "(no name server answered)" in output
    assert NAME not in output


def test_a_run_serves_the_others_and_hears_a_stop_meanwhile(
    world: World, name_server: Silent, tmp_path: Path
) -> None:
    """While one cluster's name is looked up, the others are served; a stop ends the run with a report."""
    world.issue("web-tls")
    with world.reached_at(f"https://{NAME}:6443"), begun(tmp_path, "flows") as run:
        until("the others are served", lambda: world.copy("web-tls", "rct") and world.copy("web-tls", "prd"))
        assert name_server.asked.wait(PATIENCE)
        run.send_signal(signal.SIGTERM)
        output, _ = run.communicate()
    assert run.returncode == -signal.SIGTERM
    assert "dev: Interrupted: ask who we are" in output
    assert world.copy("web-tls", "dev") is None


@pytest.mark.parametrize("cluster", ["ops", "dev"])
def test_the_watcher_hears_a_stop_while_a_name_is_looked_up(
    world: World, name_server: Silent, tmp_path: Path, cluster: str
) -> None:
    """The watcher ends at a stop while the name of OPS, or of a target, is looked up."""
    world.issue("web-tls")
    with (
        world.reached_at(f"https://{NAME}:6443", cluster),
        begun(tmp_path, "flows.watch", "--port", "0") as run,
    ):
        assert name_server.asked.wait(PATIENCE)
        run.send_signal(signal.SIGTERM)
        output, _ = run.communicate()
    assert run.returncode == 0, output
