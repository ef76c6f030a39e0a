"""1,000 clusters and 10,000 certificates: how long the file is, and what work and reports take."""

import yaml

from tasks.config.discovered import Discovered, expand
from tasks.config.limits import MAX_CERTIFICATES
from tasks.config.load import parse_config
from tasks.config.rules import MAX_CLUSTERS
from tasks.domain.failure_codes import FailureCode
from tasks.domain.models import Action, ClusterReport, Discovery, Failure, RunReport
from tasks.domain.patterns import PatternIndex
from tasks.domain.reasons import Reason
from tasks.fleet.groups import groups_by_wave
from tasks.preflight import render
from tasks.preflight.model import Check, CheckStatus, Finding, Preflight, Readiness
from tasks.report import markdown, terminal
from tests.support import many_clusters as many
from tests.support.factories import NOW, change, failure, snapshot
from tests.support.steps import steps

LINES = 200
MOST = 12
"""How many times more steps ten times as many may take."""
FAILED = ("edge-0997", "edge-0999")


def document() -> dict[str, object]:
    read: dict[str, object] = yaml.safe_load("\n".join(many.lines()))
    return read


def discovered(clusters: int = MAX_CLUSTERS) -> Discovered:
    return expand(parse_config(document()), many.profiles(clusters))


def test_the_file_is_short() -> None:
    """Clusters announce themselves; routes and hostnames go by labels and patterns."""
    assert len(many.lines()) < LINES
    config, discovery = discovered()
    assert len(config.clusters) == MAX_CLUSTERS
    assert not discovery.unserved
    assert not discovery.unrouted
    waves = groups_by_wave(config.clusters)
    assert [[group.wave for group in wave] for wave in waves] == [[n] * len(many.REGIONS) for n in (1, 2, 3)]
    names = many.certificate_names(MAX_CERTIFICATES)
    assert len({*names}) == MAX_CERTIFICATES
    available = PatternIndex(names)
    copies = [len(one.routed_copies(available)) for one in config.clusters]
    assert min(copies) > 0
    assert sum(copies) > MAX_CERTIFICATES


def test_ten_times_the_clusters_take_ten_times_the_steps() -> None:
    """Discovered, and with an entry each."""
    few, count = steps(lambda: discovered(100)), steps(lambda: discovered(1000))
    assert count <= MOST * few
    shared = {key: value for key, value in document().items() if key not in ("discover", "credentials")}
    short, long = shared | many.explicit(100), shared | many.explicit(1000)
    assert steps(lambda: parse_config(long)) <= MOST * steps(lambda: parse_config(short))


def report(discovery: Discovery | None = None) -> RunReport:
    """1,000 clusters with ten copies each; the last but two, and the last, failed."""
    rows = tuple(
        change(Action.UPDATE, Reason.CERTIFICATE_RENEWED, f"web-{number}-tls", applied=True)
        for number in range(10)
    )
    clusters = [
        ClusterReport(
            cluster=name,
            changes=() if name in FAILED else rows,
            failures=(failure(FailureCode.TIMEOUT, name),) if name in FAILED else (),
            warnings=("the credential may do more with Secrets than needed",),
        )
        for name in many.cluster_names(MAX_CLUSTERS)
    ]
    return RunReport(
        snapshot=snapshot(), clusters=tuple(clusters), now=NOW, discovery=discovery or Discovery()
    )


def test_a_report_leads_with_what_failed() -> None:
    """The verdict names it, then what to do; tables and details begin with it; the size is limited."""
    page, text = markdown.render_run(report()), terminal.render(report())
    assert len(page.encode()) <= markdown.MAX_BYTES
    assert len(text.encode()) <= terminal.MAX_LOG_BYTES
    for rendered in (page, text):
        beginning = " ".join(rendered[:300].split())
        assert f"2 of {MAX_CLUSTERS} clusters failed" in beginning
        mentioned = [beginning.index(name) for name in FAILED]
        assert mentioned == sorted(mentioned)
        assert "edge-0000" not in beginning
        rows = [line.lstrip("| ").partition(" ")[0] for line in rendered.splitlines()]
        assert rows.index(FAILED[0]) < rows.index(FAILED[1]) < rows.index("edge-0000")
    assert page.index("### To do") < page.index("| cluster |")
    assert [page.index(f"### {name}") for name in FAILED] == sorted(
        page.index(f"### {name}") for name in FAILED
    )
    assert page.index(f"### {FAILED[-1]}") < page.index("### edge-0000")


def test_a_thousand_clusters_without_a_pin_are_few_lines() -> None:
    """Rows of one kind are told together; the artifact stays within its size."""
    lacking = tuple(
        Failure(code=FailureCode.NOT_PINNED, cluster=name, what="get secret", detail="no annotation")
        for name in many.cluster_names(MAX_CLUSTERS)
    )
    told = report(Discovery(is_configured=True, unserved=lacking, unrouted=tuple(many.cluster_names(1000))))
    page, before = markdown.render_run(told), markdown.render_run(report())
    assert 0 < len(page) - len(before) < 2000
    assert "and 995 more" in page


def test_a_preflight_leads_with_what_is_not_ready() -> None:
    """Its message names ten clusters at most, and its table begins with them."""
    bad = Finding(check=Check.REACHABLE, status=CheckStatus.ERROR, name="Unreachable")
    clusters = [
        Readiness(cluster=name, findings=(bad,) if number >= 900 else ())
        for number, name in enumerate(many.cluster_names(MAX_CLUSTERS))
    ]
    found = Preflight(ops=Readiness(cluster="OPS"), clusters=tuple(clusters))
    message = render.verdict(found).message
    assert message.startswith(f"preflight: 100 of {MAX_CLUSTERS} clusters not ready: edge-0900 (Unreachable)")
    assert message.endswith("edge-0909 (Unreachable), and 90 more")
    lines = [line.partition(" ")[0] for line in render.render(found).splitlines()]
    assert lines.index("OPS") < lines.index("edge-0900") < lines.index("edge-0999") < lines.index("edge-0000")
