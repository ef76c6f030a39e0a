"""The versions that README.md names are those that are pinned, and that the tests run with."""

import re
import tomllib
from typing import NamedTuple

from deployments.sandbox.programs.gobuild import SOURCES
from tests.unit.docs.pages import ROOT
from tests.unit.release.test_project_files import PROJECT
from tests.unit.release.test_workflows import TARGETS

SECTION = (ROOT / "README.md").read_text().partition("\n## Supported versions\n")[2].partition("\n## ")[0]


class Row(NamedTuple):
    program: str
    version: str
    pinned: str
    tried: str


def rows() -> list[Row]:
    """Return the rows of the table of programs that have one version each."""
    table = SECTION.rpartition("| program |")[2].splitlines()[2:]
    cells = [[cell.strip() for cell in line.strip("|").split("|")] for line in table if line.startswith("|")]
    return [Row(*one) for one in cells]


def pinned(text: str, pattern: str) -> str:
    found = re.search(pattern, text, re.MULTILINE)
    assert found, pattern
    return found[1]


def test_the_readme_names_the_versions_that_are_pinned() -> None:
    """A new version of Python, Prefect, Argo CD or Helm is in the table, or this test fails."""
    lists = [PROJECT["dependencies"], *PROJECT["optional-dependencies"].values()]
    wanted = "\n".join(requirement for one in lists for requirement in one)
    dockerfile = (ROOT / "deployments" / "Dockerfile").read_text()
    assert [row.version for row in rows()] == [
        PROJECT["requires-python"].removeprefix(">="),
        pinned(dockerfile, r"^ARG BASE=\S+/python:(\d+\.\d+)-slim@"),
        pinned(wanted, r"^prefect==(\S+)$"),
        pinned(wanted, r"^prefect-kubernetes==(\S+)$"),
        pinned(wanted, r"^prefect-dask==(\S+)$"),
        SOURCES["argocd"].module_version.removeprefix("v"),
        SOURCES["helm"].module_version.removeprefix("v"),
    ]


def test_the_lock_files_have_these_versions() -> None:
    """What the table says of Prefect is what is installed, by the image and by the tests."""
    for name in ("requirements-dask.txt", "requirements-dev.txt"):
        lock = (ROOT / name).read_text()
        found = [row.version for row in rows() if row.program.startswith("Prefect")]
        packages = ("prefect", "prefect-kubernetes", "prefect-dask")
        assert [pinned(lock, rf"^{package}==(\S+)") for package in packages] == found


def test_each_row_says_where_it_is_pinned_and_who_tries_it() -> None:
    """The file exists and has the version; the commands are targets of make."""
    assert len(rows()) == 7
    for row in rows():
        assert row.version in (ROOT / row.pinned).read_text()
        commands = re.findall(r"`make ([a-z0-9 -]+)`", row.tried)
        assert commands
        assert {target for command in commands for target in command.split()} <= TARGETS


def test_the_versions_of_python_are_those_of_ci() -> None:
    """Each version of Python that the table names has classifiers, and a job that runs its tests."""
    python = {row.version for row in rows() if row.program.startswith("Python")}
    classified = {found[1] for one in PROJECT["classifiers"] if (found := re.search(r":: (3\.\d+)$", one))}
    matrix = re.findall(
        r'python: \["(3\.\d+)", "(3\.\d+)"\]', (ROOT / ".github/workflows/ci.yml").read_text()
    )
    assert python == classified == {version for one in matrix for version in one}
    ruff = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["ruff"]["target-version"]
    assert ruff == f"py{PROJECT['requires-python'].removeprefix('>=').replace('.', '')}"
