"""What makes the repository a project: one version, one licence, one owner."""

import hashlib
import re
import tomllib
from pathlib import Path

import yaml

from tests.unit.docs.pages import DOCUMENTS

ROOT = Path(__file__).parents[3]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
VERSION = PROJECT["version"]
CHANGELOG = "CHANGELOG.md"
_APACHE = "cfc7749b96f63bd31c3c42b5c471bf756814053e847c10f3eb003417bc523d30"
"""SHA-256 of the text at apache.org/licenses/LICENSE-2.0.txt."""
_IMAGE = re.compile(r"tls-sync(?::|[, ]+tag: \"?)(\d+\.\d+\.\d+)")
"""The name of an image, `tls-sync:0.1.0`, or its value in a chart, `tls-sync, tag: "0.1.0"`."""


def texts() -> dict[str, str]:
    """Return the text of each document, each form and each file of deployments/, by path."""
    folders = [path for name in ("deployments", ".github") for path in (ROOT / name).rglob("*")]
    ours = [path.relative_to(ROOT) for path in folders if path.is_file()]
    named = [path for path in ours if not {"go", "__pycache__"} & set(path.parts)]
    return {str(path): (ROOT / path).read_text() for path in (*DOCUMENTS, *named)}


def test_each_image_that_is_named_has_the_version_of_the_project() -> None:
    """A command or a value that one copies names the image of this version."""
    found = {(path, version) for path, text in texts().items() for version in _IMAGE.findall(text)}
    assert len(found) >= 5
    assert {one for one in found if one[1] != VERSION and one[0] != CHANGELOG} == set()


def test_the_chart_has_the_version_of_the_project() -> None:
    """Chart and image are released together, with one number."""
    chart = yaml.safe_load((ROOT / "deployments" / "helm" / "tls-sync" / "Chart.yaml").read_text())
    assert (chart["version"], str(chart["appVersion"])) == (VERSION, VERSION)


def test_the_licence_is_the_text_of_apache_word_for_word() -> None:
    """LICENSE is recognised by programs, as no byte of it differs; pyproject.toml has its name."""
    assert hashlib.sha256((ROOT / "LICENSE").read_bytes()).hexdigest() == _APACHE
    assert PROJECT["license"] == "Apache-2.0"
    assert [path for path in PROJECT["license-files"] if not (ROOT / path).is_file()] == []
    (author,) = PROJECT["authors"]
    assert author["name"] in (ROOT / "NOTICE").read_text()


def test_the_owner_of_the_repository_is_named_once() -> None:
    """All addresses of the repository have the owner that CODEOWNERS has, and no document has another."""
    (owner,) = {owner for url in PROJECT["urls"].values() for owner in owners(url)}
    assert f"@{owner}/" in (ROOT / ".github" / "CODEOWNERS").read_text()
    assert {one for text in texts().values() for one in owners(text)} <= {owner}


def owners(text: str) -> list[str]:
    return re.findall(r"https://github\.com/([\w.-]+)/tls-sync", text)
