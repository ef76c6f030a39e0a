"""One cluster brought in sync, on real API servers: what is written, what is asked, what goes wrong."""

import base64
import time
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
import yaml

from tasks.domain.failure_codes import FailureCode
from tasks.domain.models import Action, Certificate, Change
from tasks.domain.reasons import Reason
from tasks.kube import client
from tasks.source.tls_secret import TLSSecret
from tasks.target import write
from tasks.target.apply import SecretApplier
from tests.support.clusters import NAMESPACES, World, codes

pytestmark = pytest.mark.apiserver

NAMESPACE_ROLE = Path(__file__).parents[2] / "tasks" / "setup" / "target" / "namespace-role.yaml"
OURS = {
    "tls-sync.io/source",
    "tls-sync.io/source-cluster",
    "tls-sync.io/fingerprint",
    "tls-sync.io/not-before",
    "tls-sync.io/not-after",
    "tls-sync.io/serial",
}


def test_only_our_own_metadata_travels(world: World) -> None:
    """No label or annotation of the source reaches a copy, and no key but the three that travel."""
    (secret,) = world.issue("web-tls", labels={"team": "web"}, annotations={"argocd.argoproj.io/x": "y"})
    secret["data"]["keystore.jks"] = "c2VjcmV0"
    world.put(secret)
    world.sync()
    copy = world.copy("web-tls")
    assert copy is not None
    assert set(copy["metadata"]["labels"]) == {"app.kubernetes.io/managed-by", "tls-sync.io/owner"}
    assert set(copy["metadata"]["annotations"]) == OURS
    assert set(copy["data"]) == {"tls.crt", "tls.key"}
    assert "ownerReferences" not in copy["metadata"]


def test_a_route_may_rename(world: World) -> None:
    """A renamed copy bears the route's name and says where it came from."""
    world.issue("web-tls")
    world.configure([{"certificates": ["web-tls"], "namespaces": list(NAMESPACES), "name": "ingress-tls"}])
    world.sync()
    for namespace in NAMESPACES:
        copy = world.copy("ingress-tls", namespace=namespace)
        assert copy is not None
        assert copy["metadata"]["annotations"]["tls-sync.io/source"] == "certificates-ops/web-tls"


def test_an_unchanged_run_asks_for_the_lists_and_the_identity_only(world: World) -> None:
    """With nothing to do: two lists on OPS, per cluster its identity and a list per namespace; no write."""
    world.configure([{"certificates": ["web-*"], "namespaces": list(NAMESPACES)}])
    world.issue("web-tls", "web-2-tls")
    world.sync()
    world.sync()  # writes the notes
    before, start, on_ops = world.versions(), world.log_position("dev"), world.log_position("ops")
    world.sync()
    asked = [(r["verb"], r["objectRef"].get("namespace")) for r in world.requests("dev", start)]
    assert asked[:2] == [("create", None), ("get", "kube-system")]
    assert sorted(asked[2:]) == [("list", "app-a"), ("list", "app-b")]
    assert [r["verb"] for r in world.requests("ops", on_ops)] == ["create", "get", "list", "list"]
    assert world.versions() == before


def test_a_dry_run_writes_nothing_and_reports_the_same_plan(world: World) -> None:
    """Dry run and real run plan the same; only the real one writes."""
    world.issue("web-tls", "web-2-tls")
    start = world.log_position("dev")
    dry = world.sync(dry_run=True)
    assert [r["verb"] for r in world.requests("dev", start)] == ["create", "get", "list"]
    real = world.sync()
    assert [replace(c, applied=True) for c in dry.changes] == list(real.changes)
    assert dry.counts == real.counts == {Action.CREATE: 2}


def test_few_certificates_are_read_one_by_one_and_many_by_one_list(world: World) -> None:
    """What is read of OPS's keys follows from what is to be written."""
    secrets = world.issue(*(f"web-{n}-tls" for n in range(8)))
    snapshot = world.snapshot()
    start = world.log_position("ops")
    world.sync(snapshot=snapshot)
    assert [r["verb"] for r in world.requests("ops", start)] == ["list"]
    world.renew(secrets[3])
    snapshot = world.snapshot()
    start = world.log_position("ops")
    assert world.sync(snapshot=snapshot).counts == {Action.KEEP: 7, Action.UPDATE: 1}
    reads = [(r["verb"], r["objectRef"].get("name")) for r in world.requests("ops", start)]
    assert reads == [("get", "web-3-tls")]


def test_lists_are_read_page_by_page(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing is lost where lists come in several pages."""
    monkeypatch.setattr(client, "DATA_PAGE", 2)
    monkeypatch.setattr(client, "METADATA_PAGE", 2)
    world.issue(*(f"web-{n}-tls" for n in range(5)))
    assert world.sync().counts == {Action.CREATE: 5}
    assert world.sync().counts == {Action.KEEP: 5}


def test_a_certificate_renewed_since_the_list_is_sent_as_it_is_now(world: World) -> None:
    """The newer certificate is checked and sent, and the report names what was really written."""
    (secret,) = world.issue("web-tls")
    snapshot = world.snapshot()
    renewed = world.renew(secret)
    row = world.row("web-tls", snapshot=snapshot)
    copy = world.copy("web-tls")
    assert copy is not None
    assert copy["data"] == renewed["data"]
    assert row.applied
    assert row.new is not None
    assert row.new.fingerprint == copy["metadata"]["annotations"]["tls-sync.io/fingerprint"]
    assert row.new != snapshot.certificates[0].version


def test_a_certificate_that_went_bad_since_the_list_is_not_sent(world: World) -> None:
    """What OPS holds at the moment of the write is checked again."""
    (secret,) = world.issue("web-tls")
    world.configure([{"certificates": ["web-tls"], "namespaces": ["app-a"]}])
    snapshot = world.snapshot()
    other = world.issuer.secret("web-tls", ["web-tls.example.org"])
    secret["data"]["tls.key"] = other["data"]["tls.key"]
    world.put(secret)
    row = world.row("web-tls", snapshot=snapshot)
    assert (row.reason, row.failed) == (Reason.KEY_MISMATCH, True)
    assert world.copy("web-tls") is None


@pytest.mark.parametrize("wanted", [1, 3], ids=["read one by one", "read by a list"])
def test_a_certificate_deleted_since_the_list_is_not_sent(world: World, wanted: int) -> None:
    """A named certificate that is gone at the moment of the write makes no copy, and the report says so."""
    names = [f"web-{n}-tls" for n in range(wanted)]
    world.issue(*names)
    world.configure([{"certificates": names, "namespaces": ["app-a"]}])
    snapshot, start = world.snapshot(), world.log_position("ops")
    world.ops.delete("/api/v1/namespaces/certificates-ops/secrets/web-0-tls")
    row = world.row("web-0-tls", snapshot=snapshot)
    assert (row.action, row.reason) == (Action.NOTHING, Reason.MISSING_ON_SOURCE)
    assert [r["verb"] for r in world.requests("ops", start)] == ["get" if wanted == 1 else "list"]
    assert len(world.versions()) == wanted - 1


def test_a_certificate_of_a_glob_deleted_since_the_list_is_no_failure(world: World) -> None:
    """One that only a glob took in, and that is gone at the moment of the write, leaves no row."""
    world.issue("web-tls")
    snapshot = world.snapshot()
    world.ops.delete("/api/v1/namespaces/certificates-ops/secrets/web-tls")
    report = world.sync(snapshot=snapshot)
    assert (report.changes, report.ok, world.versions()) == ((), True, {})


WRITE = write.Writer.write


def race(world: World, monkeypatch: pytest.MonkeyPatch, meanwhile: object) -> None:
    """Let something happen between a writer's plan and its first write."""
    original = write.Writer.write

    def late(self: write.Writer, plan: object) -> object:
        meanwhile()  # type: ignore[operator]
        return original(self, plan)  # type: ignore[arg-type]

    monkeypatch.setattr(write.Writer, "write", late)


@pytest.mark.parametrize("equal", [False, True], ids=["other content", "equal content"])
def test_a_create_never_takes_over_what_appeared_meanwhile(
    world: World, monkeypatch: pytest.MonkeyPatch, equal: bool
) -> None:
    """A Secret made by someone since the list is not touched, even if it is equal, and is refused."""
    (secret,) = world.issue("web-tls")
    foreign = world.issuer.secret("web-tls", ["web-tls.example.org"])
    foreign["metadata"] = {"name": "web-tls", "namespace": "app-a"}
    foreign["data"] = secret["data"] if equal else foreign["data"]
    before: dict[str, str] = {}

    def meanwhile() -> None:
        world.admin().create(foreign)
        before.update(world.versions())

    race(world, monkeypatch, meanwhile)
    assert world.row("web-tls").reason is Reason.OWNED_BY_OTHER
    assert world.versions() == before


@pytest.mark.parametrize(
    ("owner", "reason"),
    [("ops", Reason.WOULD_DOWNGRADE), ("stage", Reason.OWNED_BY_ANOTHER_OWNER)],
    ids=["another run of ours", "another owner's run"],
)
def test_a_create_never_overwrites_another_tls_syncs(
    world: World, monkeypatch: pytest.MonkeyPatch, owner: str, reason: Reason
) -> None:
    """Two runs share one field manager, so no conflict of managers would protect the other's copy."""
    (secret,) = world.issue("web-tls")
    snapshot = world.snapshot()
    newer = world.issuer.renew(secret)
    before: dict[str, str] = {}

    def meanwhile() -> None:
        monkeypatch.setattr(write.Writer, "write", WRITE)
        original = world.config_path.read_text()
        world.config_path.write_text(original.replace("owner: ops", f"owner: {owner}"))
        world.put(newer)
        assert world.row("web-tls").applied
        world.put(secret)
        before.update(world.versions())

    race(world, monkeypatch, meanwhile)
    assert world.row("web-tls", snapshot=snapshot).reason is reason
    assert world.versions() == before


def test_a_run_with_an_old_list_ends_with_the_newer_certificate(world: World) -> None:
    """Where a copy is newer than the list of OPS, OPS is looked at again before anything is refused."""
    (secret,) = world.issue("web-tls")
    old = world.snapshot()
    world.renew(secret)
    world.sync()
    world.sync()  # writes the note
    before = world.versions()
    report = world.sync(snapshot=old)
    assert (report.counts, report.ok) == ({Action.KEEP: 1}, True)
    assert world.versions() == before


@pytest.fixture
def mutated(world: World) -> Iterator[None]:
    """A policy of the target that changes tls.crt in every Secret that is written."""
    group = "/apis/admissionregistration.k8s.io/v1/mutatingadmissionpolicies"
    policies = yaml.safe_load_all(MUTATION)
    admin = world.admin()
    for path, manifest in zip((group, f"{group.removesuffix('ies')}ybindings"), policies, strict=True):
        admin.post(path, manifest)
    yield
    admin.delete(f"{group.removesuffix('ies')}ybindings/x")
    admin.delete(f"{group}/x")


MUTATION = """
apiVersion: admissionregistration.k8s.io/v1
kind: MutatingAdmissionPolicy
metadata: {name: x}
spec:
  matchConstraints:
    resourceRules: [{apiGroups: [""], apiVersions: [v1], operations: [CREATE, UPDATE], resources: [secrets]}]
  reinvocationPolicy: Never
  failurePolicy: Fail
  mutations:
    - patchType: JSONPatch
      jsonPatch: {expression: '[JSONPatch{op: "replace", path: "/data/tls.crt", value: "eA=="}]'}
---
apiVersion: admissionregistration.k8s.io/v1
kind: MutatingAdmissionPolicyBinding
metadata: {name: x}
spec: {policyName: x}
"""


def test_what_mutating_admission_does_is_a_failure(world: World, mutated: None) -> None:
    """What a policy of the target changes, which managedFields do not show, makes each run fail."""
    (secret,) = world.issue("web-tls")
    probe = {**secret, "metadata": {"name": "probe", "namespace": "app-b"}}
    for _ in range(200):  # a policy takes its time to become active
        made = world.admin().post("/api/v1/namespaces/app-b/secrets?dryRun=All", probe)
        if made["data"]["tls.crt"] == "eA==":
            break
        time.sleep(0.1)
    assert [codes(world.sync()) for _ in range(2)] == [[FailureCode.ALTERED]] * 2


def test_an_update_is_a_compare_and_swap(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """A copy that changed between list and write is decided on anew: a newer one stays."""
    (secret,) = world.issue("web-tls")
    world.sync()
    world.renew(secret)
    newest = world.issuer.renew(world.issuer.renew(secret))
    path = "/api/v1/namespaces/app-a/secrets/web-tls"
    race(world, monkeypatch, lambda: world.admin().patch(path, {"data": newest["data"]}))
    assert world.row("web-tls").reason is Reason.WOULD_DOWNGRADE
    copy = world.copy("web-tls")
    assert copy is not None
    assert copy["data"] == newest["data"]


def test_an_update_never_creates(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """A copy deleted between list and write is made again only by a new decision, and reported as such."""
    (secret,) = world.issue("web-tls")
    world.sync()
    world.renew(secret)
    path = "/api/v1/namespaces/app-a/secrets/web-tls"
    race(world, monkeypatch, lambda: world.admin().delete(path))
    row = world.row("web-tls")
    assert (row.action, row.reason, row.applied) == (Action.CREATE, Reason.MISSING_ON_TARGET, True)


def test_another_cluster_than_the_pinned_one_is_not_read(world: World) -> None:
    """A context that leads to another cluster fails on its identity, before any list or write."""
    world.issue("web-tls")
    world.configure(clusterId="00000000-0000-0000-0000-000000000000", clusters=["dev"])
    start = world.log_position("dev")
    report = world.sync()
    assert codes(report) == [FailureCode.WRONG_CLUSTER]
    assert [r["verb"] for r in world.requests("dev", start)] == ["create", "get"]  # whoami, and its uid


def test_without_a_pin_the_report_says_what_to_pin(world: World) -> None:
    """A cluster without clusterId is served, and the report shows the id to paste."""
    world.issue("web-tls")
    world.configure(clusterId=None, clusters=["dev"])
    report = world.sync()
    assert report.ok
    assert world.admin().cluster_id() in report.warnings[0]


def test_a_namespace_without_rights_costs_only_itself(world: World) -> None:
    """A namespace that may not be listed is a failure; the other namespaces get their certificates."""
    world.issue("web-tls")
    world.configure([{"certificates": ["web-*"], "namespaces": ["app-a", "elsewhere"]}])
    report = world.sync()
    assert codes(report) == [FailureCode.FORBIDDEN]
    assert report.failures[0].what == "list secrets in elsewhere"
    assert not report.transient
    assert world.copy("web-tls") is not None


def test_a_rejected_credential_is_final(world: World) -> None:
    """401 fails the cluster at once and is not tried again; the token is in no text."""
    world.issue("web-tls")
    snapshot = world.snapshot()
    world.edit_kubeconfig("users", "dev", token="not-a-valid-token")
    report = world.sync(snapshot=snapshot)
    assert (codes(report), report.transient) == ([FailureCode.UNAUTHORIZED], False)
    assert "not-a-valid-token" not in str(report)


def test_an_unverified_server_gets_no_request(world: World) -> None:
    """A server whose certificate another CA signed is not talked to, and that is final."""
    world.issue("web-tls")
    snapshot = world.snapshot()
    stranger = world.issuer.root.pem
    authority = {"certificate-authority-data": base64.b64encode(stranger).decode()}
    world.edit_kubeconfig("clusters", "dev", **authority)
    start = world.log_position("dev")
    report = world.sync(snapshot=snapshot)
    assert (codes(report), report.transient) == ([FailureCode.TLS_FAILED], False)
    assert world.requests("dev", start) == []


def test_a_server_that_is_not_there_may_come_back(world: World) -> None:
    """No connection is a failure that may pass."""
    world.issue("web-tls")
    snapshot = world.snapshot()
    world.edit_kubeconfig("clusters", "dev", server="https://127.0.0.1:1")
    report = world.sync(snapshot=snapshot)
    assert (codes(report), report.transient) == ([FailureCode.UNREACHABLE], True)


def test_a_missing_kubeconfig_is_said_with_its_path(world: World, tmp_path: Path) -> None:
    """Without a kubeconfig every cluster fails with the path that was tried."""
    world.issue("web-tls")
    snapshot = world.snapshot()
    world.kubeconfig.unlink()
    report = world.sync(snapshot=snapshot)
    assert codes(report) == [FailureCode.KUBECONFIG]
    assert str(tmp_path / "kubeconfig") in report.failures[0].detail


def test_a_missing_namespace_is_named(world: World) -> None:
    """A route to a namespace that does not exist fails for its certificates alone, without creating it."""
    world.issue("web-tls")
    admin = world.admin()
    role = {"apiGroups": [""], "resources": ["secrets"], "verbs": ["list", "get", "patch", "create"]}
    kind = {"apiVersion": "rbac.authorization.k8s.io/v1"}
    admin.ensure(kind | {"kind": "ClusterRole", "metadata": {"name": "wide"}, "rules": [role]})
    subject = {"kind": "ServiceAccount", "name": "tls-sync", "namespace": "tls-sync"}
    binding = {"kind": "ClusterRoleBinding", "metadata": {"name": "wide"}, "subjects": [subject]}
    reference = {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "wide"}
    admin.ensure(kind | binding | {"roleRef": reference})
    try:
        world.configure([{"certificates": ["web-*"], "namespaces": ["app-a", "nowhere"]}])
        report = world.sync()
    finally:
        admin.delete("/apis/rbac.authorization.k8s.io/v1/clusterrolebindings/wide")
    assert codes(report) == [FailureCode.NAMESPACE_MISSING]
    assert world.copy("web-tls") is not None


def test_a_namespace_being_deleted_is_named(world: World) -> None:
    """Nothing can be created in a namespace that is going; the others get their certificates."""
    world.issue("web-tls")
    admin = world.admin()
    admin.namespace("going")  # a name that no other test uses: all share the clusters
    admin.apply_file(NAMESPACE_ROLE, "going")
    admin.delete("/api/v1/namespaces/going")  # no controller ends it here, so it stays terminating
    world.configure([{"certificates": ["web-*"], "namespaces": ["app-a", "going"]}])
    report = world.sync()
    assert codes(report) == [FailureCode.NAMESPACE_TERMINATING]
    assert world.copy("web-tls") is not None


def test_an_expired_newer_copy_gives_way(world: World) -> None:
    """A newer copy that has expired is replaced: an older certificate that works is better."""
    now = datetime.now(UTC)
    life = {"not_before": now - timedelta(days=2), "not_after": now - timedelta(days=1)}
    (secret,) = world.issue("web-tls", not_before=now - timedelta(days=20))
    world.sync()
    newer = world.issuer.secret("web-tls", ["web-tls.example.org"], **life)  # type: ignore[arg-type]
    world.admin().patch("/api/v1/namespaces/app-a/secrets/web-tls", {"data": newer["data"]})
    assert world.row("web-tls").reason is Reason.DRIFTED
    copy = world.copy("web-tls")
    assert copy is not None
    assert copy["data"] == secret["data"]


def test_an_unforeseen_error_costs_one_row_and_shows_nothing_of_itself(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A defect while one certificate is written stops no other, and shows nothing of its text."""
    world.issue("web-tls", "web-2-tls")
    apply = SecretApplier._apply

    def stumble(self: SecretApplier, change: Change, certificate: Certificate, candidate: TLSSecret) -> None:
        if change.certificate == "web-tls":
            raise RuntimeError(candidate.data["tls.key"].decode())
        apply(self, change, certificate, candidate)

    monkeypatch.setattr(SecretApplier, "_apply", stumble)
    report = world.sync()
    assert codes(report) == [FailureCode.INTERNAL]
    assert "RuntimeError at test_delivery.py:" in report.failures[0].detail
    assert "PRIVATE KEY" not in str(report)
    assert {change.certificate: change.applied for change in report.changes} == {
        "web-tls": False,
        "web-2-tls": True,
    }
