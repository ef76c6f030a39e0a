"""What clusters that announce themselves lack, as lines of reports. Pure."""

from collections.abc import Iterator

from tasks.domain.failure_codes import FailureCode
from tasks.domain.models import Discovery, Failure
from tasks.domain.text import count_of

MAX_PLACES = 5
"""Maximum number of clusters that a line names; the others are counted."""


def unserved_by_code(discovery: Discovery) -> dict[FailureCode, list[Failure]]:
    """Return what clusters lack, by code: first what is most often lacking."""
    found: dict[FailureCode, list[Failure]] = {}
    for one in discovery.unserved:
        found.setdefault(one.code, []).append(one)
    return dict(sorted(found.items(), key=lambda item: -len(item[1])))


def unserved_texts(discovery: Discovery) -> Iterator[tuple[FailureCode, str]]:
    """Yield each kind of lack, with a sentence that names its clusters."""
    for code, several in unserved_by_code(discovery).items():
        yield code, f"{code.sentence}: {_places(several)}"


def unserved_lines(discovery: Discovery) -> Iterator[str]:
    """Yield one line for each kind of lack, with its clusters, and what to do."""
    for code, text in unserved_texts(discovery):
        yield f"{code}: {text}. To do: {code.remedy}."
    if discovery.unrouted:
        count = count_of(len(discovery.unrouted), "discovered cluster")
        yield f"no route is for {count}: {_named(list(discovery.unrouted))}"


def unserved_note(discovery: Discovery) -> Iterator[str]:
    """Yield, for one line, how many clusters are not served, and why."""
    found = unserved_by_code(discovery)
    if found:
        count = count_of(sum(map(len, found.values())), "discovered cluster")
        yield f"{count} not served ({', '.join(found)})"


def _places(several: list[Failure]) -> str:
    return _named([f"{one.cluster} ({one.detail})" if one.detail else one.cluster for one in several])


def _named(names: list[str]) -> str:
    more = len(names) - MAX_PLACES
    return ", ".join(names[:MAX_PLACES]) + (f" and {more:,} more" if more > 0 else "")
