from collections.abc import Iterator
from pathlib import Path

import pytest

from deployments.sandbox.cert_manager.source import Source, source
from deployments.sandbox.clusters.control_plane import Sandbox
from deployments.sandbox.progress import say
from tests.conftest import running
from tests.e2e.cert_manager.life import Life, life_by
from tests.support.clusters import World


@pytest.fixture(scope="session")
def issuing(sandbox: Sandbox, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Source]:
    """cert-manager's own controllers on OPS, and an ACME server."""
    part = source(sandbox, tmp_path_factory.mktemp("servers"), say)
    yield from running(part, "no cert-manager can be had")


@pytest.fixture(params=["runs", "watcher"])
def life(
    request: pytest.FixtureRequest,
    sandbox: Sandbox,
    issuing: Source,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> Iterator[Life]:
    """OPS with issuers and no certificate, recorded; copied by runs, and once more by the watcher."""
    with life_by(request.param, lambda: World(sandbox, tmp_path, monkeypatch), issuing) as found:
        yield found
