"""A world in which all is well makes no noise; `make soak` has an hour of it."""

from pathlib import Path

import pytest

from tests.certificate_soak import soak
from tests.e2e.cert_manager.life import Life
from tests.support.hook_environment import PASSWORD, guarded_server

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(1200)]

MINUTES = 2


@pytest.mark.parametrize("life", ["watcher"], indirect=True)
def test_short_lived_certificates_make_no_noise(
    life: Life, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Sixty certificates of two minutes: no warning and no Failed run, and every copy stays OPS's."""
    home = tmp_path / "server"
    home.mkdir()
    with guarded_server(home) as address:
        monkeypatch.setenv("PREFECT_API_URL", address)
        monkeypatch.setenv("PREFECT_API_AUTH_STRING", PASSWORD)
        assert soak(life, MINUTES) == []
