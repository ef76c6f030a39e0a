"""The end of the release: somebody deletes the ApplicationSet."""

import pytest

from deployments.sandbox.argo_cd.controllers import NAMESPACE as ARGO_CD
from deployments.sandbox.world import oracle
from tests.e2e import inventory
from tests.e2e.argo_cd.git_ops import GitOps
from tests.e2e.argo_cd.installed import on_targets
from tests.e2e.machine import Machine
from tests.support.waiting import until

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(1500)]


def test_deletion(machine: Machine, git_ops: GitOps, objects_before: set[tuple[str, str, str]]) -> None:
    """After the ApplicationSet is deleted, nothing of the release is left on OPS; copies are as they were."""
    before = oracle.look(machine.sandbox)
    machine.kubectl("delete", "applicationset", "tls-sync", "--namespace", ARGO_CD, "--wait=false")
    git_ops.await_("the Application to be gone", lambda: not git_ops.exists())
    until("an OPS as before", lambda: not left(machine, objects_before))
    after = oracle.look(machine.sandbox)
    assert on_targets(after.secrets) == on_targets(before.secrets)


def left(machine: Machine, objects_before: set[tuple[str, str, str]]) -> set[tuple[str, str, str]]:
    """Return what is more than before, without Argo CD's own objects."""
    return {one for one in inventory.objects(machine) - objects_before if one[1] != ARGO_CD}
