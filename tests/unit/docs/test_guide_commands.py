"""What the documents tell to type can be typed: commands, options, values, objects and files exist.

The French guides have the commands of the English ones (test_guides.py).
"""

import re
import subprocess
import sys
from contextlib import closing
from functools import cache
from pathlib import Path
from sqlite3 import connect
from typing import Any

import pytest
import yaml

from tasks.config.load import load_config
from tasks.domain.failure_codes import FailureCode
from tasks.preflight import render
from tasks.preflight.model import Check, CheckStatus, Finding, Preflight, Readiness
from tests.support.verbs import verbs
from tests.unit.docs.pages import DOCUMENTS, GUIDES, ROOT, page

CHART = ROOT / "deployments" / "helm" / "tls-sync"
OPTIONS_OF_OTHERS = {
    "--build-arg",
    "--watch",
    "--tag",
    "--nthreads",
    "--no-hooks",
    "--overwrite",
    "--timeout",
}
"""Of other programs; those of `tls-sync` stand alone in the prose, too."""
COMMANDS = [line for path in DOCUMENTS for line in page(ROOT / path).commands]
SPANS = [span for name in GUIDES for span in page(name).spans]
OURS = tuple(" ".join(words) for words, _ in verbs())
"""The verbs of tls-sync."""


COMMAND = r"(?:^\s*|\| |&& |<\(|[A-Z_]=\S+ )"
"""What precedes a command: `tls-sync` is the name of a namespace and of a release, too."""


def calls(program: str, after: str = r"(?<!\S)") -> set[str]:
    """What follows each call of a program in all documents, up to a pipe, a comment or the line's end."""
    pattern = rf"{after}{program} ([^|…`#\n)]+)"
    return {call.strip() for line in COMMANDS for call in re.findall(pattern, line)}


@cache
def options(program: str) -> frozenset[str]:
    call = [sys.executable, "-m", "flows.cli", *program.split(), "--help"]
    done = subprocess.run(call, cwd=ROOT, capture_output=True, text=True, check=True)
    return frozenset(re.findall(r"(?<![\w-])--?[a-z][a-z-]*", done.stdout))


def flags(text: str) -> set[str]:
    return set(re.findall(r"(?<!\S)--?[a-z][a-z-]*", text))


def test_every_option_of_ours_exists() -> None:
    """Each `tls-sync …`, and each option that the guides name alone, is one of the program's."""
    called = calls("tls-sync", after=COMMAND) - {"VERB --help", "--help"}
    assert len(called) > 20
    for call in called:
        program = next(name for name in OURS if call == name or call.startswith(f"{name} "))
        assert flags(call) <= options(program), call
    alone = {span.split()[0] for span in SPANS if span.startswith("--")}
    assert alone - OPTIONS_OF_OTHERS <= {name for program in OURS for name in options(program)}


def test_no_placeholder_is_a_redirection() -> None:
    """A shell would take `<id>` for a file to read from: what is to be replaced is in capitals."""
    shells = [text for path in DOCUMENTS for language, text in page(ROOT / path).blocks if language == "sh"]
    assert len(shells) > 100
    programs = ("cmctl ", "helm ", "kubectl ", "make ", "prefect ")
    typed = [span for path in DOCUMENTS for span in page(ROOT / path).spans if span.startswith(programs)]
    assert [found for text in (*shells, *typed) for found in re.findall(r"<[A-Za-z][A-Za-z -]*>", text)] == []


def test_every_command_of_prefect_exists() -> None:
    """Prefect's command line has each command, with each of its options."""
    from prefect.cli._app import _app  # noqa: PLC0415  Prefect, for this test alone

    called = [re.sub(r"^--no-prompt ", "", call) for call in calls("prefect")]
    assert len(called) > 30
    for call in called:
        command: Any = _app
        for word in call.split():
            if command.default_command:
                break
            assert word in command, call
            command = command[word]
        known = {name for argument in command.assemble_argument_collection() for name in argument.names}
        assert flags(call) <= known, call


def test_every_deployment_and_work_pool_is_in_prefect_yaml() -> None:
    """What is run, inspected or deleted by its name is registered under that name."""
    from flows import fleet, inventory, preflight, tls_sync  # noqa: PLC0415  Prefect, for this test alone

    names = {
        "flows/tls_sync.py:tls_sync": tls_sync.tls_sync.name,
        "flows/fleet.py:tls_sync_fleet": fleet.tls_sync_fleet.name,
        "flows/preflight.py:preflight": preflight.preflight.name,
        "flows/inventory.py:inventory": inventory.inventory.name,
    }
    deployments = yaml.safe_load((ROOT / "prefect.yaml").read_text())["deployments"]
    there = {f"{names[one['entrypoint']]}/{one['name']}" for one in deployments}
    text = "\n".join(COMMANDS)
    assert there == set(re.findall(r"prefect deployment (?:schedule )?[a-z]+ ([a-z]\S*/\S+)", text))
    pools = set(re.findall(r"prefect work-pool (?:inspect|resume|delete|create) (\S+)", text))
    assert pools == {one["work_pool"]["name"] for one in deployments}


def test_every_value_of_the_chart_exists() -> None:
    """Each path under one of the chart's keys leads to a value in its values.yaml."""
    values = yaml.safe_load((CHART / "values.yaml").read_text())
    named = [re.match(r"([A-Za-z]+(?:\.[A-Za-z]+)+)(?::.*)?$", span) for span in SPANS]
    paths = {found[1] for found in named if found and found[1].split(".")[0] in values}
    assert len(paths) > 20
    for path in paths - {"prefect.yaml"}:
        at = values
        for key in path.split("."):
            assert key in at, path
            at = at[key]


def test_every_object_on_ops_is_one_of_the_charts() -> None:
    """Deployments, Jobs, the Service and ConfigMaps have the names and labels that the chart gives them."""
    made = "".join(path.read_text() for path in (CHART / "templates").rglob("*.*"))
    made += (CHART / "files" / "work-pool.json").read_text()
    text = "\n".join(line for name in GUIDES for line in page(name).commands)
    names = set(re.findall(r"(?:deploy/|job/|service/|configmap )(tls-sync-[a-z]+)", text))
    assert len(names) > 5
    assert {name for name in names if f"name: {name}\n" not in made} == set()
    for component in re.findall(r"app\.kubernetes\.io/component=([a-z]+)", text):
        assert f'"component" "{component}"' in made
    assert '"app": "tls-sync"' in made
    assert "/var/lib/prefect" in made


def test_every_target_of_make_exists() -> None:
    """`make …` names a rule of the Makefile."""
    makefile = (ROOT / "Makefile").read_text()
    rules = set(re.findall(r"^([a-z0-9-]+):", makefile, re.MULTILINE))
    rules |= set(re.findall(r"^READY := (\S+)$", makefile, re.MULTILINE))
    typed = [line.partition("#")[0].split() for line in COMMANDS if line.startswith("make ")]
    called = {word for _, *words in typed for word in words[: words.index("&&") if "&&" in words else None]}
    assert len(called) > 5
    assert called <= rules


def test_the_guides_values_serve_the_command_that_reads_them(tmp_path: Path) -> None:
    """The values as shown hold a configuration, and the guide's one-liner makes a file of it."""
    guide = page("operations.md")
    (text,) = [text for language, text in guide.blocks if language == "yaml" and text.startswith("image")]
    (script,) = re.findall(r"python -c '([^']+)'", guide.text)
    done = subprocess.run(
        [sys.executable, "-c", script], input=text, capture_output=True, text=True, check=True
    )
    file = tmp_path / "tls-sync.yaml"
    file.write_text(done.stdout)
    assert [cluster.context for cluster in load_config(str(file)).clusters] == ["cluster-dev"]
    assert set(yaml.safe_load(text)) <= set(yaml.safe_load((CHART / "values.yaml").read_text()))


def test_the_backup_is_a_whole_database(tmp_path: Path) -> None:
    """The guide's script copies a database that is in use, with what is not yet in its main file."""
    (script,) = re.findall(r"<<'EOF'\n(.+?)EOF", page("operations.md").text, re.DOTALL)
    with closing(connect(tmp_path / "prefect.db")) as used:
        used.execute("PRAGMA journal_mode=WAL")
        used.execute("CREATE TABLE flow_run (name)")
        used.execute("INSERT INTO flow_run VALUES ('sync all')")
        used.commit()
        exec(script.replace("/var/lib/prefect", str(tmp_path)))
        with closing(connect(tmp_path / "copy.db")) as copy:
            assert copy.execute("SELECT name FROM flow_run").fetchall() == [("sync all",)]


def test_the_runbooks_preflight_is_what_is_printed() -> None:
    """The sample is, line for line, what the code makes of such findings."""
    fine = tuple(Finding(check=check, status=CheckStatus.OK) for check in Check)
    unknown = "no context of that name in `contexts`; known are: cluster-dev, cluster-prd"
    code = FailureCode.KUBECONFIG
    bad = Finding(
        check=Check.CONTEXT,
        status=CheckStatus.ERROR,
        name=str(code),
        text=f"read context cluster-rct: {code.sentence} ({unknown})",
        remedy=code.remedy,
    )
    held = Finding(check=Check.NAMESPACES, status=CheckStatus.OK, text="12 TLS Secrets in certificates-ops")
    ops = tuple(finding for finding in fine if finding.check is not Check.POLICY)
    found = Preflight(
        ops=Readiness(cluster="OPS", findings=(*ops, held)),
        clusters=(
            Readiness(cluster="dev", findings=fine),
            Readiness(cluster="rct", findings=(bad,)),
        ),
    )
    assert ("", f"{render.render(found)}\n") in page("runbook.md").blocks


@pytest.mark.parametrize(
    "words", ["of that name in `", "does not exist or can't be read", "the Secret mounted at "]
)
def test_what_a_symptom_quotes_is_said_by_the_code(words: str) -> None:
    """What people may search for stands in the code as they read it."""
    assert words in (ROOT / "tasks" / "kubeconfig" / "reader.py").read_text()
    assert words in re.sub(r"\s+", " ", page("runbook.md").text)
