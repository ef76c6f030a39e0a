"""Which run a person means by a part of its id, or by its name."""

from typing import Any, cast
from uuid import UUID

import pytest
from prefect._internal.uuid7 import uuidfromvalues
from prefect.client.orchestration import SyncPrefectClient
from prefect.client.schemas.filters import FlowRunFilter
from prefect.client.schemas.objects import FlowRun

from tasks.orchestration.prefect_api import PrefectAPIError
from tasks.orchestration.run_history import PAGE_SIZE, find_run

BATCH = [UUID(bytes=uuidfromvalues(1_790_000_000_000, 7, n)) for n in range(0xABCDEF00, 0xABCDEF00 + 120)]
"""Ids of scheduled runs, which Prefect makes within a millisecond."""


class Recorded:
    """Prefect's client: it has these runs, newest first."""

    def __init__(self, names: dict[UUID, str]) -> None:
        self.runs = [FlowRun(id=one, name=name, flow_id=one) for one, name in names.items()]

    def read_flow_run(self, wanted: UUID) -> FlowRun:
        return next(one for one in self.runs if one.id == wanted)

    def read_flow_runs(self, flow_run_filter: FlowRunFilter, offset: int, **_: Any) -> list[FlowRun]:
        wanted = flow_run_filter.name.any_ if flow_run_filter.name else None
        return [one for one in self.runs if not wanted or one.name in wanted][offset : offset + PAGE_SIZE]


def find(text: str, names: dict[UUID, str]) -> UUID:
    return find_run(cast("SyncPrefectClient", Recorded(names)), text)


def test_a_run_is_found_by_any_part_that_is_its_own() -> None:
    """The end of its id, which the history shows, finds a run on a later page; so does a name of its own."""
    names = dict.fromkeys(BATCH, "sync all")
    assert find(str(BATCH[-1])[-8:].upper(), names) == BATCH[-1]
    assert find("watch: start", {**names, BATCH[3]: "watch: start"}) == BATCH[3]
    assert find("cafe", {**names, BATCH[3]: "cafe"}) == BATCH[3]
    assert find(str(BATCH[9]), names) == BATCH[9]
    assert find(str(BATCH[0])[:8], {BATCH[0]: "sync all"}) == BATCH[0]


def test_a_text_that_means_several_runs_is_an_error_that_names_them() -> None:
    """The message has how many there are, and the full ids and names of the newest, which can be copied."""
    names = dict.fromkeys(BATCH, "sync \x1b[2J")
    for text in (str(BATCH[0])[:8], "sync \x1b[2J"):
        with pytest.raises(PrefectAPIError) as raised:
            find(text, names)
        said = str(raised.value)
        assert said.startswith(
            f"120 runs are meant by {text!r}; give the id of one: {BATCH[0]} (sync ?[2J), "
        )
        assert said.endswith(f"{BATCH[4]} (sync ?[2J) and 115 more")


@pytest.mark.parametrize("text", ["00000000", "abc", "sync nothing", "-"])
def test_a_text_that_means_no_run_is_an_error(text: str) -> None:
    """Three characters of an id are too few; neither does a text count that is within an id or a name."""
    with pytest.raises(PrefectAPIError, match=f"tls-sync history shows the runs that there are: '{text}'"):
        find(text, dict.fromkeys(BATCH, "sync all"))
