"""What the README, the example and the deployment promise is what the code does."""

import inspect
import re
import subprocess
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from fnmatch import fnmatch
from pathlib import Path

import pytest
import yaml

from flows.tls_sync import tls_sync
from tasks.config.load import load_config
from tasks.domain.failure_codes import FailureCode
from tasks.domain.models import (
    Action,
    Change,
    ClusterReport,
    Failure,
    RunReport,
    SecretRef,
    SourceSnapshot,
    Version,
)
from tasks.domain.reasons import Reason
from tasks.plan import decide
from tasks.report import terminal
from tests.apiserver.scenarios import SCENARIOS
from tests.support import factories
from tests.unit.docs.pages import ROOT, page

README = page(ROOT / "README.md").text
FAILURES = page("failures.md").text


def test_the_readme_shows_the_decision_table_of_the_code() -> None:
    """The README's table is, line for line, that of tasks/plan/decide.py."""
    assert decide.__doc__ is not None
    table = [line for line in decide.__doc__.splitlines() if line.startswith("|")]
    assert len(table) > 15
    assert "\n".join(table) in README


def test_every_refusal_and_failure_is_explained() -> None:
    """Each code that has a remedy stands in docs/refusals.md with it, and no other; the README has some."""
    rows = [[code, code.sentence, code.remedy] for code in (*Reason, *FailureCode) if code.remedy]
    assert page("refusals.md").rows == rows
    some = [row for row in page(ROOT / "README.md").rows if len(row) == 3]
    assert some
    assert all(row in rows for row in some)


def test_make_help_tells_of_every_target() -> None:
    """Each target that has a line of help is in `make help`, and each that one may type has one."""
    makefile = (ROOT / "Makefile").read_text()
    done = subprocess.run(["make", "help"], cwd=ROOT, capture_output=True, text=True, check=True)
    (phony,) = re.findall(r"^\.PHONY: (.*)$", makefile, re.MULTILINE)
    told = [line.split()[1] for line in done.stdout.splitlines() if line.startswith("make ")]
    assert sorted(told) == sorted(phony.split())


@pytest.mark.parametrize("name", ["ops.kubeconfig", "tls-sync.yaml", "values.yaml"])
def test_what_the_guides_have_one_make_is_not_committed(name: str) -> None:
    """Credentials and one's own files at the root are ignored; ours of the same names elsewhere are not."""
    ignored = (ROOT / ".gitignore").read_text().splitlines()
    assert any(fnmatch(f"/{name}", pattern) for pattern in ignored)
    assert not any(fnmatch(f"deployments/{name}", pattern) for pattern in ignored)


def test_the_readmes_report_is_what_a_run_prints() -> None:
    """The README's sample report is, line for line, what the code makes of such a run."""
    old, new = (
        Version(
            fingerprint=f"v1:sha256:{start:0<64}",
            not_before=datetime(2026, 12, day, tzinfo=UTC) - timedelta(days=30),
            not_after=datetime(2027, month, day, tzinfo=UTC),
        )
        for start, month, day in (("0ae325cb", 2, 11), ("7be1c2aa", 3, 2))
    )
    renewed = Change(
        action=Action.UPDATE,
        reason=Reason.CERTIFICATE_RENEWED,
        target=SecretRef(namespace="homarr-dev", name="homarr-dev-tls"),
        certificate="homarr-dev-tls",
        old=old,
        new=new,
        applied=True,
    )
    in_sync = replace(renewed, action=Action.KEEP, reason=Reason.IN_SYNC, applied=False)
    asked = "ask who we are (create selfsubjectreview)"
    down = Failure(code=FailureCode.UNREACHABLE, cluster="rct", what=asked, transient=True)
    clusters = (
        ClusterReport(cluster="dev", changes=(renewed, *[in_sync] * 3)),
        ClusterReport(cluster="rct", failures=(down,)),
        ClusterReport(cluster="prd", changes=(in_sync,) * 2),
    )
    now = datetime(2026, 12, 2, tzinfo=UTC)
    snapshot = SourceSnapshot(certificates=(factories.certificate(version=new),))
    report = terminal.render(RunReport(now=now, snapshot=snapshot, clusters=clusters))
    sample = README.split("## Reading a report")[1].split("```")[1].strip()
    assert report == sample


def test_the_example_configuration_is_valid() -> None:
    """deployments/tls-sync.yaml can be loaded as it is."""
    config = load_config(str(ROOT / "deployments" / "tls-sync.yaml"))
    assert [cluster.name for cluster in config.clusters] == ["dev", "rct", "prd"]


def test_the_readmes_configuration_is_valid(tmp_path: Path) -> None:
    """The configuration that the README shows can be loaded as it is."""
    block = README.split("```yaml")[1].split("```")[0]
    path = tmp_path / "tls-sync.yaml"
    path.write_text(inspect.cleandoc(block))
    assert load_config(str(path)).clusters[0].name == "dev"


def test_every_parameter_is_described_in_the_ui() -> None:
    """Each parameter of the flow has a description, which the form of the UI shows."""
    undescribed = [n for n, p in tls_sync.parameters.properties.items() if not p.get("description")]
    assert undescribed == []


@pytest.mark.parametrize(
    ("path", "verbs"),
    [
        ("tasks/setup/ops/rbac.yaml", {"get"}),
        ("tasks/setup/ops/namespace-role.yaml", {"get", "list"}),
        ("tasks/setup/ops/credentials-role.yaml", {"get"}),
        ("tasks/setup/ops/discover-role.yaml", {"get", "list"}),
        ("tasks/setup/target/namespace-role.yaml", {"list", "get", "patch", "create"}),
        ("tasks/setup/target/rbac.yaml", {"get"}),
        ("tasks/setup/target/selector-role.yaml", {"list", "get", "patch", "create"}),
    ],
)
def test_the_shipped_rights_are_the_least(path: str, verbs: set[str]) -> None:
    """No role grants more verbs than the code uses, and none a wildcard."""
    documents = yaml.safe_load_all((ROOT / path).read_text())
    rules = [rule for document in documents for rule in document.get("rules", [])]
    assert {verb for rule in rules for verb in rule["verbs"]} == verbs
    assert "*" not in {word for rule in rules for key in rule for word in rule[key]}


def test_every_test_that_the_documents_name_exists() -> None:
    """docs/failures.md names tests that are there."""
    named = set(re.findall(r"`(test_\w+\.py)::(test_\w+)`", FAILURES))
    assert len(named) > 50
    defined = {
        (path.name, name)
        for path in (ROOT / "tests").rglob("test_*.py")
        for name in re.findall(r"^def (test_\w+)\(", path.read_text(), re.MULTILINE)
    }
    assert named - defined == set()


def test_every_scenario_has_a_row() -> None:
    """All the ways to fail, 1 to 78, are told in docs/failures.md."""
    told = set()
    for row in re.findall(r"^\| ([\d, -]+) \|", FAILURES, re.MULTILINE):
        for first, last in re.findall(r"(\d+)(?: - (\d+))?", row):
            told |= set(range(int(first), int(last or first) + 1))
    assert told == set(range(1, 79))
    assert {scenario.number for scenario in SCENARIOS} <= told
