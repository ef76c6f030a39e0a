"""Killed at any write, before or after it took place: the next run converges.

TLS_SYNC_KILLS sets how many boundaries are tried; 200 before a release, fewer in every run of the tests.
"""

import os
import random
import signal

import pytest

from deployments.sandbox.world.invariants import Oracle
from tests.support.clusters import Manifest, World
from tests.support.killed import fork_killed_at_write

pytestmark = pytest.mark.apiserver

KILLS = int(os.environ.get("TLS_SYNC_KILLS", "24"))
NAMES = tuple(f"web-{number}-tls" for number in range(8))


@pytest.fixture
def secrets(world: World) -> dict[str, Manifest]:
    """What OPS holds, by name."""
    world.configure(clusters=["dev"])
    return {secret["metadata"]["name"]: secret for secret in world.issue(*NAMES)}


def sync_until_killed(world: World, oracle: Oracle, number: int, *, after: bool) -> None:
    """Sync DEV in a child process that is killed at this write, and sample the copies meanwhile."""
    child = fork_killed_at_write(number, world.sync, after=after)
    with oracle.watching("dev"):
        _, status = os.waitpid(child, 0)
    assert os.WTERMSIG(status) == signal.SIGKILL or os.WEXITSTATUS(status) == 0


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
        sync_until_killed(world, oracle, chance.randint(1, len(NAMES)), after=chance.random() < 0.5)
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
