"""The parameters of a run."""

import pytest

from tasks.domain.parameters import RunParameters


@pytest.mark.parametrize(
    ("parameters", "name"),
    [
        (RunParameters(), "sync all"),
        (RunParameters(cluster="dev", certificate="web-tls", dry_run=True), "sync dev web-tls (dry run)"),
        (RunParameters(group="eu", urgent_only=True), "sync group eu (urgent only)"),
    ],
)
def test_a_run_is_named_after_its_parameters(parameters: RunParameters, name: str) -> None:
    """The list of runs in the Prefect UI shows what each one was for."""
    assert parameters.run_name == name


@pytest.mark.parametrize(
    ("parameters", "narrowed"),
    [
        (RunParameters(), False),
        (RunParameters(dry_run=True), False),
        (RunParameters(cluster="dev"), True),
        (RunParameters(certificate="web-tls"), True),
        (RunParameters(group="eu"), True),
        (RunParameters(urgent_only=True), True),
    ],
)
def test_a_run_is_narrowed_by_each_parameter_but_the_dry_run(
    parameters: RunParameters, narrowed: bool
) -> None:
    """A dry run shows what a run for everything would do."""
    assert parameters.is_narrowed == narrowed
