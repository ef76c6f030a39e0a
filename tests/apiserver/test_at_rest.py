"""Private keys stay on OPS where nothing has changed: real API servers, and a counter of keys before them."""

import time
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from deployments.sandbox.clusters.manifests import Manifest
from deployments.sandbox.world.cert_manager import SOURCE_NAMESPACE
from tasks.domain.annotations import FIELD_MANAGER, NOTE, NOTE_MANAGER
from tasks.domain.models import ClusterReport
from tasks.domain.reasons import Reason
from tasks.target.sync import sync
from tests.support.clusters import TARGETS, World
from tests.support.key_counter import KeyCounter, counting_keys

pytestmark = pytest.mark.apiserver

NAMES = ("web-a-tls", "web-b-tls", "web-c-tls")


@pytest.fixture
def counter(world: World) -> Iterator[KeyCounter]:
    """Everything that tls-sync reads goes through it; the tests themselves go around it."""
    with counting_keys(world.kubeconfig) as found:
        yield found


def reasons(reports: dict[str, ClusterReport]) -> set[Reason]:
    assert not [failure for report in reports.values() for failure in report.failures]
    return {row.reason for report in reports.values() for row in report.changes}


def keys_of_a_run(world: World, counter: KeyCounter) -> tuple[int, set[Reason]]:
    """Return how many private keys a run reads on OPS, and the reasons in its reports."""
    before = counter.keys_by_cluster.copy()
    found = reasons(world.run())
    read = counter.keys_by_cluster - before
    return sum(number for cluster, number in read.items() if "ops" in cluster), found


def settled(world: World, counter: KeyCounter) -> None:
    """The copies exist and have their notes."""
    world.run()
    world.run()
    assert keys_of_a_run(world, counter) == (0, {Reason.IN_SYNC})


def writes(world: World, cluster: str, since: int) -> list[tuple[str, str]]:
    """Return the field managers of the writes to a cluster, and the names of the Secrets."""
    found = (one for one in world.requests(cluster, since) if one["verb"] in ("patch", "update"))
    return sorted(
        (one["requestURI"].partition("fieldManager=")[2].partition("&")[0], one["objectRef"]["name"])
        for one in found
    )


def entry(secret: Manifest | None, manager: str) -> Any:
    assert secret
    (found,) = (one for one in secret["metadata"]["managedFields"] if one["manager"] == manager)
    return found


def test_a_run_without_changes_reads_no_private_key(world: World, counter: KeyCounter) -> None:
    """The first run reads and writes, the second one reads once and writes notes; no other reads a key."""
    world.issue(*NAMES)
    read, found = keys_of_a_run(world, counter)
    assert found == {Reason.MISSING_ON_TARGET}
    # Once to decide, and once to write for all clusters, or again for one that comes late.
    assert read in {len(NAMES) * (1 + lists) for lists in range(1, len(TARGETS) + 1)}
    assert keys_of_a_run(world, counter) == (len(NAMES), {Reason.IN_SYNC})
    before = counter.keys_read
    positions = {name: world.log_position(name) for name in ("ops", *TARGETS)}
    assert reasons(world.run()) == {Reason.IN_SYNC}
    assert counter.keys_read == before
    asked = {name: [one["verb"] for one in world.requests(name, at)] for name, at in positions.items()}
    assert asked == {"ops": ["create", "get", "list", "list"]} | {
        name: ["create", "get", "list"] for name in TARGETS
    }


def test_requests_for_data_can_be_told_from_others_in_an_audit_log(world: World) -> None:
    """Their User-Agent is tls-sync/data; a run without changes makes none."""
    world.issue(*NAMES)
    positions = [world.log_position("ops")]
    for _ in range(3):
        world.run()
        positions.append(world.log_position("ops"))
    logs = [world.requests("ops", position) for position in positions]
    runs = [logs[number][: len(logs[number]) - len(logs[number + 1])] for number in range(3)]
    agents = [{one["userAgent"] for one in run} for run in runs]
    assert agents == [{"tls-sync", "tls-sync/data"}, {"tls-sync", "tls-sync/data"}, {"tls-sync"}]


def test_a_run_that_verifies_reads_all_keys_and_changes_nothing(world: World, counter: KeyCounter) -> None:
    """It decides as one that relies on notes, and leaves the notes as they are."""
    world.issue(*NAMES)
    settled(world, counter)
    position, before = world.log_position("dev"), counter.keys_read
    report = world.sync(snapshot=world.snapshot())
    assert reasons({"dev": report}) == {Reason.IN_SYNC}
    assert counter.keys_read - before == len(NAMES)
    assert writes(world, "dev", position) == []


def test_a_label_on_ops_costs_one_reading_and_no_data(world: World, counter: KeyCounter) -> None:
    """Metadata can't tell it from a renewal: the Secret is read once, and the notes alone are written."""
    world.issue(*NAMES)
    settled(world, counter)
    path = f"/api/v1/namespaces/{SOURCE_NAMESPACE}/secrets/{NAMES[0]}"
    world.ops.patch(path, {"metadata": {"labels": {"team": "web"}}})
    position, before = world.log_position("dev"), entry(world.copy(NAMES[0]), FIELD_MANAGER)
    assert keys_of_a_run(world, counter) == (1, {Reason.IN_SYNC})
    assert writes(world, "dev", position) == [(NOTE_MANAGER, NAMES[0])]
    assert entry(world.copy(NAMES[0]), FIELD_MANAGER) == before
    assert keys_of_a_run(world, counter) == (0, {Reason.IN_SYNC})


def test_a_renewal_is_copied_and_noted(world: World, counter: KeyCounter) -> None:
    """The renewed certificate is read to decide and to write, then once for the note; others are not read."""
    secret, *_ = world.issue(*NAMES)
    settled(world, counter)
    renewed = world.renew(secret)
    read, found = keys_of_a_run(world, counter)
    assert (read, found) == (1 + len(TARGETS), {Reason.CERTIFICATE_RENEWED, Reason.IN_SYNC})
    assert world.is_everywhere(renewed)
    assert keys_of_a_run(world, counter)[0] == 1
    assert keys_of_a_run(world, counter) == (0, {Reason.IN_SYNC})


def test_an_upgrade_writes_notes_and_a_downgrade_sees_no_edit(world: World, counter: KeyCounter) -> None:
    """Copies of an earlier version get notes, no data; what that version looks at stays as it was."""
    world.issue(*NAMES)
    settled(world, counter)
    for name in NAMES:
        path = f"/api/v1/namespaces/app-a/secrets/{name}"
        world.admin().patch(path, {"metadata": {"annotations": {NOTE: None}}})
    position = world.log_position("dev")
    before = [entry(world.copy(name), FIELD_MANAGER) for name in NAMES]
    assert keys_of_a_run(world, counter) == (len(NAMES), {Reason.IN_SYNC})
    assert writes(world, "dev", position) == [(NOTE_MANAGER, name) for name in NAMES]
    assert [entry(world.copy(name), FIELD_MANAGER) for name in NAMES] == before
    for name in NAMES:
        fields = entry(world.copy(name), NOTE_MANAGER)["fieldsV1"]
        assert fields == {"f:metadata": {"f:annotations": {f"f:{NOTE}": {}}}}


def test_narrowed_hostnames_are_heeded_though_the_copy_has_its_note(
    world: World, counter: KeyCounter
) -> None:
    """The note was made under other rules: the certificate is read, and refused from then on."""
    world.issue(NAMES[0])
    settled(world, counter)
    world.edit_config(lambda found: found["clusters"][0].update(hostnames=["other.example.org"]))
    name = world.targets[0]
    for _ in range(2):
        report = world.run()[name]
        assert [row.reason for row in report.changes] == [Reason.HOSTNAME_NOT_ALLOWED]
        assert not report.ok


def test_a_certificate_that_expires_while_nobody_touches_it_is_told(
    world: World, counter: KeyCounter
) -> None:
    """Its note agrees, and all the same each run says that it has expired."""
    end = datetime.now(UTC).replace(microsecond=0) + timedelta(seconds=12)
    world.issue(NAMES[0], not_before=end - timedelta(hours=1), not_after=end)
    world.run()
    world.run()
    time.sleep(max(0.0, (end - datetime.now(UTC)).total_seconds()) + 1)
    for _ in range(2):
        report = world.run()["dev"]
        assert [row.reason for row in report.changes] == [Reason.EXPIRED]
        assert not report.ok


@pytest.mark.parametrize("forged", ["spoilt", ""])
def test_a_spoilt_note_costs_one_reading(world: World, counter: KeyCounter, forged: str) -> None:
    """The copy is compared, and gets its note back."""
    world.issue(NAMES[0])
    settled(world, counter)
    path = f"/api/v1/namespaces/app-a/secrets/{NAMES[0]}"
    world.admin().patch(path, {"metadata": {"annotations": {NOTE: forged}}})
    assert keys_of_a_run(world, counter) == (1, {Reason.IN_SYNC})
    assert keys_of_a_run(world, counter) == (0, {Reason.IN_SYNC})


def test_a_forged_note_hides_no_edit_and_holds_up_no_other_cluster(world: World, counter: KeyCounter) -> None:
    """The note of the new version, forged on an edited copy: that copy is repaired, the others renewed."""
    (secret,) = world.issue(NAMES[0])
    settled(world, counter)
    renewed = world.renew(secret)
    world.run()
    world.run()
    genuine = world.copy(NAMES[0], "rct")
    assert genuine
    path = f"/api/v1/namespaces/app-a/secrets/{NAMES[0]}"
    forged = {"annotations": {NOTE: genuine["metadata"]["annotations"][NOTE]}}
    world.admin().patch(path, {"metadata": forged, "data": secret["data"]})
    found = {name: [row.reason for row in report.changes] for name, report in world.run().items()}
    assert found == {name: [Reason.DRIFTED if name == "dev" else Reason.IN_SYNC] for name in TARGETS}
    assert world.is_everywhere(renewed)


def test_a_new_route_reads_the_certificate_for_its_copy(world: World, counter: KeyCounter) -> None:
    """The copy that it had already has its note; the new one is written."""
    world.issue(NAMES[0])
    settled(world, counter)
    world.edit_config(
        lambda found: found["clusters"][0]["routes"].append(
            {"certificates": [NAMES[0]], "namespaces": ["app-b"]}
        )
    )
    name = world.targets[0]
    rows = {row.target.namespace: row.reason for row in world.run()[name].changes}
    assert rows["app-b"] is Reason.MISSING_ON_TARGET
    assert world.copy(NAMES[0], name, "app-b")


def test_notes_are_written_with_the_rights_that_copies_need_and_no_others(world: World) -> None:
    """In a protected cluster, a credential that may do more writes nothing, notes included."""
    world.issue(NAMES[0])
    world.run()
    world.edit_config(lambda found: [one.update(protected=True) for one in found["clusters"]])
    rules = [{"apiGroups": [""], "resources": ["secrets"]}]
    role = "/apis/rbac.authorization.k8s.io/v1/namespaces/app-a/roles/tls-sync"
    for verbs, noted in ((["list", "create", "get", "patch", "delete"], False), (None, True)):
        wanted = verbs or ["list", "create", "get", "patch"]
        world.admin().patch(role, {"rules": [{**rules[0], "verbs": wanted}]})
        time.sleep(0.5)  # the authorizer learns of it by a watch
        assert reasons({"dev": world.sync(snapshot=world.listed())}) == {Reason.IN_SYNC}
        copy = world.copy(NAMES[0])
        assert copy
        assert (NOTE in copy["metadata"]["annotations"]) == noted


def test_a_run_for_urgent_copies_writes_no_notes(world: World) -> None:
    """It writes only what expires within a day."""
    world.issue(NAMES[0])
    world.run()
    spec = world.spec("dev", world.listed())
    urgent = replace(spec, parameters=replace(spec.parameters, urgent_only=True))
    position = world.log_position("dev")
    assert sync(urgent, time.monotonic() + 60).ok
    assert writes(world, "dev", position) == []
