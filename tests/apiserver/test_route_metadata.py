"""Labels and annotations that a route gives to its copies, on real servers: kept, changed, and taken off."""

from typing import Any

import pytest

from tasks.domain.annotations import LABELS, OWN_METADATA
from tasks.domain.models import Action
from tasks.domain.reasons import Reason
from tasks.watch.reconciler import Reconciler
from tests.apiserver.test_renewal import TIMINGS, all_requests, issue, started
from tests.support.clusters import World

pytestmark = [pytest.mark.apiserver, pytest.mark.timeout(600)]

PATH = "/api/v1/namespaces/app-a/secrets/web-tls"
MATCH = "reloader.stakater.com/match"
GIVEN: dict[str, dict[str, str]] = {
    "labels": {"team": "web"},
    "annotations": {MATCH: "true", "team": "of web"},
}


def give(world: World, metadata: dict[str, Any]) -> None:
    """Let the routes of all clusters give this."""

    def change(document: dict[str, Any]) -> None:
        document["allowedMetadata"] = {"labels": ["team", "tier"], "annotations": [MATCH, "team"]}
        for cluster in document["clusters"]:
            for route in cluster["routes"]:
                route["metadata"] = metadata

    world.configure()
    world.edit_config(change)


def metadata(world: World) -> dict[str, dict[str, str]]:
    """Return the labels and annotations of the copy that are not tls-sync's own."""
    copy = world.copy("web-tls")
    assert copy is not None
    found = {part: copy["metadata"].get(part) or {} for part in ("labels", "annotations")}
    own = OWN_METADATA | LABELS
    return {
        part: {key: text for key, text in some.items() if key not in own and "source-version" not in key}
        for part, some in found.items()
    }


def outcome(world: World, *, listed: bool = True) -> tuple[Action, Reason]:
    """Run, by what is listed alone where it can, and return what became of the copy."""
    row = world.row("web-tls", snapshot=world.listed() if listed else world.snapshot())
    assert row.applied is row.writes
    return row.action, row.reason


IN_SYNC, CHANGED = (Action.KEEP, Reason.IN_SYNC), (Action.UPDATE, Reason.METADATA_CHANGED)
DRIFTED = (Action.UPDATE, Reason.DRIFTED)


def test_a_copy_has_what_its_route_gives_now(world: World) -> None:
    """With its creation, after each change of the route, and no longer than the route gives it."""
    world.issue("web-tls")
    give(world, GIVEN)
    assert outcome(world) == (Action.CREATE, Reason.MISSING_ON_TARGET)
    assert metadata(world) == GIVEN
    for now in ({"labels": {"team": "net", "tier": "1"}}, {"annotations": {MATCH: "true"}}, {}, GIVEN):
        assert outcome(world) == IN_SYNC
        give(world, now)
        assert outcome(world) == CHANGED
        assert metadata(world) == {"labels": {}, "annotations": {}} | now
    assert outcome(world, listed=False) == outcome(world) == IN_SYNC


EDITS: dict[str, dict[str, Any]] = {
    "a label has another value": {"labels": {"team": "x"}},
    "a label is gone": {"labels": {"team": None}},
    "an annotation has another value": {"annotations": {MATCH: "false"}},
    "an annotation is gone": {"annotations": {"team": None}},
    "what says which keys were given is gone": {"annotations": {"tls-sync.io/metadata": None}},
}


@pytest.mark.parametrize("listed", [True, False])
@pytest.mark.parametrize("edit", EDITS.values(), ids=EDITS)
def test_what_someone_changes_is_put_back(world: World, edit: dict[str, Any], listed: bool) -> None:
    """It is found in the list of metadata, whatever the note says; the next run has nothing to do."""
    world.issue("web-tls")
    give(world, GIVEN)
    for _ in range(2):
        outcome(world)
    world.admin().patch(PATH, {"metadata": edit})
    assert outcome(world, listed=listed) == DRIFTED
    assert metadata(world) == GIVEN
    assert outcome(world) == IN_SYNC


def test_who_takes_off_all_of_it_and_the_record_leaves_no_trace(world: World) -> None:
    """The copy is as one whose route gave nothing before; it is written again all the same."""
    world.issue("web-tls")
    give(world, GIVEN)
    outcome(world)
    gone = {MATCH: None, "team": None, "tls-sync.io/metadata": None}
    world.admin().patch(PATH, {"metadata": {"labels": {"team": None}, "annotations": gone}})
    assert outcome(world) == CHANGED
    assert metadata(world) == GIVEN


def test_what_others_add_stays(world: World) -> None:
    """Under other keys, also where they give the same value: it is theirs when the route gives it no more."""
    world.issue("web-tls")
    give(world, GIVEN)
    outcome(world)
    theirs = {"metadata": {"labels": {"app": "shop"}, "annotations": {"note": "ours"}}}
    world.admin().patch(PATH, theirs)
    body = {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "web-tls", "labels": {"team": "web"}}}
    world.admin().apply(PATH, body, "kubectl")
    assert outcome(world) == IN_SYNC
    give(world, {})
    assert outcome(world) == CHANGED
    assert metadata(world) == {"labels": {"app": "shop", "team": "web"}, "annotations": {"note": "ours"}}
    assert outcome(world) == IN_SYNC


def test_the_route_wins_where_someone_set_its_key_before(world: World) -> None:
    """A forced apply takes the key over, once."""
    world.issue("web-tls")
    world.sync()
    world.admin().patch(PATH, {"metadata": {"labels": {"team": "theirs"}}})
    give(world, GIVEN)
    assert outcome(world) == CHANGED
    assert metadata(world) == GIVEN
    assert outcome(world) == IN_SYNC


def test_a_changed_route_costs_one_apply_and_no_key_of_the_target(world: World) -> None:
    """The copy's metadata proves what it holds, so nobody reads it; then a run writes nothing again."""
    world.issue("web-tls")
    world.sync()
    give(world, GIVEN)
    start = world.log_position("dev")
    assert outcome(world) == CHANGED
    secrets = [one for one in world.requests("dev", start) if one["objectRef"]["resource"] == "secrets"]
    managers = [one["requestURI"].partition("fieldManager=")[2].partition("&")[0] for one in secrets]
    assert [one["verb"] for one in secrets] == ["list", "patch"]
    assert managers == ["", "tls-sync"]


def test_the_watcher_remembers_what_a_route_gives(cert_manager: World) -> None:
    """A copy that it has written is in sync by its memory: a second event asks no target."""
    world = cert_manager
    (secret,) = issue(world, "web-tls")
    give(world, GIVEN)
    reconciler = Reconciler(TIMINGS)
    try:
        with all_requests(world) as requests:
            started(reconciler, world, secret)
            requests.expect()
            report = reconciler.reconcile("web-tls")
        assert {cluster for cluster, _, _ in requests.seen} == {"ops"}
    finally:
        reconciler.close()
    assert report
    assert {row.reason for one in report.clusters for row in one.changes} == {Reason.IN_SYNC}
    assert metadata(world) == GIVEN
