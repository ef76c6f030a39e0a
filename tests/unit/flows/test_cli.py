"""The command `tls-sync`: its verbs, options and exit statuses."""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import click
import pytest

from flows.cli.__main__ import main
from flows.cli.group import tls_sync as group
from flows.commands import local_run
from tasks.domain.models import Action, Change, ClusterReport, RunReport, SecretRef, SourceSnapshot
from tasks.domain.parameters import RunParameters
from tasks.domain.reasons import Reason
from tasks.report.document import document
from tasks.runtime.version import version
from tests.support.verbs import verbs

ROOT = Path(__file__).parents[3]
EXAMPLE = ROOT / "deployments" / "tls-sync.yaml"
TARGET = SecretRef(namespace="app", name="web-tls")


def typed(*words: str, **environment: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "flows.cli", *words]
    variables = {name: value for name, value in os.environ.items() if name != "TLS_SYNC_CONFIG"}
    return subprocess.run(
        command, cwd=ROOT, env=variables | environment, capture_output=True, text=True, check=False
    )


@pytest.fixture
def called(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """What is called in place of a run, and with which arguments."""
    calls = list[Any]()

    def run(parameters: RunParameters, **options: Any) -> int:
        calls.append((parameters, options))
        return 0

    monkeypatch.setattr(local_run, "run", run)
    return calls


@pytest.mark.parametrize(
    ("words", "verb"), verbs(), ids=lambda one: " ".join(one) if isinstance(one, tuple) else ""
)
def test_each_verb_has_two_examples_that_can_be_parsed(words: tuple[str, ...], verb: click.Command) -> None:
    """Its help ends with two lines that its own parser accepts, up to a pipe."""
    lines = [line.strip() for line in (verb.epilog or "").splitlines() if "tls-sync" in line]
    assert len(lines) == 2
    for line in lines:
        given = line.split(" | ")[0].removeprefix("source <(").rstrip(")").split()
        given = given[given.index("tls-sync") + 1 :]
        assert given[: len(words)] == [*words]
        verb.make_context(" ".join(words), given[len(words) :])


@pytest.mark.parametrize(
    ("words", "parameters", "options"),
    [
        (["plan"], {"dry_run": True}, {"output": "table", "is_detailed": False}),
        (
            ["plan", "--cluster", "dev", "--detailed-exitcode", "-o", "json"],
            {"dry_run": True, "cluster": "dev"},
            {"output": "json", "is_detailed": True},
        ),
        (["sync", "--group", "eu", "--verify"], {"group": "eu", "verify": True}, {}),
        (["sync", "--dry-run", "--certificate", "web-tls"], {"certificate": "web-tls", "dry_run": True}, {}),
    ],
)
def test_a_run_gets_what_was_typed(
    called: list[Any], words: Sequence[str], parameters: dict[str, Any], options: dict[str, Any]
) -> None:
    """Options become the parameters of the run; `plan` never writes."""
    assert main(words) == 0
    ((given, how),) = called
    assert given == RunParameters(**parameters)
    assert options.items() <= how.items()


@pytest.mark.parametrize(
    ("words", "status", "said"),
    [
        (["plan", "--foo"], 2, "--foo"),
        (["plan", "--detailed-exitcode", "--foo"], 64, "--foo"),
        (["plan", "--cluster", ""], 2, "is a variable not set?"),
        (["sync", "-p", "cluster=dev"], 2, "-p goes with --deployment"),
        (["sync", "--follow"], 2, "--follow goes with --deployment"),
        (["sync", "--deployment", "ops", "-p", "cluster"], 2, "is not NAME=VALUE"),
        (["sync", "--deployment", "ops", "-o", "json"], 2, "does not go with --deployment"),
        (["rights", "manifests", "--ops", "--cluster", "dev"], 2, "one at a time"),
        (["rights", "manifests", "--account", "kube-system"], 2, "is a namespace of others"),
        (["watch", "--lease", "x"], 2, "NAMESPACE/NAME is expected"),
        (["watch", "--lease-context", "x"], 2, "goes with --lease"),
        (["history", "--limit", "0"], 2, "1<=x<=1000"),
        (["nothing"], 2, "No such command"),
    ],
)
def test_a_wrong_option_is_named(
    called: list[Any], capsys: pytest.CaptureFixture[str], words: list[str], status: int, said: str
) -> None:
    """Nothing runs; the exit status is 2, and 64 where 2 has another meaning."""
    assert main(words) == status
    assert said in capsys.readouterr().err
    assert called == []


@pytest.mark.parametrize("name", ["reference.md", "fr/reference.md"])
def test_the_reference_has_each_verb(name: str) -> None:
    """The table of verbs in both languages names those that the command has, and no other."""
    section = (ROOT / "docs" / name).read_text().split("`tls-sync`\n", 1)[1].split("\n## ")[0]
    told = [line.split("`")[1] for line in section.splitlines() if line.startswith("| `")]
    assert sorted(told) == sorted(" ".join(words) for words, _ in verbs())


def test_without_a_verb_the_help_is_shown() -> None:
    """All verbs are listed, and an unknown address of a Prefect server delays nothing."""
    done = typed(PREFECT_API_URL="http://127.0.0.1:1/api")
    assert done.returncode == 2
    assert all(f"  {name} " in done.stderr for name in group.commands)


def test_the_configuration_of_this_folder_is_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """tls-sync.yaml is taken where TLS_SYNC_CONFIG is not set, and --config precedes both."""
    shutil.copy(EXAMPLE, tmp_path / "tls-sync.yaml")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    command = [sys.executable, "-m", "flows.cli", "rights", "manifests", "--cluster", "dev"]

    def run(*words: str, **environment: str) -> subprocess.CompletedProcess[str]:
        variables = {name: value for name, value in os.environ.items() if name != "TLS_SYNC_CONFIG"}
        return subprocess.run(
            [*command, *words], env=variables | environment, capture_output=True, text=True, check=False
        )

    assert run().returncode == 0
    assert "configuration gone.yaml: " in run(TLS_SYNC_CONFIG="gone.yaml").stderr
    assert run("--config", "tls-sync.yaml", TLS_SYNC_CONFIG="gone.yaml").returncode == 0


def test_the_shell_completes_names_of_clusters() -> None:
    """Verbs and clusters are offered, and a configuration with faults offers none."""
    asking = {"COMP_WORDS": "tls-sync plan --cluster ", "COMP_CWORD": "3"}
    done = typed(TLS_SYNC_CONFIG=str(EXAMPLE), _TLS_SYNC_COMPLETE="bash_complete", **asking)
    assert done.stdout.splitlines() == ["plain,dev", "plain,rct", "plain,prd"]
    done = typed(TLS_SYNC_CONFIG="/dev/null", _TLS_SYNC_COMPLETE="bash_complete", **asking)
    assert (done.stdout.strip(), done.stderr) == ("", "")
    for shell in ("bash", "zsh", "fish"):
        assert "_TLS_SYNC_COMPLETE" in typed("completion", shell).stdout


@pytest.mark.parametrize(
    ("action", "reason", "status"),
    [
        (Action.KEEP, Reason.IN_SYNC, 0),
        (Action.CREATE, Reason.MISSING_ON_TARGET, 2),
        (Action.REFUSE, Reason.OWNED_BY_OTHER, 1),
    ],
)
def test_the_detailed_exit_status_says_what_is_pending(
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    action: Action,
    reason: Reason,
    status: int,
) -> None:
    """0 where nothing is to do, 2 where something is, 1 after a refusal; stdout is the JSON document."""
    change = Change(action=action, reason=reason, target=TARGET, certificate="web-tls")
    cluster = ClusterReport(cluster="dev", dry_run=True, changes=(change,))
    report = RunReport(
        snapshot=SourceSnapshot(),
        clusters=(cluster,),
        now=datetime(2026, 3, 1, tzinfo=UTC),
        parameters=RunParameters(dry_run=True),
    )

    class Module:
        @staticmethod
        def run(_parameters: RunParameters) -> int:
            from tasks.orchestration.publish import listeners  # noqa: PLC0415  Prefect, for this test alone

            for listener in listeners:
                listener(report)
            return int(not cluster.ok)

    monkeypatch.setenv("TLS_SYNC_CONFIG", str(EXAMPLE))
    monkeypatch.setattr(local_run, "lean_import", lambda _: Module)
    assert main(["plan", "--detailed-exitcode", "-o", "json"]) == status
    found = json.loads(capsys.readouterr().out)
    assert found == document(report)
    assert [one["action"] for one in found["clusters"][0]["changes"]] == [str(action)]


def test_a_deployed_run_needs_the_address_of_its_server(tmp_path: Path) -> None:
    """Without one, no server is started, and a sentence names the variable."""
    done = typed("sync", "--deployment", "ops", PREFECT_API_URL="", PREFECT_HOME=str(tmp_path))
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.startswith("tls-sync: PREFECT_API_URL is not set: ")


@pytest.mark.parametrize("module", ["history", "local_run"])
def test_a_server_that_a_command_starts_sends_no_telemetry(module: str) -> None:
    """Prefect's settings are in the environment before Prefect is loaded; those of the user precede them."""
    code = (
        f"import flows.commands.{module}, prefect.settings as s; "
        "server = s.get_current_settings().server; "
        "print(server.analytics_enabled, server.ephemeral.startup_timeout_seconds)"
    )
    name = "PREFECT_SERVER_ANALYTICS_ENABLED"
    others = {key: value for key, value in os.environ.items() if not key.startswith("PREFECT_SERVER")}
    for given, told in (({}, "False 180\n"), ({name: "true"}, "True 180\n")):
        done = subprocess.run(
            [sys.executable, "-c", code],
            cwd=ROOT,
            env=others | given,
            capture_output=True,
            text=True,
            check=True,
        )
        assert done.stdout == told


def test_the_script_is_beside_python() -> None:
    """`make .venv/ready` installs it, with the version of the project; it works in any folder."""
    script = Path(sys.executable).with_name("tls-sync")
    done = subprocess.run([script, "--version"], cwd="/", capture_output=True, text=True, check=True)
    assert done.stdout == f"tls-sync {version()}\n"


def test_the_former_commands_still_work() -> None:
    """`python -m deployments.target` does the same as ever, and `python -m flows` names its successor."""
    former = [sys.executable, "-m", "deployments.target", "manifests", "--config", str(EXAMPLE)]
    done = subprocess.run(former, cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout == typed("rights", "manifests", "--config", str(EXAMPLE)).stdout
    told = subprocess.run(
        [sys.executable, "-m", "flows", "--help"], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert "`tls-sync` replaces this command" in " ".join(told.stdout.split())
