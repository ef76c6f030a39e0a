"""Copies whose certificate is gone from OPS, on real API servers and in the flow."""

import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from prefect.client.schemas.objects import State

from deployments.sandbox.clusters.rest import AdminError, Rest
from deployments.sandbox.world.cert_manager import SOURCE_NAMESPACE
from deployments.sandbox.world.certificate_resource import certificate, put
from flows.tls_sync import tls_sync
from tasks.config.load import load_config
from tasks.domain.annotations import (
    FIELD_MANAGER,
    MANAGED_BY,
    ORPHAN_MARKS,
    ORPHANED_RUNS,
    ORPHANED_SEEN,
    ORPHANED_SINCE,
    PRUNE,
    SOURCE_CLUSTER,
)
from tasks.setup.manifests import manifests
from tests.support.clusters import NAMESPACES, Manifest, World
from tests.support.fault_proxy import LOST, Answer, Forward, Request
from tests.support.waiting import until

pytestmark = [pytest.mark.apiserver, pytest.mark.usefixtures("prefect_server", "no_waiting")]

NAMES = tuple(f"web-{number:02}-tls" for number in range(10))
GONE = NAMES[0]
BINDING = "/apis/rbac.authorization.k8s.io/v1/namespaces/app-a/rolebindings/tls-sync"


@pytest.fixture
def pruned(world: World) -> World:
    """Ten copies on each target; DEV is pruned, and its account may do what that takes."""
    configure(world, "dev")
    grant(world, "dev")
    world.issue(*NAMES)
    assert run().is_completed()
    return world


def configure(world: World, *names: str, **source: Any) -> None:
    """These clusters are pruned; `source` are further keys of OPS."""

    def change(document: Manifest) -> None:
        document["source"] |= {"clusterId": world.ops.cluster_id()} | source
        for entry in document["clusters"]:
            entry["prune"] = entry["name"] in names

    world.configure()
    world.edit_config(change)


def grant(world: World, cluster: str) -> None:
    """Apply what `tls-sync rights manifests` prints, and wait until the server heeds it."""
    (entry,) = load_config().named(cluster)
    admin = world.admin(cluster)
    for manifest in manifests(entry):
        admin.ensure(manifest)
    admin.create(secret("probe", {}))
    age(world, "probe", cluster)
    until("deletions are allowed", lambda: may_delete(world.account(cluster), "probe"))
    admin.delete(place("probe"))


def may_delete(somebody: Rest, name: str) -> bool:
    try:
        somebody.delete(f"{place(name)}?dryRun=All")
    except AdminError:
        return False
    return True


def secret(name: str, annotations: dict[str, str]) -> Manifest:
    metadata = {"name": name, "namespace": "app-a", "labels": {MANAGED_BY: "tls-sync"}}
    metadata["annotations"] = annotations
    return {"apiVersion": "v1", "kind": "Secret", "type": "Opaque", "metadata": metadata}


def place(name: str, namespace: str = "app-a") -> str:
    return f"/api/v1/namespaces/{namespace}/secrets/{name}"


def bare(secret: Manifest) -> Manifest:
    return {key: secret["metadata"][key] for key in ("name", "namespace")}


def take_away(world: World, *names: str) -> None:
    for name in names:
        world.ops.delete(place(name, SOURCE_NAMESPACE))


def age(world: World, name: str = GONE, cluster: str = "dev", hours: float = 25, runs: int = 3) -> None:
    """As if so many runs had found it gone, the first of them so long ago."""
    now = datetime.now(UTC)
    notes = {
        ORPHANED_SINCE: (now - timedelta(hours=hours)).isoformat(timespec="seconds"),
        ORPHANED_SEEN: (now - timedelta(hours=1)).isoformat(timespec="seconds"),
        ORPHANED_RUNS: str(runs),
    }
    world.admin(cluster).patch(place(name), {"metadata": {"annotations": notes}})


def notes_on(world: World, name: str = GONE, cluster: str = "dev") -> dict[str, str]:
    copy = world.copy(name, cluster)
    assert copy is not None
    found = copy["metadata"]["annotations"]
    return {key: value for key, value in found.items() if key in ORPHAN_MARKS}


def age_notes(world: World, by: timedelta) -> None:
    """As if so much time had passed since they were made."""
    found = notes_on(world)
    for key in (ORPHANED_SINCE, ORPHANED_SEEN):
        found[key] = (datetime.fromisoformat(found[key]) - by).isoformat()
    world.admin().patch(place(GONE), {"metadata": {"annotations": found}})


def run(**parameters: Any) -> State[Any]:
    return tls_sync(**parameters, return_state=True)


def message(state: State[Any]) -> str:
    assert state.message is not None
    return state.message


def test_what_is_gone_is_deleted_after_three_runs_and_a_day(pruned: World) -> None:
    """The copy stays whole and noted until then; where nothing prunes, it stays for ever, unnoted."""
    take_away(pruned, GONE)
    before = pruned.copy(GONE)
    for number in (1, 2, 3):
        assert message(run()) == "3 clusters: keep 30"
        assert notes_on(pruned)[ORPHANED_RUNS] == str(number)
        age_notes(pruned, timedelta(minutes=50))
    versions = pruned.versions()
    assert message(run()) == "3 clusters: keep 30"
    assert pruned.versions() == versions
    copy = pruned.copy(GONE)
    assert before is not None
    assert copy is not None
    assert copy["data"] == before["data"]
    age(pruned)
    assert message(run()) == "3 clusters: keep 29, delete 1"
    assert pruned.copy(GONE) is None
    assert notes_on(pruned, cluster="prd") == {}
    assert message(run()) == "3 clusters: keep 29"


@pytest.mark.parametrize(("hours", "runs"), [(25, 2), (23, 30)], ids=["two runs", "23 hours"])
def test_runs_and_hours_are_both_needed(pruned: World, hours: float, runs: int) -> None:
    """Neither many runs nor a day alone delete a copy."""
    take_away(pruned, GONE)
    age(pruned, hours=hours, runs=runs)
    assert message(run()) == "3 clusters: keep 30"
    assert pruned.copy(GONE)


@pytest.mark.parametrize(
    "parameters",
    [
        {"cluster": "dev"},
        {"certificate": NAMES[2]},
        {"group": "wave-1"},
        {"urgent_only": True},
        {"dry_run": True},
    ],
    ids=["one cluster", "one certificate", "a group", "what is urgent", "dry run"],
)
def test_only_a_whole_run_prunes(pruned: World, parameters: dict[str, Any]) -> None:
    """A run by hand for a part deletes and notes nothing; a dry run says what would be deleted."""
    take_away(pruned, GONE, NAMES[1])
    age(pruned)  # this one is due; the other one wants a first note
    versions = pruned.versions()
    state = run(**parameters)
    assert pruned.versions() == versions
    assert ("delete 1" in message(state)) is ("dry_run" in parameters)


def test_what_comes_back_is_not_gone(pruned: World) -> None:
    """The notes end as soon as OPS has the Secret again, fit or not: a later absence counts anew."""
    fit, unfit = (pruned.ops.secret(SOURCE_NAMESPACE, name) for name in (GONE, NAMES[1]))
    assert fit
    assert unfit
    take_away(pruned, GONE, NAMES[1])
    age(pruned)
    age(pruned, NAMES[1])
    pruned.put({**fit, "metadata": bare(fit)})
    pruned.put({**unfit, "metadata": bare(unfit), "data": unfit["data"] | {"tls.key": ""}})
    run()
    assert (notes_on(pruned), notes_on(pruned, NAMES[1])) == ({}, {})
    take_away(pruned, GONE, NAMES[1])
    run()
    assert notes_on(pruned)[ORPHANED_RUNS] == "1"


def test_a_copy_that_is_written_keeps_no_notes(pruned: World) -> None:
    """A copy that each run writes, because someone edits it, keeps no notes: its certificate is on OPS."""
    age(pruned)
    pruned.admin().patch(place(GONE), {"data": {"note": "bm90ZQ=="}})
    run()
    assert notes_on(pruned) == {}
    copy = pruned.copy(GONE, "dev")
    assert copy is not None
    assert "note" not in copy["data"]


@pytest.mark.parametrize(
    ("gone", "told"),
    [
        (NAMES[:4], "4 of 10 certificates are gone from OPS at once"),
        (NAMES, "OPS holds no certificate at all, and 10 are missing there"),
    ],
    ids=["four of ten", "all"],
)
def test_ops_that_lost_much_deletes_nothing(pruned: World, gone: tuple[str, ...], told: str) -> None:
    """Beyond 30 %, nothing is deleted or noted, and the run is Failed until a person has looked."""
    take_away(pruned, *gone)
    for name in gone:
        age(pruned, name)
    versions = pruned.versions()
    state = run()
    assert message(state).startswith("1 of 3 clusters failed: dev (PruneRefused: delete copies: copies")
    assert told in message(state)
    assert pruned.versions() == versions


def test_a_selector_that_hides_a_certificate_deletes_nothing(pruned: World) -> None:
    """OPS is asked by name before each deletion: what is there and was not listed is no reason."""
    for name in NAMES[1:]:
        pruned.ops.patch(place(name, SOURCE_NAMESPACE), {"metadata": {"labels": {"team": "web"}}})
    configure(pruned, "dev", selector={"team": "web"})
    age(pruned)
    state = run()
    assert f"dev (PruneRefused: delete secret app-a/{GONE}: " in message(state)
    assert "(OPS has its source, though no list showed it)" in message(state)
    assert pruned.copy(GONE)


def test_what_cert_manager_is_to_issue_is_not_gone(pruned: World, cert_manager: World) -> None:
    """What somebody deleted comes back by its Certificate: copies stay, and a dry run says so, too."""
    source = pruned.ops.secret(SOURCE_NAMESPACE, GONE)
    assert source is not None
    put(pruned.ops, certificate(source))
    take_away(pruned, GONE)
    age(pruned)
    for dry_run in (True, False):
        assert "(OPS has a Certificate for it)" in message(run(dry_run=dry_run))
    assert pruned.copy(GONE)


@pytest.mark.parametrize("spec", ["nonsense", {}, {"secretName": ["web"]}], ids=str)
def test_a_certificate_that_can_not_be_read_deletes_nothing(
    pruned: World, cert_manager: World, spec: object
) -> None:
    """It may be the one that the copy comes from: that is doubt, and it is said with its name."""
    source = pruned.ops.secret(SOURCE_NAMESPACE, GONE)
    assert source is not None
    put(pruned.ops, certificate(source))
    take_away(pruned, GONE)
    age(pruned)

    def spoil(request: Request, forward: Forward) -> Answer:
        answer = forward()
        if "/certificates?" not in request.path:
            return answer
        page = json.loads(answer.body)
        page["items"][0]["spec"] = spec
        return replace(answer, body=json.dumps(page).encode())

    with pruned.proxy("ops") as proxy:
        proxy.fault = spoil
        said = message(run())
    assert f"(Certificate {GONE} can't be read)" in said
    assert pruned.copy(GONE)


def test_another_cluster_in_place_of_ops_deletes_nothing(pruned: World) -> None:
    """Where the source's context leads to another cluster than the pinned one, no run begins."""
    take_away(pruned, GONE)
    age(pruned)
    configure(pruned, "dev", clusterId=pruned.admin("rct").cluster_id())
    state = run()
    assert (state.name, "WrongCluster: verify clusterId" in message(state)) == ("SourceUnreadable", True)
    assert pruned.copy(GONE)


def test_a_list_that_ends_midway_deletes_nothing(pruned: World) -> None:
    """Where OPS's list can't be read to its end as of one moment, nothing is known to be gone."""
    take_away(pruned, GONE)
    age(pruned)

    def expired(request: Request, forward: Forward) -> Answer:
        return Answer(410) if "/secrets?" in request.path else forward()

    with pruned.proxy("ops") as proxy:
        proxy.fault = expired
        state = run()
    assert state.name == "SourceUnreadable"
    assert pruned.copy(GONE)


def test_rights_lost_on_ops_delete_nothing(pruned: World) -> None:
    """What we may not see is not gone."""
    take_away(pruned, GONE)
    age(pruned)
    role = f"/apis/rbac.authorization.k8s.io/v1/namespaces/{SOURCE_NAMESPACE}/rolebindings/tls-sync"
    pruned.ops.delete(role)
    until("the right is gone", lambda: run().name == "SourceUnreadable")
    assert pruned.copy(GONE)


def test_whoever_is_faster_wins(pruned: World) -> None:
    """A copy that somebody changes while it is about to be deleted stays, and the run is not Failed."""
    take_away(pruned, GONE)
    age(pruned)

    def touched(request: Request, forward: Forward) -> Answer:
        if request.method == "DELETE":
            pruned.admin().patch(place(GONE), {"metadata": {"annotations": {"touched": "yes"}}})
        return forward()

    with pruned.proxy() as proxy:
        proxy.fault = touched
        assert message(run()) == "3 clusters: keep 30"
    assert pruned.copy(GONE)


def test_a_lost_answer_is_looked_after(pruned: World) -> None:
    """A deletion whose answer is lost counts once the copy is seen to be gone."""
    take_away(pruned, GONE)
    age(pruned)

    def lost(request: Request, forward: Forward) -> Answer | None:
        answer = forward()
        return LOST if request.method == "DELETE" else answer

    with pruned.proxy() as proxy:
        proxy.fault = lost
        assert message(run()) == "3 clusters: keep 29, delete 1"
    assert pruned.copy(GONE) is None


def test_a_copy_may_be_kept(pruned: World) -> None:
    """By an annotation of the target's own people; and what somebody edited is not ours alone to delete."""
    take_away(pruned, GONE, NAMES[1])
    age(pruned)
    age(pruned, NAMES[1])
    pruned.admin().patch(place(GONE), {"metadata": {"annotations": {PRUNE: "false"}}})
    pruned.admin().patch(place(NAMES[1]), {"data": {"note": "eA=="}})
    assert message(run()) == "3 clusters: keep 30"
    assert pruned.copy(GONE)
    assert pruned.copy(NAMES[1])


def test_others_secrets_and_literal_names_are_kept(pruned: World) -> None:
    """What is not ours, what a route names, and what no route sends any more is never deleted."""
    pruned.add_neighbours()
    routes = [{"certificates": [GONE, NAMES[1], "web-02*"], "namespaces": ["app-a"]}]
    pruned.edit_config(lambda document: document["clusters"][0].update(routes=routes))
    take_away(pruned, GONE)
    age(pruned)
    age(pruned, NAMES[5])
    names = {one["metadata"]["name"] for ns in NAMESPACES for one in pruned.admin().secrets(ns)}
    state = run()
    assert "dev (MissingOnSource" in message(state)
    assert {one["metadata"]["name"] for ns in NAMESPACES for one in pruned.admin().secrets(ns)} == names


def test_without_the_right_the_copy_stays(pruned: World) -> None:
    """And the run is Failed and says what to apply, since somebody wanted it deleted."""
    take_away(pruned, GONE)
    age(pruned)
    admin = pruned.admin()
    role = "/apis/rbac.authorization.k8s.io/v1/namespaces/app-a/roles/tls-sync"
    rules = admin.get(role)["rules"]
    rules[0]["verbs"] = [verb for verb in rules[0]["verbs"] if verb != "delete"]
    admin.patch(role, {"rules": rules})
    until("the right is gone", lambda: not may_delete(pruned.account(), GONE))
    said = message(run())
    assert f"dev (Forbidden: delete secret app-a/{GONE}: " in said
    assert "apply what `tls-sync rights manifests` prints" in said
    assert pruned.copy(GONE)


def test_without_the_policy_of_prune_nothing_is_noted(pruned: World) -> None:
    """The first run that wants to note something is Failed, and says what to apply: not one a day later."""
    pruned.admin().apply_file(Path("tasks/setup/target/admission-policy.yaml"))
    note = {"metadata": {"annotations": {ORPHANED_RUNS: "1"}}}

    def may_note() -> bool:
        try:
            pruned.account().patch(f"{place(GONE)}?dryRun=All", note)
        except AdminError:
            return False
        return True

    until("notes are denied", lambda: not may_note())
    take_away(pruned, GONE)
    said = message(run())
    assert f"dev (Forbidden: annotate secret app-a/{GONE}: " in said
    assert "apply what `tls-sync rights manifests` prints" in said
    assert notes_on(pruned) == {}


def test_prd_waits_for_dev(pruned: World) -> None:
    """Where an earlier wave went badly, nothing is deleted in the later ones, however they stand."""
    configure(pruned, "prd")
    grant(pruned, "prd")

    def change(document: Manifest) -> None:
        document["clusters"].reverse()
        for entry in document["clusters"]:
            entry["wave"] = 1 + (entry["name"] == "prd")

    pruned.edit_config(change)
    take_away(pruned, GONE)
    age(pruned, cluster="prd")
    with pruned.down("dev"):
        run()
        assert pruned.copy(GONE, "prd")
    assert message(run()) == "3 clusters: keep 29, delete 1"
    assert pruned.copy(GONE, "prd") is None


def test_the_policy_lets_only_noted_copies_go(pruned: World) -> None:
    """Even with the right to delete, our credential can't delete what bears no note, nor what is not ours."""
    admin, thief = pruned.admin(), pruned.account()
    foreign = secret("foreign", {ORPHANED_SINCE: "x"})
    foreign["metadata"]["labels"] = {}
    admin.create(foreign)
    assert not may_delete(thief, GONE)
    assert not may_delete(thief, "foreign")
    age(pruned)
    assert may_delete(thief, GONE)


@pytest.mark.parametrize(
    ("former", "why"),
    [
        (None, "did not note from which OPS cluster"),
        ("71aa9a52-5a4e-4f0e-9d0b-6f1f0c6f2b11", "it came from a former OPS cluster"),
    ],
    ids=["an earlier version", "a former OPS"],
)
def test_a_copy_that_does_not_say_that_this_ops_wrote_it_is_kept(
    pruned: World, former: str | None, why: str
) -> None:
    """OPS can't prove that what fed it is gone: it stays, undeleted and unnoted, and its row says why."""
    configure(pruned, "dev", formerClusterIds=[former] if former else [])
    copy = pruned.copy(GONE)
    assert copy is not None
    metadata = {key: copy["metadata"][key] for key in ("name", "namespace", "labels", "annotations")}
    stamp = {SOURCE_CLUSTER: former} if former else {}
    del metadata["annotations"][SOURCE_CLUSTER]
    body = {key: copy[key] for key in ("apiVersion", "kind", "type", "data")} | {"metadata": metadata}
    metadata["annotations"] |= stamp
    pruned.admin().apply(place(GONE), body, FIELD_MANAGER, force=True)
    take_away(pruned, GONE)
    age(pruned)
    assert message(run()) == "3 clusters: keep 30"
    (row,) = [one for one in pruned.sync().changes if one.target.name == GONE]
    assert why in row.detail
