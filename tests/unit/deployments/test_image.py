"""The image's parts that can be told without building it; `make e2e` builds and runs it."""

import fnmatch
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]
DOCKERFILE = (ROOT / "deployments" / "Dockerfile").read_text()
LOCKS = ("requirements.txt", "requirements-image.txt", "requirements-dask.txt", "requirements-dev.txt")


def locked(name: str) -> dict[str, str]:
    """Each package of a lock file with its version and marker."""
    found = re.findall(r"^([a-z0-9-]+)==([^\\\n]+?) \\$", (ROOT / name).read_text(), re.MULTILINE)
    return dict(found)


def copied() -> list[str]:
    """What the Dockerfile takes from the checkout."""
    lines = re.findall(r"^COPY (?!--from)(.+) \S+$", DOCKERFILE, re.MULTILINE)
    return [path.rstrip("/") for line in lines for path in line.split()]


@pytest.mark.parametrize("lock", LOCKS)
def test_every_locked_package_has_hashes_and_no_address(lock: str) -> None:
    """What is installed is what was locked, from whichever index pip uses."""
    text = (ROOT / lock).read_text()
    blocks = re.split(r"\n(?=[a-z0-9-]+==)", text)
    assert all("--hash=sha256:" in block for block in blocks)
    assert "http" not in re.sub(r"\b(httpx|httpcore|aiohttp|httptools)\b", "", text)


def test_the_image_runs_what_was_tested() -> None:
    """The versions of the image are those of the tests, and those of a run outside of it."""
    image, tested = locked("requirements-image.txt"), locked("requirements-dev.txt")
    with_dask = locked("requirements-dask.txt")
    assert locked("requirements.txt").items() <= image.items() <= with_dask.items() <= tested.items()
    assert {"prefect", "prefect-kubernetes", "kubernetes"} <= set(image)


def test_only_what_the_image_needs_goes_into_the_build() -> None:
    """.dockerignore lets in what the Dockerfile copies: no configuration, no credential, no history."""
    lines = (ROOT / ".dockerignore").read_text().split()
    assert lines[0] == "*"
    let_in = {line.removeprefix("!").rstrip("/") for line in lines if line.startswith("!")}
    assert let_in == set(copied())
    assert all((ROOT / path).exists() for path in let_in)
    assert not any(fnmatch.fnmatch(path, "*.yaml") for path in let_in - {"prefect.yaml"})


def test_what_is_shipped_runs_as_nobody_in_particular() -> None:
    """A fixed uid without a name, a home that may be written to, and the code in the path."""
    final = DOCKERFILE.rpartition("\nFROM ")[2]
    assert "USER 10001:10001" in final
    for setting in ("HOME=/tmp", "PREFECT_HOME=/tmp/prefect", "PYTHONPATH=/opt/tls-sync"):
        assert setting in final
    assert "PATH=/opt/venv/bin:" in final
