"""A first sync to an API server that has one seat for us, by API Priority and Fairness, and no queue."""

import time
from http import HTTPStatus

from deployments.sandbox.progress import Say
from tasks.domain.models import Action
from tests.benchmarks.delivering import deliver_all
from tests.benchmarks.results import Result
from tests.benchmarks.sizes import Size
from tests.benchmarks.world import World
from tests.support.clusters import ACCOUNT
from tests.support.priority_and_fairness import bystander, few_seats, listening

SERVER = "dev"


def one_seat(world: World, size: Size, say: Say) -> Result:
    world.resize(size.seat_certificates)
    world.empty()
    server, copies = world.sandbox.cluster(SERVER), size.seat_certificates
    orders = [order for order in world.orders() if order.cluster.name == SERVER]
    begun = time.perf_counter()
    deliver_all(orders, Action.CREATE, copies)
    free = time.perf_counter() - begun
    world.empty()
    with few_seats(server.admin, ACCOUNT), listening(server.admin) as log, bystander(server) as answers:
        begun = time.perf_counter()
        deliver_all(orders, Action.CREATE, copies)  # or it says what is missing
        taken = time.perf_counter() - begun
    refused, early = len(log.refusals), len(log.too_early())
    say(f"one seat: {taken:.2f} s, without {free:.2f} s; {refused} refusals, {early} too early")
    return Result(
        key="one_seat_refusals",
        what=f"first sync, {copies} copies, one seat at the API server: requests refused (HTTP 429)",
        value=refused,
        ours=f"{taken:.2f} s",
        other=f"{free:.2f} s with all seats",
        demand="all copies, no request too early, others served",
        met=early == 0 and set(answers) <= {HTTPStatus.CREATED},
        details={
            "copies": copies,
            "seconds": round(taken, 2),
            "seconds_with_all_seats": round(free, 2),
            "requests": len(log.heard),
            "too_early": early,
            "asked_seconds": [one.asked for one in log.refusals],
            "others_answers": len(answers),
        },
    )
