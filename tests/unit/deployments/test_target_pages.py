"""Migration, alternatives, scaling: links lead somewhere, and what they tell to type exists."""

import re
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from tasks.domain.failure_codes import FailureCode
from tasks.domain.reasons import Reason

ROOT = Path(__file__).parents[3]
DOCS = ROOT / "docs"
PAGES = ("migration.md", "alternatives.md", "scaling.md")
README = (ROOT / "README.md").read_text()


def read(page: str) -> str:
    return (DOCS / page).read_text()


def anchor(heading: str) -> str:
    return re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-")


@pytest.mark.parametrize("page", PAGES)
def test_every_link_leads_somewhere(page: str) -> None:
    """A link names a file that exists, and its anchor a heading of that file."""
    for link in re.findall(r"\]\(([^)\s]+)\)", read(page)):
        path, _, fragment = link.partition("#")
        target = (DOCS / path).resolve() if path else DOCS / page
        headings = re.findall(r"^#+ (.+)$", target.read_text(), re.MULTILINE)
        assert not fragment or fragment in map(anchor, headings), link


@pytest.mark.parametrize("page", PAGES)
def test_every_code_that_a_page_names_exists(page: str) -> None:
    """What tls-sync would say is said by its code."""
    told = set(re.findall(r"`([A-Z][a-z]+(?:[A-Z][A-Za-z]*)+)`", read(page))) - {
        "PushSecret",
        "PushSecretToProviders",
    }
    assert told <= {str(code) for code in (*Reason, *FailureCode)}


def options(module: str, *command: str) -> set[str]:
    done = subprocess.run(
        [sys.executable, "-m", module, *command, "--help"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    return set(re.findall(r"--[a-z-]+", done.stdout))


def test_every_command_of_ours_can_be_typed() -> None:
    """Each `python -m …` of the pages and the README names options that the program has."""
    text = (README + "".join(map(read, PAGES))).replace("\\\n", " ")
    known = {"flows": options("flows")}
    known |= {
        f"deployments.target {one}": options("deployments.target", one) for one in ("manifests", "kubeconfig")
    }
    typed = re.findall(r"python -m (flows|deployments\.target (?:manifests|kubeconfig))([^|`#\n]*)", text)
    assert {program for program, _ in typed} == set(known)
    for program, arguments in typed:
        assert set(re.findall(r"--[a-z-]+", arguments)) <= known[program], (program, arguments)
    assert len(re.findall(r"python -m deployments", text)) == len(
        [program for program, _ in typed if program.startswith("deployments")]
    ) + len(re.findall(r"python -m deployments\.sandbox", text))


def test_every_deployment_of_the_pages_exists() -> None:
    """`tls-sync/ops` and `tls-sync-preflight/ops` are in prefect.yaml, under the names of the flows."""
    from flows.fleet import tls_sync_fleet  # noqa: PLC0415  Prefect, for these tests alone
    from flows.inventory import inventory  # noqa: PLC0415
    from flows.preflight import preflight  # noqa: PLC0415
    from flows.tls_sync import tls_sync  # noqa: PLC0415

    flows = {
        "flows/tls_sync.py:tls_sync": tls_sync.name,
        "flows/fleet.py:tls_sync_fleet": tls_sync_fleet.name,
        "flows/preflight.py:preflight": preflight.name,
        "flows/inventory.py:inventory": inventory.name,
    }
    deployments = yaml.safe_load((ROOT / "prefect.yaml").read_text())["deployments"]
    there = {f"{flows[one['entrypoint']]}/{one['name']}" for one in deployments}
    text = README + "".join(map(read, PAGES))
    told = set(re.findall(r"prefect deployment (?:run|inspect|schedule ls) (\S+?/[a-z]+)", text))
    assert {"tls-sync/ops", "tls-sync-preflight/ops"} == told <= there


@pytest.mark.parametrize("page", PAGES)
def test_a_page_is_easy_to_read_in_a_terminal(page: str) -> None:
    """No line but a table's is longer than 110 characters."""
    assert [line for line in read(page).splitlines() if len(line) > 110 and line[0] != "|"] == []
