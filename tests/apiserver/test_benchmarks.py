"""The benchmarks themselves, with a few certificates and one repetition: their counts, no time."""

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from unittest.mock import patch

import pytest

from deployments.sandbox.world.cert_manager import SOURCE_NAMESPACE
from tests.benchmarks import results
from tests.benchmarks.parts import PARTS, Stage, stage
from tests.benchmarks.results import Result
from tests.benchmarks.sizes import TINY
from tests.benchmarks.whole_run import expected_requests
from tests.benchmarks.world import TARGETS
from tests.conftest import running

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(900)]

COPIES = len(TARGETS) * TINY.certificates


@pytest.fixture(scope="module")
def ready(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stage]:
    """Servers of this module alone: a benchmark changes all clusters, and this process's environment."""
    directory = tmp_path_factory.mktemp("bench")
    with patch.dict(os.environ):
        yield from running(stage(TINY, directory, lambda _: None), "no benchmark can be had")


def measured(ready: Stage, part: str) -> dict[str, Result]:
    return {result.key: result for result in PARTS[part](ready)}


@pytest.fixture(scope="module")
def compared(ready: Stage) -> dict[str, Result]:
    """Once, as the requests are recorded into files that must be new."""
    found = measured(ready, "clusters")
    assert ready.world.count_copies() == COPIES
    return found


def test_both_comparisons_with_the_floor_copy_everything(compared: dict[str, Result]) -> None:
    """Ours and the floor leave the same copies, and the CPU of every party is measured."""
    assert set(compared) == {"first_sync_vs_floor", "first_sync_cpu_s", "unchanged_vs_floor"}
    for key in ("first_sync_vs_floor", "unchanged_vs_floor"):
        result = compared[key]
        assert len(result.details["ours_seconds"]) == len(result.details["other_seconds"]) == 1
        assert set(result.details["cpu_seconds"]) > {"ours", "floor"}


def test_growth_is_measured_at_every_size(ready: Stage) -> None:
    """Each size has both runs; an unchanged one makes the expected requests, three per cluster."""
    found = measured(ready, "growth")
    assert set(found) == {"growth_certificates", "growth_clusters", "growth_worst"}
    grown = [found[f"growth_{over}"].details for over in ("certificates", "clusters")]
    certificates, clusters = (details["whole_runs"] for details in grown)
    assert 0 < clusters[0]["unchanged"]["start_cpu_seconds"] < clusters[0]["unchanged"]["cpu_seconds"]
    assert [run["certificates"] for run in certificates] == [*TINY.growth_certificates]
    assert [run["clusters"] for run in clusters] == [*TINY.growth_clusters]
    assert certificates[-1]["unchanged"]["requests"] == expected_requests(ready.world)
    assert ready.world.count_copies() == COPIES
    few, many = (run["unchanged"]["requests"] for run in clusters)
    assert many - few == 3 * (TINY.growth_clusters[1] - TINY.growth_clusters[0])


def test_one_renewal_asks_for_what_changed(ready: Stage) -> None:
    """A renewal costs three requests per cluster that has the certificate, and two for all of them."""
    found = measured(ready, "large")
    assert found["renewal_requests_large"].value == 3 * TINY.large_clusters + 2
    assert set(found) > {"peak_pod_large_first_mib", "unchanged_large_cpu_s"}
    peak: dict[str, Any] = found["peak_pod_large_mib"].details
    assert peak["copies"] == TINY.large_certificates * TINY.large_clusters
    assert len(peak["each_process"]) == 1


def test_keys_are_counted_in_an_unchanged_run(ready: Stage) -> None:
    """A run that finds everything in sync reads no key, anywhere."""
    (found,) = measured(ready, "keys").values()
    assert (found.value, found.met) == (0, True)


def test_a_run_for_more_clusters_costs_the_server_more_events(ready: Stage) -> None:
    """Each cluster is a task, with its events; artifacts are written only where they are asked for."""
    found = measured(ready, "server")
    few, many = (found[key].details for key in ("prefect_server_cpu_s", "prefect_server_cpu_many_s"))
    assert few["events"] < many["events"]
    everything = found["prefect_server_cpu_vs_before"].details["before"]["requests"]
    assert everything["artifacts"] > many["requests"]["artifacts"]


def test_the_watcher_and_the_floor_copy_each_renewal(ready: Stage) -> None:
    """Each round waits for a copy of either party on every target, and nothing of the floor is left."""
    found = measured(ready, "watch-floor")
    assert set(found) == {"watch_vs_floor_p50", "watch_vs_floor_p95", "watch_20ms_vs_floor_p50"}
    for result in found.values():
        samples = [result.details[f"{party}_seconds"] for party in ("ours", "other")]
        assert [len(some) for some in samples] == [TINY.floor_renewals] * 2
    assert ready.world.count_copies() == len(ready.world.copies)
    on_ops = {one["metadata"]["name"] for one in ready.world.ops.secrets(SOURCE_NAMESPACE)}
    assert on_ops == set(ready.world.certificates)


def test_a_part_with_fewer_certificates_finds_no_copy_of_the_others(ready: Stage) -> None:
    """A burst of 300 is followed by parts with 100: a copy whose certificate is gone would be a row more."""
    ready.flow().run_in_pod()
    assert ready.world.count_copies() == COPIES
    ready.world.resize(TINY.certificates - 1)
    assert ready.world.count_copies() == 0


def test_the_file_of_the_numbers_has_them_all(compared: dict[str, Result], tmp_path: Path) -> None:
    """What is written is what is read: a figure, a row and details for each result."""
    content = results.content(compared.values(), results.machine())
    results.write(content, tmp_path / "bench.json")
    assert results.read(tmp_path / "bench.json")["rows"] == content["rows"]
    assert {key: content[key] for key in compared} == {key: result.value for key, result in compared.items()}
    assert set(content["rows"]) == set(compared)


def test_a_thousand_clusters_need_no_entry(ready: Stage) -> None:
    """A run asks each for its credential, its identity and one list; a group's run asks its own alone."""
    found = measured(ready, "many")
    assert set(found) == {"many_lines", "many_load_cpu_s", "many_run_s", "many_group_s"}
    assert found["many_lines"].met
    whole, part = (found[key].details["requests"] for key in ("many_run_s", "many_group_s"))
    assert whole > 4 * TINY.many_clusters
    assert part < whole / 2
