"""Private keys: kinds, encodings, consistency, and limits before any calculation."""

import time

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import rsa

from deployments.sandbox.clusters import pki
from deployments.sandbox.world.cert_manager import Issuer
from tasks.domain.models import Certificate, Rejection
from tasks.domain.reasons import Reason
from tasks.source import checks, der
from tasks.source.check_failure import CheckFailed
from tasks.source.private_key import require_key
from tests.support.der_writer import element, integer, pem, sequence
from tests.support.factories import NOW
from tests.support.written_keys import PKCS1, Rsa, Written, generated, next_prime, rsa_of, written_keys
from tests.unit.source.test_checks import ask, secret

KEYS = written_keys(Issuer(now=NOW))


@pytest.mark.parametrize("written", KEYS.values(), ids=KEYS)
def test_key_is_fit_or_refused(written: Written) -> None:
    """Each key of the table is fit or refused with its reason, and the detail contains none of it."""
    found = ask(secret(written.crt, written.key))
    reason = found.reason if isinstance(found, Rejection) else None
    assert reason == written.expected
    told = found.model_dump_json()
    assert not any(line.decode() in told for line in written.key.splitlines() if not line.startswith(b"--"))


@pytest.mark.parametrize("bit", [0, 1, 500, 1000])
@pytest.mark.parametrize("part", Rsa._fields)
def test_every_bit_of_an_rsa_key_counts(part: str, bit: int) -> None:
    """A key with a flipped bit in any number is refused before it signs."""
    flipped = generated().flipped(part, bit)
    public = rsa.RSAPublicNumbers(generated().e, generated().n).public_key()
    require_key(pem(generated().pkcs1, PKCS1), public)
    with pytest.raises(CheckFailed) as refused:
        require_key(pem(flipped.pkcs1, PKCS1), public)
    assert refused.value.reason in {Reason.BROKEN_KEY, Reason.KEY_MISMATCH}
    assert refused.value.detail or refused.value.reason is Reason.KEY_MISMATCH


@pytest.mark.parametrize("size", [2**13, 2**15, 2**21])
def test_a_part_beyond_the_modulus_is_not_worked_with(size: int) -> None:
    """No calculation uses a number that is larger than the modulus."""
    oversized = generated()._replace(p=2**size - 1, q=2**size - 1)
    public = rsa.RSAPublicNumbers(generated().e, generated().n).public_key()
    written = pem(oversized.pkcs1, PKCS1)
    begin = time.thread_time()
    with pytest.raises(CheckFailed, match="larger than its modulus"):
        require_key(written, public)
    assert time.thread_time() - begin < 1  # a promise: no Secret takes more than a second of CPU


def test_a_refused_rsa_key_says_which_rule_it_breaks() -> None:
    """Each rule has its own sentence, without a number of the key."""
    details = {name: found.detail for name, found in refused("RSA ") if not name.endswith("PKCS#8")}
    assert details["RSA with an exponent too large"].startswith("its public exponent")
    assert details["RSA of close primes"].startswith("its primes")
    assert details["RSA with d beyond n"].startswith("a part of it")
    assert details["RSA with a bit of dp flipped"].startswith("its exponents")
    assert details["RSA with a bit of qi flipped"].startswith("its coefficient")
    assert details["RSA of a composite prime"] == ""  # only its signature tells


def refusal(written: bytes, key: Rsa) -> CheckFailed:
    """Return how a PEM key is refused, for a certificate with the modulus of an RSA key."""
    public = rsa.RSAPublicNumbers(key.e, key.n).public_key()
    with pytest.raises(CheckFailed) as refused:
        require_key(written, public)
    return refused.value


def rule_broken_by(key: Rsa) -> str:
    """Return the sentence with which an RSA key is refused."""
    return refusal(pem(key.pkcs1, PKCS1), key).detail


@pytest.mark.parametrize("difference", [-2, -1, 1, 2])
@pytest.mark.parametrize(
    ("part", "rule"),
    [
        ("p", "its primes"),
        ("q", "its primes"),
        ("d", "its exponents"),
        ("dp", "its exponents"),
        ("dq", "its exponents"),
        ("qi", "its coefficient"),
    ],
)
def test_the_rule_that_a_wrong_number_breaks(part: str, rule: str, difference: int) -> None:
    """The first rule about a number refuses it, whether it is too large or too small."""
    key = generated()
    assert rule_broken_by(key._replace(**{part: getattr(key, part) + difference})).startswith(rule)


def test_a_coefficient_is_below_its_prime() -> None:
    """One that is larger by the prime is not the one that belongs to it."""
    key = generated()
    assert rule_broken_by(key._replace(qi=key.qi + key.p)).startswith("its coefficient")


def test_a_private_exponent_is_below_the_modulus() -> None:
    """One that equals it is too large."""
    assert rule_broken_by(generated()._replace(d=generated().n)).startswith("its private exponent")


def test_a_negative_number_of_one_byte() -> None:
    """80 is -128 in DER."""
    parts = [integer(0), *map(integer, generated()[:-1]), element(der.INTEGER, b"\x80")]
    assert refusal(pem(sequence(*parts), PKCS1), generated()).reason is Reason.INVALID_KEY


def test_a_character_that_base64_does_not_have() -> None:
    """Go reads no such key, so no server would."""
    begin, middle, end = pem(generated().pkcs1, PKCS1).partition(b"\nMII")
    assert refusal(begin + middle + b"_" + end, generated()).reason is Reason.INVALID_KEY


@pytest.mark.parametrize("bits", [2, 1023, 1024])
def test_a_private_exponent_has_more_than_half_of_the_bits(bits: int) -> None:
    """One of half of the modulus' bits is too small; one of a bit more is refused by the next rule."""
    key = generated()
    assert rule_broken_by(key._replace(d=2 ** (bits - 1))).startswith("its private exponent")
    assert rule_broken_by(key._replace(d=2**1024)).startswith("its exponents")


def test_how_close_primes_may_be() -> None:
    """Primes that agree in 100 leading bits are refused, and those that agree in 99 are not."""
    p = generated().p
    assert rule_broken_by(rsa_of(p, next_prime(p + 2**923))).startswith("its primes")
    apart = rsa_of(p, next_prime(p + 2**924))
    require_key(pem(apart.pkcs1, PKCS1), rsa.RSAPublicNumbers(apart.e, apart.n).public_key())


@pytest.mark.parametrize("unaffected", ["p", "q"])
def test_a_private_exponent_that_fits_one_prime(unaffected: str) -> None:
    """The exponent must undo the public one for both primes, whatever the two short ones say."""
    key = generated()
    order = getattr(key, unaffected) - 1
    d = key.d % order + order * 2**1000
    wrong = key._replace(d=d, dp=d % (key.p - 1), dq=d % (key.q - 1))
    assert rule_broken_by(wrong).startswith("its exponents")


def refused(prefix: str) -> list[tuple[str, Rejection]]:
    found = [(name, ask(secret(one.crt, one.key))) for name, one in KEYS.items() if name.startswith(prefix)]
    return [(name, one) for name, one in found if isinstance(one, Rejection)]


def test_a_key_of_an_unusual_kind_is_named() -> None:
    """A kind of key that Go does not support is named, in the key and in the certificate."""
    details = {name: found.detail for name, found in refused("")}
    assert details["RSA as RSASSA-PSS"] == details["RSA whose certificate says RSASSA-PSS"] == "RSASSA-PSS"
    explicit = [detail for name, detail in details.items() if "spell" in name]
    assert explicit == ["explicit EC parameters"] * 4


def test_a_private_exponent_may_be_as_large_as_the_modulus() -> None:
    """Limits are inclusive: public exponents 3 and 2^31 - 1, and d by either of two formulas."""
    for name in ("with exponent 3", "with the largest exponent", "d by Carmichael"):
        one = KEYS[f"RSA {name}"]
        assert isinstance(ask(secret(one.crt, one.key)), Certificate)
    small = rsa_of(generated().p, generated().q, 2**31 - 1)
    assert small.d < small.n


@pytest.mark.parametrize(
    "content",
    [b"", b"\x30", b"\x30\x05\0", b"\x30\x80\0\0", b"\x30\x85\0\0\0\0\1\0", b"\x30\x84\xff\xff\xff\xff\0"],
    ids=bytes.hex,
)
def test_der_that_is_cut_off_is_an_error_that_is_known(content: bytes) -> None:
    """No length makes the reader read past the end or loop."""
    with pytest.raises(ValueError, match=r"truncated|can't be read|not enough values"):
        der.sequence(content, max_elements=3)


def test_der_is_read_one_level_at_a_time() -> None:
    """Only the requested elements are read, regardless of depth and number."""
    deep = b""
    for _ in range(50_000):
        deep = element(der.SEQUENCE, deep)
    assert len(der.sequence(deep, max_elements=3)) == 1
    with pytest.raises(ValueError, match="not a SEQUENCE"):
        der.sequence(sequence(*[integer(1)] * 100_000), max_elements=3)


def test_the_form_of_a_certificates_key_is_read_from_its_bytes() -> None:
    """The AlgorithmIdentifier of the public key is found with and without a version."""
    certificate = Issuer(now=NOW).leaf(pki.new_key(), ["a.example.org"])
    assert der.algorithm_of(certificate).hex() == "06072a8648ce3d020106082a8648ce3d030107"
    checks.require_usual_form(certificate)
    assert isinstance(certificate, x509.Certificate)
