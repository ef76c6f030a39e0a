"""The version of the process is that of the project."""

import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest

from tasks.runtime import version

ROOT = Path(__file__).parents[3]


@pytest.fixture(autouse=True)
def unread() -> Iterator[None]:
    """The file is read once per process."""
    version.version.cache_clear()
    yield
    version.version.cache_clear()


def test_it_is_the_projects() -> None:
    """The version has one place, pyproject.toml."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    assert version.version() == project["version"]


def test_the_image_has_the_file() -> None:
    """The image has pyproject.toml in the folder of the code, where it is looked for."""
    lines = (ROOT / "deployments" / "Dockerfile").read_text().splitlines()
    assert "COPY LICENSE NOTICE prefect.yaml pyproject.toml /opt/tls-sync/" in lines
    assert "COPY tasks/ /opt/tls-sync/tasks/" in lines
    assert version.FILE == ROOT / "pyproject.toml"


@pytest.mark.parametrize("content", [None, "", "[project]", "project = 1", "not toml", "\xff"])
def test_no_version_stops_nothing(
    content: str | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Code that was copied without the file, or with another one, has an unknown version."""
    if content is not None:
        (tmp_path / "pyproject.toml").write_text(content, encoding="latin-1")
    monkeypatch.setattr(version, "FILE", tmp_path / "pyproject.toml")
    assert version.version() == "unknown"
