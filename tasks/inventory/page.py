"""A survey as one HTML page that needs nothing else: no script, no font, no network. Pure.

Names come from certificates and clusters, and may be anything: all text is escaped, and the policy in the
page lets a browser load nothing and run nothing.
"""

from base64 import b64encode
from collections.abc import Iterator
from hashlib import sha256
from html import escape

from tasks.domain.text import printable, short_date
from tasks.inventory import page_style, summary, timeline
from tasks.inventory.model import MEANINGS, CopyState, InventoryReport, Status
from tasks.inventory.table import COLUMNS

POLICY = "default-src 'none'; style-src 'sha256-{digest}'; base-uri 'none'; form-action 'none'"


def render(survey: InventoryReport) -> str:
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
            f"<title>tls-sync inventory, {short_date(survey.now)}</title>",
            f"<style>{page_style.STYLE}</style>",
            "</head>",
            "<body>",
            *_header(survey),
            "<main>",
            *_notes(survey),
            *_timeline(survey),
            *_matrix(survey),
            *_copies(survey),
            "</main>",
            "</body>",
            "</html>",
            "",
        ]
    )


def text(value: str) -> str:
    """Anything as text of the page."""
    return escape(printable(value))


def _header(survey: InventoryReport) -> Iterator[str]:
    ending = summary.verdict(survey)
    yield "<header>"
    yield "<h1>tls-sync: certificates and their copies</h1>"
    kind, mark = ("good", "✓") if ending.ok else ("bad", "✗")
    yield f'<p class="verdict {kind}"><b>{mark}</b> {text(ending.message)}</p>'
    when = survey.now.isoformat(timespec="minutes")
    yield f'<p class="quiet">As of <time datetime="{when}">{survey.now:%Y-%m-%d %H:%M %Z}</time></p>'
    yield '<ul class="tiles">'
    for status, count in survey.counts.items():
        yield (
            f'<li class="{_class(status)}"><b>{count}</b> {summary.MARKS[status]} {status}'
            f"<small>{MEANINGS[status]}</small></li>"
        )
    yield "</ul>"
    links = (("timeline", "expiries"), ("matrix", "certificates and clusters"), ("copies", "all copies"))
    told = " ".join(f'<a href="#{place}">{words}</a>' for place, words in links)
    yield f'<nav aria-label="Sections">{told}</nav>'
    yield "</header>"


def _class(status: Status) -> str:
    return f"s-{str(status).replace(' ', '-')}"


def _notes(survey: InventoryReport) -> Iterator[str]:
    told = [_told(one) for one in survey.placements if one.remedy]
    told += [
        f"{_where(one)}: {text(summary.served_as(served))}"
        for one in survey.placements
        for served in one.served
        if served.detail
    ]
    told += [text(note) for note in summary.notes(survey)]
    if told:
        yield '<section id="notes"><h2>To look at</h2><ul>'
        yield from (f"<li>{one}</li>" for one in told)
        yield "</ul></section>"


def _told(one: CopyState) -> str:
    return f"{_where(one)}: {summary.MARKS[one.status]} {one.status}. {text(summary.why(one))}"


def _where(one: CopyState) -> str:
    return f"<b>{text(one.certificate)}</b> in {text(one.cluster)}, {text(one.place)}"


def _timeline(survey: InventoryReport) -> Iterator[str]:
    yield '<section id="timeline"><h2>When they end</h2>'
    yield (
        '<p class="quiet">What ends first stands on top. Filled: what is left of the life. '
        "The notch: when cert-manager renews it; two thirds of its life, where nothing tells. Hatched and "
        "<b>!</b>: a tenth of the time from there to the end has passed. Barred and <b>‼</b>: half of it "
        "has, and less than 7 days are left. <b>✗</b>: ended. <b>◇</b>: a copy that ends on "
        "another day than the certificate on OPS.</p>"
    )
    yield '<div class="chart" role="region" aria-label="Timeline" tabindex="0">'
    yield timeline.render(survey)
    yield "</div></section>"


def _matrix(survey: InventoryReport) -> Iterator[str]:
    cells: dict[tuple[str, str], list[CopyState]] = {}
    for one in survey.placements:
        cells.setdefault((one.certificate, one.cluster), []).append(one)
    yield '<section id="matrix"><h2>Certificates and clusters</h2>'
    yield '<div class="wide" role="region" aria-label="Certificates and clusters" tabindex="0"><table>'
    heads = "".join(f'<th scope="col">{text(name)}</th>' for name in survey.clusters)
    yield f'<thead><tr><th scope="col">certificate</th>{heads}</tr></thead><tbody>'
    for name in sorted({certificate for certificate, _ in cells}):
        row = "".join(_cell(cells.get((name, cluster), [])) for cluster in survey.clusters)
        yield f'<tr><th scope="row">{text(name)}</th>{row}</tr>'
    yield "</tbody></table></div></section>"


def _cell(placements: list[CopyState]) -> str:
    lines = [
        f'<div class="{_class(one.status)}">{summary.MARKS[one.status]} {one.status}'
        f"<small>{text(one.place)}{_served(one)}</small></div>"
        for one in placements
    ]
    return f"<td>{''.join(lines)}</td>"


def _served(one: CopyState) -> str:
    return f", served: {summary.served_cell(one)}" if one.served else ""


def _copies(survey: InventoryReport) -> Iterator[str]:
    yield '<section id="copies"><h2>All copies</h2>'
    yield '<div class="wide" role="region" aria-label="All copies" tabindex="0"><table>'
    heads = "".join(f'<th scope="col">{column.title}</th>' for column in COLUMNS)
    yield f"<thead><tr>{heads}</tr></thead><tbody>"
    for one in survey.placements:
        cells = "".join(
            f'<td class="{_class(one.status)}">{summary.MARKS[one.status]} {one.status}</td>'
            if column.title == "status"
            else f"<td>{text(column.cell(one, survey))}</td>"
            for column in COLUMNS
        )
        yield f"<tr>{cells}</tr>"
    yield "</tbody></table></div></section>"
