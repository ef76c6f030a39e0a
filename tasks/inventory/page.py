"""An inventory as one HTML page without scripts, fonts or requests. Pure.

Names come from certificates and clusters, and may contain anything: all text is escaped, and the page's
Content Security Policy lets a browser load and run nothing.
"""

from base64 import b64encode
from collections.abc import Iterator
from hashlib import sha256
from html import escape

from tasks.domain.text import printable, short_date
from tasks.inventory import page_style, summary, timeline
from tasks.inventory.model import MEANINGS, CopyState, InventoryReport, Status
from tasks.inventory.table import COLUMNS, by_certificate
from tasks.report.served import served_line

POLICY = "default-src 'none'; style-src 'sha256-{digest}'; base-uri 'none'; form-action 'none'"


def render(report: InventoryReport) -> str:
    digest = b64encode(sha256(page_style.STYLE.encode()).digest()).decode()
    return "\n".join(
        [
            "<!doctype html>",
            '<html lang="en">',
            "<head>",
            '<meta charset="utf-8">',
            f'<meta http-equiv="Content-Security-Policy" content="{POLICY.format(digest=digest)}">',
            '<meta name="viewport" content="width=device-width, initial-scale=1">',
            '<meta name="referrer" content="no-referrer">',
            f"<title>tls-sync inventory, {short_date(report.now)}</title>",
            f"<style>{page_style.STYLE}</style>",
            "</head>",
            "<body>",
            *_header(report),
            "<main>",
            *_notes(report),
            *_timeline(report),
            *_matrix(report),
            *_copies(report),
            "</main>",
            "</body>",
            "</html>",
            "",
        ]
    )


def text(value: str) -> str:
    """Escape a text for the page."""
    return escape(printable(value))


def _header(report: InventoryReport) -> Iterator[str]:
    verdict = summary.inventory_verdict(report)
    yield "<header>"
    yield "<h1>tls-sync: certificates and their copies</h1>"
    kind, mark = ("good", "✓") if verdict.ok else ("bad", "✗")
    yield f'<p class="verdict {kind}"><b>{mark}</b> {text(verdict.message)}</p>'
    when = report.now.isoformat(timespec="minutes")
    yield f'<p class="quiet">As of <time datetime="{when}">{report.now:%Y-%m-%d %H:%M %Z}</time></p>'
    yield '<ul class="tiles">'
    for status, count in report.counts.items():
        yield (
            f'<li class="{_class(status)}"><b>{count}</b> {summary.MARKS[status]} {status}'
            f"<small>{MEANINGS[status]}</small></li>"
        )
    yield "</ul>"
    links = (("timeline", "expiries"), ("matrix", "certificates and clusters"), ("copies", "all copies"))
    anchors = " ".join(f'<a href="#{place}">{words}</a>' for place, words in links)
    yield f'<nav aria-label="Sections">{anchors}</nav>'
    yield "</header>"


def _class(status: Status) -> str:
    return f"s-{str(status).replace(' ', '-')}"


def _notes(report: InventoryReport) -> Iterator[str]:
    notes = [_explanation(one) for one in report.copies if one.remedy]
    notes += [
        f"{_place(one)}: {text(served_line(served))}"
        for one in report.copies
        for served in one.served
        if served.detail
    ]
    notes += [text(note) for note in summary.notes(report)]
    if notes:
        yield '<section id="notes"><h2>To look at</h2><ul>'
        yield from (f"<li>{note}</li>" for note in notes)
        yield "</ul></section>"


def _explanation(one: CopyState) -> str:
    return f"{_place(one)}: {summary.MARKS[one.status]} {one.status}. {text(summary.explain(one))}"


def _place(one: CopyState) -> str:
    return f"<b>{text(one.certificate)}</b> in {text(one.cluster)}, {text(one.place)}"


def _timeline(report: InventoryReport) -> Iterator[str]:
    yield '<section id="timeline"><h2>Expiries</h2>'
    yield (
        '<p class="quiet">The certificate that expires first is on top. Filled: the rest of its lifetime. '
        "Notch: when cert-manager renews it, or two thirds of its lifetime if that is unknown. Hatched, "
        "<b>!</b>: a tenth of the time from the renewal to the expiry has passed. Barred, <b>‼</b>: half of "
        "it has passed, and less than 7 days are left. <b>✗</b>: expired. <b>◇</b>: a copy whose expiry "
        "differs from that of the certificate on OPS.</p>"
    )
    yield '<div class="chart" role="region" aria-label="Timeline" tabindex="0">'
    yield timeline.render(report)
    yield "</div></section>"


def _matrix(report: InventoryReport) -> Iterator[str]:
    yield '<section id="matrix"><h2>Certificates and clusters</h2>'
    yield '<div class="wide" role="region" aria-label="Certificates and clusters" tabindex="0"><table>'
    heads = "".join(f'<th scope="col">{text(name)}</th>' for name in report.cluster_names)
    yield f'<thead><tr><th scope="col">certificate</th>{heads}</tr></thead><tbody>'
    for name, found in by_certificate(report).items():
        row = "".join(_cell(found.get(cluster, [])) for cluster in report.cluster_names)
        yield f'<tr><th scope="row">{text(name)}</th>{row}</tr>'
    yield "</tbody></table></div></section>"


def _cell(copies: list[CopyState]) -> str:
    lines = [
        f'<div class="{_class(one.status)}">{summary.MARKS[one.status]} {one.status}'
        f"<small>{text(one.place)}{_served(one)}</small></div>"
        for one in copies
    ]
    return f"<td>{''.join(lines)}</td>"


def _served(one: CopyState) -> str:
    return f", served: {summary.served_cell(one)}" if one.served else ""


def _copies(report: InventoryReport) -> Iterator[str]:
    yield '<section id="copies"><h2>All copies</h2>'
    yield '<div class="wide" role="region" aria-label="All copies" tabindex="0"><table>'
    heads = "".join(f'<th scope="col">{column.title}</th>' for column in COLUMNS)
    yield f"<thead><tr>{heads}</tr></thead><tbody>"
    for one in report.copies:
        cells = "".join(
            f'<td class="{_class(one.status)}">{summary.MARKS[one.status]} {one.status}</td>'
            if column.title == "status"
            else f"<td>{text(column.cell(one, report))}</td>"
            for column in COLUMNS
        )
        yield f"<tr>{cells}</tr>"
    yield "</tbody></table></div></section>"
