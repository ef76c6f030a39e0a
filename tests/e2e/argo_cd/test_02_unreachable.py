"""A git server is down: what is installed stays as it is, and Argo CD says which repository it misses."""

import re

import pytest

from deployments.sandbox.world import oracle
from tests.e2e.argo_cd.git_ops import NAME, GitOps
from tests.e2e.argo_cd.installed import on_targets, operations_of, release_objects
from tests.e2e.machine import Machine

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(1500)]


@pytest.mark.parametrize(
    ("repository", "schedule"), [("charts", "17 4 1 1 *"), ("configuration", "17 5 1 1 *")]
)
def test_unreachable_repository(machine: Machine, git_ops: GitOps, repository: str, schedule: str) -> None:
    """The Application names the repository, nothing installed changes, and the next push is deployed."""
    server, before = git_ops.servers[repository], installed(machine, git_ops)
    server.stop()
    try:
        git_ops.refresh()
        git_ops.await_(f"{NAME} to name {server.url}", lambda: server.address in git_ops.conditions())
        said = rf"{NAME} has the sync status Unknown .*\nComparisonError: .*{re.escape(server.address)}"
        with pytest.raises(AssertionError, match=said):
            git_ops.await_("what does not come", lambda: False, patience=1)
        assert installed(machine, git_ops) == before
    finally:
        server.start()
    git_ops.push(schedule=schedule)
    assert git_ops.prefect.crons() == [schedule]
    assert git_ops.conditions() == ""


def installed(machine: Machine, git_ops: GitOps) -> tuple[object, ...]:
    """Return the versions of the release's objects and of all copies, and the Application's operations."""
    copies = on_targets(oracle.look(machine.sandbox).secrets)
    return release_objects(machine), copies, operations_of(git_ops.application())
