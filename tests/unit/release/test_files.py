"""What a release consists of beside its image: the chart's package, checksums, the changelog's section."""

import io
import re
import subprocess
import tarfile
from pathlib import Path

import pytest
import yaml

from deployments.release import chart, checksums, image, project
from deployments.release.project import Project, ReleaseError
from deployments.release.tools import REGISTRY_VARIABLE, registry, run_tool
from deployments.sandbox.programs.binaries import locate
from tests.unit.release.test_project_files import ROOT, VERSION

DIGEST = f"sha256:{'ab' * 32}"


def package(files: dict[str, str], time: int) -> bytes:
    content = io.BytesIO()
    with tarfile.open(fileobj=content, mode="w:gz") as tar:
        for name, text in files.items():
            entry = tarfile.TarInfo(name)
            entry.size, entry.mtime, entry.uname = len(text), time, "somebody"
            tar.addfile(entry, io.BytesIO(text.encode()))
    return content.getvalue()


def test_two_packages_of_a_chart_are_equal() -> None:
    """Neither the time of the packing, nor the order of the files, nor who packed them is in the package."""
    one = chart.repacked(package({"a/Chart.yaml": "name: a", "a/b": "c"}, 1), 1_800_000_000)
    assert one == chart.repacked(package({"a/b": "c", "a/Chart.yaml": "name: a"}, 2), 1_800_000_000)
    with tarfile.open(fileobj=io.BytesIO(one)) as tar:
        assert {(entry.name, entry.mtime, entry.uname) for entry in tar} == {
            ("a/Chart.yaml", 1_800_000_000, ""),
            ("a/b", 1_800_000_000, ""),
        }
        file = tar.extractfile("a/b")
        assert file
        assert file.read() == b"c"


def test_the_published_chart_names_the_published_image() -> None:
    """Its values have the image by its digest; all other values stay as they are."""
    before = (chart.CHART / "values.yaml").read_text()
    after = chart.with_image(before, "registry.example.org/tls-sync", DIGEST)
    values = yaml.safe_load(before)
    values["image"] |= {"repository": "registry.example.org/tls-sync", "digest": DIGEST}
    assert yaml.safe_load(after) == values
    with pytest.raises(ReleaseError, match=r"no image\.digest"):
        chart.with_image("image:\n  repository: a\nother:\n  digest: b\n", "a", DIGEST)


@pytest.mark.apiserver
def test_helm_takes_the_package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The package that we write is a chart of this version for Helm, and packing it twice gives the same."""
    monkeypatch.setattr(chart, "FOLDER", tmp_path)
    given = Project(version=VERSION, commit="0" * 40, time=1_800_000_000)
    path = chart.pack(given, print, "registry.example.org/tls-sync", DIGEST)
    first = path.read_bytes()
    assert chart.pack(given, print, "registry.example.org/tls-sync", DIGEST).read_bytes() == first
    helm = locate("helm")["helm"]
    assert yaml.safe_load(run_tool(helm, "show", "chart", path))["version"] == VERSION
    assert yaml.safe_load(run_tool(helm, "show", "values", path))["image"]["digest"] == DIGEST


def test_sha256sum_checks_the_files(tmp_path: Path) -> None:
    """The checksums are in the form that `sha256sum --check` reads, of all files that people download."""
    for name in ("tls-sync-0.1.0.tgz", "tls-sync-0.1.0-linux-amd64.cdx.json", "other.txt"):
        (tmp_path / name).write_text(name)
    sums = checksums.write(tmp_path)
    command = ["sha256sum", "--check", "--strict", sums.name]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=True)
    checked = re.findall(r"^(\S+): OK$", done.stdout, re.MULTILINE)
    assert checked == ["tls-sync-0.1.0-linux-amd64.cdx.json", "tls-sync-0.1.0.tgz", "tls-sync.schema.json"]


def test_a_release_without_its_files_is_refused(tmp_path: Path) -> None:
    """Checksums of the schema alone are those of a release whose build was forgotten."""
    with pytest.raises(ReleaseError, match="build them first"):
        checksums.write(tmp_path)


def test_the_notes_are_the_versions_section() -> None:
    """The page of a release has what the changelog says of that version, and nothing of another one."""
    text = project.notes("0.1.0")
    assert text.startswith("The first version")
    assert "## [" not in text
    assert "PostgreSQL" not in text


@pytest.mark.parametrize(("tag", "changelog"), [("v0.0.9", True), (f"v{VERSION}", False)])
def test_a_tag_that_is_not_the_version_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, tag: str, *, changelog: bool
) -> None:
    """Nothing is published under a tag that pyproject.toml or the changelog does not have."""
    (tmp_path / "CHANGELOG.md").write_text(
        (ROOT / "CHANGELOG.md").read_text() if changelog else "## [Unreleased]\n"
    )
    monkeypatch.setattr(project, "ROOT", tmp_path)
    monkeypatch.setattr(project, "_git", lambda *_: "")
    monkeypatch.setenv("GITHUB_REF_NAME", tag)
    with pytest.raises(ReleaseError, match="correct one of them" if changelog else "add it"):
        project.check(Project(version=VERSION, commit="0" * 40, time=0))


def test_a_checkout_with_changes_is_no_release(monkeypatch: pytest.MonkeyPatch) -> None:
    """What no commit has is in no release; the same checkout without changes is fine."""
    monkeypatch.delenv("GITHUB_REF_NAME", raising=False)
    given = Project(version=VERSION, commit="0" * 40, time=0)
    monkeypatch.setattr(project, "_git", lambda *_: "")
    project.check(given)
    monkeypatch.setattr(project, "_git", lambda *_: " M flows/tls_sync.py")
    with pytest.raises(ReleaseError, match=r"flows/tls_sync\.py"):
        project.check(given)


def test_a_registry_is_named_in_lower_case(monkeypatch: pytest.MonkeyPatch) -> None:
    """An owner with capitals has a registry without; where none is named, it is an error."""
    monkeypatch.setenv(REGISTRY_VARIABLE, "registry.example.org/Team/")
    assert registry() == "registry.example.org/team"
    monkeypatch.delenv(REGISTRY_VARIABLE)
    with pytest.raises(ReleaseError, match=REGISTRY_VARIABLE):
        registry()


def test_a_workflow_is_told_what_was_pushed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Later steps of a workflow get name and digest; by hand, nothing is written."""
    output = tmp_path / "output"
    monkeypatch.delenv("GITHUB_OUTPUT", raising=False)
    image.tell_workflow(name="a", digest=DIGEST)
    monkeypatch.setenv("GITHUB_OUTPUT", str(output))
    image.tell_workflow(name="a", digest=DIGEST)
    assert output.read_text() == f"name=a\ndigest={DIGEST}\n"


def test_a_program_that_is_missing_is_named() -> None:
    """Where skopeo, cosign or gh is not installed, the error says which."""
    with pytest.raises(ReleaseError, match="nowhere-to-be-found is not installed"):
        run_tool("nowhere-to-be-found")
    with pytest.raises(ReleaseError, match=r"sh -c failed, see above\ntold"):
        run_tool("sh", "-c", "echo told; exit 3")
