"""The watcher's configuration, with the clusters that are announced on OPS."""

from dataclasses import replace
from pathlib import Path

import pytest
import yaml

from tasks.config.discovered import Profile
from tasks.config.load import VARIABLE
from tasks.config.schema import SyncConfig
from tasks.domain.failure_codes import FailureCode
from tasks.domain.models import Failure
from tasks.kube.discovery import Listed
from tasks.watch import announced
from tasks.watch.announced import AnnouncedConfig
from tasks.watch.timings import DEFAULT
from tests.unit.config.test_discovered import EDGE, document

FAILURE = Failure(code=FailureCode.TIMEOUT, cluster="OPS", what="list the profiles")


class Ops:
    """What OPS would answer; `asked` counts."""

    def __init__(self) -> None:
        self.answer, self.asked = Listed((Profile("edge-1", EDGE),)), 0

    def __call__(self, _config: SyncConfig) -> Listed:
        self.asked += 1
        return self.answer


@pytest.fixture
def path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    file = tmp_path / "tls-sync.yaml"
    file.write_text(yaml.safe_dump(document()))
    monkeypatch.setenv(VARIABLE, str(file))
    return file


@pytest.fixture
def ops(monkeypatch: pytest.MonkeyPatch) -> Ops:
    found = Ops()
    monkeypatch.setattr(announced, "list_profiles", found)
    return found


def test_ops_is_asked_when_the_answer_is_old(path: Path, ops: Ops) -> None:
    """Between, all get one object, so that nothing that is known of targets is forgotten."""
    config = AnnouncedConfig(DEFAULT)
    first = config.load()
    assert first.names == ("edge-1",)
    assert not config.refresh()
    assert config.load() is first
    assert ops.asked == 1
    config = AnnouncedConfig(replace(DEFAULT, discover_interval=-1))
    first = config.load()
    assert not config.refresh()
    assert config.load() is first
    ops.answer = Listed((*ops.answer.profiles, Profile("edge-2", EDGE)))
    assert config.refresh()
    assert config.load().names == ("edge-1", "edge-2")


def test_what_is_known_stays_while_ops_does_not_answer(path: Path, ops: Ops) -> None:
    """The failure is told, and the clusters are served on."""
    config = AnnouncedConfig(DEFAULT)
    known = config.load()
    ops.answer = Listed(failure=FAILURE)
    assert not config.refresh(now=True)
    assert config.load() == known
    assert config.discovered().discovery.failure == FAILURE
    ops.answer = Listed((Profile("edge-1", EDGE),))
    assert not config.refresh(now=True)
    assert config.discovered().discovery.failure is None


def test_a_changed_file_is_read_with_its_clusters(path: Path, ops: Ops) -> None:
    """Also where its `discover` selects others now."""
    config = AnnouncedConfig(DEFAULT)
    config.load()
    path.write_text(yaml.safe_dump(document(owner="other")))
    ops.answer = Listed((Profile("edge-9", EDGE),))
    assert (config.load().owner, config.load().names) == ("other", ("edge-9",))
