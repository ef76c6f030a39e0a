"""The workflows of GitHub do what one can type, with the least rights, and run nothing that can change."""

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).parents[3]
FILES = sorted((ROOT / ".github" / "workflows").iterdir())
WORKFLOWS = pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
TARGETS = set(re.findall(r"^([a-z0-9-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
RIGHTS = {
    ("release", "publish"): {"packages": "write", "id-token": "write", "attestations": "write"},
    ("release", "page"): {"contents": "write", "id-token": "write"},
}
"""What a job may do beyond reading the sources."""


def jobs(path: Path) -> dict[str, dict[str, Any]]:
    found: dict[str, dict[str, Any]] = yaml.safe_load(path.read_text())["jobs"]
    return found


def steps(path: Path) -> Iterator[dict[str, Any]]:
    for job in jobs(path).values():
        yield from job["steps"]


@WORKFLOWS
def test_a_job_has_the_rights_that_it_needs_and_no_other(path: Path) -> None:
    """No right is for all jobs; a job may read the sources, and what else it may do is named here."""
    assert yaml.safe_load(path.read_text())["permissions"] == {}
    for name, job in jobs(path).items():
        assert job["permissions"] == {"contents": "read"} | RIGHTS.get((path.stem, name), {})


@WORKFLOWS
def test_each_action_is_pinned_by_its_commit(path: Path) -> None:
    """A tag that is moved changes nothing here; the comment says which version the commit is."""
    lines = [line for line in path.read_text().splitlines() if "uses:" in line]
    assert lines
    pinned = re.compile(r"uses: [\w./-]+@[0-9a-f]{40} # v\d+\.\d+\.\d+$")
    assert [one for one in lines if not pinned.search(one)] == []


def test_an_action_has_one_version_in_all_workflows() -> None:
    """What is brought up to date in one workflow is so in the others."""
    found = {step["uses"] for path in FILES for step in steps(path) if "uses" in step}
    assert len({one.partition("@")[0] for one in found}) == len(found)


@WORKFLOWS
def test_a_step_types_make_and_nothing_else(path: Path) -> None:
    """What a workflow does can be done without it; no text from outside gets into a shell."""
    typed = [step["run"] for step in steps(path) if "run" in step]
    assert typed
    for command in typed:
        assert re.fullmatch(r"make( [a-z0-9-]+)+", command), command
        assert set(command.split()[1:]) <= TARGETS


@WORKFLOWS
def test_a_checkout_leaves_no_token_behind(path: Path) -> None:
    """What runs after it, tests and dependencies, finds no credential in .git."""
    found = [step for step in steps(path) if step.get("uses", "").startswith("actions/checkout@")]
    assert len(found) == len(jobs(path))
    assert all(step["with"]["persist-credentials"] is False for step in found)


@WORKFLOWS
def test_a_job_ends_and_starts_from_an_image_that_does_not_change(path: Path) -> None:
    """A job has a time limit and a runner with a version; a container's image is pinned by its digest."""
    for job in jobs(path).values():
        assert job["timeout-minutes"] <= 150
        assert re.fullmatch(r"ubuntu-\d\d\.\d\d", job["runs-on"])
        image = job.get("container", {}).get("image")
        assert image is None or re.search(r"@sha256:[0-9a-f]{64}$", image)


@WORKFLOWS
def test_code_of_strangers_runs_without_secrets(path: Path) -> None:
    """No workflow starts in this repository's name for a pull request, and none reads a secret of it."""
    text = path.read_text()
    events = yaml.safe_load(text)[True]  # YAML 1.1 takes `on` for a boolean
    assert not set(events) & {"pull_request_target", "workflow_run", "issue_comment"}
    assert "secrets." not in text


def test_the_base_of_the_image_is_pinned() -> None:
    """The image is built on a base that does not change by itself."""
    dockerfile = (ROOT / "deployments" / "Dockerfile").read_text()
    assert re.search(r"^ARG BASE=\S+:\S+@sha256:[0-9a-f]{64}$", dockerfile, re.MULTILINE)
    assert set(re.findall(r"^FROM (\S+)", dockerfile, re.MULTILINE)) == {"${BASE}"}


def test_whatever_is_pinned_is_renewed() -> None:
    """Renovate proposes newer versions of actions, images, Go modules and Python packages."""
    found = json.loads((ROOT / ".github" / "renovate.json").read_text())
    assert set(found["enabledManagers"]) == {"dockerfile", "github-actions", "gomod", "pep621"}
    assert {"docker:pinDigests", "helpers:pinGitHubActionDigests"} <= set(found["extends"])
