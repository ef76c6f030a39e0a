"""Data types are frozen, strict about fields, and never show values; errors describe failures."""

import copy
import pickle
from collections.abc import Iterator
from dataclasses import FrozenInstanceError, fields, is_dataclass
from typing import Any, TypeVar, get_args, get_type_hints

import pytest
from pydantic import ValidationError

from tasks.config import load
from tasks.domain.errors import ClusterError, ClusterFailed, internal_error
from tasks.domain.failure_codes import FailureCode
from tasks.domain.models import (
    Action,
    Change,
    ClusterReport,
    Failure,
    ManagedKeys,
    Model,
    Rejection,
    Row,
    SecretRef,
    SourceSnapshot,
    TargetSecret,
)
from tasks.domain.parameters import RunParameters
from tasks.domain.reasons import QUIET, Reason
from tasks.plan import spec
from tests.support.factories import (
    NAME,
    NAMESPACE,
    NOW,
    certificate,
    rejection,
    snapshot,
    target_secret,
    version,
)

T = TypeVar("T")

REF = SecretRef(namespace=NAMESPACE, name=NAME)


def below(base: type[T]) -> Iterator[type[T]]:
    for kind in base.__subclasses__():
        yield kind
        yield from below(kind)


MODELS = {kind.__name__: kind for kind in below(Model)}
ROWS: dict[str, Any] = {kind.__name__: kind for kind in below(Row) if is_dataclass(kind)}
FIELDS = {
    **{name: [field.annotation for field in kind.model_fields.values()] for name, kind in MODELS.items()},
    **{name: [get_type_hints(kind)[one.name] for one in fields(kind)] for name, kind in ROWS.items()},
}
STRICT = {"frozen": True, "extra": "forbid", "hide_input_in_errors": True}


def types_within(annotation: Any) -> Iterator[Any]:
    yield annotation
    for argument in get_args(annotation):
        yield from types_within(argument)


def change(action: Action = Action.KEEP, reason: Reason = Reason.IN_SYNC, **values: Any) -> Change:
    return Change(action=action, reason=reason, target=REF, certificate=NAME, **values)


@pytest.mark.parametrize("annotations", FIELDS.values(), ids=FIELDS)
def test_model_has_no_field_for_key_material(annotations: list[Any]) -> None:
    """No type has a field of bytes or of any type, which could contain key material."""
    within = {t for one in annotations for t in types_within(one)}
    assert within.isdisjoint({bytes, bytearray, memoryview, object, Any})


@pytest.mark.parametrize("kind", MODELS.values(), ids=MODELS)
def test_model_is_frozen_and_strict_about_fields(kind: type[Model]) -> None:
    """Every Model refuses changes and unknown fields, and does not show its input."""
    assert {key: kind.model_config.get(key) for key in STRICT} == STRICT


@pytest.mark.parametrize("kind", ROWS.values(), ids=ROWS)
def test_row_is_frozen_small_and_strict_about_fields(kind: type[Row]) -> None:
    """A Row is as strict as a Model and has no __dict__."""
    made = object.__new__(kind)
    with pytest.raises(FrozenInstanceError):
        setattr(made, fields(kind)[0].name, 1)  # type: ignore[arg-type]  # a dataclass, each of them
    assert {key: kind.__pydantic_config__.get(key) for key in STRICT} == STRICT
    assert not hasattr(made, "__dict__")


def test_model_error_hides_the_value() -> None:
    """A validation error names the field and never shows its value."""
    with pytest.raises(ValidationError) as error:
        Rejection.model_validate({"ref": {"namespace": ["canary"], "name": "x", "key": "canary"}})
    assert "canary" not in str(error.value)


def test_secret_ref_reads_like_kubectl() -> None:
    """A reference is namespace/name."""
    assert str(REF) == "homarr-dev/homarr-dev-tls"


@pytest.mark.parametrize(
    ("age", "life", "expected"),
    [(0, 90, 90), (10, 90, 80), (89.5, 90, 0), (90, 90, 0), (90.5, 90, -1), (83.001, 90, 6)],
)
def test_certificate_counts_whole_days(age: float, life: float, expected: int) -> None:
    """Days left are whole days, and negative once the certificate has expired."""
    assert certificate(age=age, life=life).version.days_left(NOW) == expected


def test_snapshot_digest_is_the_same_for_the_same_facts() -> None:
    """Two snapshots with the same facts have the same digest, also after a conversion to JSON and back."""
    one = snapshot(certificate(), rejection("other"))
    assert SourceSnapshot.model_validate(one.model_dump(mode="json")).digest == one.digest


@pytest.mark.parametrize(
    "other",
    [
        pytest.param(snapshot(), id="nothing"),
        pytest.param(snapshot(certificate(content="b2")), id="another content"),
        pytest.param(snapshot(certificate(resource_version="8")), id="another state"),
        pytest.param(snapshot(certificate(), rejection("other")), id="a rejection more"),
        pytest.param(snapshot(certificate(), warnings=("x",)), id="a warning more"),
    ],
)
def test_snapshot_digest_differs_when_a_fact_does(other: SourceSnapshot) -> None:
    """Each change on OPS changes the digest, so that no finished cluster is skipped."""
    assert other.digest != snapshot(certificate()).digest


def test_snapshot_of_an_earlier_version_can_be_read() -> None:
    """A result stored before certificates had warnings is read without them."""
    one = snapshot(certificate())
    stored = one.model_dump(mode="json")
    for each in stored["certificates"]:
        del each["warnings"]
    assert SourceSnapshot.model_validate(stored) == one


def test_snapshot_tells_the_warnings_of_its_certificates() -> None:
    """Warnings about OPS come first, then those of certificates by name, also after a correction."""
    found = snapshot(
        certificate(warnings=("old",)), certificate("b-tls", warnings=("x", "y")), warnings=("ops",)
    )
    assert found.all_warnings == ("ops", f"{NAME}: old", "b-tls: x", "b-tls: y")
    assert found.corrected({NAME: certificate(), "b-tls": None}).all_warnings == ("ops",)


def test_a_corrected_snapshot_has_a_digest_and_names_of_its_own() -> None:
    """A corrected snapshot computes its digest and names again."""
    first = snapshot(certificate())
    before = first.digest
    name = first.certificates[0].ref.name
    assert first.by_name[name] == first.certificates[0]
    corrected = first.corrected({name: None})
    assert corrected.digest not in ("", before)
    assert name not in corrected.by_name


@pytest.mark.parametrize("reason", Reason)
@pytest.mark.parametrize("action", Action)
def test_change_is_failed_exactly_when_a_certificate_was_wanted(action: Action, reason: Reason) -> None:
    """A refusal failed, a write did not, and a row without a write failed unless its reason is in QUIET."""
    quiet = {Reason.IN_SYNC, Reason.ISSUANCE_PENDING, Reason.GONE_FROM_SOURCE}
    quiet |= {Reason.NO_LONGER_ROUTED, Reason.PRUNED}
    quiet |= {Reason.REQUEST_BEYOND_LIMITS, Reason.REQUEST_INVALID, Reason.REQUEST_CONFLICT}
    expected = {
        Action.CREATE: False,
        Action.UPDATE: False,
        Action.KEEP: reason not in quiet,
        Action.NOTHING: reason not in quiet,
        Action.REFUSE: True,
        Action.DELETE: reason not in quiet,
    }
    assert change(action, reason).failed is expected[action]
    assert quiet == QUIET


def test_change_writes_only_when_it_creates_or_updates() -> None:
    """Two actions write; all others leave the target alone."""
    assert {action for action in Action if change(action).writes} == {Action.CREATE, Action.UPDATE}


def failure(**values: Any) -> Failure:
    fields = {"code": FailureCode.FORBIDDEN, "cluster": "dev", "what": "list secrets in homarr-dev"}
    return Failure(**{**fields, **values})


def test_failure_says_code_object_and_sentence() -> None:
    """A failure is one line: code, operation, sentence, and the detail if any."""
    text = "Forbidden: list secrets in homarr-dev: the API server forbids it"
    assert str(failure()) == text
    assert str(failure(detail="HTTP 403")) == f"{text} (HTTP 403)"


def test_cluster_error_adds_the_remedy() -> None:
    """The message of a ClusterError ends with the remedy."""
    error = ClusterError(failure())
    assert str(error) == f"{failure()}. To do: {FailureCode.FORBIDDEN.remedy}"


@pytest.mark.parametrize("error", [ClusterError(failure()), ClusterFailed(ClusterReport(cluster="dev"))])
def test_error_survives_pickle(error: Exception) -> None:
    """An error that a task raises in another process arrives with its facts."""
    arrived = pickle.loads(pickle.dumps(error))
    assert (type(arrived), arrived.args, vars(arrived)) == (type(error), error.args, vars(error))


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        pytest.param({}, True, id="nothing to do is ok"),
        pytest.param({"changes": (change(),)}, True, id="in sync is ok"),
        pytest.param({"changes": (change(Action.CREATE),)}, True, id="a write is ok"),
        pytest.param({"warnings": ("x",)}, True, id="a warning is ok"),
        pytest.param({"changes": (change(), change(Action.REFUSE))}, False, id="a refusal is not"),
        pytest.param({"failures": (failure(),)}, False, id="a failure is not"),
    ],
)
def test_cluster_report_is_ok_unless_something_failed(values: dict[str, Any], expected: bool) -> None:
    """A cluster is ok as long as nothing failed and every wanted certificate is there."""
    assert ClusterReport(cluster="dev", **values).ok is expected


def test_cluster_report_is_transient_when_one_failure_is() -> None:
    """One transient failure makes a report transient; refusals do not."""
    final, passing = failure(), failure(transient=True)
    assert ClusterReport(cluster="dev", failures=(final, passing)).transient
    assert not ClusterReport(cluster="dev", failures=(final,), changes=(change(Action.REFUSE),)).transient


def test_cluster_report_counts_only_writes_that_took_place() -> None:
    """In a real run a write that was not applied is not counted; in a dry run all are."""
    rows = (change(Action.CREATE, applied=True), change(Action.UPDATE), change(), change())
    real = ClusterReport(cluster="dev", changes=rows)
    assert real.counts == {Action.CREATE: 1, Action.KEEP: 2}
    dry = real.model_copy(update={"dry_run": True})
    assert dry.counts == {Action.CREATE: 1, Action.UPDATE: 1, Action.KEEP: 2}


def test_cluster_report_survives_json() -> None:
    """A report that Prefect has stored is the same report when a resumed run reads it."""
    row = change(
        Action.UPDATE, Reason.DRIFTED, old=version(), new=version("b2"), extra_keys=("x",), applied=True
    )
    report = ClusterReport(cluster="dev", changes=(row,), failures=(failure(),), warnings=("x",))
    assert ClusterReport.model_validate(report.model_dump(mode="json")) == report


def test_defect_tells_type_and_place_only() -> None:
    """An unexpected error is described without its text, which could contain key material."""
    try:
        raise ValueError("canary")
    except ValueError as error:
        found = internal_error("dev", "read", error)
    assert (found.code, found.cluster, found.what) == (FailureCode.INTERNAL, "dev", "read")
    assert found.detail.startswith("ValueError at test_models.py:")
    assert "canary" not in found.model_dump_json()


@pytest.mark.parametrize("code", [*Reason, *FailureCode], ids=str)
def test_code_is_stable_camel_case_with_a_sentence(code: Reason | FailureCode) -> None:
    """Each code is one CamelCase word with a sentence that needs no full stop, and survives copies."""
    assert code.isalpha()
    assert code[0].isupper()
    assert code.sentence
    assert not code.sentence.endswith(".")
    assert copy.deepcopy(code) is pickle.loads(pickle.dumps(code)) is code


@pytest.mark.parametrize("code", [*(r for r in Reason if r not in QUIET), *FailureCode], ids=str)
def test_code_has_a_remedy_when_it_can_make_a_run_fail(code: Reason | FailureCode) -> None:
    """Each code that can make a run fail has a remedy."""
    writing = {Reason.MISSING_ON_TARGET, Reason.CERTIFICATE_RENEWED, Reason.SOURCE_CHANGED}
    writing |= {Reason.DRIFTED, Reason.ADOPTED, Reason.METADATA_CHANGED, Reason.KEYS_CHANGED}
    assert bool(code.remedy) is (code not in writing)


def test_code_is_not_given_twice() -> None:
    """No code is both a Reason and a FailureCode."""
    codes = [str(code) for code in (*Reason, *FailureCode)]
    assert len(codes) == len(set(codes))


def test_orders_are_made_for_each_cluster_unless_the_source_is_unreadable() -> None:
    """If OPS could not be read, no cluster gets a SyncSpec."""
    document = {
        "owner": "ops",
        "source": {"namespace": "certificates-ops"},
        "clusters": [
            {
                "name": "dev",
                "context": "cluster-dev",
                "hostnames": ["*.dev.example.org"],
                "routes": [
                    {"certificates": [NAME], "namespaces": ["homarr-dev"]},
                    {"certificates": ["headlamp-*"], "namespaces": ["headlamp-dev"]},
                ],
            }
        ],
    }
    settings = load.parse_config(document)
    (made,) = spec.specs_for(
        settings, settings.clusters, snapshot(), RunParameters(certificate=NAME, dry_run=True)
    )
    assert made == spec.SyncSpec(
        settings, settings.clusters[0], snapshot(), RunParameters(certificate=NAME, dry_run=True)
    )
    assert made.namespaces == ("homarr-dev",)
    unread = SourceSnapshot(failure=failure())
    assert spec.specs_for(settings, settings.clusters, unread, RunParameters()) == ()


def test_target_secret_defaults_to_foreign() -> None:
    """A Secret without labels and annotations is not ours."""
    bare = TargetSecret(ref=REF, uid="u", resource_version="1", type="t")
    assert (bare.managed, bare.labels, target_secret().managed.ours) == (
        ManagedKeys(ours=None),
        {},
        frozenset({"tls.crt", "tls.key"}),
    )
