"""Killed at any write, before or after it took place: the next run converges.

TLS_SYNC_KILLS sets how many boundaries are tried; 200 before a release, fewer in every run of the tests.
"""

import os
import random
import signal
import threading

import pytest

from deployments.sandbox.world.invariants import Oracle
from tasks.kube import transport
from tasks.kube.transport import Request, Response, Transport
from tests.support.clusters import Manifest, World

pytestmark = pytest.mark.apiserver

KILLS = int(os.environ.get("TLS_SYNC_KILLS", "24"))
NAMES = tuple(f"web-{number}-tls" for number in range(8))


@pytest.fixture
def secrets(world: World) -> dict[str, Manifest]:
    """What OPS holds, by name."""
    world.configure(clusters=["dev"])
    return {secret["metadata"]["name"]: secret for secret in world.issue(*NAMES)}


def deliver_until_killed(world: World, oracle: Oracle, writes: int, *, after: bool) -> None:
    """A child process that brings dev in sync, and dies by SIGKILL at this write, before or after it."""
    child = os.fork()
    if child:
        with oracle.watching("dev"):
            _, status = os.waitpid(child, 0)
        assert os.WTERMSIG(status) == signal.SIGKILL or os.WEXITSTATUS(status) == 0
        return
    try:
        done, lock, send = [0], threading.Lock(), transport.Transport.request

        def request(self: Transport, request: Request) -> Response:
            with lock:
                done[0] += request.method == "PATCH"
                doomed = done[0] == writes and request.method == "PATCH"
            if doomed and not after:
                os.kill(os.getpid(), signal.SIGKILL)
            reply = send(self, request)
            if doomed:
                os.kill(os.getpid(), signal.SIGKILL)
            return reply

        transport.Transport.request = request  # type: ignore[method-assign]
        world.sync()
    finally:
        os._exit(0)


def test_a_run_killed_at_any_write_is_healed_by_the_next(world: World, secrets: dict[str, Manifest]) -> None:
    """Whole or absent, never mixed; then converged; then at rest: at each boundary between two writes."""
    chance, oracle = random.Random(20261124), world.oracle(clusters=["dev"])
    for _ in range(KILLS):
        for name in chance.sample(NAMES, chance.randint(1, len(NAMES))):
            secrets[name] = world.renew(secrets[name])
            copy = f"/api/v1/namespaces/app-a/secrets/{name}"
            fate = chance.choice(["kept", "kept", "edited", "deleted"])
            if world.copy(name) and fate == "edited":
                world.admin().patch(copy, {"data": {"added.by.hand": "eA=="}})
            elif world.copy(name) and fate == "deleted":
                world.admin().delete(copy)
        oracle.look()
        deliver_until_killed(world, oracle, chance.randint(1, len(NAMES)), after=chance.random() < 0.5)
        assert oracle.objections() == []
        oracle.look()
        healed = world.sync()
        assert healed.ok
        assert oracle.objections() + oracle.differences() == []
        applied = {f"{change.target}" for change in healed.changes if change.applied}
        assert set(oracle.written("dev")) >= applied  # the killed run's last one may land only now
        oracle.look()
        assert world.sync().ok
        assert oracle.writes_tried() == []
