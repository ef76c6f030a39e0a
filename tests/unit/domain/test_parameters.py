"""The parameters of a run."""

import pytest

from tasks.domain.parameters import FLEET_TAG, RunParameters, is_run_tag


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
    ("parameters", "tags"),
    [
        (RunParameters(), ()),
        (RunParameters(certificate="web-tls", verify=True), ()),
        (RunParameters(cluster="dev", dry_run=True), ("cluster:dev", "dry-run")),
        (RunParameters(group="eu"), ("group:eu",)),
    ],
)
def test_a_run_has_tags_of_its_parameters(parameters: RunParameters, tags: tuple[str, ...]) -> None:
    """The scheduled run for everything needs none; those of others are known as ours, `alice` is not."""
    assert parameters.tags == tags
    assert all(map(is_run_tag, (*tags, FLEET_TAG)))
    assert not is_run_tag("alice")


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
