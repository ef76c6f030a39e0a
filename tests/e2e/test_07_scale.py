"""A hundred certificates for three clusters, with the chart's default resources."""

import copy
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest

from deployments.sandbox.world import oracle
from deployments.sandbox.world.cert_manager import SOURCE_NAMESPACE, Issuer
from deployments.sandbox.world.oracle import Evidence
from tests.e2e import records
from tests.e2e.machine import Machine
from tests.e2e.prefect_api import PrefectAPI
from tests.e2e.release import YEARLY, Release
from tests.e2e.witness import Witness

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(1500)]

_MIB = 2**20
_PROMISED_MIB = 130
_CERTIFICATES = 100


@pytest.fixture
def certificates(machine: Machine) -> Iterator[None]:
    """Certificates on OPS for this test alone: the next one checks what is left there."""
    issuer = Issuer()
    names = [f"bulk-{number:03}" for number in range(_CERTIFICATES)]

    def issue(name: str) -> None:
        machine.ops.create(issuer.secret(f"{name}-tls", [f"{name}.bulk.example.org"]))

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(issue, names))
    yield
    for name in names:
        machine.ops.delete(f"/api/v1/namespaces/{SOURCE_NAMESPACE}/secrets/{name}-tls")


@pytest.mark.usefixtures("certificates")
def test_a_hundred_certificates_for_three_clusters_fit_into_130_mib(
    machine: Machine, release: Release, prefect: PrefectAPI, witness: Witness
) -> None:
    """One run creates all copies, and its control group stays below the documented memory."""
    config = copy.deepcopy(release.values["tlsSync"]["config"])
    for cluster in config["clusters"]:
        namespace = cluster["routes"][0]["namespaces"][0]
        cluster["hostnames"] = [*cluster["hostnames"], "*.bulk.example.org"]
        cluster["routes"] = [*cluster["routes"], {"certificates": ["bulk-*"], "namespaces": [namespace]}]
    release.upgrade(schedule=YEARLY)
    prefect.await_rest()
    release.upgrade(config=config)

    before = oracle.look(machine.sandbox)
    run = prefect.carry_out()
    evidence = Evidence(before, oracle.look(machine.sandbox))
    assert run.state == "Completed", run
    peak = round(max(pod.peak_bytes for pod in witness.pods[run.id]) / _MIB, 1)
    records.write("memory_of_100_certificates_x_3_clusters_mib", peak)
    copies = [place for place in evidence.created if place.name.startswith("bulk-")]
    assert len(copies) == _CERTIFICATES * len(config["clusters"])
    assert 0 < peak <= _PROMISED_MIB
