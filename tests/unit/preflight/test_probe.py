"""What a preflight makes of a cluster's answers, and how it says so."""

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
from tasks.preflight.model import Check, Finding, Mark, Preflight, Readiness
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


def failed(code: FailureCode, asked: Check = Check.IDENTITY) -> Readiness:
    failure = Failure(code=code, cluster="dev", what="ask something", detail="a detail")
    return readiness(*diagnose.of_failure(failure, asked))


def bad(found: Readiness) -> list[Check]:
    return [check for check in Check if found.mark(check) is Mark.BAD]


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
def test_a_failure_counts_for_the_check_that_it_is_about(code: FailureCode, check: Check) -> None:
    """What went well on the way there is fine, and what would come after it is not asked."""
    found = failed(code)
    assert bad(found) == [check]
    assert found.troubles[0].name == str(code)
    assert found.troubles[0].remedy
    if code is not FailureCode.EXEC_FAILED:
        ways = [Check.CONTEXT, Check.REACHABLE, Check.TLS, Check.IDENTITY]
        place = ways.index(check)
        assert [found.mark(one) for one in ways[:place]] == [Mark.FINE] * place
        assert [found.mark(one) for one in ways[place + 1 :]] == [Mark.NOT_ASKED] * (3 - place)


@pytest.mark.parametrize("asked", [Check.IDENTITY, Check.CLUSTER_ID, Check.RIGHTS, Check.NAMESPACES])
def test_what_is_forbidden_counts_for_what_was_asked(asked: Check) -> None:
    """A 403 is about the question, and its remedy is the question's."""
    found = failed(FailureCode.FORBIDDEN, asked)
    assert bad(found) == [asked]
    (trouble,) = found.troubles
    expected = {Check.IDENTITY: "proxy", Check.CLUSTER_ID: "deployments/target/rbac.yaml"}
    assert expected.get(asked, "Role") in trouble.remedy


@pytest.mark.parametrize("code", list(FailureCode))
def test_every_failure_has_a_place_and_a_remedy(code: FailureCode) -> None:
    """Whatever goes wrong, exactly one check is bad and something can be done."""
    found = failed(code, Check.RIGHTS)
    assert len(bad(found)) == 1
    assert found.troubles[0].remedy


def test_the_user_is_told_only_if_it_is_a_service_account() -> None:
    """A server makes up names, so no other text of it is shown."""
    assert diagnose.known_as(WHO) == WHO
    for name in ("alice", "system:serviceaccount:A:b", f"{WHO}\nx", "eyJhbGciOi.x.y"):
        assert diagnose.known_as(name) == "a user that is no ServiceAccount"


@pytest.mark.parametrize(
    ("left", "mark", "text"),
    [
        (None, Mark.FINE, "renewed by itself"),
        (timedelta(days=30), Mark.FINE, "until 2026-03-31 12:00 UTC"),
        (timedelta(hours=71), Mark.LOOK, "expires in 71 hours"),
        (timedelta(0), Mark.BAD, "it ended at 2026-03-01 12:00 UTC"),
    ],
)
def test_a_credentials_end_is_told(left: timedelta | None, mark: Mark, text: str) -> None:
    """From 72 hours before it is to be looked at, and past it nothing works."""
    found = diagnose.of_credential(None if left is None else NOW + left, NOW)
    assert found.mark is mark
    assert text in found.text
    assert bool(found.remedy) == (mark is not Mark.FINE)


@pytest.mark.parametrize(
    ("pinned", "uid", "mark", "text"),
    [
        (UID, UID, Mark.FINE, UID),
        (UID, OTHER, Mark.BAD, f"pinned {UID}, found {OTHER}"),
        (None, OTHER, Mark.BAD, "it is OPS itself"),
        (OTHER, OTHER, Mark.BAD, "it is OPS itself"),
        (None, UID, Mark.LOOK, "nothing pins"),
    ],
)
def test_a_cluster_is_the_pinned_one_and_not_ops(pinned: str | None, uid: str, mark: Mark, text: str) -> None:
    """A clusterId that is missing can be pasted from the remedy."""
    found = diagnose.of_uid(cluster(clusterId=pinned), uid, OTHER)
    assert (found.mark, text in found.text) == (mark, True)
    assert (f"`clusterId: {uid}`" in found.remedy) == (mark is Mark.LOOK)


@pytest.mark.parametrize(
    ("pins", "told"), [((None, None), ["dev", "rct"]), ((UID, None), ["rct"]), ((None, UID), ["dev"])]
)
def test_two_entries_for_one_cluster_are_told(pins: tuple[str | None, str | None], told: list[str]) -> None:
    """Of those that no clusterId holds apart, each names the other; a neighbour of its own is none."""
    clusters = [cluster("dev", clusterId=pins[0]), cluster("rct", clusterId=pins[1]), cluster("prd")]
    found = [readiness(name="dev"), readiness(name="rct"), readiness(name="prd", uid=OTHER)]
    after = diagnose.with_neighbours(found, [*clusters[:2], cluster("prd", clusterId=OTHER)], clusters)
    assert [one.cluster for one in after if bad(one)] == told
    for one in after:
        for trouble in one.troubles:
            other = {"dev": "rct", "rct": "dev"}[one.cluster]
            assert trouble.text == f"it is the cluster of {other}, too"


def rights(*verbs: str) -> Permissions:
    return Permissions(verbs=frozenset(verbs))


def of_rights(found: dict[str, Permissions], **settings: Any) -> Readiness:
    return readiness(*diagnose.of_rights(cluster(**settings), found))


@pytest.mark.parametrize("verb", sorted(REQUIRED))
def test_a_missing_right_is_told_with_verb_resource_and_namespace(verb: str) -> None:
    """And with the command that gives it."""
    found = of_rights({"app-a": rights(*REQUIRED - {verb}), "app-b": rights(*REQUIRED)})
    (trouble,) = found.troubles
    assert (trouble.check, trouble.mark) == (Check.RIGHTS, Mark.BAD)
    assert trouble.text == f"app-a: {verb} on secrets missing"
    assert "deployments.target manifests --cluster dev" in trouble.remedy


def test_namespaces_in_the_same_case_stand_together() -> None:
    """Thirty namespaces without a Role are one line, not thirty."""
    found = of_rights({name: rights() for name in ("app-a", "app-b")} | {"app-c": rights(*REQUIRED)})
    assert [one.text.partition(":")[0] for one in found.troubles] == ["app-a, app-b"] * 2
    assert found.mark(Check.RIGHTS) is Mark.BAD
    assert found.mark(Check.NAMESPACES) is Mark.UNKNOWN
    assert "the namespace is missing, or its Role" in found.troubles[0].text


@pytest.mark.parametrize("protected", [False, True])
def test_a_right_too_many_is_bad_only_on_a_protected_cluster(protected: bool) -> None:
    """As in a run: warned of, or refused."""
    found = of_rights({"app-a": rights(*REQUIRED, "delete")}, protected=protected)
    assert found.mark(Check.RIGHTS) is (Mark.BAD if protected else Mark.LOOK)
    assert found.troubles[0].name == "ExcessiveRights"
    assert "delete" in found.troubles[0].text


def test_where_a_cluster_is_pruned_delete_is_no_right_too_many() -> None:
    """But one that it needs."""
    found = of_rights({"app-a": rights(*REQUIRED, "delete")}, protected=True, clusterId="x", prune=True)
    assert found.mark(Check.RIGHTS) is Mark.FINE
    (trouble,) = of_rights({"app-a": rights(*REQUIRED)}, clusterId="x", prune=True).troubles
    assert (trouble.mark, trouble.text) == (Mark.BAD, "app-a: delete on secrets missing")


@pytest.mark.parametrize(("pin", "mark"), [(None, Mark.LOOK), (UID, Mark.FINE), (OTHER, Mark.BAD)])
def test_ops_is_the_pinned_one(pin: str | None, mark: Mark) -> None:
    """Where source.clusterId is another uid, nothing more is asked of that cluster."""
    source = Source.model_validate({"namespace": "certificates-ops", "clusterId": pin})
    found = diagnose.of_uid_of_ops(source, UID)
    assert found.mark is mark
    assert (f"`clusterId: {UID}`" in found.remedy) == (mark is Mark.LOOK)


@pytest.mark.parametrize(
    ("verbs", "mark", "text"),
    [
        (("get", "list"), Mark.FINE, ""),
        (("get", "list", "watch"), Mark.FINE, ""),
        (("list",), Mark.BAD, "certificates-ops: get on secrets missing"),
        (("get", "list", "patch"), Mark.LOOK, "patch on secrets not needed"),
        (("*",), Mark.LOOK, "* on secrets not needed"),
    ],
)
def test_on_ops_reading_is_enough(verbs: tuple[str, ...], mark: Mark, text: str) -> None:
    """To watch is for the reactive mode; whatever writes is too much."""
    found = diagnose.of_rights_on_ops("certificates-ops", rights(*verbs))
    assert (found.mark, text in found.text) == (mark, True)


def test_an_ops_without_certificates_is_worth_a_look() -> None:
    """An empty list has a cause: the wrong namespace, the wrong selector, nothing issued."""
    found = readiness(*diagnose.of_sources("certificates-ops", 0, None, 0))
    assert found.mark(Check.NAMESPACES) is Mark.LOOK
    assert "source.namespace" in found.troubles[0].remedy
    assert readiness(*diagnose.of_sources("certificates-ops", 1, None, 0)).troubles == ()
    assert readiness(*diagnose.of_sources("certificates-ops", 0, None, 1)).troubles == ()


def test_more_certificates_than_a_run_takes_on_are_told_before() -> None:
    """At the limit all is well; one beyond, the preflight says what a run would say."""
    at, beyond = (
        readiness(*diagnose.of_sources("certificates-ops", count, None, 0)) for count in (10_000, 10_001)
    )
    assert at.mark(Check.NAMESPACES) is Mark.FINE
    assert beyond.mark(Check.NAMESPACES) is Mark.BAD
    assert (beyond.troubles[0].name, beyond.troubles[0].remedy) == ("TooMany", FailureCode.TOO_MANY.remedy)


def of_rehearsals(found: dict[str, DryRunResult], **settings: Any) -> Readiness:
    return readiness(*diagnose.of_rehearsals(cluster(**settings), WHO, found))


@pytest.mark.parametrize("protected", [False, True])
def test_a_policy_that_binds_nobody_is_told(protected: bool) -> None:
    """With the user that it must name, and the namespaces that are open."""
    found = of_rehearsals({"app-a": DryRunResult(guarded=True), "app-b": DryRunResult()}, protected=protected)
    assert found.mark(Check.POLICY) is (Mark.BAD if protected else Mark.LOOK)
    assert found.mark(Check.NAMESPACES) is Mark.FINE
    (trouble,) = found.troubles
    assert trouble.name == "PolicyMissing"
    assert trouble.text.startswith("app-b: ")
    assert WHO in trouble.text


def test_a_policy_that_guards_is_fine() -> None:
    """Where what isn't ours is kept out, and ours let in."""
    found = of_rehearsals({"app-a": DryRunResult(guarded=True)})
    assert (found.mark(Check.POLICY), found.mark(Check.NAMESPACES)) == (Mark.FINE, Mark.FINE)
    assert found.troubles == ()


@pytest.mark.parametrize(
    "code", [FailureCode.NAMESPACE_MISSING, FailureCode.NAMESPACE_TERMINATING, FailureCode.FORBIDDEN]
)
def test_a_namespace_that_would_not_take_a_secret_is_told(code: FailureCode) -> None:
    """Then nothing follows about the policy, and what bars it is not the missing right."""
    trouble = Failure(code=code, cluster="dev", what="x", detail="HTTP 403")
    found = of_rehearsals({"app-a": DryRunResult(trouble)})
    assert bad(found) == [Check.NAMESPACES]
    assert found.mark(Check.POLICY) is Mark.UNKNOWN
    assert found.troubles[0].text.startswith("app-a: ")
    assert ("quota" in found.troubles[0].remedy) == (code is FailureCode.FORBIDDEN)


def test_a_server_that_does_not_know_dry_runs_is_asked_nothing() -> None:
    """Then the policy is unknown, which alone keeps no cluster from being ready."""
    found = of_rehearsals({})
    assert (found.mark(Check.POLICY), found.ready) == (Mark.UNKNOWN, True)


FINE = tuple(diagnose.fine(check) for check in Check)
SOURCES = tuple(diagnose.of_sources("certificates-ops", 7, None, 0))
GOOD = Preflight(
    ops=Readiness(
        cluster="OPS",
        findings=(
            *FINE[:6],
            *diagnose.of_sources("certificates-ops", 7, None, 0),
            diagnose.fine(Check.CREDENTIAL),
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
                of_rights({"app-a": rights("list"), "app-b": rights()}), ops=failed(FailureCode.UNAUTHORIZED)
            ),
            "preflight: OPS not ready (Unauthorized); 1 of 1 cluster not ready: dev (Forbidden and 1 more)",
        ),
        (
            with_clusters(readiness(diagnose.of_uid(cluster(clusterId=None), UID, OTHER))),
            "preflight: OPS and 1 cluster ready; have a look at dev",
        ),
    ],
)
def test_the_verdict_is_one_telling_line(preflight: Preflight, message: str) -> None:
    """It names each cluster that is not ready, with what is wrong first."""
    ending = render.verdict(preflight)
    assert ending.message == message
    assert ending.ok == (" ready" in message and "not ready" not in message)
    assert ending.name == ("Completed" if ending.ok else "ClustersNotReady")


def test_the_table_fits_a_terminal() -> None:
    """No line is longer than 100 columns, and each trouble has its remedy below it."""
    text = render.render(with_clusters(GOOD.clusters[0], UNREACHABLE, failed(FailureCode.KUBECONFIG)))
    assert max(map(len, text.splitlines())) <= 100
    lines = text.splitlines()
    assert lines[2].split() == ["cluster", *map(str, Check)]
    assert lines[3].split() == ["OPS", "✓", "✓", "✓", "✓", "✓", "✓", "✓", "-", "✓"]
    assert lines[5].split() == ["rct", "✓", "✗", "-", "-", "-", "-", "-", "-", "-"]
    place = next(number for number, line in enumerate(lines) if line.startswith("  ✗ reachable: Unreachable"))
    assert any(line.strip().startswith("To do: check that the API server runs") for line in lines[place:])
    assert lines[-1] == "OPS: 7 TLS Secrets in certificates-ops"


def test_the_artifact_says_also_what_is_fine() -> None:
    """And nothing in it becomes markup."""
    found = readiness(diagnose.fine(Check.IDENTITY, "a|b <c>"), name="dev")
    text = render.render_markdown(with_clusters(found, UNREACHABLE))
    assert "| identity | ✓ | a\\|b \\<c\\> |  |" in text
    assert text.index("### rct") < text.index("### dev")
    assert text.startswith("## ❌ preflight: 1 of 2 clusters not ready: rct (Unreachable)")


def test_a_suspended_cluster_that_is_left_out_is_said() -> None:
    """So that nobody takes it for ready."""
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
        ({}, "TLS_SYNC_CONFIG is not set: let it name your configuration"),
        ({"TLS_SYNC_CONFIG": "/nowhere.yaml"}, "configuration /nowhere.yaml: the file does not exist"),
        ({"TLS_SYNC_CONFIG": EXAMPLE, "KUBECONFIG": "/nowhere"}, "kubeconfig: file /nowhere does not exist"),
    ],
    ids=["no variable", "no configuration", "no kubeconfig"],
)
def test_what_is_missing_is_one_clear_sentence(environment: dict[str, str], text: str) -> None:
    """Without a configuration or a kubeconfig nothing can be asked, and that is all that is said."""
    done = preflight(**environment)
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.startswith(f"tls-sync: {text}")
    assert done.stderr.count("\n") == 1


@pytest.mark.parametrize(
    ("keys", "told"),
    [(["kubeconfig", "old"], "has the keys kubeconfig, old;"), ([], "has no key;")],
    ids=["other keys", "none"],
)
def test_a_mounted_secret_with_the_wrong_key_is_told(
    keys: list[str], told: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The keys that it has are named, and the one that it must have."""
    (tmp_path / "..2026").mkdir()
    (tmp_path / "..data").symlink_to("..2026")
    for key in keys:
        (tmp_path / key).write_text("{}")
    monkeypatch.setenv("KUBECONFIG", str(tmp_path / "config"))
    with pytest.raises(ClusterError) as error:
        reader.contexts()
    assert error.value.failure.detail == (
        f"the Secret mounted at {tmp_path} {told} put the kubeconfig under the key config"
    )


def test_who_serves_the_clusters_is_said_where_it_is_not_asked() -> None:
    """With workers of Dask: ready from here is not ready from there."""
    asked = render.render(GOOD.model_copy(update={"served_by": "dask workers"}))
    assert "asked from here alone: runs have the clusters served by dask workers" in " ".join(asked.split())
    assert "from here alone" not in render.render(GOOD)


@pytest.mark.parametrize("argument", ["--dry-run", "--certificate=web-tls"])
def test_arguments_that_make_no_sense_together_are_refused(argument: str) -> None:
    """Nobody is to believe that the preflight looked at one certificate."""
    command = [sys.executable, "-m", "flows", "--preflight", argument]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert "--preflight goes with --cluster alone" in done.stderr


def test_the_parameter_is_described_in_the_ui() -> None:
    """The form of the UI shows what it is for; nothing else can be set from outside."""
    from flows.preflight import preflight as flow  # noqa: PLC0415  Prefect, for this test alone

    assert list(flow.parameters.properties) == ["cluster"]
    assert flow.parameters.properties["cluster"]["description"]


def test_the_flow_imports_light() -> None:
    """No Kubernetes client model is loaded, and its help needs neither Prefect nor the client."""
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
