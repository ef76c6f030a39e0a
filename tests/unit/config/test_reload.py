"""The configuration is parsed when its file has changed, and not otherwise."""

from collections.abc import Callable
from pathlib import Path

import pytest

from tasks.config import reload as reload_module
from tasks.config.load import VARIABLE, load_config
from tasks.config.reload import ReloadedConfig
from tasks.config.schema import SyncConfig
from tasks.domain.errors import ConfigError

TEXT = """
owner: ops
source: {namespace: certificates-ops}
clusters:
  - {name: dev, context: dev, hostnames: ["*.example.org"], routes: [{certificates: [a], namespaces: [b]}]}
"""


@pytest.fixture
def parsed(monkeypatch: pytest.MonkeyPatch) -> list[None]:
    """Has an entry for each time that the file was parsed."""
    times: list[None] = []

    def load() -> SyncConfig:
        times.append(None)
        return load_config()

    monkeypatch.setattr(reload_module, "load_config", load)
    return times


@pytest.fixture
def path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    file = tmp_path / "tls-sync.yaml"
    file.write_text(TEXT)
    monkeypatch.setenv(VARIABLE, str(file))
    return file


def test_an_unchanged_file_is_parsed_once(path: Path, parsed: list[None]) -> None:
    """All calls get the same object."""
    config = ReloadedConfig()
    assert len({id(config.load()) for _ in range(5)}) == 1
    assert len(parsed) == 1


def rewrite(path: Path, text: str) -> None:
    path.write_text(text)


def replace(path: Path, text: str) -> None:
    other = path.with_suffix(".new")
    other.write_text(text)
    other.rename(path)


@pytest.mark.parametrize("change", [rewrite, replace])
def test_a_changed_file_is_parsed_again(
    path: Path, parsed: list[None], change: Callable[[Path, str], None]
) -> None:
    """Whether it was written to or replaced."""
    config = ReloadedConfig()
    assert config.load().owner == "ops"
    change(path, TEXT.replace("owner: ops", "owner: other"))
    assert config.load().owner == "other"
    assert len(parsed) == 2


def test_a_mounted_file_changes_with_its_link(path: Path, parsed: list[None]) -> None:
    """The kubelet turns a link to a new folder; the path of the file stays, and its link, too."""
    for name, owner in (("first", "ops"), ("second", "new")):
        (path.parent / name).mkdir()
        (path.parent / name / path.name).write_text(TEXT.replace("owner: ops", f"owner: {owner}"))
    data = path.parent / "..data"
    data.symlink_to("first")
    path.unlink()
    path.symlink_to(Path("..data") / path.name)
    config = ReloadedConfig()
    assert config.load().owner == "ops"
    turned = path.parent / "..data_tmp"
    turned.symlink_to("second")
    turned.rename(data)
    assert config.load().owner == "new"
    assert len(parsed) == 2


def test_an_invalid_file_is_an_error_each_time(path: Path) -> None:
    """The configuration from before does not live on, and the file counts again once it is valid."""
    config = ReloadedConfig()
    config.load()
    path.write_text("owner: [")
    for _ in range(2):
        with pytest.raises(ConfigError):
            config.load()
    path.write_text(TEXT)
    assert config.load().owner == "ops"
    path.unlink()
    with pytest.raises(ConfigError):
        config.load()
