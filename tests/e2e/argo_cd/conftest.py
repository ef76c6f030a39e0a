from collections.abc import Iterator

import pytest

from deployments.sandbox.argo_cd.controllers import ArgoCD
from deployments.sandbox.progress import say
from deployments.sandbox.world.kubeconfig import SOURCE_CLUSTER
from tests.conftest import running
from tests.e2e.argo_cd.git_ops import GitOps
from tests.e2e.machine import Machine


@pytest.fixture(scope="session")
def argo(machine: Machine) -> Iterator[ArgoCD]:
    """Argo CD's own controllers on OPS."""
    server = machine.sandbox.cluster(SOURCE_CLUSTER)
    yield from running(ArgoCD(server, machine.directory, say), "no Argo CD can be had")


@pytest.fixture(scope="session")
def git_ops(machine: Machine, argo: ArgoCD, objects_before: object) -> Iterator[GitOps]:
    """The shipped ApplicationSet, deployed from git; the last test deletes it."""
    found = GitOps(machine, argo)
    with found.servers["charts"], found.servers["configuration"]:
        found.apply_application_set()
        found.await_deployed()
        yield found
