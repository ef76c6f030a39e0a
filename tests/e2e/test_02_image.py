"""The image that deployments/Dockerfile builds."""

import json
import tarfile
from pathlib import Path

import pytest

from tests.e2e import records
from tests.e2e.machine import Machine

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(900)]

_MB = 10**6
_LIMIT_MB = 250
_TOOLS = {"pip", "pip3", "gcc", "cc", "make"}


def _added(archive: Path) -> list[tarfile.TarInfo]:
    """Return the files of all layers except the first, which is the base."""
    with tarfile.open(archive) as image:
        manifest = image.extractfile("manifest.json")
        assert manifest
        found = []
        for name in json.load(manifest)[0]["Layers"][1:]:
            with tarfile.open(fileobj=image.extractfile(name)) as layer:
                found += [file for file in layer if file.isfile()]
        return found


def test_the_image_is_small_and_holds_no_tools(machine: Machine) -> None:
    """The image adds less than 250 MB to its base, has the code, and no pip and no compiler."""
    files = _added(machine.programs["image"])
    megabytes = round(sum(file.size for file in files) / _MB, 1)
    records.write("image_beyond_its_base_mb", megabytes)
    assert megabytes < _LIMIT_MB
    names = {file.name for file in files}
    assert "opt/tls-sync/flows/tls_sync.py" in names
    assert not {Path(name).name for name in names} & _TOOLS
