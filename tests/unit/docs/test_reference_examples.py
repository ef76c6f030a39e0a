"""The examples of the configuration in the reference, in both languages, are accepted."""

import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from tasks.config.load import parse_config
from tasks.config.schema import SyncConfig
from tasks.domain.models import Action
from tasks.plan.decide import make_plan
from tasks.plan.requests import granted
from tasks.source.requests import Requests
from tests.support.factories import NOW, US, certificate, snapshot

ROOT = Path(__file__).parents[3]
BLOCK = re.compile(r"^```yaml\n(.*?)^```", re.MULTILINE | re.DOTALL)
KEYS = {field.alias or name for name, field in SyncConfig.model_fields.items()}
REST: dict[str, Any] = {
    "owner": "ops",
    "source": {"namespace": "certificates-ops"},
    "clusters": [{"name": "dev", "context": "dev"}],
}
COMPLETE = {"hostnames", "routes"}
"""Keys of an example that stands for itself; others show a part of the file."""


def examples() -> list[Any]:
    return [
        pytest.param(document, id=f"{path.parent.name}-{'-'.join(document)}")
        for path in (ROOT / "docs/reference.md", ROOT / "docs/fr/reference.md")
        for block in BLOCK.findall(path.read_text())
        for document in [yaml.safe_load(block)]
        if isinstance(document, dict) and COMPLETE <= document.keys() <= KEYS
    ]


@pytest.mark.parametrize("example", examples())
def test_an_example_of_the_configuration_can_be_loaded(example: dict[str, Any]) -> None:
    """With what the example leaves out, where that is required."""
    assert parse_config({**REST, **example})


@pytest.mark.parametrize("name", ["reference.md", "fr/reference.md"])
def test_the_example_of_a_request_is_granted(name: str) -> None:
    """What the Certificate of the guide asks for is copied under the guide's own limits."""
    found = [yaml.safe_load(block) for block in BLOCK.findall((ROOT / "docs" / name).read_text())]
    (example,) = (one for one in found if isinstance(one, dict) and "selfService" in one)
    (resource,) = (one for one in found if isinstance(one, dict) and one.get("kind") == "Certificate")
    requests = Requests()
    requests.add(resource)
    fit = certificate("homarr-dev-tls", dns_names=tuple(resource["spec"]["dnsNames"]))
    config, ops = granted(parse_config({**REST, **example}), snapshot(fit, requests=requests.found()))
    assert ops.refused_requests == ()
    (dev,) = config.clusters
    rows = make_plan(dev, ops, (), owner=US, now=NOW, certificate="homarr-dev-tls", explicit=False).changes
    assert [(str(row.target), row.action) for row in rows] == [
        ("homarr-dev/homarr-dev-tls", Action.CREATE),
        ("homarr-lab/homarr-dev-tls", Action.CREATE),
    ]


def test_the_examples_are_found() -> None:
    """Both languages have the same ones."""
    found = [str(one.id).partition("-")[2] for one in examples()]
    half = len(found) // 2
    assert half > 1
    assert found[:half] == found[half:]
