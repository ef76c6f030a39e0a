"""A damaged key, certificate, Certificate or row leads to a value, within a second."""

from collections import Counter
from random import Random

from tests.fuzz.cases import run, secrets
from tests.fuzz.mutations import parse, spoil_pem, write

SEED, CASES = 17, 5000


def test_whatever_is_spoilt_leads_to_a_value_within_a_second() -> None:
    """No case raises or takes more than a second of CPU; a failure names its seed and number."""
    outcomes = Counter((one.kind, one.what.partition(" ")[0]) for one in run(SEED, CASES))
    assert sum(outcomes.values()) == CASES
    secret = {what for kind, what in outcomes if kind == "a_secret"}
    assert {"fit", "InvalidKey", "BrokenKey", "WeakKey", "InvalidCertificate", "UnexpectedBlock"} <= secret


def test_a_seed_gives_the_same_cases() -> None:
    """A finding can be reproduced: outcomes and bytes depend only on the seed."""
    one, other = (
        [(found.kind, found.what) for found in run(SEED, 200)],
        [(found.kind, found.what) for found in run(SEED, 200)],
    )
    assert one == other
    first = secrets()[0]["tls.crt"]
    assert spoil_pem(first, Random(1)) == spoil_pem(first, Random(1))
    assert spoil_pem(first, Random(1)) != first


def test_what_is_not_spoilt_is_written_as_it_was() -> None:
    """An unchanged tree is written back byte by byte, so that a mutation changes nothing else."""
    der = bytes.fromhex("302e020100300506032b657004220420") + bytes(range(32))
    assert write(parse(der)) == der
