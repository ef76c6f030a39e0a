"""The JSON Schema of tls-sync.yaml is made from its types, and refuses nothing that they take."""

import json
import re
from typing import Any

import jsonschema
import pytest
import yaml

from deployments import config_schema
from tasks.config import schema
from tasks.config.load import parse_config
from tasks.domain.errors import ConfigError

EXAMPLE = config_schema.PATH.with_name("tls-sync.yaml")
UID = "0c2f9a52-5a4e-4f0e-9d0b-6f1f0c6f2b11"


def errors(document: Any) -> list[str]:
    """Return the paths of what the schema refuses."""
    validator = jsonschema.Draft202012Validator(json.loads(config_schema.PATH.read_text()))
    return [error.json_path for error in validator.iter_errors(document)]


def document(path: str = "", value: Any = None) -> dict[str, Any]:
    """Return a small configuration, with another value at `clusters.0.name` or the like."""
    route = {"certificates": ["web-tls"], "namespaces": ["web"]}
    cluster = {"name": "dev", "context": "dev", "hostnames": ["*.example.org"], "routes": [route]}
    source = {"namespace": "certificates-ops"}
    made: dict[str, Any] = {"owner": "ops", "source": source, "clusters": [cluster]}
    if path:
        *steps, last = (int(step) if step.isdigit() else step for step in path.split("."))
        place: Any = made
        for step in steps:
            place = place[step]
        place[last] = value
    return made


def test_the_schema_is_that_of_the_types() -> None:
    """The committed file is what `make schema` writes: a new key of the configuration is in it."""
    assert config_schema.PATH.read_text() == config_schema.render()


def test_the_example_is_valid_and_names_its_schema() -> None:
    """Editors find the schema by the first line of the example, and report nothing in it."""
    first, _, text = EXAMPLE.read_text().partition("\n")
    found = re.fullmatch(r"# yaml-language-server: \$schema=(\S+)", first)
    assert found
    assert EXAMPLE.with_name(found[1]) == config_schema.PATH
    assert errors(yaml.safe_load(text)) == []


def test_each_key_has_one_description() -> None:
    """An editor explains each key; no description is of a key that is gone."""
    models = {model: set(texts) for model, texts in config_schema.DESCRIPTIONS.items()}
    assert models == {
        model: {field.alias for field in getattr(schema, model).model_fields.values()} for model in models
    }
    assert set(config_schema.schema()["$defs"]) | {"SyncConfig"} == set(models)


GOOD: dict[str, list[Any]] = {
    "source.context": ["ops", None],
    "source.selector": [{"example.org/team": "web", "empty": ""}],
    "source": [{"namespace": "certs", "clusterId": UID, "formerClusterIds": [UID.replace("0", "1")]}],
    "taskRunner": [{"type": "threads"}, {"type": "dask", "address": "tcp://scheduler:8786"}],
    "waves": [{"maxFailedShare": 0.0}, {"maxFailedShare": 0.99}, {"verify": "served"}, {"verify": None}],
    "clusters.0.clusterId": [UID],
    "clusters.0.wave": [1, 99],
    "clusters.0.hostnames": [["example.org"], ["*.*.example.org", "a-1.example.org"], ["a.*.example.org"]],
    "clusters.0.routes.0.certificates": [["*"], ["a*"], ["a.b-*"], ["0"], ["a" * 253]],
    "clusters.0.routes.0.namespaces": [["a"], ["a" * 63], ["kube"], ["tls-sync-web"], ["default-web"]],
    "clusters.0.routes.0.name": ["a.b", None],
    "clusters.0.labels": [{}, {"env": "prd", "topology.kubernetes.io/region": "eu-west_1"}],
    "fleet": [{}, {"by": None}, {"by": "region"}],
    "routes": [
        [{"clusters": ["*"], "certificates": ["a"], "namespaces": ["b"]}],
        [
            {
                "labels": {"env": "prd"},
                "certificates": ["a*"],
                "namespaces": ["b"],
                "served": ["a.example.org"],
            }
        ],
    ],
    "hostnames": [[{"clusters": ["d*", "dev"], "labels": {"env": "prd"}, "names": ["*.prd.example.org"]}]],
    "selfService": [
        [{"clusters": ["*"], "certificates": ["a-*"], "namespaces": ["b"], "hostnames": ["*.example.org"]}],
    ],
    "credentials": [None, {"namespace": "tls-sync-credentials"}],
    "clusters.0.routes.0.served": [["a.example.org", "a.example.org:8443", "[2001:db8::1]:443", "192.0.2.1"]],
}


@pytest.mark.parametrize(("path", "value"), [(path, value) for path, some in GOOD.items() for value in some])
def test_what_is_a_configuration_is_not_marked(path: str, value: Any) -> None:
    """An editor marks nothing that tls-sync takes."""
    given = document(path, value)
    parse_config(given)
    assert errors(given) == []


BAD: dict[str, list[Any]] = {
    "owners": ["ops"],
    "owner": ["", "Ops", 1],
    "source.namespace": ["a_b", "a" * 64],
    "source.selector": [{"a b": "c"}, {"team": "a b"}],
    "taskRunner": [{"type": "ray"}],
    "waves": [{"maxFailedShare": 1}, {"verify": "Served"}, {"verify": True}],
    "clusters": [[], {}],
    "clusters.0.hostname": [["example.org"]],
    "clusters.0.hostnames": [[], ["*"], ["*.org"], ["Example.org"], ["a b.example.org"]],
    "clusters.0.wave": [0, 100, "1"],
    "clusters.0.protected": ["yes"],
    "clusters.0.routes.0.certificates": [[], ["Web-tls"], ["a/b"]],
    "clusters.0.routes.0.namespaces": [["kube-system"], ["default"], ["argocd"]],
    "clusters.0.routes.0.name": ["a..b", "a" * 254],
    "clusters.0.routes.0.served": [["https://a.example.org"], ["A.example.org"]],
}


@pytest.mark.parametrize(("path", "value"), [(path, value) for path, some in BAD.items() for value in some])
def test_what_is_marked_is_refused(path: str, value: Any) -> None:
    """What an editor marks is refused by tls-sync, too; the mark stands at the key."""
    given = document(path, value)
    with pytest.raises(ConfigError):
        parse_config(given)
    found = errors(given)
    assert found
    where = re.sub(r"\.(\d+)", r"[\1]", path.rpartition(".")[0])
    assert all(one.startswith(f"$.{where}" if where else "$") for one in found)
