import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from deployments.sandbox.clusters.control_plane import Sandbox
from deployments.sandbox.errors import SandboxError
from deployments.sandbox.programs.binaries import locate
from deployments.sandbox.world import certificate_resource
from tests.support.cli_user import Operator
from tests.support.clusters import World

SECRET = "/api/v1/namespaces/tls-sync/secrets/tls-sync-kubeconfig"


@pytest.fixture(scope="session")
def kubectl(sandbox: Sandbox) -> Path:
    """The real kubectl. Where it can't be had, that fails in CI and skips elsewhere."""
    try:
        return locate("kubectl")["kubectl"]
    except SandboxError as error:
        if os.environ.get("CI"):
            raise
        pytest.skip(f"no kubectl can be had: {error}")


@pytest.fixture
def operator(world: World, tmp_path: Path, kubectl: Path) -> Iterator[Operator]:
    yield Operator(world, tmp_path, kubectl)
    if world.ops.secret("tls-sync", "tls-sync-kubeconfig"):
        world.ops.delete(SECRET)


@pytest.fixture
def cert_manager(world: World) -> Iterator[World]:
    """OPS with cert-manager's Certificate resource."""
    certificate_resource.install(world.ops)
    yield world
    certificate_resource.remove(world.ops)
