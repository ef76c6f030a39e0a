"""The story of tests/unit/plan/test_state_machine.py on real API servers: the same rules, the same laws.

`TLS_SYNC_STEPS=200 pytest tests/apiserver/test_state_machine.py` is the long form.
"""

import time

import pytest
from hypothesis.stateful import run_state_machine_as_test

from deployments.sandbox.world.kubeconfig import context_name
from tasks.kube.transport import Transport
from tasks.kubeconfig.reader import connect
from tests.apiserver.test_contract import exchange_over
from tests.support.clusters import World
from tests.support.in_memory_api import Hand
from tests.support.namespace_owner import NamespaceOwner
from tests.unit.plan.test_state_machine import STEPS, Fleet, SyncMachine, configs_for, profile

pytestmark = pytest.mark.apiserver

SECONDS = 500
PER_EXAMPLE = 20


def test_whatever_happens_on_real_servers_copies_stay_whole_ours_and_told(world: World) -> None:
    """In any order of events, what the laws of SyncMachine say holds on real API servers, too."""
    deadline = time.monotonic() + SECONDS
    ways = {name: Transport(connect(name, context_name(name)).api, deadline) for name in ("ops", "dev")}
    hands = {name: Hand(exchange_over(world.admin(name))) for name in ways}
    configs = configs_for(world.admin().cluster_id())
    owner = NamespaceOwner(world, "app-c", "receives")

    def mark(labelled: bool, bound: bool) -> None:
        owner.label(on=labelled)
        owner.bind(on=bound)

    fleet = Fleet(hands, {name: way.request for name, way in ways.items()}, *configs, mark)

    class RealMachine(SyncMachine):
        make_fleet = staticmethod(lambda: fleet)

    try:
        run_state_machine_as_test(RealMachine, settings=profile(int(STEPS or 40), PER_EXAMPLE))
    finally:
        owner.leave()
        for way in ways.values():
            way.close()
