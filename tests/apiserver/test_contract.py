"""The API in memory and a real API server answer alike: what the tests in memory show holds on a cluster."""

import base64
import json
import time
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from http import HTTPStatus
from typing import Any
from urllib.parse import urlencode

import pytest

from deployments.sandbox.clusters.rest import AdminError, Rest
from deployments.sandbox.world.kubeconfig import context_name
from tasks.kube.client import JSON, MERGE, METADATA, TABLE, ClusterClient
from tasks.kube.responses import ResponseError, parse_response
from tasks.kube.secret_manifest import NO_RESOURCE_VERSION
from tasks.kube.transport import Request
from tasks.kubeconfig.reader import connect
from tests.support.clusters import World
from tests.support.in_memory_api import (
    ACCOUNT,
    WRITES,
    Answer,
    Exchange,
    Hand,
    Manifest,
    MemoryApi,
    Wire,
    WiredClient,
    merged,
    path_of,
)

pytestmark = pytest.mark.apiserver

NAMESPACE, NAME, MANAGER, OTHER = "app-a", "web-tls", "tls-sync", "kubectl-edit"
GRANTS = {"app-a": WRITES, "app-b": WRITES, "ending": frozenset[str](), "elsewhere": frozenset[str]()}
HELD = ["example.org/hold"]
PAIR = {"tls.crt": "one", "tls.key": "two"}


def body(
    data: Mapping[str, str] | None = None, /, *, kind: str = "kubernetes.io/tls", **metadata: Any
) -> Manifest:
    """As SecretApplier makes it."""
    values = {key: base64.b64encode(value.encode()).decode() for key, value in (data or PAIR).items()}
    labels = {"app.kubernetes.io/managed-by": "tls-sync", "tls-sync.io/owner": "ops"}
    ours = {
        "name": NAME,
        "namespace": NAMESPACE,
        "labels": labels,
        "annotations": {"tls-sync.io/source": "o/w"},
    }
    return {"apiVersion": "v1", "kind": "Secret", "type": kind, "metadata": ours | metadata, "data": values}


def foreign(data: Mapping[str, str] | None = None, **fields: Any) -> Manifest:
    return body(data, labels={}, annotations={}) | fields


class Steps:
    """Does things and notes what a client can tell of the answers: versions and uids as they appeared."""

    def __init__(self, admin: Exchange, account: Exchange) -> None:
        self.admin, self.us = Hand(self._noting(admin)), Hand(self._noting(account))
        self.noted: list[Any] = []
        self._order: dict[str, int] = {}
        self._look = Hand(admin)

    def create(self, data: Mapping[str, str] | None = None) -> None:
        """What a run does to what isn't there."""
        self.us.apply(body(data, resourceVersion=NO_RESOURCE_VERSION), MANAGER, force=False)

    def update(self, data: Mapping[str, str] | None = None, **metadata: Any) -> None:
        """What a run does to what is there, with the uid and the version that it has now."""
        self.us.apply(body(data, **self.bound(), **metadata), MANAGER)

    def replace(self, data: Mapping[str, str], *gone: str, **annotations: str | None) -> None:
        """What a run does first where an apply would leave something: a merge patch in our name."""
        patch = body(data, **self.bound())
        patch["data"] |= dict.fromkeys(gone)
        patch["metadata"]["annotations"] |= annotations
        self.us.patch(NAMESPACE, NAME, patch, MANAGER)

    def bound(self) -> dict[str, str]:
        now = self._look.get(NAMESPACE, NAME)
        assert now
        return {key: now["metadata"][key] for key in ("uid", "resourceVersion")}

    def edit(self, changes: Manifest, manager: str = OTHER) -> None:
        self.admin.patch(NAMESPACE, NAME, changes, manager)

    def set(self, **values: str) -> None:
        self.edit(
            {
                "data": {
                    key.replace("_", "."): base64.b64encode(v.encode()).decode() for key, v in values.items()
                }
            }
        )

    def ask(self, path: str, accept: str = JSON, **query: str) -> None:
        self.us.exchange(Request("GET", path, accept, query))

    def _noting(self, exchange: Exchange) -> Exchange:
        def note(ask: Request) -> Answer:
            status, found = exchange(ask)
            parsed = parse_response(status, json.dumps(found).encode())
            told = parsed.code if isinstance(parsed, ResponseError) else self._reduce(found)
            self.noted.append((ask.method, ask.path, status, told))
            return status, found

        return note

    def _reduce(self, found: Manifest) -> Any:
        kind = found.get("kind")
        if kind == "Table":
            named = [column["name"] for column in found["columnDefinitions"]]
            rows = [(row["cells"][:3], self._secret(row["object"])) for row in found.get("rows") or []]
            return named[:3], rows, bool(found["metadata"].get("continue"))
        if kind == "SecretList":
            return [self._secret(one) for one in found["items"] or []], bool(
                found["metadata"].get("continue")
            )
        if kind == "Secret":
            return self._secret(found)
        if kind in ("SelfSubjectReview", "SelfSubjectRulesReview"):
            return _reduce_review(found["status"])
        return kind, found["metadata"].get("name")

    def _secret(self, found: Manifest) -> Manifest:
        metadata = found["metadata"]
        return {
            **{key: found.get(key) for key in ("data", "type", "immutable")},
            **{
                key: metadata.get(key) for key in ("name", "namespace", "labels", "annotations", "finalizers")
            },
            "terminating": "deletionTimestamp" in metadata,
            "uid": self._order.setdefault(metadata["uid"], len(self._order)),
            "version": self._order.setdefault(metadata["resourceVersion"], len(self._order)),
            "managed": sorted(filter(None, map(_reduce_entry, metadata.get("managedFields") or []))),
        }


def _reduce_entry(entry: Manifest) -> tuple[Any, ...] | None:
    """Who manages what; None for one who is left with empty maps, which the API in memory does not model."""
    fields = entry["fieldsV1"]
    metadata = fields.get("f:metadata", {})
    parts = [fields.get("f:data", {}), *(metadata.get(f"f:{part}", {}) for part in METADATA_PARTS)]
    keys = [sorted(set(part) - {"."}) for part in parts]
    keys.append(sorted({"f:type", "f:immutable"} & set(fields)))
    return (entry["manager"], entry["operation"], *keys) if any(keys) else None


METADATA_PARTS = ("labels", "annotations", "finalizers")


def _reduce_review(status: Manifest) -> Any:
    if "userInfo" in status:
        return status["userInfo"]["username"]
    rules = [rule for rule in status["resourceRules"] if "secrets" in rule["resources"]]
    return sorted(verb for rule in rules for verb in rule["verbs"]), bool(status.get("incomplete"))


Scenario = Callable[[Steps], object]


def create_and_repeat(do: Steps) -> None:
    do.create()
    do.create()
    do.update()


def unforced_on_another_managers(do: Steps) -> None:
    do.admin.create(foreign())
    do.us.apply(body(), MANAGER, force=False)
    do.us.apply(body(resourceVersion=NO_RESOURCE_VERSION), MANAGER, force=False)
    do.create({"tls.crt": "other", "tls.key": "two"})
    do.admin.apply(body({"tls.crt": "other", "tls.key": "two"}), "argo", force=False)
    do.admin.apply(foreign(), "argo", force=False)


def stale_version(do: Steps) -> None:
    do.create()
    bound = do.bound()
    do.set(tls_crt="edited")
    do.us.apply(body(**bound), MANAGER)
    do.us.apply(body(uid=bound["uid"]), MANAGER)


def other_uid(do: Steps) -> None:
    do.create()
    bound = do.bound() | {"uid": "00000000-0000-0000-0000-000000000000"}
    do.us.apply(body(**bound), MANAGER)
    do.us.apply(body({"tls.crt": "x", "tls.key": "y"}, **bound), MANAGER)


def update_of_what_is_gone(do: Steps) -> None:
    do.create()
    bound = do.bound()
    do.admin.delete(NAMESPACE, NAME)
    do.us.apply(body(**bound), MANAGER)
    do.admin.get(NAMESPACE, NAME)


def drop_a_key_of_ours(do: Steps) -> None:
    do.create(PAIR | {"ca.crt": "three"})
    do.update()


def drop_a_key_that_another_owns_too(do: Steps) -> None:
    do.create(PAIR | {"ca.crt": "three"})
    do.admin.apply(foreign(PAIR | {"ca.crt": "three"}), "argo", force=False)
    do.update()


def edit_each_key(do: Steps) -> None:
    do.create(PAIR | {"ca.crt": "three"})
    do.set(tls_crt="edited")
    do.set(tls_key="edited", ca_crt="edited")
    do.update()


def edit_to_the_same(do: Steps) -> None:
    do.create()
    do.set(tls_crt="one")
    do.admin.apply(foreign(), "argo", force=False)
    do.update()
    do.set(tls_crt="edited")


def remove_what_is_ours(do: Steps) -> None:
    do.create(PAIR | {"ca.crt": "three"})
    do.edit({"data": {"ca.crt": None}})
    do.edit({"data": {"tls.key": None}})
    do.edit({"metadata": {"labels": None, "annotations": {"tls-sync.io/source": None}}})


def replace_and_apply(do: Steps) -> None:
    """Foreign keys go in one patch; the apply that follows owns all that it sends."""
    do.create(PAIR | {"ca.crt": "three"})
    do.set(extra="added", ca_crt="added")
    do.admin.annotate(NAMESPACE, NAME, **{"example.org/x": "y"})
    do.replace({"tls.crt": "four", "tls.key": "five"}, "extra", "ca.crt")
    do.update({"tls.crt": "four", "tls.key": "five"})
    do.update({"tls.crt": "six", "tls.key": "seven"})
    do.replace({"tls.crt": "six", "tls.key": "seven"})


def adopt(do: Steps) -> None:
    """A foreign Secret is taken over by the same two requests; what we don't ask to go stays."""
    do.admin.create(foreign(PAIR | {"ca.crt": "three"}))
    do.replace(PAIR, "ca.crt")
    do.admin.annotate(NAMESPACE, NAME, **{"tls-sync.io/adopt": "ops", "example.org/x": "y"})
    do.replace(PAIR, "ca.crt", **{"tls-sync.io/adopt": None})
    do.update()


def replace_what_has_moved(do: Steps) -> None:
    """Another state, another object, none at all: a conflict, or not found."""
    do.create()
    bound = do.bound()
    do.set(tls_crt="edited")
    do.us.patch(NAMESPACE, NAME, body({"tls.crt": "x", "tls.key": "y"}, **bound), MANAGER)
    other = do.bound() | {"uid": "00000000-0000-0000-0000-000000000000"}
    do.us.patch(NAMESPACE, NAME, body({"tls.crt": "x", "tls.key": "y"}, **other), MANAGER)
    do.admin.delete(NAMESPACE, NAME)
    do.us.patch(NAMESPACE, NAME, body(**bound), MANAGER)
    do.create()
    do.us.patch(NAMESPACE, NAME, body(**bound), MANAGER)


def claim_and_drop(do: Steps) -> None:
    do.create()
    do.set(extra="added", ca_crt="added")
    do.update()
    do.update(PAIR | {"extra": "claimed", "ca.crt": "claimed"})
    do.update()


def relabel(do: Steps) -> None:
    do.create()
    do.admin.label(NAMESPACE, NAME, **{"tls-sync.io/owner": "stage"})
    do.admin.label(NAMESPACE, NAME, **{"tls-sync.io/owner": "ops"})
    do.admin.label(NAMESPACE, NAME, **{"app.kubernetes.io/managed-by": None})
    do.update()


def replace_whole(do: Steps) -> None:
    do.create()
    put = Request(
        "PUT",
        path_of(NAMESPACE, NAME),
        JSON,
        {"fieldManager": OTHER},
        body({"tls.crt": "x", "tls.key": "two"}),
    )
    do.admin.exchange(put)
    do.admin.exchange(put._replace(body=foreign()))
    do.us.exchange(put)


def immutable(do: Steps) -> None:
    do.create()
    do.edit({"immutable": False})
    do.update({"tls.crt": "x", "tls.key": "y"})
    do.edit({"immutable": True})
    do.update()
    do.update({"tls.crt": "x", "tls.key": "y"}, annotations={"tls-sync.io/source": "other"})
    do.edit({"immutable": None})
    do.set(tls_crt="edited")


def other_type(do: Steps) -> None:
    do.admin.create(foreign() | {"type": "Opaque"})
    do.edit({"type": "kubernetes.io/tls"})
    do.admin.apply(body(), "argo")


def without_a_key(do: Steps) -> None:
    do.us.apply(body({"tls.crt": "one"}, resourceVersion=NO_RESOURCE_VERSION), MANAGER, force=False)
    do.us.apply(
        body({"tls.crt": "one"}, kind="Opaque", resourceVersion=NO_RESOURCE_VERSION), MANAGER, force=False
    )
    do.admin.create(foreign({"tls.crt": "one"}))


def note_on_a_copy(do: Steps) -> None:
    do.create()
    body = {"metadata": {**do.bound(), "annotations": {"tls-sync.io/orphaned-runs": "1"}}}
    note = Request(
        "PATCH", path_of(NAMESPACE, NAME), METADATA, {"fieldManager": "tls-sync-prune"}, body, MERGE
    )
    do.us.exchange(note)
    do.ask(path_of(NAMESPACE, NAME))


def delete_what_was_listed(do: Steps) -> None:
    """As an admin: the shipped Role lets our account delete nothing."""

    def delete(**bound: str) -> None:
        do.admin.exchange(Request("DELETE", path_of(NAMESPACE, NAME), JSON, body={"preconditions": bound}))

    do.create()
    bound = do.bound()
    do.set(tls_crt="edited")
    delete(**bound)
    delete(**do.bound() | {"uid": "00000000-0000-0000-0000-000000000000"})
    do.ask(path_of(NAMESPACE, NAME))
    delete(**do.bound())
    do.ask(path_of(NAMESPACE, NAME))


def terminating(do: Steps) -> None:
    do.create()
    do.admin.hold(NAMESPACE, NAME, HELD)
    do.admin.delete(NAMESPACE, NAME)
    do.admin.delete(NAMESPACE, NAME)
    do.create()
    do.update({"tls.crt": "x", "tls.key": "y"})
    do.admin.hold(NAMESPACE, NAME, [*HELD, "example.org/more"])
    do.admin.hold(NAMESPACE, NAME, None)
    do.admin.get(NAMESPACE, NAME)
    do.create()


def another_manager_takes_over(do: Steps) -> None:
    do.create()
    do.admin.apply(foreign({"tls.crt": "x", "tls.key": "y"}), "argo")
    do.admin.apply(foreign({"tls.crt": "x", "tls.key": "z"}), "argo")
    do.update()
    do.admin.apply(foreign({"tls.crt": "x", "tls.key": "z"}), "argo", force=False)


def policy(do: Steps) -> None:
    do.admin.create(foreign())
    do.update()
    do.update(labels={})
    do.admin.annotate(NAMESPACE, NAME, **{"tls-sync.io/adopt": "ops"})
    do.update(labels={})
    do.update(annotations={"tls-sync.io/source": "o/w", "tls-sync.io/adopt": "claimed"})
    do.update()


FOREIGN: tuple[Manifest, ...] = (
    {"data": {"extra": "eA=="}},
    {"immutable": True},
    {"immutable": False},
    {"metadata": {"finalizers": HELD}},
    {"metadata": {"labels": {"tls-sync.io/owner": "stage"}}},
    {"metadata": {"labels": {"tls-sync.io/owner": None}}},
    {"metadata": {"annotations": {"tls-sync.io/adopt": "ops"}}},
    {"metadata": {"annotations": {"tls-sync.io/prune": "true"}}},
    {"metadata": {"annotations": {"tls-sync.io/orphaned-runs": "3"}}},
)


def what_we_may_not_set(do: Steps) -> None:
    """Neither on a copy nor on a new one; what others have set may end where that is ours to say."""
    for change in FOREIGN:
        do.us.apply(merged(body(resourceVersion=NO_RESOURCE_VERSION), change), MANAGER, force=False)
        do.admin.delete(NAMESPACE, NAME)
    do.create()
    for change in FOREIGN:
        do.us.patch(NAMESPACE, NAME, change)
    for change in FOREIGN[:1] + FOREIGN[3:4] + FOREIGN[6:]:
        do.edit(change)
    do.update()
    do.us.patch(NAMESPACE, NAME, {"data": {"extra": "eHg="}})
    do.us.patch(NAMESPACE, NAME, {"data": {"extra": None}})
    do.us.patch(NAMESPACE, NAME, {"metadata": {"finalizers": None}})
    for name in ("adopt", "prune", "orphaned-runs"):
        do.us.patch(NAMESPACE, NAME, {"metadata": {"annotations": {f"tls-sync.io/{name}": None}}})
    do.admin.hold(NAMESPACE, NAME, None)


def missing_namespace(do: Steps) -> None:
    secret = body(namespace="nowhere", resourceVersion=NO_RESOURCE_VERSION)
    do.us.apply(secret, MANAGER, force=False)
    do.admin.apply(secret, "argo", force=False)
    do.admin.create(foreign() | {"metadata": {"name": NAME, "namespace": "nowhere"}})
    do.admin.get("nowhere", NAME)
    do.admin.exchange(Request("GET", path_of("nowhere"), TABLE))


def ending_namespace(do: Steps) -> None:
    do.admin.apply(body(namespace="ending", resourceVersion=NO_RESOURCE_VERSION), "argo", force=False)


def without_rights(do: Steps) -> None:
    do.admin.create(foreign() | {"metadata": {"name": NAME, "namespace": "elsewhere"}})
    do.us.apply(body(namespace="elsewhere"), MANAGER)
    do.ask(path_of("elsewhere"), TABLE)
    do.ask(path_of("elsewhere", NAME))
    do.ask("/api/v1/namespaces/app-a", METADATA)
    do.create()
    do.us.delete(NAMESPACE, NAME)
    do.admin.delete("elsewhere", NAME)


def what_is_not_there(do: Steps) -> None:
    do.ask(path_of(NAMESPACE, NAME), TABLE)
    do.ask(path_of(NAMESPACE, NAME))
    do.admin.patch(NAMESPACE, NAME, {"data": {}})
    do.admin.delete(NAMESPACE, NAME)
    do.ask(path_of(NAMESPACE), TABLE)
    do.admin.create(foreign())
    do.admin.create(foreign())
    do.admin.delete(NAMESPACE, NAME)
    do.admin.create(foreign())


def identity(do: Steps) -> None:
    do.ask("/api/v1/namespaces/kube-system", METADATA)
    for api, kind in (("authentication.k8s.io/v1", "SelfSubjectReview"), ("authorization.k8s.io/v1", REVIEW)):
        for namespace in ("app-a", "elsewhere"):
            spec = {"spec": {"namespace": namespace}} if kind == REVIEW else {}
            question = {"apiVersion": api, "kind": kind, "metadata": {}, **spec}
            do.us.exchange(Request("POST", f"/apis/{api}/{kind.lower()}s", JSON, body=question))
    do.admin.exchange(Request("GET", "/apis/cert-manager.io/v1/namespaces/app-a/certificates", JSON))


REVIEW = "SelfSubjectRulesReview"


def lists(do: Steps) -> None:
    for number, labels in enumerate(({}, {"team": "web"}, {"team": "web", "x/y": ""}, {"team": "api"})):
        do.admin.create(
            foreign() | {"metadata": {"name": f"web-{number}", "namespace": NAMESPACE, "labels": labels}}
        )
    do.admin.create(
        {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "other", "namespace": NAMESPACE}}
    )
    do.create()
    for selector in ("", "team=web", "!x/y", "team=web,!x/y", "x/y="):
        do.ask(path_of(NAMESPACE), labelSelector=selector, fieldSelector="type=kubernetes.io/tls")
    do.ask(path_of(NAMESPACE), TABLE)
    do.ask(path_of(NAMESPACE, NAME), TABLE)
    do.ask(path_of(NAMESPACE), TABLE, limit="4")
    _, page = do.us.exchange(Request("GET", path_of(NAMESPACE), JSON, {"limit": "4"}))
    do.admin.create(foreign())
    do.ask(path_of(NAMESPACE), limit="4", **{"continue": page["metadata"]["continue"]})


SCENARIOS: tuple[Scenario, ...] = (
    create_and_repeat,
    unforced_on_another_managers,
    stale_version,
    other_uid,
    update_of_what_is_gone,
    drop_a_key_of_ours,
    drop_a_key_that_another_owns_too,
    edit_each_key,
    edit_to_the_same,
    remove_what_is_ours,
    replace_and_apply,
    adopt,
    replace_what_has_moved,
    claim_and_drop,
    relabel,
    replace_whole,
    immutable,
    other_type,
    without_a_key,
    note_on_a_copy,
    delete_what_was_listed,
    terminating,
    another_manager_takes_over,
    policy,
    what_we_may_not_set,
    missing_namespace,
    ending_namespace,
    without_rights,
    what_is_not_there,
    identity,
    lists,
)


def exchange_over(rest: Rest) -> Exchange:
    def exchange(ask: Request) -> Answer:
        path = ask.path + (f"?{urlencode(ask.query)}" if ask.query else "")
        content = None if ask.body is None else json.dumps(ask.body).encode()
        status, answer = rest._exchange(
            ask.method, path, content, {"Accept": ask.accept, "Content-Type": ask.content_type}
        )
        try:
            return status, json.loads(answer)
        except ValueError:
            return status, {}

    return exchange


def make_namespaces(world: World) -> None:
    """One without rights for us, and one that is being deleted and, without its controller, stays so."""
    world.admin().namespace("elsewhere")
    try:
        world.admin().namespace("ending")
    except AdminError as error:  # it is ending since the last scenario
        if error.status != HTTPStatus.FORBIDDEN:
            raise
    else:
        world.admin().delete("/api/v1/namespaces/ending")


def test_both_tell_the_time_with_each_answer(world: World) -> None:
    """To the second and in UTC, as their clock has it; the client has that of the last answer."""
    api = MemoryApi(GRANTS)
    memory = WiredClient("dev", Wire(api.answer, lambda _: None))
    with ClusterClient("dev", connect("dev", context_name("dev")), time.monotonic() + 60) as real:
        for client in (real, memory):
            assert client.server_time is None
            before = datetime.now(UTC).replace(microsecond=0)
            client.cluster_id()
            assert client.server_time
            assert before <= client.server_time <= datetime.now(UTC)
            assert (client.server_time.microsecond, client.server_time.tzinfo) == (0, UTC)
    told = datetime(2026, 3, 1, 12, tzinfo=UTC)
    for api.clock in (lambda: told, lambda: None):
        memory.target_secrets("app-a")
        assert memory.server_time == api.clock()


@pytest.mark.parametrize("scenario", SCENARIOS, ids=lambda one: one.__name__)
def test_the_api_in_memory_answers_as_a_real_one(world: World, scenario: Scenario) -> None:
    """Status, problem, content, metadata and managers are the same after each step on both."""
    make_namespaces(world)
    real = Steps(exchange_over(world.admin()), exchange_over(world.account()))
    scenario(real)
    api = MemoryApi(GRANTS)
    api.ending.add("ending")
    memory = Steps(api.exchange, lambda ask: api.exchange(ask, ACCOUNT))
    scenario(memory)
    for mine, its in zip(memory.noted, real.noted, strict=True):
        assert mine == its, f"{mine}\n{its}"
