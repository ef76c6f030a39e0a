"""Long reports: failures come first, what does not fit is counted, and Prefect truncates no record."""

import logging
import re
from collections.abc import Sequence

import pytest
from prefect.client.schemas.actions import LogCreate
from prefect.logging.handlers import APILogHandler
from prefect.settings.models.cloud import CloudSettings
from prefect.types._datetime import now

from tasks.domain.failure_codes import FailureCode
from tasks.domain.models import Action, Change, ClusterReport, Failure, SecretRef, SourceSnapshot
from tasks.domain.reasons import Reason
from tasks.domain.text import join_limited
from tasks.report import markdown, terminal
from tasks.report.budget import FIRST_PROBLEMS, OutputBudget, sections
from tests.support.factories import (
    certificate,
    change,
    cluster_report,
    failure,
    rejection,
    run_report,
    version,
)

NEW = version()
LONG = f"{'n' * 63}.{'m' * 63}.{'o' * 63}"


def rows(number: int, *, failed: bool = False, prefix: str = "t") -> list[Change]:
    action = Action.REFUSE if failed else Action.CREATE
    reason = Reason.OWNED_BY_CONTROLLER if failed else Reason.MISSING_ON_TARGET
    names = (f"{prefix}-{n:04}" for n in range(number))
    return [change(action, reason, name, namespace="app", new=NEW, applied=not failed) for name in names]


def cluster(name: str, changes: Sequence[Change] = (), failures: int = 0, warnings: int = 0) -> ClusterReport:
    operations = (f"list secrets in app-{n}" for n in range(failures))
    return cluster_report(
        name,
        *changes,
        failures=tuple(failure(FailureCode.TIMEOUT, name, operation) for operation in operations),
        warnings=tuple(f"app-{n}: it may do more" for n in range(warnings)),
    )


def shown(text: str) -> int:
    """Return the number of rows, failures and warnings of clusters that a Markdown text shows."""
    return len(re.findall(r"^(\| (❌ )?(create|refuse) |- (❌|⚠️) )", text, re.MULTILINE))


def left_out(text: str) -> int:
    return sum(map(int, re.findall(r"^… and (\d+) more", text, re.MULTILINE)))


def test_a_budget_has_a_limit_of_lines() -> None:
    """The line at the limit fits, the next one does not."""
    budget = OutputBudget(2, 100)
    assert [budget.fits("x") for _ in range(3)] == [True, True, False]


def test_a_budget_has_a_limit_of_bytes() -> None:
    """UTF-8 bytes, line ends and extra bytes count; after a line that does not fit, no shorter one does."""
    assert OutputBudget(9, 5).fits("éé")  # four bytes and the end of the line
    assert not OutputBudget(9, 4).fits("éé")
    assert not OutputBudget(9, 5).fits("éé", extra_bytes=1)
    budget = OutputBudget(9, 5)
    assert [budget.fits(text) for text in ("xxxxx", "x")] == [False, False]


def test_an_artifact_shows_as_much_as_the_limit_and_counts_the_rest() -> None:
    """At the limit all lines are shown; beyond it the rest is counted, and the other artifact is named."""
    at = markdown.render_run(run_report(cluster("a", rows(500)), cluster("b", rows(498), 1, 1)))
    assert (shown(at), left_out(at)) == (markdown.MAX_ROWS, 0)
    beyond = run_report(cluster("a", rows(500)), cluster("b", rows(498), 1, 2))
    text = markdown.render_run(beyond)
    assert (shown(text), left_out(text)) == (markdown.MAX_ROWS, 1)
    assert "\n… and 1 more, in the artifact of each cluster.\n" in text
    assert left_out("".join(map(markdown.render_cluster, beyond.clusters))) == 0


def test_the_first_problems_of_each_cluster_come_before_all_others() -> None:
    """A cluster with a thousand failed rows hides no other's; then come all problems, then the rest."""
    sick = cluster("sick", [*rows(1200, failed=True), *rows(9)], 5, 1)
    ill = [cluster(f"ill-{n:02}", rows(9, failed=True), 1) for n in range(20)]
    parts = sections([cluster("well", rows(50)), *ill, sick], OutputBudget(1000, 10**6), lambda *_: "x")
    assert [part.cluster.cluster for part in parts][-2:] == ["sick", "well"]
    *others, last, well = parts
    assert all(len(part.shown) >= FIRST_PROBLEMS and part.left_out == 0 for part in others)
    assert (len(last.shown), well.shown) == (1000 - 20 * 10, [])
    assert all(isinstance(item, Failure) for item, _ in last.shown[:5])
    assert sum(part.left_out for part in parts) == 50 + 20 * 10 + 5 + 1 + 1209 - 1000


def test_the_heading_of_a_cluster_counts() -> None:
    """If the second cluster's heading does not fit, only the first cluster is shown."""
    two = [cluster("a", rows(2)), cluster("b", rows(2))]
    for size, expected in ((104, [2, 0]), (105, [2, 0]), (206, [2, 1]), (208, [2, 2])):
        parts = sections(two, OutputBudget(9, size), lambda *_: "x", 100)
        assert [len(part.shown) for part in parts] == expected, size


def test_clusters_of_which_nothing_is_shown_are_counted() -> None:
    """The artifact says how many there are, how many of them failed, and which artifacts show them."""
    many = [cluster(f"c-{n}", rows(10, failed=True)) for n in range(400)]
    text = markdown.render_run(run_report(*many, cluster("well", rows(7))))
    assert shown(text) + left_out(text) == 4007
    assert "\n… and 667 more of 67 clusters, 66 of them FAILED, in the artifact of each cluster.\n" in text


HUGE = run_report(
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
    snapshot=SourceSnapshot(
        certificates=tuple(certificate(f"{n}-{LONG}", age=80) for n in range(1100)),
        rejections=tuple(rejection(f"{n}-{LONG}", detail=LONG) for n in range(1100)),
        warnings=(f"é{LONG}",) * 1100,
    ),
)


def test_no_report_is_larger_than_its_limit() -> None:
    """Artifact and log stay within their limits for a thousand failed clusters with the longest names."""
    assert len(markdown.render_run(HUGE).encode()) <= markdown.MAX_BYTES
    alone = markdown.render_cluster(ClusterReport(cluster="c", changes=HUGE.clusters[0].changes * 50))
    assert len(alone.encode()) <= markdown.MAX_BYTES
    assert shown(alone) + left_out(alone) == 1000
    text = terminal.render(HUGE)
    assert len(text.encode()) <= terminal.MAX_LOG_BYTES
    assert re.search(
        r"^… and \d{3} more clusters, \d{3} of them FAILED: see the run's artifact$", text, re.MULTILINE
    )


def test_the_log_shows_as_many_clusters_as_fit(monkeypatch: pytest.MonkeyPatch) -> None:
    """If both clusters fit, both are shown; with a byte less, the second is counted."""
    two = run_report(cluster("a", rows(3, failed=True)), cluster("b", rows(3)))
    whole = terminal.render(two)
    monkeypatch.setattr(terminal, "MAX_LOG_BYTES", len(whole.encode()) + 1)
    assert terminal.render(two) == whole
    monkeypatch.setattr(terminal, "MAX_LOG_BYTES", len(whole.encode()))
    assert terminal.render(two).endswith("\n\n… and 1 more clusters: see the run's artifact")


def test_the_log_has_the_first_failures_and_warnings_of_a_cluster() -> None:
    """The log shows as many failures and warnings as rows, and counts the rest."""
    lines = terminal.render(run_report(cluster("a", failures=20, warnings=21))).splitlines()
    assert sum("Timeout: list secrets" in line for line in lines) == 20 + 1  # and once in the verdict
    assert "  … and 1 more warnings: see the run's artifact" in lines
    assert not any("more failures" in line for line in lines)


def payload(text: str) -> int:
    """Return the size of a record by Prefect's own count, in bytes."""
    record = LogCreate(name="prefect.flow_runs", level=logging.ERROR, timestamp=now("UTC"), message=text)
    return APILogHandler()._get_payload_size(record.model_dump(mode="json"))


def test_prefect_truncates_no_record_of_a_long_log() -> None:
    """Each record is below the limit of Prefect Cloud; the records together are the report."""
    text = terminal.render(HUGE)
    parts = list(terminal.records(text))
    assert "\n".join(parts) == text
    assert max(map(payload, parts)) < CloudSettings.model_fields["max_log_size"].default
    assert len(parts) < 40


@pytest.mark.parametrize(
    "line", ["x" * 100_000, "word " * 20_000, "\U0001f512" * 30_000], ids=["x", "w", "e"]
)
def test_a_long_line_is_split_into_several_records(line: str) -> None:
    """Each record of a long line is below the limit, and no word is lost."""
    parts = list(terminal.records(line))
    assert max(map(payload, parts)) < 25_000
    assert re.sub(r"\s", "", "".join(parts)) == re.sub(r"\s", "", line)


def test_a_short_report_is_one_record() -> None:
    """A report below the limit is not split."""
    text = terminal.render(run_report(cluster("a", rows(3))))
    assert list(terminal.records(text)) == [text]
