"""The chart as a package: what it says of itself, and what is in it."""

import subprocess
import tarfile
from pathlib import Path

import pytest
import yaml

from tests.support.chart import CHART, ROOT, helm, refusal, run
from tests.unit.docs.pages import page

pytestmark = [pytest.mark.apiserver, pytest.mark.timeout(1500)]

ABOUT = yaml.safe_load((CHART / "Chart.yaml").read_text())
HOME = ABOUT["home"]
RAW = HOME.replace("https://github.com/", "https://raw.githubusercontent.com/")


def named(word: str) -> list[str]:
    """Return the versions of a program that the README says were tried."""
    rows = [row for row in page(ROOT / "README.md").rows if len(row) == 4]
    return [version for program, version, *_ in rows if program.startswith(word)]


def test_the_chart_says_whose_it_is() -> None:
    """Each field that a catalogue shows is there, and each address is one of the same repository."""
    assert ABOUT["sources"] == [HOME]
    assert all(one["url"] == HOME for one in ABOUT["maintainers"])
    assert ABOUT["keywords"] == sorted(ABOUT["keywords"])
    notes = {key.removeprefix("artifacthub.io/"): value for key, value in ABOUT["annotations"].items()}
    assert {"category", "license", "operator", "links"} <= notes.keys()
    assert all(isinstance(value, str) for value in notes.values())
    for link in yaml.safe_load(notes["links"]):
        assert link["url"].startswith(f"{HOME}/")


def test_what_the_chart_links_to_is_in_the_repository() -> None:
    """Icon and documents exist under the paths that their addresses have."""
    links = [link["url"] for link in yaml.safe_load(ABOUT["annotations"]["artifacthub.io/links"])]
    files = [link.removeprefix(f"{HOME}/blob/main/") for link in links if "/blob/" in link]
    files.append(ABOUT["icon"].removeprefix(f"{RAW}/main/"))
    assert len(files) == 3
    assert [one for one in files if not (ROOT / one).is_file()] == []


def test_helm_says_which_kubernetes_is_too_old() -> None:
    """OPS may have any version that was tried, also one with a provider's suffix; an older one is refused."""
    tried = named("Kubernetes")
    assert len(tried) > 2
    for version in (*tried, "1.30.0", "1.34.1-gke.1"):
        done = run("template", "tls-sync", str(CHART), f"--kube-version={version}")
        assert done.returncode == 0, done.stderr
    assert "requires kubeVersion" in refusal({}, "--kube-version=1.29.9")


def test_the_package_has_what_an_installation_needs(tmp_path: Path) -> None:
    """Templates, files, values, schema and README, and no values of the tests or leftovers of editors."""
    command = [helm(), "package", str(CHART), "--destination", str(tmp_path)]
    subprocess.run(command, check=True, capture_output=True)
    (package,) = tmp_path.glob("*.tgz")
    with tarfile.open(package) as archive:
        packed = {name.removeprefix("tls-sync/") for name in archive.getnames()}
    ours = {str(path.relative_to(CHART)) for path in CHART.rglob("*") if path.is_file()}
    assert packed == {name for name in ours if not name.startswith("ci/")}
    assert {"Chart.yaml", "values.yaml", "values.schema.json", "README.md", "templates/NOTES.txt"} <= packed
