"""What the metadata of OPS tells, without any data, and how the data of single Secrets is read afterwards."""

from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from typing import Any

import pytest

from deployments.sandbox.world import unfit
from tasks.domain.errors import ClusterError
from tasks.domain.failure_codes import FailureCode
from tasks.domain.models import Certificate, Failure, ListedSecret, Rejection, SecretRef, SourceSnapshot
from tasks.domain.reasons import Reason
from tasks.kube.listed_secrets import parse_listed_secrets, written_of
from tasks.source.read import list_source, read_listed, read_source
from tests.support.factories import NOW, SOURCE_NAMESPACE
from tests.unit.source.test_read import EMPTY, ISSUER, NAMES, SOURCE, Object, Ops, fit, waiting

WRITTEN = "2026-01-05T10:00:00Z"


class Listing(Ops):
    """OPS whose Secrets can be listed, and read one by one. It counts the requests for data."""

    def __init__(self, *secrets: Object, certificates: list[Object] | Failure | None = None) -> None:
        super().__init__(*secrets, certificates=certificates)
        self.asked: list[str] = []
        self.lists = 0
        """Of Certificates."""
        self.got: list[str] = []
        """Certificates that were read by their names."""

    def certificates(self, namespace: str) -> Iterator[list[Object]]:
        self.lists += 1
        yield from super().certificates(namespace)

    def certificate(self, ref: SecretRef) -> Object:
        self.got.append(ref.name)
        assert isinstance(self._certificates, list)
        return next(one for one in self._certificates if one["metadata"]["name"] == ref.name)

    def listed_secrets(self, namespace: str, selector: dict[str, str]) -> Iterator[list[ListedSecret]]:
        assert (namespace, selector) == (SOURCE.namespace, SOURCE.selector)
        for secret in self._secrets:
            yield parse_listed_secrets({"rows": [{"object": {"metadata": secret["metadata"]}}]})

    def tls_secrets(self, namespace: str, selector: dict[str, str]) -> Iterator[list[Object]]:
        self.asked.append("list")
        yield from super().tls_secrets(namespace, selector)

    def tls_secret(self, ref: SecretRef) -> Object | None:
        self.asked.append(ref.name)
        return next((one for one in self._secrets if one["metadata"]["name"] == ref.name), None)


def stored(name: str, **metadata: Any) -> Object:
    """A fit Secret as an API server has it."""
    secret = fit(name)
    given = {
        "uid": f"uid-of-{name}",
        "resourceVersion": "7",
        "managedFields": [{"manager": "a", "time": WRITTEN}],
    }
    labels = {"labels": dict(SOURCE.selector)}
    return secret | {"metadata": secret["metadata"] | given | labels | metadata}


def issued(secret: str, **status: str) -> Object:
    conditions = [{"type": "Ready", "status": "True"}]
    times = {"notBefore": "2026-02-01T00:00:00Z", "notAfter": "2026-05-02T00:00:00Z"}
    return {"spec": {"secretName": secret}, "status": {"conditions": conditions, **times, **status}}


def listed(
    *secrets: Object, certificates: list[Object] | Failure | None = None
) -> tuple[SourceSnapshot, list[str]]:
    ops = Listing(*secrets, certificates=certificates)
    return list_source(ops, SOURCE, NOW), ops.asked


def test_listing_reads_no_data() -> None:
    """The snapshot has identity and version of each Secret; a Secret is not asked for its data."""
    found, asked = listed(stored("a-tls"), stored("b-tls", resourceVersion="9"))
    assert [(one.ref.name, one.uid, one.resource_version, one.written) for one in found.listed] == [
        ("a-tls", "uid-of-a-tls", "7", WRITTEN),
        ("b-tls", "uid-of-b-tls", "9", WRITTEN),
    ]
    assert (found.certificates, found.rejections, asked) == ((), (), [])
    assert found.unchecked == found.size == 2


def test_the_certificate_tells_the_validity_of_a_secret_that_was_not_read() -> None:
    """notBefore, notAfter and renewalTime are those of its status, the names those of its annotation."""
    secret = stored("a-tls", annotations={"cert-manager.io/alt-names": "a.example.org,b.example.org"})
    found, _ = listed(secret, certificates=[issued("a-tls", renewalTime="2026-04-02T00:00:00Z")])
    (one,) = found.listed
    assert one.dns_names == ("a.example.org", "b.example.org")
    assert one.validity == (datetime(2026, 2, 1, tzinfo=UTC), datetime(2026, 5, 2, tzinfo=UTC))
    assert one.renewal == datetime(2026, 4, 2, tzinfo=UTC)


@pytest.mark.parametrize("status", [{"notAfter": "soon"}, {"notAfter": "2026-01-01T00:00:00Z"}])
def test_a_validity_that_makes_no_sense_is_none(status: dict[str, str]) -> None:
    """A malformed time, or an end before the beginning, tells nothing."""
    found, _ = listed(stored("a-tls"), certificates=[issued("a-tls", **status)])
    assert found.listed[0].validity is None


def test_what_cert_manager_says_is_wrong_is_rejected_unread() -> None:
    """A Secret that does not match its Certificate is rejected, and one that is only being renewed is not."""
    found, asked = listed(
        stored("a-tls"),
        stored("b-tls"),
        certificates=[waiting("a-tls", "SecretMismatch"), waiting("b-tls", "Issuing")],
    )
    assert [(one.ref.name, one.reason) for one in found.rejections] == [("a-tls", Reason.NOT_READY)]
    assert [one.ref.name for one in found.listed] == ["b-tls"]
    assert found.warnings == ("b-tls: cert-manager says that it is not ready (Issuing)",)
    assert asked == []


def test_a_certificate_without_a_secret_is_being_issued() -> None:
    """It is known from the Certificate alone."""
    pending = waiting("a-tls")
    pending["metadata"] = {"creationTimestamp": NOW.isoformat(), "name": "a"}
    pending["spec"]["secretTemplate"] = {"labels": dict(SOURCE.selector)}
    found, _ = listed(certificates=[pending])
    assert [one.ref.name for one in found.issuances] == ["a-tls"]
    assert found.warnings == (EMPTY,)


def test_a_list_has_the_limit_of_all_lists(monkeypatch: pytest.MonkeyPatch) -> None:
    """Above it OPS counts as unread, as with data."""
    monkeypatch.setattr("tasks.source.read.MAX_CERTIFICATES", 1)
    with pytest.raises(ClusterError) as error:
        listed(stored("a-tls"), stored("b-tls"))
    assert error.value.failure.code is FailureCode.TOO_MANY


def read(ops: Listing, names: Sequence[str], size: int) -> dict[str, Any]:
    ref = {name: SecretRef(namespace=SOURCE_NAMESPACE, name=name) for name in names}
    known = {one.ref.name: one for one in list_source(ops, SOURCE, NOW).listed}
    gone = {name: ListedSecret(ref=ref[name], uid="", resource_version="") for name in names}
    ops.lists = 0
    return read_listed(ops, SOURCE, [known.get(name, gone[name]) for name in names], size, NOW)


def test_few_secrets_are_read_one_by_one_and_many_by_one_list() -> None:
    """Either way, what is found is the same as where all data is read."""
    secrets = [stored(f"{letter}-tls") for letter in "abcd"]
    secrets.append(unfit.mismatched_key(ISSUER, "e-tls", NAMES))
    secrets[-1]["metadata"]["labels"] = dict(SOURCE.selector)
    names = [secret["metadata"]["name"] for secret in secrets]
    few, many = Listing(*secrets), Listing(*secrets)
    by_name, by_list = read(few, [*names, "gone-tls"], 1000), read(many, [*names, "gone-tls"], 5)
    assert sorted(few.asked) == sorted([*names, "gone-tls"])
    assert many.asked == ["list"]
    whole = read_source(Listing(*secrets), SOURCE, NOW).entries
    assert by_name == by_list == {**whole, "gone-tls": None}


def test_a_list_checks_only_what_was_asked_for() -> None:
    """The keys of the others are not parsed."""
    ops = Listing(stored("a-tls"), stored("b-tls"), unfit.mismatched_key(ISSUER, "c-tls", NAMES))
    assert set(read(ops, ["a-tls", "b-tls"], 3)) == {"a-tls", "b-tls"}


def test_a_secret_that_was_read_is_rejected_where_its_certificate_says_so() -> None:
    """The Certificates are listed after the Secrets were read, so they are never older than these."""
    bad = waiting("a-tls", "IncorrectCertificate") | {"metadata": {"name": "a"}}
    good = waiting("a-tls", "Issuing") | {"metadata": {"name": "a"}}
    for size, by_name in ((1000, ["a"]), (1, [])):
        ops = Listing(stored("a-tls"), stored("b-tls"), certificates=[good])
        names = ["a-tls"] if by_name else ["a-tls", "b-tls"]
        listed = list_source(ops, SOURCE, NOW).listed
        ops._certificates, ops.lists = [bad], 0
        found = read_listed(ops, SOURCE, [one for one in listed if one.ref.name in names], size, NOW)
        rejected = found["a-tls"]
        assert isinstance(rejected, Rejection)
        assert rejected.reason is Reason.NOT_READY
        assert (ops.got, ops.lists) == (by_name, 0 if by_name else 1)


def test_a_certificate_that_is_gone_meanwhile_is_looked_for_in_the_list() -> None:
    """Another one may write the Secret now; the same where one may not be read by its name."""

    class Gone(Listing):
        def certificate(self, ref: SecretRef) -> Object:
            raise ClusterError(Failure(code=FailureCode.NOT_FOUND, cluster="OPS", what=f"get {ref}"))

    ops = Gone(stored("a-tls"), certificates=[waiting("a-tls", "Issuing") | {"metadata": {"name": "a"}}])
    assert isinstance(read(ops, ["a-tls"], 1000)["a-tls"], Certificate)
    assert ops.lists == 1


def test_a_certificate_that_was_read_knows_when_its_secret_was_written() -> None:
    """As the list without data says it: a note that is made of one holds for the other."""
    times = [
        {"manager": "a", "time": "2026-02-01T00:00:00Z"},
        {"manager": "b", "time": "2026-02-03T00:00:00Z"},
    ]
    ops = Listing(stored("a-tls", managedFields=times))
    found = read(ops, ["a-tls"], 1)["a-tls"]
    assert isinstance(found, Certificate)
    (one,) = list_source(ops, SOURCE, NOW).listed
    assert found.written == one.written == "2026-02-03T00:00:00Z"
    assert (found.uid, found.resource_version) == (one.uid, one.resource_version)


@pytest.mark.parametrize(
    "metadata",
    [{}, {"managedFields": None}, {"managedFields": "x"}, {"managedFields": [None, {"time": 7}]}],
    ids=str,
)
def test_without_a_time_it_is_unknown_when_a_secret_was_written(metadata: Object) -> None:
    """Its managedFields may be absent or malformed. The time of creation stays through each write."""
    assert written_of(metadata | {"creationTimestamp": "2026-01-05T10:00:00Z"}) == ""


def test_a_malformed_row_is_left_out_or_left_empty() -> None:
    """A row without a name is no Secret; one without a uid is read, as no note can agree with it."""
    named = {"name": "a-tls", "namespace": SOURCE_NAMESPACE, "annotations": {"cert-manager.io/alt-names": 7}}
    table = {"rows": [None, {"object": None}, {"object": {"metadata": {"name": "a-tls"}}}]}
    assert parse_listed_secrets(table) == []
    (one,) = parse_listed_secrets({"rows": [{"object": {"metadata": named | {"uid": 7}}}]})
    assert (one.uid, one.resource_version, one.written, one.dns_names) == ("", "", "", ())
    with pytest.raises(TypeError):
        parse_listed_secrets({"rows": 7})
