"""What keeps runs from noting and deleting: doubt about OPS, trouble in a cluster, clocks that are wrong."""

from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta, tzinfo
from email.utils import format_datetime, parsedate_to_datetime

import pytest

from deployments.sandbox.world.cert_manager import SOURCE_NAMESPACE
from tasks import prune_cluster
from tasks.domain import annotations
from tasks.kube import pool
from tasks.target import apply, prune, sync
from tests.apiserver.test_flow import artifacts
from tests.apiserver.test_prune import (
    GONE,
    NAMES,
    age,
    age_notes,
    bare,
    configure,
    grant,
    message,
    notes_on,
    place,
    run,
    take_away,
)
from tests.support.clusters import Manifest, World
from tests.support.fault_proxy import Answer, Fault, Forward, Request

pytestmark = [pytest.mark.apiserver, pytest.mark.usefixtures("prefect_server", "no_waiting")]

RENEWED = NAMES[5:]
CLOCKED = (pool, sync, prune, prune_cluster, apply)
MINUTE, DAY = timedelta(minutes=1), timedelta(days=1)


@pytest.fixture
def pruned(world: World) -> World:
    """Ten copies on each target; DEV is pruned."""
    configure(world, "dev")
    grant(world, "dev")
    world.issue(*NAMES)
    assert run().is_completed()
    return world


@pytest.fixture
def our_clock(monkeypatch: pytest.MonkeyPatch) -> Callable[[timedelta], None]:
    """Sets the clock of the machine that tls-sync runs on, for all that is decided about a cluster."""

    def set_ahead(ahead: timedelta) -> None:
        class Clock(datetime):
            @classmethod
            def now(cls, tz: tzinfo | None = None) -> datetime:  # type: ignore[override]  # the time as it is
                return datetime.now(tz) + ahead

        for module in CLOCKED:
            monkeypatch.setattr(module, "datetime", Clock)

    return set_ahead


def restore_ops(world: World, *clusters: str) -> None:
    """OPS from a snapshot of before one certificate came to be and five were renewed on these clusters."""
    found = (world.ops.secret(SOURCE_NAMESPACE, name) for name in RENEWED)
    older = [{**secret, "metadata": bare(secret)} for secret in found if secret]
    for secret in older:
        world.renew(secret)
    for cluster in clusters:
        assert run(cluster=cluster).is_completed()
    for secret in older:
        world.put(secret)
    take_away(world, GONE)


def telling(change: Callable[[datetime], str]) -> Fault:
    """A fault: the server's clock says something else."""

    def fault(_: Request, forward: Forward) -> Answer:
        answer = forward()
        told = change(parsedate_to_datetime(answer.headers["Date"]))
        return replace(answer, headers=answer.headers | {"Date": told})

    return fault


def differing(by: timedelta) -> Fault:
    return telling(lambda moment: format_datetime(moment + by, usegmt=True))


@pytest.mark.parametrize("clusters", [("dev", "rct", "prd"), ("rct",)], ids=["all", "one that isn't pruned"])
def test_an_older_ops_has_nothing_noted(pruned: World, clusters: tuple[str, ...]) -> None:
    """Nothing is noted while any target has a newer copy than OPS, which may have been restored."""
    restore_ops(pruned, *clusters)
    oracle = pruned.oracle()
    for _ in range(3):
        state = run()
        assert f"{len(clusters)} of 3 clusters failed: {clusters[0]} (WouldDowngrade" in message(state)
        assert notes_on(pruned) == {}
    assert oracle.objections() + oracle.writes_tried() == []
    told = artifacts(state)["tls-sync"]
    assert "it is no longer on OPS: the copy is neither noted nor deleted for now: OPS may be of" in told
    assert f"app-a/{RENEWED[0]} on {min(clusters)}" in told


@pytest.mark.parametrize("clusters", [("dev", "rct", "prd"), ("rct",)], ids=["all", "one that isn't pruned"])
def test_an_older_ops_has_nothing_deleted(pruned: World, clusters: tuple[str, ...]) -> None:
    """Even what was due before OPS was restored is kept until no target has a newer copy any more."""
    restore_ops(pruned, *clusters)
    age(pruned)
    oracle = pruned.oracle()
    assert f"{clusters[0]} (WouldDowngrade" in message(run())
    assert pruned.copy(GONE)
    assert oracle.objections() + oracle.writes_tried() == []
    for name in RENEWED:
        source = pruned.ops.secret(SOURCE_NAMESPACE, name)
        assert source
        pruned.renew(pruned.renew({**source, "metadata": bare(source)}))
    assert "delete 1" in message(run())
    assert pruned.copy(GONE) is None


def unfit_on_ops(world: World) -> None:
    source = world.ops.secret(SOURCE_NAMESPACE, NAMES[1])
    assert source
    world.put({**source, "metadata": bare(source), "data": source["data"] | {"tls.key": ""}})


def named_and_missing(world: World) -> None:
    routes = [{"certificates": ["web-*", "missing-tls"], "namespaces": ["app-a"]}]
    world.edit_config(lambda document: document["clusters"][0].update(routes=routes))


def refused_there(world: World) -> None:
    world.admin().delete(place(NAMES[1]))
    foreign: Manifest = {"metadata": {"name": NAMES[1], "namespace": "app-a"}, "type": "Opaque"}
    world.admin().create({"apiVersion": "v1", "kind": "Secret", **foreign})


def failed_there(world: World) -> None:
    routes = [{"certificates": ["web-*"], "namespaces": ["app-a", "nowhere"]}]
    world.edit_config(lambda document: document["clusters"][0].update(routes=routes))


@pytest.mark.parametrize(
    ("trouble", "told"),
    [
        (unfit_on_ops, f"MissingData of app-a/{NAMES[1]}"),
        (named_and_missing, "MissingOnSource of app-a/missing-tls"),
        (refused_there, f"OwnedByOther of app-a/{NAMES[1]}"),
        (failed_there, "something failed or was refused in this cluster: "),
    ],
    ids=lambda one: one.__name__ if callable(one) else "",
)
def test_a_cluster_in_trouble_has_nothing_noted_or_deleted(
    pruned: World, trouble: Callable[[World], None], told: str
) -> None:
    """What failed or was refused there comes first, and the report says what that is."""
    take_away(pruned, GONE, NAMES[2])
    age(pruned)  # this one is due; the other one wants a first note
    trouble(pruned)
    oracle = pruned.oracle(("app-a", "nowhere"))
    state = run()
    assert "dev (" in message(state)
    assert pruned.copy(GONE)
    assert notes_on(pruned, NAMES[2]) == {}
    assert told in artifacts(state)["tls-sync"]
    assert [
        one for one in oracle.writes_tried() if not one.endswith("fieldManager=tls-sync&force=false")
    ] == []


def test_runs_that_follow_each_other_at_once_count_once(pruned: World) -> None:
    """Three runs within seconds leave one note; 50 minutes later another run counts, and 49 no more."""
    take_away(pruned, GONE)
    for _ in range(3):
        assert run().is_completed()
    first = notes_on(pruned)
    assert first[annotations.ORPHANED_RUNS] == "1"
    assert first[annotations.ORPHANED_SINCE] == first[annotations.ORPHANED_SEEN]
    for minutes, runs in ((49, "1"), (1, "2")):
        age_notes(pruned, minutes * MINUTE)
        run()
        assert notes_on(pruned)[annotations.ORPHANED_RUNS] == runs


@pytest.mark.parametrize("days", [1, -1], ids=["ahead", "behind"])
def test_our_clock_deletes_nothing(pruned: World, our_clock: Callable[[timedelta], None], days: int) -> None:
    """Where it is a day ahead or behind, nothing is noted or deleted, and the report says both times."""
    take_away(pruned, GONE, NAMES[1])
    for _ in range(3):
        run()
    age(pruned, hours=25 if days < 0 else 1)
    pruned.admin().patch(
        place(NAMES[1]), {"metadata": {"annotations": dict.fromkeys(annotations.ORPHAN_MARKS)}}
    )
    oracle = pruned.oracle()
    our_clock(days * DAY)
    state = run()
    assert message(state) == "3 clusters: keep 30"
    assert pruned.copy(GONE)
    assert notes_on(pruned, NAMES[1]) == {}
    assert oracle.objections() + oracle.writes_tried() == []
    now = datetime.now(UTC)
    told = artifacts(state)["tls-sync"]
    assert f"the API server's clock says {now:%Y-%m-%d}" in told
    assert f"ours {now + days * DAY:%Y-%m-%d}" in told
    assert "more than 5 minutes apart: set the wrong one" in told


@pytest.mark.parametrize("minutes", [6, -6], ids=["ahead", "behind"])
def test_a_targets_clock_deletes_nothing(pruned: World, minutes: int) -> None:
    """Where it is six minutes off, nothing is noted or deleted there; where it is four, both are."""
    take_away(pruned, GONE, NAMES[1])
    age(pruned)
    with pruned.proxy() as proxy:
        proxy.fault = differing(minutes * MINUTE)
        assert message(run()) == "3 clusters: keep 30"
        assert notes_on(pruned, NAMES[1]) == {}
        proxy.fault = differing(minutes * MINUTE * 2 / 3)
        before = datetime.now(UTC).replace(microsecond=0)
        assert message(run()) == "3 clusters: keep 29, delete 1"
    noted = datetime.fromisoformat(notes_on(pruned, NAMES[1])[annotations.ORPHANED_SINCE])
    assert pruned.copy(GONE) is None
    assert before + minutes * MINUTE * 2 / 3 <= noted <= datetime.now(UTC) + minutes * MINUTE * 2 / 3


@pytest.mark.parametrize("date", ["", "yesterday"], ids=["none", "unreadable"])
def test_a_server_without_a_clock_has_nothing_deleted(pruned: World, date: str) -> None:
    """Without a Date in its answers nobody knows how much time has passed there."""
    take_away(pruned, GONE, NAMES[1])
    age(pruned)
    with pruned.proxy() as proxy:
        proxy.fault = telling(lambda _: date)
        state = run()
    assert message(state) == "3 clusters: keep 30"
    assert notes_on(pruned, NAMES[1]) == {}
    assert "the API server's answers have no Date that can be read" in artifacts(state)["tls-sync"]


def test_a_note_of_the_future_counts_as_none(pruned: World) -> None:
    """A note of the future is replaced by a first one, with the target's time."""
    take_away(pruned, GONE)
    age(pruned)
    soon = {annotations.ORPHANED_SEEN: (datetime.now(UTC) + 4 * MINUTE).isoformat()}
    pruned.admin().patch(place(GONE), {"metadata": {"annotations": soon}})
    assert message(run()) == "3 clusters: keep 30"
    found = notes_on(pruned)
    assert found[annotations.ORPHANED_RUNS] == "1"
    assert found[annotations.ORPHANED_SINCE] == found[annotations.ORPHANED_SEEN]
