"""What addresses present, as text for reports and for the inventory. Pure."""

from collections.abc import Iterable, Iterator, Sequence

from tasks.domain.models import ClusterReport, Served, ServedCopy, ServedMatch
from tasks.domain.text import count_of, short_date

MATCH_LABELS = {
    ServedMatch.SAME: "as stored",
    ServedMatch.OLDER: "older",
    ServedMatch.OTHER: "another",
    ServedMatch.NONE: "no answer",
    ServedMatch.NO_NAME: "not asked",
}
MAX_ADDRESSES = 3
"""Maximum number of addresses that the reason of a hold describes; the reports of their clusters have all."""


def served_line(one: Served) -> str:
    """Return what an address serves: `web.example.org:443: older: …, serial 01d, until 2026-12-01`."""
    name = f" as {one.name}" if one.name else ""
    serial = f", serial {one.serial}" if one.serial else ""
    expiry = f", until {short_date(one.not_after)}" if one.not_after else ""
    detail = f": {one.detail}" if one.detail else ""
    return f"{one.address}{name}: {MATCH_LABELS[one.match]}{detail}{serial}{expiry}"


def not_served_line(copy: ServedCopy) -> str:
    """Return what an address presents instead of a copy's certificate, and since when that is stored."""
    presents = served_line(copy.served) if copy.served else f"{copy.address}: not asked"
    since = f" since {copy.since:%Y-%m-%d %H:%M} UTC" if copy.since else ""
    return f"{presents}; not what {copy.target} has{since}"


def not_served_lines(cluster: ClusterReport) -> Iterator[str]:
    """Yield a line for each address of which the run has found that it does not present the stored one."""
    yield from (not_served_line(one) for one in cluster.served if one.served and not one.matches)


def not_served_reason(reports: Iterable[ClusterReport]) -> str:
    """Return which addresses of these clusters don't present what is stored there; empty if all do."""
    awaited = [(report.cluster, one) for report in reports for one in report.served]
    wrong = [(cluster, one) for cluster, one in awaited if not one.matches]
    if not wrong:
        return ""
    lines = [f"{cluster}: {not_served_line(one)}" for cluster, one in wrong[:MAX_ADDRESSES]]
    return f"{len(wrong)} of {count_of(len(awaited), 'handshake')}: {'; '.join(lines)}{_more(wrong)}"


def _more(wrong: Sequence[object]) -> str:
    return f"; and {len(wrong) - MAX_ADDRESSES} more" if len(wrong) > MAX_ADDRESSES else ""


def served_count(cluster: ClusterReport) -> str:
    """Return how many of a cluster's addresses present what is stored: `2 of 3`; `-` if nobody looked."""
    looked = [one for one in cluster.served if one.served]
    return f"{sum(one.matches for one in looked)} of {len(looked)}" if looked else "-"
