"""A pod loads its flow from the directory that the deployment names, and leaves all else to Prefect."""

import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from uuid import uuid4

import pytest

from tasks.orchestration import execution

STEP = "prefect.deployments.steps.set_working_directory"
FLOW = """
from prefect import flow


@flow(name="found")
def found() -> None: ...
"""


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    (tmp_path / "found_flow.py").write_text(FLOW)
    monkeypatch.chdir(tmp_path.parent)
    monkeypatch.delenv(execution.ENTRYPOINT, raising=False)
    return str(tmp_path)


def load(pull_steps: Any) -> Any:
    deployment = SimpleNamespace(pull_steps=pull_steps, entrypoint="found_flow.py:found")
    client: Any = SimpleNamespace(read_deployment=lambda _: deployment)
    run: Any = SimpleNamespace(deployment_id=uuid4())
    return execution._load_from_image(client, run)


def test_a_flow_in_the_image_is_loaded_without_prefects_runner(
    home: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The runner is large, and all that it would do is to change the directory."""
    monkeypatch.setitem(sys.modules, "prefect.runner", None)  # importing it would raise ImportError
    assert load([{STEP: {"directory": home}}]).name == "found"
    assert str(Path.cwd()) == home


@pytest.mark.parametrize(
    "others",
    [
        None,
        [],
        [{"prefect.deployments.steps.git_clone": {"repository": "https://example.org"}}],
        [{STEP: {"directory": "HOME"}}, {STEP: {"directory": "HOME"}}],
        [{STEP: {"directory": "HOME", "id": "any"}}],
        [{STEP: {"directory": "HOME"}, "another": {}}],
        [{STEP: {"directory": "{{ prefect.variables.home }}"}}],
    ],
)
def test_prefect_carries_out_all_other_pull_steps(home: str, others: Any) -> None:
    """Whatever a deployment asks for beyond one fixed directory, Prefect does it, as for any other flow."""
    steps = [{key: _at(home, value) for key, value in step.items()} for step in others or ()]
    assert load(steps if others else others) is None
    assert str(Path.cwd()) != home


def test_prefect_loads_the_flow_that_the_environment_names(
    home: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Prefect's own variable wins over the deployment, as in `prefect flow-run execute`."""
    monkeypatch.setenv(execution.ENTRYPOINT, "other.py:flow")
    assert load([{STEP: {"directory": home}}]) is None


def _at(home: str, arguments: dict[str, str]) -> dict[str, str]:
    return {key: value.replace("HOME", home) for key, value in arguments.items()}
