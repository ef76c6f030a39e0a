"""The parts of the image that can be tested without building it; `make e2e` builds and runs it."""

import fnmatch
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]
DOCKERFILE = (ROOT / "deployments" / "Dockerfile").read_text()
LOCKS = ("requirements.txt", "requirements-image.txt", "requirements-dask.txt", "requirements-dev.txt")


def locked(name: str) -> dict[str, str]:
    """Return each package of a lock file with its version and marker."""
    found = re.findall(r"^([a-z0-9-]+)==([^\\\n]+?) \\$", (ROOT / name).read_text(), re.MULTILINE)
    return dict(found)


def copied() -> list[str]:
    """Return what the Dockerfile copies from the checkout."""
    lines = re.findall(r"^COPY (?!--from)(.+) \S+$", DOCKERFILE, re.MULTILINE)
    return [path.rstrip("/") for line in lines for path in line.split()]


@pytest.mark.parametrize("lock", LOCKS)
def test_every_locked_package_has_hashes_and_no_address(lock: str) -> None:
    """The image has exactly what is locked, from any index."""
    text = (ROOT / lock).read_text()
    blocks = re.split(r"\n(?=[a-z0-9-]+==)", text)
    assert all("--hash=sha256:" in block for block in blocks)
    assert "http" not in re.sub(r"\b(httpx|httpcore|aiohttp|httptools)\b", "", text)


def test_the_image_runs_what_was_tested() -> None:
    """The image has the versions of the tests, and of runs outside of it."""
    image, tested = locked("requirements-image.txt"), locked("requirements-dev.txt")
    with_dask = locked("requirements-dask.txt")
    assert locked("requirements.txt").items() <= image.items() <= with_dask.items() <= tested.items()
    assert {"prefect", "prefect-kubernetes", "kubernetes"} <= set(image)


def test_only_what_the_image_needs_goes_into_the_build() -> None:
    """.dockerignore allows only what the Dockerfile copies: no configuration, no credential, no history."""
    lines = (ROOT / ".dockerignore").read_text().split()
    assert lines[0] == "*"
    let_in = {line.removeprefix("!").rstrip("/") for line in lines if line.startswith("!")}
    assert let_in == set(copied())
    assert all((ROOT / path).exists() for path in let_in)
    assert not any(fnmatch.fnmatch(path, "*.yaml") for path in let_in - {"prefect.yaml"})


def test_what_is_shipped_runs_as_nobody_in_particular() -> None:
    """The image has a fixed uid without a name, a writable home, and the code in the path."""
    final = DOCKERFILE.rpartition("\nFROM ")[2]
    assert "USER 10001:10001" in final
    for setting in ("HOME=/tmp", "PREFECT_HOME=/tmp/prefect", "PYTHONPATH=/opt/tls-sync"):
        assert setting in final
    assert "PATH=/opt/venv/bin:" in final
