"""Long reports: what does not fit is counted, the worst is shown first, and Prefect takes all of it."""

import logging
import re
from collections.abc import Sequence

import pytest
from prefect.client.schemas.actions import LogCreate
from prefect.logging.handlers import APILogHandler
from prefect.settings.models.cloud import CloudSettings
from prefect.types._datetime import now

from tasks.domain.failure_codes import FailureCode
from tasks.domain.models import Action, Change, ClusterReport, Failure, RunReport, SecretRef, SourceSnapshot
from tasks.domain.reasons import Reason
from tasks.domain.text import MAX_LENGTH, MAX_NAMES, join_limited
from tasks.report import markdown, terminal
from tasks.report.budget import FIRST_PROBLEMS, OutputBudget, sections
from tests.support.factories import NOW, certificate, rejection, snapshot, version

NEW = version()
LONG = f"{'n' * 63}.{'m' * 63}.{'o' * 63}"


def rows(number: int, *, failed: bool = False, prefix: str = "t") -> list[Change]:
    action = Action.REFUSE if failed else Action.CREATE
    reason = Reason.OWNED_BY_CONTROLLER if failed else Reason.MISSING_ON_TARGET
    targets = (SecretRef(namespace="app", name=f"{prefix}-{n:04}") for n in range(number))
    return [
        Change(action=action, reason=reason, target=ref, certificate=ref.name, new=NEW, applied=not failed)
        for ref in targets
    ]


def cluster(name: str, changes: Sequence[Change] = (), failures: int = 0, warnings: int = 0) -> ClusterReport:
    told = (f"list secrets in app-{n}" for n in range(failures))
    return ClusterReport(
        cluster=name,
        changes=tuple(changes),
        failures=tuple(Failure(code=FailureCode.TIMEOUT, cluster=name, what=what) for what in told),
        warnings=tuple(f"app-{n}: it may do more" for n in range(warnings)),
    )


def run(*clusters: ClusterReport, found: SourceSnapshot | None = None) -> RunReport:
    return RunReport(inventory=found or snapshot(certificate()), clusters=clusters, now=NOW)


def shown(text: str) -> int:
    """Rows, failures and warnings of clusters that a Markdown text shows."""
    return len(re.findall(r"^(\| (❌ )?(create|refuse) |- (❌|⚠️) )", text, re.MULTILINE))


def left_out(text: str) -> int:
    return sum(map(int, re.findall(r"^… and (\d+) more", text, re.MULTILINE)))


def test_room_is_for_so_many_lines_and_no_more() -> None:
    """At the limit the last one is taken; one beyond is not, and nothing after it."""
    budget = OutputBudget(2, 100)
    assert [budget.fits("x") for _ in range(3)] == [True, True, False]


def test_room_is_for_so_many_bytes_and_no_more() -> None:
    """Bytes count as they are sent, with what comes along; what is shorter does not slip in behind."""
    assert OutputBudget(9, 5).fits("éé")  # four, and the end of the line
    assert not OutputBudget(9, 4).fits("éé")
    assert not OutputBudget(9, 5).fits("éé", extra_bytes=1)
    budget = OutputBudget(9, 5)
    assert [budget.fits(text) for text in ("xxxxx", "x")] == [False, False]


def test_an_artifact_shows_as_much_as_the_limit_and_counts_the_rest() -> None:
    """At the limit all is shown and nothing counted; one beyond, one is left out, and it is said where."""
    at = markdown.render_run(run(cluster("a", rows(500)), cluster("b", rows(498), 1, 1)))
    assert (shown(at), left_out(at)) == (markdown.MAX_ROWS, 0)
    beyond = run(cluster("a", rows(500)), cluster("b", rows(498), 1, 2))
    text = markdown.render_run(beyond)
    assert (shown(text), left_out(text)) == (markdown.MAX_ROWS, 1)
    assert "\n… and 1 more, in the artifact of each cluster.\n" in text
    assert left_out("".join(map(markdown.render_cluster, beyond.clusters))) == 0


def test_of_each_cluster_in_trouble_some_is_shown_first() -> None:
    """A cluster with a thousand failed rows hides no other's; then come all troubles, then the rest."""
    sick = cluster("sick", [*rows(1200, failed=True), *rows(9)], 5, 1)
    ill = [cluster(f"ill-{n:02}", rows(9, failed=True), 1) for n in range(20)]
    parts = sections([cluster("well", rows(50)), *ill, sick], OutputBudget(1000, 10**6), lambda *_: "x")
    assert [part.cluster.cluster for part in parts][-2:] == ["sick", "well"]
    *others, last, well = parts
    assert all(len(part.shown) >= FIRST_PROBLEMS and part.left_out == 0 for part in others)
    assert (len(last.shown), well.shown) == (1000 - 20 * 10, [])
    assert all(isinstance(item, Failure) for item, _ in last.shown[:5])
    assert sum(part.left_out for part in parts) == 50 + 20 * 10 + 5 + 1 + 1209 - 1000


def test_what_stands_above_the_lines_of_a_cluster_counts() -> None:
    """With space for the first cluster's heading, its lines and no other heading, it alone is shown."""
    two = [cluster("a", rows(2)), cluster("b", rows(2))]
    for size, expected in ((104, [2, 0]), (105, [2, 0]), (206, [2, 1]), (208, [2, 2])):
        parts = sections(two, OutputBudget(9, size), lambda *_: "x", 100)
        assert [len(part.shown) for part in parts] == expected, size


def test_clusters_of_which_nothing_is_shown_are_counted() -> None:
    """How many there are, how many of them failed, and where they are told of."""
    many = [cluster(f"c-{n}", rows(10, failed=True)) for n in range(400)]
    text = markdown.render_run(run(*many, cluster("well", rows(7))))
    assert shown(text) + left_out(text) == 4007
    assert "\n… and 667 more of 67 clusters, 66 of them FAILED, in the artifact of each cluster.\n" in text


HUGE = run(
    *(
        ClusterReport(
            cluster=f"{n:04}{'c' * 59}",
            changes=tuple(
                Change(
                    action=Action.REFUSE,
                    reason=Reason.HOSTNAME_NOT_ALLOWED,
                    target=SecretRef(namespace="n" * 63, name=LONG),
                    certificate=LONG,
                    detail=join_limited([f"é{LONG}"] * 99),
                )
                for _ in range(20)
            ),
            failures=tuple(
                Failure(code=FailureCode.KUBECONFIG, cluster="c", what="w", detail=LONG)
                for _ in range(n % 2 * 9)
            ),
            warnings=(LONG,) * 9,
        )
        for n in range(1000)
    ),
    found=SourceSnapshot(
        certificates=tuple(certificate(f"{n}-{LONG}", age=80) for n in range(1100)),
        rejections=tuple(rejection(f"{n}-{LONG}", detail=LONG) for n in range(1100)),
        warnings=(f"é{LONG}",) * 1100,
    ),
)


def test_no_report_is_larger_than_what_it_may_be() -> None:
    """A thousand clusters in every trouble, with the longest names: the artifact and the log stay within."""
    assert len(markdown.render_run(HUGE).encode()) <= markdown.MAX_BYTES
    alone = markdown.render_cluster(ClusterReport(cluster="c", changes=HUGE.clusters[0].changes * 50))
    assert len(alone.encode()) <= markdown.MAX_BYTES
    assert shown(alone) + left_out(alone) == 1000
    text = terminal.render(HUGE)
    assert len(text.encode()) <= terminal.MAX_LOG_BYTES
    assert re.search(
        r"^… and \d{3} more clusters, \d{3} of them FAILED: see the run's artifact$", text, re.MULTILINE
    )


def test_the_log_shows_as_many_clusters_as_it_has_room_for(monkeypatch: pytest.MonkeyPatch) -> None:
    """With space for both, both are told; with a byte less, the second is counted."""
    two = run(cluster("a", rows(3, failed=True)), cluster("b", rows(3)))
    whole = terminal.render(two)
    monkeypatch.setattr(terminal, "MAX_LOG_BYTES", len(whole.encode()) + 1)
    assert terminal.render(two) == whole
    monkeypatch.setattr(terminal, "MAX_LOG_BYTES", len(whole.encode()))
    assert terminal.render(two).endswith("\n\n… and 1 more clusters: see the run's artifact")


def test_the_log_has_the_first_failures_and_warnings_of_a_cluster() -> None:
    """As many as rows; the rest is counted."""
    lines = terminal.render(run(cluster("a", failures=20, warnings=21))).splitlines()
    assert sum("Timeout: list secrets" in line for line in lines) == 20 + 1  # and once in the verdict
    assert "  … and 1 more warnings: see the run's artifact" in lines
    assert not any("more failures" in line for line in lines)


def payload(text: str) -> int:
    """Bytes of a record as Prefect sends it, by its own count."""
    record = LogCreate(name="prefect.flow_runs", level=logging.ERROR, timestamp=now("UTC"), message=text)
    return APILogHandler()._get_payload_size(record.model_dump(mode="json"))


def test_prefect_takes_each_record_of_a_long_log_whole() -> None:
    """Nothing is cut by Prefect, not even for its Cloud; and the records together are the report."""
    text = terminal.render(HUGE)
    parts = list(terminal.records(text))
    assert "\n".join(parts) == text
    assert max(map(payload, parts)) < CloudSettings.model_fields["max_log_size"].default
    assert len(parts) < 40


@pytest.mark.parametrize(
    "line", ["x" * 100_000, "word " * 20_000, "\U0001f512" * 30_000], ids=["x", "w", "e"]
)
def test_a_line_without_end_goes_into_several_records(line: str) -> None:
    """However long a line is and whatever it holds, each record is small, and no word is lost."""
    parts = list(terminal.records(line))
    assert max(map(payload, parts)) < 25_000
    assert re.sub(r"\s", "", "".join(parts)) == re.sub(r"\s", "", line)


def test_a_short_report_is_one_record() -> None:
    """As it always was."""
    text = terminal.render(run(cluster("a", rows(3))))
    assert list(terminal.records(text)) == [text]


def test_a_message_names_the_first_of_many() -> None:
    """At the limit all names; one beyond, the rest is counted; and none is longer than a DNS name."""
    names = [f"n{n}" for n in range(MAX_NAMES + 1)]
    assert join_limited(names[:-1]) == ", ".join(names[:-1])
    assert join_limited(names) == f"{', '.join(names[:-1])} and 1 more"
    assert (
        join_limited(["x" * MAX_LENGTH, "y" * (MAX_LENGTH + 1)]) == f"{'x' * MAX_LENGTH}, {'y' * MAX_LENGTH}…"
    )
