"""The groups of a fleet, the order in which they run, the limit that delays later waves, and the report."""

from datetime import timedelta
from typing import Any, Literal

import pytest

from tasks.config.load import parse_config
from tasks.config.schema import SyncConfig, Waves
from tasks.domain.errors import ConfigError
from tasks.domain.parameters import RunParameters
from tasks.fleet import groups as fleet
from tasks.fleet import report as fleet_report
from tasks.fleet.groups import Group, GroupResult, RunFailure
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


def result(wanted: int, missing: int, group: Group = EU) -> GroupResult:
    return GroupResult(group, "id", "Completed", completed=not missing, share=Share(wanted, missing))


def names(waves_: list[tuple[Group, ...]]) -> list[list[tuple[str, tuple[str, ...]]]]:
    return [[(group.name, group.clusters) for group in wave] for wave in waves_]


def test_groups_run_wave_by_wave() -> None:
    """The groups of a wave are together, in the order of the configuration."""
    found = config(dev="eu", qa="us", prd="live")
    assert names(fleet.groups_by_wave(found.clusters)) == [
        [("eu", ("dev",)), ("us", ("qa",))],
        [("wave-2", ("rct",))],
        [("live", ("prd",))],
    ]


def test_without_a_name_the_clusters_of_a_wave_are_a_group() -> None:
    """A fleet also serves a configuration that names no group: each wave is a group."""
    found = config()
    assert names(fleet.groups_by_wave(found.clusters))[0] == [("wave-1", ("dev", "qa"))]
    assert [one.name for one in found.select(RunParameters(group="wave-1"))] == ["dev", "qa"]


def test_a_group_of_two_waves_is_refused() -> None:
    """A group's run can't wait halfway for other groups, so its clusters are of one wave."""
    with pytest.raises(ConfigError) as error:
        config(dev="eu", prd="eu", rct="wave-1")
    message = str(error.value)
    assert "clusters[1] (dev).group: the group 'eu' can't be of waves 3 and 1" in message
    assert "give the clusters of each wave a group of their own" in message
    assert "clusters[3] (qa).group: the group 'wave-1' can't be of waves 2 and 1" in message


@pytest.mark.parametrize("name", ["EU", "a.b", "-a", "a" * 64])
def test_a_groups_name_is_a_dns_label(name: str) -> None:
    """The name of a group is a DNS-1123 label, like that of a cluster."""
    with pytest.raises(ConfigError, match=r"clusters\[1\] \(dev\).group: use a DNS-1123 label"):
        config(dev=name)


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ({"group": "ue"}, "group='ue': no such group; known are: wave-3, eu, wave-2"),
        ({"group": "eu", "cluster": "dev"}, "cluster='dev' and group='eu': give one of them"),
        ({"group": "wave-2"}, "group='wave-2': all its clusters are suspended"),
        ({"group": "eu", "certificate": "x"}, "certificate='x': no route sends it; routed are: web-*"),
    ],
)
def test_select_refuses_a_group_when(parameters: dict[str, Any], message: str) -> None:
    """The message names the parameter and the known groups."""
    given = document()
    for cluster in given["clusters"]:
        cluster["suspended"] = cluster["name"] == "rct"
        if cluster["name"] in ("dev", "qa"):
            cluster["group"] = "eu"
    found = parse_config(given)
    with pytest.raises(ConfigError) as error:
        found.select(RunParameters(**parameters))
    assert str(error.value) == message


def test_a_group_knows_its_suspended_members() -> None:
    """Suspended clusters are left out of runs, but stay members, so that their metrics are deleted."""
    given = document()
    given["clusters"][1]["suspended"] = True
    found = parse_config(given)
    assert [one.name for one in found.select(RunParameters(group="wave-1"))] == ["qa"]
    assert found.members("wave-1") == ("dev", "qa")
    assert found.members(None) == found.names


@pytest.mark.parametrize("urgent_only", [False, True])
def test_a_groups_run_has_the_parameters_of_the_fleet(urgent_only: bool) -> None:
    """A group's run has the fleet's certificate and dry_run, and its own group and urgent_only."""
    given = RunParameters(certificate="web-tls", dry_run=True)
    assert fleet.parameters_of(EU, given, urgent_only=urgent_only) == RunParameters(
        group="eu", certificate="web-tls", dry_run=True, urgent_only=urgent_only
    )


@pytest.mark.parametrize("share", [Share(40, 3), Share(40, 0), Share(4, 4), Share(0, 0)], ids=str)
def test_a_share_is_read_from_the_labels_that_it_was_written_to(share: Share) -> None:
    """The fleet reads the share that a group's run wrote, also if no copy or every copy is missing."""
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
def test_inconsistent_labels_are_no_share(labels: dict[str, Any]) -> None:
    """Missing labels, wrong types and impossible numbers count as no share."""
    assert waves.share_in(labels) is None


def test_the_share_covers_the_selected_clusters() -> None:
    """A cluster without a report counts as missing all of its copies."""
    found = config()
    specs = specs_for(found, found.select(RunParameters(group="wave-1")), OPS, RunParameters())
    assert share_of(specs, (report("dev", 2), report("qa", 1))) == Share(20, 3)
    assert share_of(specs, (report("qa", 1),)) == Share(20, 11)


LIMITS = {
    "all copies there": ((result(10, 0), result(10, 0, US)), True),
    "one dead cluster of a hundred, in a group of its own": ((result(99, 0), result(1, 1, US)), True),
    "the share itself": ((result(5, 1),), True),
    "more than the share, over all groups": ((result(10, 0), result(10, 5, US)), False),
    "nothing wanted": ((result(0, 0),), True),
    "no group at all": ((), True),
    "one without a share": ((result(99, 0), GroupResult(US, "id", "Crashed")), False),
    "one that did not start": ((result(99, 0), GroupResult(US, "id", RunFailure.NOT_BEGUN)), False),
}


@pytest.mark.parametrize(("results", "within"), LIMITS.values(), ids=LIMITS)
def test_the_limit_is_over_all_copies_of_a_wave(results: tuple[GroupResult, ...], within: bool) -> None:
    """Missing copies are counted over the whole wave; a group without a share puts it beyond the limit."""
    assert fleet.is_within_limit(results, 0.2) is within


@pytest.mark.parametrize(
    ("verify", "not_served", "goes_on"),
    [(None, None, True), (None, 3, True), ("served", 0, True), ("served", 1, False), ("served", None, False)],
)
def test_the_next_wave_waits_for_what_is_served(
    verify: Literal["served"] | None, not_served: int | None, goes_on: bool
) -> None:
    """With `verify`, each group must tell that all its addresses present what is stored."""
    results = [result(10, 0, US)._replace(not_served=0), result(10, 0)._replace(not_served=not_served)]
    assert fleet.may_go_on(results, Waves(verify=verify)) is goes_on
    assert not fleet.may_go_on([result(10, 5)._replace(not_served=0)], Waves(verify=verify))


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
def test_the_final_state_of_a_run_is_its_groups_result(
    name: str, type_: str, state: str, completed: bool, share: Share | None
) -> None:
    """A crashed or cancelled run has no share, whatever its labels say; odd state names are replaced."""
    found = fleet.with_final_state(
        GroupResult(EU, "id", urgent_only=True), name=name, type_=type_, labels=waves.labels_of(Share(4, 1))
    )
    assert found == GroupResult(EU, "id", state, completed, share, urgent_only=True)


def test_a_group_tells_by_labels_what_is_not_served() -> None:
    """Only a run that ended says it; anyone who may write to Prefect may change labels."""

    def found(type_: str, labels: dict[str, Any]) -> int | None:
        return fleet.with_final_state(GroupResult(EU), name="", type_=type_, labels=labels).not_served

    for number in (0, 2):
        labels = waves.labels_of(Share(4, 1), number)
        assert waves.share_in(labels) == Share(4, 1)
        assert [found(one, labels) for one in ("COMPLETED", "FAILED", "CRASHED")] == [number, number, None]
    for wrong in (-1, True, "0", 1.0, None):
        assert found("COMPLETED", {waves.NOT_SERVED: wrong}) is None
    assert found("COMPLETED", waves.labels_of(Share(4, 1))) is None


def test_the_report_says_for_what_the_next_wave_waits() -> None:
    """The group whose addresses are behind has their number, and the one that waits says why."""
    behind = result(10, 0)._replace(not_served=2)
    text = fleet_report.render([behind, result(4, 0, US)._replace(urgent_only=True)], config())
    assert "Completed, 2 not served" in text
    assert "us: urgent only, since addresses of an earlier wave don't present what is stored there" in text


def test_a_wave_has_its_share_of_the_time() -> None:
    """The time that is left is divided equally; after the deadline none is left, never less than none."""
    hour = timedelta(hours=1)
    assert fleet.wave_deadline(NOW, NOW + hour, 3) == NOW + hour / 3
    assert fleet.wave_deadline(NOW, NOW + hour, 1) == NOW + hour
    assert fleet.wave_deadline(NOW, NOW - hour, 2) == NOW


@pytest.mark.parametrize(
    ("minutes", "started", "failure"),
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
def test_a_run_is_overdue(minutes: int, started: bool, failure: RunFailure | None) -> None:
    """A run has five minutes to start, and until its wave's deadline to end."""
    end = NOW + timedelta(minutes=20)
    assert fleet.overdue(NOW + timedelta(minutes=minutes), NOW, end, started=started) is failure


def test_the_verdict_names_the_groups_that_failed() -> None:
    """The verdict names at most ten failed groups, each with the state of its run."""
    found = config()
    ending = fleet_report.verdict([result(4, 0), GroupResult(US, "id", "Crashed")], found)
    assert ending == (False, "GroupsFailed", "1 of 2 groups failed: us (Crashed)")
    many = [GroupResult(US._replace(name=f"g{number}"), "id", "Crashed") for number in range(MAX_NAMED + 2)]
    message = fleet_report.verdict(many, found).message
    assert message.startswith("12 of 12 groups failed: g0 (Crashed), ")
    assert message.endswith("g9 (Crashed), and 2 more")
    assert fleet_report.verdict([result(4, 0)], found) == (True, "Completed", "1 group: all Completed")


def test_the_verdict_names_suspended_clusters() -> None:
    """Suspended clusters stand in the message, as in that of a run."""
    given = document()
    given["clusters"][1]["suspended"] = True
    assert fleet_report.verdict([result(4, 0)], parse_config(given)).message.endswith("; suspended: dev")


def test_the_report_has_a_line_per_group() -> None:
    """Failed groups come first; below the table, each RunFailure has an explanation."""
    results = [result(10, 0), GroupResult(US, "0f3a", RunFailure.NOT_BEGUN, urgent_only=True)]
    text = fleet_report.render(results, config())
    lines = text.splitlines()
    assert lines[0] == "tls-sync fleet: 1 of 2 groups failed: us (NotBegun, urgent only)"
    assert lines[2].split() == ["group", "wave", "clusters", "state", "copies", "run"]
    assert lines[3].split() == ["us", "1", "1", "NotBegun,", "urgent", "only", "?", "0f3a"]
    assert lines[4].split() == ["eu", "1", "2", "Completed", "10", "of", "10", "id"]
    assert lines[-2] == f"us: {RunFailure.NOT_BEGUN.explanation}"
    assert lines[-2].startswith("us: its run did not start in time; check ")
    assert lines[-1].startswith("us: urgent only, since too many copies failed in an earlier wave; fix ")
    page = fleet_report.render_markdown(results, config())
    assert "| eu | 1 | 2 | Completed | 10 of 10 | id |" in page
    assert f"- us: {RunFailure.NOT_BEGUN.explanation}" in page
