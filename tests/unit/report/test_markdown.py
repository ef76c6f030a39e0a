"""A run's report as an artifact in the Prefect UI."""

import re
from dataclasses import replace

import pytest

from tasks.domain.models import Action
from tasks.domain.reasons import Reason
from tasks.report import markdown
from tests.support.factories import (
    NAME,
    certificate,
    change,
    cluster_report,
    failure,
    rejection,
    run_report,
    snapshot,
)
from tests.support.report_example import (
    EXAMPLE,
    GONE,
    REFUSED,
)

MARKDOWN = """\
## ❌ 1 of 3 clusters failed: rct (Unreachable: list secrets in homarr-rct: no connection to the API server \
(HTTP 500) (and 1 more))

### To do

- **Unreachable** (rct): check that the API server runs and that the network lets OPS reach it.
- **OwnedByOther** (rct: homarr-dev/c-tls): delete it, hand it over (annotation \
tls-sync.io/adopt: \\<owner\\>), or use another name (route).
- **Expired** (OPS: x-tls): find out why cert-manager does not renew it.
- **IssuanceLate** (OPS: o-tls): see why: \\`cmctl status certificate NAME\\`, or describe its \
Certificate, Order and Challenge on OPS.

### What was done

| cluster | create | update | keep | refuse | nothing | failures | state |
| --- | --- | --- | --- | --- | --- | --- | --- |
| rct | 0 | 0 | 0 | 1 | 0 | 1 | FAILED |
| dev | 1 | 0 | 2 | 0 | 0 | 0 | ok |
| prd | 0 | 0 | 1 | 0 | 0 | 0 | ok |

Looked at 2026-03-01 12:00 UTC. The artifact of a cluster is only written where it says something new.

### rct

- ❌ **Unreachable**: list secrets in homarr-rct on rct: no connection to the API server (HTTP 500).

| action | secret | certificate | reason | old | new | why |
| --- | --- | --- | --- | --- | --- | --- |
| ❌ refuse | homarr-dev/c-tls | c-tls | OwnedByOther | - | a1a1a1a1 2026-05-20 | \
a Secret of that name exists and is not ours |

### dev

- ⚠️ clusterId is not pinned; this cluster's is 0c2f

| action | secret | certificate | reason | old | new | why |
| --- | --- | --- | --- | --- | --- | --- |
| create | homarr-dev/a-tls | a-tls | MissingOnTarget | - | a1a1a1a1 2026-05-20 | \
the target does not have it yet |
| keep | homarr-dev/d-tls | d-tls | GoneFromSource | b2b2b2b2 2026-03-21 | - | \
it is no longer on OPS: the copy is kept; delete it by hand if nobody needs it |

### OPS: 2 certificates fit to be sent

| rejected | reason | why |
| --- | --- | --- |
| x-tls | Expired | its notAfter has passed since 2026 |

| not issued yet | reason | why |
| --- | --- | --- |
| n-tls | IssuancePending | cert-manager has not issued it yet: Certificate n-tls, since 2026-03-01 \
11:55 UTC: nothing to do: a run after the issuance sends it; after an hour, or a failed attempt, it is late |
| o-tls | IssuanceLate | cert-manager should have issued it by now: Certificate o-tls, since 2026-03-01 \
11:55 UTC, failed attempts: 1 |

| near expiry | left | until | issuer |
| --- | --- | --- | --- |
| old-tls | urgent: 5 days left | 2026-03-06 | R10 |

- 3 Secrets on OPS are not fit to be sent and are not routed
- 1 certificate on OPS is not issued yet and is not routed
- ⚠️ a-tls: not ready
- ⚠️ old-tls: tls.crt holds no issuer
- suspended, so left out: lab"""


def test_markdown_shows_the_whole_report() -> None:
    """The artifact has the verdict, what to do, failed clusters before the others, and the state of OPS."""
    assert markdown.render_run(EXAMPLE) == MARKDOWN


def test_a_cluster_has_an_artifact_of_its_own() -> None:
    """The artifact of one cluster has its overview and its rows."""
    lines = markdown.render_cluster(cluster_report("rct", REFUSED)).splitlines()
    assert (lines[0], lines[2], lines[6]) == ("## ❌ rct", "### To do", "### What was done")
    assert lines[4].startswith("- **OwnedByOther** (rct: homarr-dev/c-tls): delete it, ")
    assert lines[10] == "| rct | 0 | 0 | 0 | 1 | 0 | 0 | FAILED |"
    assert lines[-1].startswith("| ❌ refuse | homarr-dev/c-tls |")


def test_markdown_names_the_only_certificate() -> None:
    """The artifact of a run for one certificate names that certificate."""
    assert (
        f"For the certificate {NAME} only." in markdown.render_run(run_report(certificate=NAME)).splitlines()
    )


def test_markdown_says_how_many_rows_are_left() -> None:
    """An artifact shows MAX_ROWS rows and counts the others."""
    rows = [change(Action.CREATE, Reason.MISSING_ON_TARGET, f"t-{n}") for n in range(markdown.MAX_ROWS + 7)]
    text = markdown.render_cluster(cluster_report("dev", *rows))
    assert text.count("\n| create ") == markdown.MAX_ROWS
    assert text.endswith("\n… and 7 more.")


INJECTIONS = {
    "a link": "[renew](https://evil.org)",
    "an image": "![x](https://evil.org/x.png)",
    "HTML": "<img src=x onerror=alert(1)>",
    "a second cell": "a | b | c",
    "a new line": "a\n# heading",
    "code": "`a` ``b``",
    "emphasis": "**a** __b__ ~~c~~",
    "an escape": "\\| a \\",
}
MARKUP = re.compile(r"(?<!\\)(?:\\\\)*[`*_\[\]<>|~]")


def reports_with(text: str) -> list[str]:
    """Return artifacts with the text in each place where text of a certificate can be."""
    return [
        markdown.render_run(given)
        for given in (
            run_report(snapshot=snapshot(certificate(age=85, issuer=text))),
            run_report(snapshot=snapshot(rejection("x", detail=text))),
            run_report(snapshot=snapshot(certificate(), warnings=(text,))),
            run_report(snapshot=snapshot(certificate(warnings=(text,)))),
            run_report(
                cluster_report("dev", change(Action.REFUSE, Reason.HOSTNAME_NOT_ALLOWED, detail=text))
            ),
            run_report(cluster_report("dev", replace(GONE, certificate=text))),
            run_report(cluster_report("dev", warnings=(text,))),
            run_report(cluster_report("dev", failures=(failure(detail=text),))),
        )
    ]


@pytest.mark.parametrize("text", INJECTIONS.values(), ids=INJECTIONS)
def test_text_of_a_certificate_adds_no_markup(text: str) -> None:
    """DNS names, issuers, details and warnings are escaped, on one line, in one cell."""
    harmless = re.sub(r"[^\x20-\x7e]", "?", text)
    for evil, plain in zip(reports_with(text), reports_with("x" * len(text)), strict=True):
        assert len(evil.splitlines()) == len(plain.splitlines())
        assert [len(MARKUP.findall(line)) for line in evil.splitlines()] == [
            len(MARKUP.findall(line)) for line in plain.splitlines()
        ]
        assert re.sub(r"\\([\\`*_\[\]<>|~@:.])", r"\1", evil).count(harmless) >= 1


@pytest.mark.parametrize("text", ["https://evil.org/renew", "www.evil.org"])
def test_markdown_makes_no_link_of_a_bare_address(text: str) -> None:
    """An issuer or a DNS name that looks like an address does not become a link."""
    assert not any(re.search(r"(?<![\\`])(https?://|www\.)", found) for found in reports_with(text))
