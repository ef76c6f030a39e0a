"""The choices that Prefect's forms offer for `cluster` and `group`."""

import pytest
from prefect.utilities.schema_tools import validate

from deployments.hook.choices import choices_for, with_choices
from deployments.hook.prefect_api import DEPLOYMENTS
from flows.fleet import tls_sync_fleet
from flows.tls_sync import tls_sync
from tasks.config.schema import Discover
from tests.support.factories import cluster, route, unpinned_clusters

TO = route(["web-*"], ["app"])
CONFIG = unpinned_clusters("unused").model_copy(
    update={
        "clusters": (
            cluster(TO, name="dev", group="eu"),
            cluster(TO, name="rct", group="eu"),
            cluster(TO, name="prd", wave=2),
            cluster(TO, name="old", group="lab", suspended=True),
        )
    }
)
SCHEMA = tls_sync.parameters.model_dump()


@pytest.mark.parametrize("name", DEPLOYMENTS)
def test_a_run_can_be_for_each_cluster_that_is_served(name: str) -> None:
    """Preflight and inventory may look at a suspended cluster; a group without clusters is not offered."""
    awake = {"cluster": ["dev", "rct", "prd"], "group": ["eu", "wave-2"]}
    expected = awake if name.startswith("tls-sync/") else {"cluster": ("dev", "rct", "prd", "old")}
    assert choices_for(name, CONFIG) == expected


def test_where_clusters_announce_themselves_there_is_no_choice() -> None:
    """A cluster that is announced tomorrow can be named, too."""
    profiles = Discover.model_validate({"clusterProfiles": {"namespace": "fleet"}})
    assert choices_for("tls-sync/ops", CONFIG.model_copy(update={"discover": profiles})) == {}


def test_a_parameter_is_one_of_its_choices_or_null() -> None:
    """Nothing else of the schema changes, and one parameter's choices are not another's."""
    found = with_choices(SCHEMA, {"cluster": ["dev", "rct"]})
    assert found["properties"].pop("cluster") == {
        **SCHEMA["properties"]["cluster"],
        "anyOf": [{"type": "string", "enum": ["dev", "rct"]}, {"type": "null"}],
    }
    assert found["properties"] == {
        name: one for name, one in SCHEMA["properties"].items() if name != "cluster"
    }
    assert "enum" not in str(SCHEMA)


def test_a_flow_without_the_parameter_keeps_its_schema() -> None:
    """A fleet is for all clusters; and no choice at all would accept no text."""
    schema = tls_sync_fleet.parameters.model_dump()
    assert with_choices(schema, {"cluster": ["dev"], "group": ["eu"]}) == schema
    assert with_choices(SCHEMA, {"cluster": []}) == SCHEMA
    assert with_choices({}, {"cluster": ["dev"]}) == {}


def test_prefect_reads_the_choices_as_meant() -> None:
    """Its own validation accepts a choice and null, and no other text: forms use the same schema."""
    schema = with_choices(SCHEMA, choices_for("tls-sync/ops", CONFIG))
    assert validate({"cluster": "dev", "group": None}, schema) == []
    assert validate({"cluster": "old"}, schema) != []
