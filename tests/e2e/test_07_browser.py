"""Prefect's UI in a real browser. The pictures are in docs/images/."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from deployments.sandbox.world.renewal import renew
from tests.e2e.browser import Browser, browser
from tests.e2e.machine import Machine
from tests.e2e.prefect_api import PrefectAPI, Run

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(900)]

_VARIABLE = "TLS_SYNC_SCREENSHOTS"
_TARGETS = ("dev", "rct", "prd")


@pytest.fixture(scope="module")
def page(prefect: PrefectAPI) -> Iterator[Browser]:
    with browser() as found:
        found.log_in(prefect.ui, prefect.password)
        yield found


@pytest.fixture(scope="module")
def run(machine: Machine, prefect: PrefectAPI) -> Run:
    """A run with something to show."""
    renew(machine.ops, "homarr-prd-tls")
    found = prefect.carry_out()
    assert found.state == "Completed", found
    return found


@pytest.fixture(scope="module")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder in $TLS_SYNC_SCREENSHOTS (docs/images to renew them), or a temporary one."""
    return Path(os.environ.get(_VARIABLE) or tmp_path_factory.mktemp("screenshots"))


def test_the_list_of_runs_has_telling_names(
    page: Browser, prefect: PrefectAPI, run: Run, pictures: Path
) -> None:
    """The page of all runs shows ours by its name, with its final state."""
    page.open(f"{prefect.ui}/runs")
    page.await_text(run.name, "Completed")
    page.scroll_to(run.name)
    page.screenshot(pictures / "runs.png")


def test_the_run_shows_one_task_per_cluster(
    page: Browser, prefect: PrefectAPI, run: Run, pictures: Path
) -> None:
    """Its page has the graph, and beside it one task for the source and one for each target."""
    page.open(f"{prefect.ui}/runs/flow-run/{run.id}")
    page.await_text(run.name, "Task Runs")
    page.await_graph()
    page.screenshot(pictures / "run.png")
    names = prefect.tasks(run.id)
    assert len(names) == len(_TARGETS) + 1, names
    page.click("Task Runs")
    page.await_text(*names)
    for cluster in _TARGETS:
        assert any(cluster in name for name in names), names


def test_the_report_is_rendered(page: Browser, prefect: PrefectAPI, run: Run, pictures: Path) -> None:
    """The artifact's Markdown is a table on the page, with the cluster and the renewed certificate."""
    (report,) = [found for found in prefect.artifacts(run.id) if found["key"] == "tls-sync"]
    page.open(f"{prefect.ui}/artifacts/artifact/{report['id']}")
    page.await_text("homarr-prd-tls", "prd")
    assert page.evaluate("document.querySelectorAll('table').length") > 0
    page.screenshot(pictures / "report.png")
