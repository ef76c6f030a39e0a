"""A fleet of runs: its groups, their order, who is held back, and how it is told."""

from datetime import timedelta
from typing import Any

import pytest

from tasks.config.load import parse_config
from tasks.config.schema import SyncConfig
from tasks.domain.errors import ConfigError
from tasks.domain.parameters import RunParameters
from tasks.fleet import groups as fleet
from tasks.fleet import report as fleet_report
from tasks.fleet.groups import Group, Outcome, RunFailure
from tasks.plan import waves
from tasks.plan.spec import specs_for
from tasks.plan.waves import Share, share_of
from tasks.report.verdict import MAX_NAMED
from tests.support.factories import NOW
from tests.unit.plan.test_waves import OPS, document, report

EU, US = Group("eu", 1, ("dev", "qa")), Group("us", 1, ("lab",))


def config(**groups: str) -> SyncConfig:
    """PRD is of wave 3, RCT of wave 2, DEV and QA of wave 1; groups by cluster."""
    given = document()
    for cluster in given["clusters"]:
        if group := groups.get(cluster["name"]):
            cluster["group"] = group
    return parse_config(given)


def told(wanted: int, missing: int, group: Group = EU) -> Outcome:
    return Outcome(group, "id", "Completed", completed=not missing, share=Share(wanted, missing))


def groups(made: list[tuple[Group, ...]]) -> list[list[tuple[str, tuple[str, ...]]]]:
    return [[(group.name, group.clusters) for group in wave] for wave in made]


def test_groups_follow_each_other_wave_by_wave() -> None:
    """Those of a wave stand side by side, as the configuration has them."""
    found = config(dev="eu", qa="us", prd="live")
    assert groups(fleet.waves_of(found.clusters)) == [
        [("eu", ("dev",)), ("us", ("qa",))],
        [("wave-2", ("rct",))],
        [("live", ("prd",))],
    ]


def test_without_a_name_the_clusters_of_a_wave_are_a_group() -> None:
    """So that a configuration that names no group can be served by a fleet, too."""
    found = config()
    assert groups(fleet.waves_of(found.clusters))[0] == [("wave-1", ("dev", "qa"))]
    assert [one.name for one in found.select(RunParameters(group="wave-1"))] == ["dev", "qa"]


def test_a_group_is_of_one_wave() -> None:
    """Its run can't wait in the middle for the runs of others."""
    with pytest.raises(ConfigError) as error:
        config(dev="eu", prd="eu", rct="wave-1")
    said = str(error.value)
    assert "clusters[1] (dev).group: the group 'eu' can't be of waves 3 and 1" in said
    assert "give the clusters of each wave a group of their own" in said
    assert "clusters[3] (qa).group: the group 'wave-1' can't be of waves 2 and 1" in said


@pytest.mark.parametrize("name", ["EU", "a.b", "-a", "a" * 64])
def test_a_groups_name_is_a_label(name: str) -> None:
    """As that of a cluster."""
    with pytest.raises(ConfigError, match=r"clusters\[1\] \(dev\).group: use a DNS-1123 label"):
        config(dev=name)


@pytest.mark.parametrize(
    ("asked", "said"),
    [
        ({"group": "ue"}, "group='ue': no such group; known are: wave-3, eu, wave-2"),
        ({"group": "eu", "cluster": "dev"}, "cluster='dev' and group='eu': give one of them"),
        ({"group": "wave-2"}, "group='wave-2': all its clusters are suspended"),
        ({"group": "eu", "certificate": "x"}, "certificate='x': no route sends it; routed are: web-*"),
    ],
)
def test_select_refuses_a_group_when(asked: dict[str, Any], said: str) -> None:
    """Before any read, with the groups that there are."""
    given = document()
    for cluster in given["clusters"]:
        cluster["suspended"] = cluster["name"] == "rct"
        if cluster["name"] in ("dev", "qa"):
            cluster["group"] = "eu"
    found = parse_config(given)
    with pytest.raises(ConfigError) as error:
        found.select(RunParameters(**asked))
    assert str(error.value) == said


def test_a_group_knows_its_suspended_members() -> None:
    """They are left out of runs, and their metrics are taken away."""
    given = document()
    given["clusters"][1]["suspended"] = True
    found = parse_config(given)
    assert [one.name for one in found.select(RunParameters(group="wave-1"))] == ["qa"]
    assert found.members("wave-1") == ("dev", "qa")
    assert found.members(None) == found.names


@pytest.mark.parametrize("urgent_only", [False, True])
def test_a_groups_run_may_do_no_more_than_the_fleet(urgent_only: bool) -> None:
    """It is asked for its group, and for the rest as the fleet was, or for less."""
    asked = RunParameters(certificate="web-tls", dry_run=True)
    assert fleet.parameters_of(EU, asked, urgent_only=urgent_only) == RunParameters(
        group="eu", certificate="web-tls", dry_run=True, urgent_only=urgent_only
    )


@pytest.mark.parametrize("share", [Share(40, 3), Share(40, 0), Share(4, 4), Share(0, 0)], ids=str)
def test_a_share_is_told_in_labels(share: Share) -> None:
    """What the run of a group told is what the fleet finds, also where all went well, or nothing did."""
    assert waves.share_in(waves.labels_of(share)) == share


@pytest.mark.parametrize(
    "labels",
    [
        {},
        {waves.WANTED: 4},
        {waves.WANTED: 4, waves.MISSING: 5},
        {waves.WANTED: 4, waves.MISSING: -1},
        {waves.WANTED: "4", waves.MISSING: 0},
        {waves.WANTED: True, waves.MISSING: 0},
    ],
    ids=str,
)
def test_labels_without_sense_tell_nothing(labels: dict[str, Any]) -> None:
    """What can't be true is as if the group had not told."""
    assert waves.share_in(labels) is None


def test_the_share_is_that_of_the_clusters_asked_for() -> None:
    """A cluster whose report is missing has none of its copies."""
    found = config()
    specs = specs_for(found, found.select(RunParameters(group="wave-1")), OPS, RunParameters())
    assert share_of(specs, (report("dev", 2), report("qa", 1))) == Share(20, 3)
    assert share_of(specs, (report("qa", 1),)) == Share(20, 11)


WENT = {
    "all well": ((told(10, 0), told(10, 0, US)), True),
    "one dead cluster of a hundred, in a group of its own": ((told(99, 0), told(1, 1, US)), True),
    "the share itself": ((told(5, 1),), True),
    "more than the share, over all groups": ((told(10, 0), told(10, 5, US)), False),
    "nothing wanted": ((told(0, 0),), True),
    "no group at all": ((), True),
    "one did not tell": ((told(99, 0), Outcome(US, "id", "Crashed")), False),
    "one never began": ((told(99, 0), Outcome(US, "id", RunFailure.NOT_BEGUN)), False),
}


@pytest.mark.parametrize(("outcomes", "well"), WENT.values(), ids=WENT)
def test_the_next_wave_is_held_back(outcomes: tuple[Outcome, ...], well: bool) -> None:
    """By the share of the whole wave's copies; a group that did not tell counts as gone badly."""
    assert fleet.went_well(outcomes, 0.2) is well


@pytest.mark.parametrize(
    ("name", "type_", "state", "completed", "share"),
    [
        ("Completed", "COMPLETED", "Completed", True, Share(4, 1)),
        ("ClustersFailed", "FAILED", "ClustersFailed", False, Share(4, 1)),
        ("Crashed", "CRASHED", "Crashed", False, None),
        ("Cancelled", "CANCELLED", "Cancelled", False, None),
        ("[x](http://a)", "FAILED", "Failed", False, Share(4, 1)),
    ],
)
def test_a_run_that_ended_is_taken_at_its_word(
    name: str, type_: str, state: str, completed: bool, share: Share | None
) -> None:
    """One that crashed, or was cancelled, did not see its end, whatever its labels say."""
    found = fleet.ended(
        Outcome(EU, "id", urgent_only=True), name=name, type_=type_, labels=waves.labels_of(Share(4, 1))
    )
    assert found == Outcome(EU, "id", state, completed, share, urgent_only=True)


def test_a_wave_has_its_share_of_the_time() -> None:
    """What hangs in the first wave leaves time to those after it; who is late has none, not less."""
    hour = timedelta(hours=1)
    assert fleet.end_of_wave(NOW, NOW + hour, 3) == NOW + hour / 3
    assert fleet.end_of_wave(NOW, NOW + hour, 1) == NOW + hour
    assert fleet.end_of_wave(NOW, NOW - hour, 2) == NOW


@pytest.mark.parametrize(
    ("minutes", "begun", "lapse"),
    [
        (4, False, None),
        (5, False, RunFailure.NOT_BEGUN),
        (6, False, RunFailure.NOT_BEGUN),
        (5, True, None),
        (20, True, RunFailure.NOT_ENDED),
        (20, False, RunFailure.NOT_BEGUN),
        (21, True, RunFailure.NOT_ENDED),
    ],
)
def test_a_run_is_waited_for_in_bounds(minutes: int, begun: bool, lapse: RunFailure | None) -> None:
    """Five minutes to begin, and the time of its wave to end."""
    end = NOW + timedelta(minutes=20)
    assert fleet.is_late(NOW + timedelta(minutes=minutes), NOW, end, begun=begun) is lapse


def test_the_verdict_names_who_did_not_end_completed() -> None:
    """At most ten of them, each with the state of its run."""
    found = config()
    ending = fleet_report.verdict([told(4, 0), Outcome(US, "id", "Crashed")], found)
    assert ending == (False, "GroupsFailed", "1 of 2 groups failed: us (Crashed)")
    many = [Outcome(US._replace(name=f"g{number}"), "id", "Crashed") for number in range(MAX_NAMED + 2)]
    said = fleet_report.verdict(many, found).message
    assert said.startswith("12 of 12 groups failed: g0 (Crashed), ")
    assert said.endswith("g9 (Crashed), and 2 more")
    assert fleet_report.verdict([told(4, 0)], found) == (True, "Completed", "1 group: all Completed")


def test_suspended_clusters_are_said() -> None:
    """As in every report."""
    given = document()
    given["clusters"][1]["suspended"] = True
    assert fleet_report.verdict([told(4, 0)], parse_config(given)).message.endswith("; suspended: dev")


def test_the_report_has_a_line_per_group() -> None:
    """Those in trouble first, with what to do where the run itself can't say it."""
    outcomes = [told(10, 0), Outcome(US, "0f3a", RunFailure.NOT_BEGUN, urgent_only=True)]
    text = fleet_report.render(outcomes, config())
    lines = text.splitlines()
    assert lines[0] == "tls-sync fleet: 1 of 2 groups failed: us (NotBegun, urgent only)"
    assert lines[2].split() == ["group", "wave", "clusters", "state", "copies", "run"]
    assert lines[3].split() == ["us", "1", "1", "NotBegun,", "urgent", "only", "?", "0f3a"]
    assert lines[4].split() == ["eu", "1", "2", "Completed", "10", "of", "10", "id"]
    assert lines[-2] == f"us: {RunFailure.NOT_BEGUN.sentence}"
    assert lines[-2].startswith("us: its run did not begin in time: look at ")
    assert lines[-1].startswith("us: urgent only, since too much failed in a wave before: mend ")
    page = fleet_report.render_markdown(outcomes, config())
    assert "| eu | 1 | 2 | Completed | 10 of 10 | id |" in page
    assert f"- us: {RunFailure.NOT_BEGUN.sentence}" in page
