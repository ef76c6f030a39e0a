"""How a preflight interprets a cluster's responses, and what it prints."""

import os
import subprocess
import sys
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from tasks.config.schema import Cluster, Source
from tasks.domain.errors import ClusterError
from tasks.domain.failure_codes import FailureCode
from tasks.domain.models import Failure
from tasks.kube.permissions import REQUIRED, Permissions
from tasks.kubeconfig import reader
from tasks.preflight import diagnose, render
from tasks.preflight.diagnose import DryRunResult
from tasks.preflight.model import Check, CheckStatus, Finding, Preflight, Readiness
from tests.support.factories import NOW
from tests.support.scripts import printed

ROOT = Path(__file__).parents[3]
UID, OTHER = "0c2f9a52-5a4e-4f0e-9d0b-6f1f0c6f2b11", "3d1b7c0e-8f65-4d0c-a7c5-0d5c5b1f7e22"
WHO = "system:serviceaccount:tls-sync:tls-sync"


def cluster(name: str = "dev", **settings: Any) -> Cluster:
    route = {"certificates": ["web-tls"], "namespaces": ["app-a"]}
    given = {"name": name, "context": f"cluster-{name}", "hostnames": ["*.example.org"], "routes": [route]}
    return Cluster.model_validate(given | {"clusterId": UID} | settings)


def readiness(*findings: Finding, name: str = "dev", uid: str = UID) -> Readiness:
    return Readiness(cluster=name, findings=findings, uid=uid)


def failed(code: FailureCode, current: Check = Check.IDENTITY) -> Readiness:
    failure = Failure(code=code, cluster="dev", what="do something", detail="a detail")
    return readiness(*diagnose.failure_findings(failure, current))


def errors(found: Readiness) -> list[Check]:
    return [check for check in Check if found.status(check) is CheckStatus.ERROR]


@pytest.mark.parametrize(
    ("code", "check"),
    [
        (FailureCode.KUBECONFIG, Check.CONTEXT),
        (FailureCode.UNREACHABLE, Check.REACHABLE),
        (FailureCode.TIMEOUT, Check.REACHABLE),
        (FailureCode.PROTOCOL, Check.REACHABLE),
        (FailureCode.API_MISSING, Check.REACHABLE),
        (FailureCode.TLS_FAILED, Check.TLS),
        (FailureCode.UNAUTHORIZED, Check.IDENTITY),
        (FailureCode.EXEC_FAILED, Check.IDENTITY),
    ],
)
def test_a_failure_belongs_to_one_check(code: FailureCode, check: Check) -> None:
    """The checks before it have passed, and the later ones are not made."""
    found = failed(code)
    assert errors(found) == [check]
    assert found.problems[0].name == str(code)
    assert found.problems[0].remedy
    if code is not FailureCode.EXEC_FAILED:
        first = [Check.CONTEXT, Check.REACHABLE, Check.TLS, Check.IDENTITY]
        place = first.index(check)
        assert [found.status(one) for one in first[:place]] == [CheckStatus.OK] * place
        assert [found.status(one) for one in first[place + 1 :]] == [CheckStatus.NOT_CHECKED] * (3 - place)


@pytest.mark.parametrize("current", [Check.IDENTITY, Check.CLUSTER_ID, Check.RIGHTS, Check.NAMESPACES])
def test_a_403_belongs_to_the_current_check(current: Check) -> None:
    """Its remedy is that of the check."""
    found = failed(FailureCode.FORBIDDEN, current)
    assert errors(found) == [current]
    (problem,) = found.problems
    expected = {Check.IDENTITY: "proxy", Check.CLUSTER_ID: "tls-sync rights manifests"}
    assert expected.get(current, "Role") in problem.remedy


@pytest.mark.parametrize("code", list(FailureCode))
def test_every_failure_has_a_check_and_a_remedy(code: FailureCode) -> None:
    """Each failure code is an error of exactly one check."""
    found = failed(code, Check.RIGHTS)
    assert len(errors(found)) == 1
    assert found.problems[0].remedy


def test_the_user_is_shown_only_if_it_is_a_service_account() -> None:
    """Another name may be any text of a server, so it is not shown."""
    assert diagnose.printable_user(WHO) == WHO
    for name in ("alice", "system:serviceaccount:A:b", f"{WHO}\nx", "eyJhbGciOi.x.y"):
        assert diagnose.printable_user(name) == "a user that is no ServiceAccount"


@pytest.mark.parametrize(
    ("left", "status", "text"),
    [
        (None, CheckStatus.OK, "renewed automatically"),
        (timedelta(days=30), CheckStatus.OK, "until 2026-03-31 12:00 UTC"),
        (timedelta(hours=71), CheckStatus.WARNING, "expires in 71 hours"),
        (timedelta(0), CheckStatus.ERROR, "it expired at 2026-03-01 12:00 UTC"),
    ],
)
def test_the_expiry_of_a_credential_is_reported(
    left: timedelta | None, status: CheckStatus, text: str
) -> None:
    """It is a warning from 72 hours before, and an error once it has passed."""
    found = diagnose.credential_finding(None if left is None else NOW + left, NOW)
    assert found.status is status
    assert text in found.text
    assert bool(found.remedy) == (status is not CheckStatus.OK)


@pytest.mark.parametrize(
    ("pinned", "uid", "status", "text"),
    [
        (UID, UID, CheckStatus.OK, UID),
        (UID, OTHER, CheckStatus.ERROR, f"pinned {UID}, found {OTHER}"),
        (None, OTHER, CheckStatus.ERROR, "it is OPS itself"),
        (OTHER, OTHER, CheckStatus.ERROR, "it is OPS itself"),
        (None, UID, CheckStatus.WARNING, "nothing pins"),
    ],
)
def test_a_cluster_is_the_pinned_one_and_not_ops(
    pinned: str | None, uid: str, status: CheckStatus, text: str
) -> None:
    """The remedy of a missing clusterId contains the line to paste."""
    found = diagnose.cluster_id_finding(cluster(clusterId=pinned), uid, OTHER)
    assert (found.status, text in found.text) == (status, True)
    assert (f"`clusterId: {uid}`" in found.remedy) == (status is CheckStatus.WARNING)


@pytest.mark.parametrize(
    ("pins", "names"), [((None, None), ["dev", "rct"]), ((UID, None), ["rct"]), ((None, UID), ["dev"])]
)
def test_two_entries_for_one_cluster_are_errors(
    pins: tuple[str | None, str | None], names: list[str]
) -> None:
    """Each of them that has no clusterId names the other one."""
    clusters = [cluster("dev", clusterId=pins[0]), cluster("rct", clusterId=pins[1]), cluster("prd")]
    found = [readiness(name="dev"), readiness(name="rct"), readiness(name="prd", uid=OTHER)]
    after = diagnose.with_duplicates(found, [*clusters[:2], cluster("prd", clusterId=OTHER)], clusters)
    assert [one.cluster for one in after if errors(one)] == names
    for one in after:
        for problem in one.problems:
            other = {"dev": "rct", "rct": "dev"}[one.cluster]
            assert problem.text == f"it is the cluster of {other}, too"


def permissions(*verbs: str) -> Permissions:
    return Permissions(verbs=frozenset(verbs))


def with_permissions(found: dict[str, Permissions], **settings: Any) -> Readiness:
    return readiness(*diagnose.permission_findings(cluster(**settings), found))


@pytest.mark.parametrize("verb", sorted(REQUIRED))
def test_a_missing_permission_names_verb_resource_and_namespace(verb: str) -> None:
    """The remedy is the command that grants it."""
    found = with_permissions({"app-a": permissions(*REQUIRED - {verb}), "app-b": permissions(*REQUIRED)})
    (problem,) = found.problems
    assert (problem.check, problem.status) == (Check.RIGHTS, CheckStatus.ERROR)
    assert problem.text == f"app-a: {verb} on secrets missing"
    assert "tls-sync rights manifests --cluster dev" in problem.remedy


def test_namespaces_with_the_same_permissions_share_a_line() -> None:
    """Thirty namespaces without a Role are one line, not thirty."""
    found = with_permissions(
        {name: permissions() for name in ("app-a", "app-b")} | {"app-c": permissions(*REQUIRED)}
    )
    assert [one.text.partition(":")[0] for one in found.problems] == ["app-a, app-b"] * 2
    assert found.status(Check.RIGHTS) is CheckStatus.ERROR
    assert found.status(Check.NAMESPACES) is CheckStatus.UNKNOWN
    assert "the namespace is missing, or its Role" in found.problems[0].text
    assert found.problems[0].remedy == (
        "if the namespace does not exist, create it, or have the application's owner do so (`for name in "
        'app-a app-b; do kubectl --context cluster-dev create namespace "$name"; done`); then apply what '
        "`tls-sync rights manifests --cluster dev` prints"
    )


@pytest.mark.parametrize("protected", [False, True])
def test_an_excess_permission_is_an_error_only_on_a_protected_cluster(protected: bool) -> None:
    """Elsewhere it is a warning, as in a run."""
    found = with_permissions({"app-a": permissions(*REQUIRED, "delete")}, protected=protected)
    assert found.status(Check.RIGHTS) is (CheckStatus.ERROR if protected else CheckStatus.WARNING)
    assert found.problems[0].name == "ExcessiveRights"
    assert "delete" in found.problems[0].text


def test_a_pruned_cluster_needs_delete() -> None:
    """There, delete is required, and not in excess."""
    found = with_permissions(
        {"app-a": permissions(*REQUIRED, "delete")}, protected=True, clusterId=UID, prune=True
    )
    assert found.status(Check.RIGHTS) is CheckStatus.OK
    (problem,) = with_permissions({"app-a": permissions(*REQUIRED)}, clusterId=UID, prune=True).problems
    assert (problem.status, problem.text) == (CheckStatus.ERROR, "app-a: delete on secrets missing")


@pytest.mark.parametrize(
    ("pin", "status"), [(None, CheckStatus.WARNING), (UID, CheckStatus.OK), (OTHER, CheckStatus.ERROR)]
)
def test_ops_is_the_pinned_one(pin: str | None, status: CheckStatus) -> None:
    """Another uid than source.clusterId is an error, and none at all is a warning."""
    source = Source.model_validate({"namespace": "certificates-ops", "clusterId": pin})
    found = diagnose.ops_cluster_id_finding(source, UID)
    assert found.status is status
    assert (f"`clusterId: {UID}`" in found.remedy) == (status is CheckStatus.WARNING)


@pytest.mark.parametrize(
    ("verbs", "status", "text"),
    [
        (("get", "list"), CheckStatus.OK, ""),
        (("get", "list", "watch"), CheckStatus.OK, ""),
        (("list",), CheckStatus.ERROR, "certificates-ops: get on secrets missing"),
        (("get", "list", "patch"), CheckStatus.WARNING, "patch on secrets not needed"),
        (("*",), CheckStatus.WARNING, "* on secrets not needed"),
    ],
)
def test_on_ops_reading_is_enough(verbs: tuple[str, ...], status: CheckStatus, text: str) -> None:
    """Watch is for the watcher; a verb that writes is in excess."""
    found = diagnose.ops_permission_finding("certificates-ops", permissions(*verbs))
    assert (found.status, text in found.text) == (status, True)


def test_an_ops_without_certificates_is_a_warning() -> None:
    """The namespace or the selector may be wrong, or nothing has been issued."""
    found = readiness(*diagnose.source_findings("certificates-ops", 0, None, 0))
    assert found.status(Check.NAMESPACES) is CheckStatus.WARNING
    assert "source.namespace" in found.problems[0].remedy
    assert readiness(*diagnose.source_findings("certificates-ops", 1, None, 0)).problems == ()
    assert readiness(*diagnose.source_findings("certificates-ops", 0, None, 1)).problems == ()


def test_too_many_certificates_are_an_error() -> None:
    """One more than the maximum fails the preflight as it would fail a run."""
    at, beyond = (
        readiness(*diagnose.source_findings("certificates-ops", count, None, 0)) for count in (10_000, 10_001)
    )
    assert at.status(Check.NAMESPACES) is CheckStatus.OK
    assert beyond.status(Check.NAMESPACES) is CheckStatus.ERROR
    assert (beyond.problems[0].name, beyond.problems[0].remedy) == ("TooMany", FailureCode.TOO_MANY.remedy)


def with_dry_runs(found: dict[str, DryRunResult], **settings: Any) -> Readiness:
    return readiness(*diagnose.dry_run_findings(cluster(**settings), WHO, found))


@pytest.mark.parametrize("protected", [False, True])
def test_a_missing_policy_is_reported(protected: bool) -> None:
    """The finding names the unprotected namespaces and the user that the policy must bind."""
    found = with_dry_runs(
        {"app-a": DryRunResult(policy_enforced=True), "app-b": DryRunResult()}, protected=protected
    )
    assert found.status(Check.POLICY) is (CheckStatus.ERROR if protected else CheckStatus.WARNING)
    assert found.status(Check.NAMESPACES) is CheckStatus.OK
    (problem,) = found.problems
    assert problem.name == "PolicyMissing"
    assert problem.text.startswith("app-b: ")
    assert WHO in problem.text


def test_an_enforced_policy_is_fine() -> None:
    """A Secret of ours is admitted, and another one is refused."""
    found = with_dry_runs({"app-a": DryRunResult(policy_enforced=True)})
    assert (found.status(Check.POLICY), found.status(Check.NAMESPACES)) == (CheckStatus.OK, CheckStatus.OK)
    assert found.problems == ()


@pytest.mark.parametrize(
    "code", [FailureCode.NAMESPACE_MISSING, FailureCode.NAMESPACE_TERMINATING, FailureCode.FORBIDDEN]
)
def test_a_namespace_that_would_not_accept_a_secret_is_an_error(code: FailureCode) -> None:
    """The policy is then unknown; the cause of a 403 is not a missing permission."""
    problem = Failure(code=code, cluster="dev", what="x", detail="HTTP 403")
    found = with_dry_runs({"app-a": DryRunResult(problem)})
    assert errors(found) == [Check.NAMESPACES]
    assert found.status(Check.POLICY) is CheckStatus.UNKNOWN
    assert found.problems[0].text.startswith("app-a: ")
    assert ("quota" in found.problems[0].remedy) == (code is FailureCode.FORBIDDEN)
    create = "(`kubectl --context cluster-dev create namespace app-a`), or take it out of the route"
    assert (create in found.problems[0].remedy) == (code is FailureCode.NAMESPACE_MISSING)


def test_without_dry_runs_the_policy_is_unknown() -> None:
    """That alone does not make a cluster not ready."""
    found = with_dry_runs({})
    assert (found.status(Check.POLICY), found.ready) == (CheckStatus.UNKNOWN, True)


FINE = tuple(diagnose.ok(check) for check in Check)
SOURCES = tuple(diagnose.source_findings("certificates-ops", 7, None, 0))
GOOD = Preflight(
    ops=Readiness(
        cluster="OPS",
        findings=(
            *FINE[:6],
            *diagnose.source_findings("certificates-ops", 7, None, 0),
            diagnose.ok(Check.CREDENTIAL),
        ),
    ),
    clusters=tuple(readiness(*FINE, name=name) for name in ("dev", "rct", "prd")),
)
UNREACHABLE = failed(FailureCode.UNREACHABLE).model_copy(update={"cluster": "rct"})


def with_clusters(*clusters: Readiness, ops: Readiness = GOOD.ops) -> Preflight:
    return Preflight(ops=ops, clusters=clusters)


@pytest.mark.parametrize(
    ("preflight", "message"),
    [
        (GOOD, "preflight: OPS and 3 clusters ready"),
        (with_clusters(GOOD.clusters[0]), "preflight: OPS and 1 cluster ready"),
        (
            with_clusters(GOOD.clusters[0], UNREACHABLE, GOOD.clusters[2]),
            "preflight: 1 of 3 clusters not ready: rct (Unreachable)",
        ),
        (
            with_clusters(GOOD.clusters[0], ops=failed(FailureCode.TLS_FAILED)),
            "preflight: OPS not ready (TLSFailed)",
        ),
        (
            with_clusters(
                with_permissions({"app-a": permissions("list"), "app-b": permissions()}),
                ops=failed(FailureCode.UNAUTHORIZED),
            ),
            "preflight: OPS not ready (Unauthorized); 1 of 1 cluster not ready: dev (Forbidden and 1 more)",
        ),
        (
            with_clusters(readiness(diagnose.cluster_id_finding(cluster(clusterId=None), UID, OTHER))),
            "preflight: OPS and 1 cluster ready; have a look at dev",
        ),
    ],
)
def test_the_verdict_is_one_line(preflight: Preflight, message: str) -> None:
    """It names each cluster that is not ready, with its first error."""
    verdict = render.verdict(preflight)
    assert verdict.message == message
    assert verdict.ok == (" ready" in message and "not ready" not in message)
    assert verdict.name == ("Completed" if verdict.ok else "ClustersNotReady")


def test_the_table_fits_a_terminal() -> None:
    """No line is longer than 100 columns, and each problem has its remedy below it."""
    text = render.render(with_clusters(GOOD.clusters[0], UNREACHABLE, failed(FailureCode.KUBECONFIG)))
    assert max(map(len, text.splitlines())) <= 100
    lines = text.splitlines()
    assert lines[2].split() == ["cluster", *map(str, Check)]
    assert lines[3].split() == ["OPS", "✓", "✓", "✓", "✓", "✓", "✓", "✓", "-", "✓"]
    assert lines[4].split() == ["rct", "✓", "✗", "-", "-", "-", "-", "-", "-", "-"]
    place = next(number for number, line in enumerate(lines) if line.startswith("  ✗ reachable: Unreachable"))
    assert any(line.strip().startswith("To do: check that the API server runs") for line in lines[place:])
    assert lines[-1] == "OPS: 7 TLS Secrets in certificates-ops"


def test_the_artifact_also_shows_what_is_fine() -> None:
    """Nothing in it is interpreted as markup."""
    found = readiness(diagnose.ok(Check.IDENTITY, "a|b <c>"), name="dev")
    text = render.render_markdown(with_clusters(found, UNREACHABLE))
    assert "| identity | ✓ | a\\|b \\<c\\> |  |" in text
    assert text.index("### rct") < text.index("### dev")
    assert text.startswith("## ❌ preflight: 1 of 2 clusters not ready: rct (Unreachable)")


def test_a_suspended_cluster_is_named() -> None:
    """The report says that it was left out, so that nobody takes it for ready."""
    text = render.render(GOOD.model_copy(update={"suspended": ("old",)}))
    assert text.splitlines()[-1] == "suspended, so left out: old"


def preflight(**environment: str) -> subprocess.CompletedProcess[str]:
    inherited = {k: v for k, v in os.environ.items() if k not in ("TLS_SYNC_CONFIG", "KUBECONFIG")}
    return subprocess.run(
        [sys.executable, "-m", "flows", "--preflight"],
        cwd=ROOT,
        env=inherited | environment,
        capture_output=True,
        text=True,
        check=False,
    )


EXAMPLE = str(ROOT / "deployments" / "tls-sync.yaml")


@pytest.mark.parametrize(
    ("environment", "text"),
    [
        ({}, "TLS_SYNC_CONFIG is not set. Name your configuration by it, or by --config"),
        ({"TLS_SYNC_CONFIG": "/nowhere.yaml"}, "configuration /nowhere.yaml: the file does not exist"),
        ({"TLS_SYNC_CONFIG": EXAMPLE, "KUBECONFIG": "/nowhere"}, "kubeconfig: file /nowhere does not exist"),
    ],
    ids=["no variable", "no configuration", "no kubeconfig"],
)
def test_a_missing_file_is_one_clear_sentence(environment: dict[str, str], text: str) -> None:
    """Without a configuration or a kubeconfig, one line says so."""
    done = preflight(**environment)
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.startswith(f"tls-sync: {text}")
    assert done.stderr.count("\n") == 1


@pytest.mark.parametrize(
    ("keys", "content"),
    [(["kubeconfig", "old"], "has the keys kubeconfig, old;"), ([], "has no key;")],
    ids=["other keys", "none"],
)
def test_a_mounted_secret_with_the_wrong_key_is_reported(
    keys: list[str], content: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The message names the keys that it has, and the one that it must have."""
    (tmp_path / "..2026").mkdir()
    (tmp_path / "..data").symlink_to("..2026")
    for key in keys:
        (tmp_path / key).write_text("{}")
    monkeypatch.setenv("KUBECONFIG", str(tmp_path / "config"))
    with pytest.raises(ClusterError) as error:
        reader.contexts()
    assert error.value.failure.detail == (
        f"the Secret mounted at {tmp_path} {content} put the kubeconfig under the key config"
    )


def test_workers_that_are_not_checked_are_named() -> None:
    """With Dask, the workers may have another kubeconfig or network than this process."""
    text = render.render(GOOD.model_copy(update={"served_by": "dask workers"}))
    assert "checked from here only: in runs, dask workers serve the clusters" in " ".join(text.split())
    assert "from here only" not in render.render(GOOD)


@pytest.mark.parametrize("argument", ["--dry-run", "--certificate=web-tls"])
def test_arguments_that_do_not_go_together_are_refused(argument: str) -> None:
    """The preflight checks no single certificate, and says so."""
    command = [sys.executable, "-m", "flows", "--preflight", argument]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert "--preflight goes with --cluster alone" in done.stderr


def test_the_parameter_is_described_in_the_ui() -> None:
    """The form in the UI describes `cluster`, the only parameter."""
    from flows.preflight import preflight as flow  # noqa: PLC0415  Prefect, for this test alone

    assert list(flow.parameters.properties) == ["cluster"]
    assert flow.parameters.properties["cluster"]["description"]


def test_the_flow_imports_light() -> None:
    """It imports no model of the kubernetes client, and --help imports neither Prefect nor the client."""
    script = (
        "import sys, flows.preflight; print(sum('.models.' in m and 'kubernetes' in m for m in sys.modules))"
    )
    assert printed(script) == "0"
    script = (
        "import sys, runpy; sys.argv = ['flows', '--help']\n"
        "try: runpy.run_module('flows', run_name='__main__')\n"
        "except SystemExit: print(sorted({'prefect', 'kubernetes', 'pydantic'} & set(sys.modules)))"
    )
    assert printed(script).splitlines()[-1] == "[]"
