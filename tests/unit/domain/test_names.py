"""Names and globs: which are valid in a URL, and which match."""

import re
from itertools import product

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tasks.domain import names
from tasks.domain.text import join_limited
from tests.support.factories import law

HOSTILE = {
    "the parent folder": "..",
    "the empty name": "",
    "a path": "a/../b",
    "a quoted path": "%2e%2e",
    "a glob": "*",
    "a regular expression": ".*",
    "a list of 10,000": ",".join(["a"] * 10_000),
    "a line break at the end": "a\n",
    "a line break within": "a\nb",
    "a NUL": "a\0",
    "full-width dots": "a\uff0e\uff0eb",
    "Arabic digits": "a\u0661",
    "upper case": "Homarr",
    "254 characters": "a" * 254,
    "a hyphen at the start": "-a",
    "a hyphen at the end": "a-",
    "a dot at the start": ".a",
    "a dot at the end": "a.",
    "two dots in a row": "a..b",
    "a blank": "a b",
    "an underscore": "a_b",
    "an emoji": "a\N{PARTY POPPER}",
}
SMALL = st.text(alphabet="ab*", max_size=4)
WORDS = tuple("".join(letters) for length in range(9) for letters in product("ab", repeat=length))


@pytest.mark.parametrize("text", HOSTILE.values(), ids=HOSTILE)
def test_hostile_name_is_no_name(text: str) -> None:
    """A text that could address another object is neither the name of a Secret nor a namespace."""
    assert not names.is_name(text)
    assert not names.is_namespace(text)


@pytest.mark.parametrize("text", ["a", "0", "a-b", "homarr-dev-tls", "a" * 63])
def test_name_and_namespace_take_a_label(text: str) -> None:
    """A DNS-1123 label names a Secret and a namespace."""
    assert names.is_name(text)
    assert names.is_namespace(text)


@pytest.mark.parametrize("text", ["a.b", "www.example.org", "a" * 64, "a" * 253])
def test_name_may_be_what_a_namespace_may_not(text: str) -> None:
    """A Secret's name may have dots and 253 characters, a namespace's neither."""
    assert names.is_name(text)
    assert not names.is_namespace(text)


@pytest.mark.parametrize(
    "namespace", ["default", "cert-manager", "argocd", "tls-sync", "kube-system", "kube-public", "kube-"]
)
def test_protected_namespace_is_known(namespace: str) -> None:
    """The namespaces of the cluster and of the tools that manage it are protected."""
    assert names.is_protected(namespace)


@pytest.mark.parametrize(
    "namespace", ["kube", "homarr-kube-system", "default-2", "argocd-apps", "certificates-ops"]
)
def test_namespace_that_resembles_a_protected_one_is_free(namespace: str) -> None:
    """Only the exact names and the prefix kube- are protected."""
    assert not names.is_protected(namespace)


@pytest.mark.parametrize(
    ("pattern", "name", "expected"),
    [
        ("a", "a", True),
        ("a", "ab", False),
        ("b", "ab", False),
        ("a.b", "axb", False),
        ("headlamp-*", "headlamp-", True),
        ("headlamp-*", "headlamp-dev-tls", True),
        ("headlamp-*", "my-headlamp-dev-tls", False),
        ("*-tls", "homarr-tls", True),
        ("*-tls", "homarr-tls-2", False),
        ("a*b*c", "a-b-b-c", True),
        ("a*b*c", "a-c", False),
        ("*", "anything.at.all", True),
    ],
)
def test_pattern_matches_whole_names(pattern: str, name: str, expected: bool) -> None:
    """A pattern is matched from the first to the last character, and only * is special."""
    assert names.matches(pattern, name) is expected


def test_pattern_without_a_glob_matches_an_equal_text() -> None:
    """A name is compared by its value: OPS's names are other objects than those of the configuration."""
    assert names.matches("homarr-tls", "homarr-tls-2".removesuffix("-2"))


def taken_in(pattern: str) -> set[str]:
    """All words of at most eight letters that match a pattern, by brute force."""
    expression = re.compile(pattern.replace("*", "[ab]*"))
    return {word for word in WORDS if expression.fullmatch(word)}


def test_a_glob_that_nearly_fits_is_not_tried_in_all_ways() -> None:
    """Such a glob and such a name of a Secret do not delay a run."""
    assert not names.matches("*a" * 60 + "b", "a" * 253)
    assert names.matches("*a" * 60 + "*", "a" * 253)


@law
@given(one=SMALL, other=SMALL)
def test_overlap_agrees_with_brute_force(one: str, other: str) -> None:
    """Two patterns overlap exactly if some word matches both."""
    assert names.overlap(one, other) is bool(taken_in(one) & taken_in(other))


@law
@given(one=SMALL, other=SMALL)
def test_overlap_is_symmetric(one: str, other: str) -> None:
    """Which of two patterns comes first does not matter."""
    assert names.overlap(one, other) is names.overlap(other, one)


@law
@given(pattern=SMALL, word=st.sampled_from(WORDS))
def test_matches_agrees_with_brute_force(pattern: str, word: str) -> None:
    """A pattern matches exactly the words found by brute force."""
    assert names.matches(pattern, word) is (word in taken_in(pattern))


def test_overlap_copes_with_the_longest_globs() -> None:
    """Globs of 253 characters are compared within the interpreter's limits."""
    assert names.overlap("*a" * 126, "a" * 253)
    assert not names.overlap("*a" * 126, "a*" * 126 + "b")


@pytest.mark.parametrize(
    "text", ["example.org", "*.example.org", "*.*.example.org", "a.*.example.org", "a-b.org"]
)
def test_hostname_pattern_is_taken(text: str) -> None:
    """A DNS name, with * for whole labels in front, is a pattern."""
    assert names.is_hostname_pattern(text)


@pytest.mark.parametrize(
    "text",
    [
        *(
            "*",
            "*.*",
            "*.org",
            "a.*",
            "a.*.org.*",
            "org",
            "",
            "w*.example.org",
            "**.example.org",
            "a.Example.org",
        ),
        *(
            "*.example.org.",
            ".example.org",
            "*.example..org",
            "*.example.org\n",
            "*/example.org",
            "10.0.0.1/8",
        ),
    ],
)
def test_hostname_pattern_is_refused(text: str) -> None:
    """The last two labels are literal, and a * stands for a whole label."""
    assert not names.is_hostname_pattern(text)


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("a.dev.example.org", True),
        ("A.DEV.Example.ORG", True),
        ("*.dev.example.org", True),
        ("x.a.dev.example.org", False),
        ("dev.example.org", False),
        ("a.devXexample.org", False),
        ("a.dev.example.org.evil.net", False),
        ("a.dev.example.org.", False),
        (".dev.example.org", False),
        ("a b.dev.example.org", False),
        ("a\x1b[2J\n|<b>.dev.example.org", False),
        ("a_b.dev.example.org", True),
        ("a*.dev.example.org", False),
        ("*.example.org", False),
        ("exact.example.org", True),
        ("a.exact.example.org", False),
        ("exact.example", False),
        ("", False),
    ],
)
def test_hostname_is_compared_label_by_label(name: str, expected: bool) -> None:
    """A * matches exactly one label."""
    assert names.HostnamePatterns(("*.dev.example.org", "exact.example.org")).allow(name) is expected


@pytest.mark.parametrize(
    ("address", "told"),
    [
        ("http://ops:pass@prefect:4200/api", "http://prefect:4200/api"),
        ("https://ops:pa/ss@w@prefect/api", "https://prefect/api"),
        ("ops:pass@prefect", "prefect"),
        ("http://prefect:4200/api", "http://prefect:4200/api"),
        ("", ""),
    ],
)
def test_an_address_is_told_without_its_password(address: str, told: str) -> None:
    """Everything before the last @ is left out, whatever the password contains."""
    assert names.without_user(address) == told


@pytest.mark.parametrize(
    ("address", "expected"),
    [
        ("prefect", ("prefect", 443)),
        ("prefect:1", ("prefect", 1)),
        ("prefect:65535", ("prefect", 65535)),
        ("prefect:65536", None),
        ("prefect:65537", None),
        ("prefect:0", None),
        ("[::1]:8443", ("::1", 8443)),
        ("[1.2.3.4]", None),
        ("[1.2.3.4]:443", None),
    ],
)
def test_an_address_is_split_at_its_port(address: str, expected: tuple[str, int] | None) -> None:
    """Ports from 1 to 65535; brackets are for IPv6 alone."""
    assert names.split_address(address) == expected


def test_some_names_stand_for_all() -> None:
    """Twenty names are shown, each cut to the length of a DNS name; the rest is counted."""
    long, longer = "x" * 253, "y" * 254
    assert join_limited([long, longer]) == f"{long}, {longer[:253]}…"
    many = [f"n{number}" for number in range(1041)]
    assert join_limited(many[:20]) == ", ".join(many[:20])
    assert join_limited(many[:21]) == ", ".join(many[:20]) + " and 1 more"
    assert join_limited(many) == ", ".join(many[:20]) + " and 1,021 more"


def test_hostname_is_refused_without_patterns() -> None:
    """Without patterns no name is allowed."""
    assert not names.HostnamePatterns(()).allow("a.example.org")


@pytest.mark.parametrize("text", ["127.0.0.1", "::1", "dev.example.org", "DEV.example.org", "localhost"])
def test_host_is_a_name_or_an_address(text: str) -> None:
    """A server in a kubeconfig is a DNS name in any case, or an IP address."""
    assert names.is_host(text)


@pytest.mark.parametrize(
    "text", ["", "a..b", "ho st", "-a", "a_b", "ünï.example", "1.2.3.4:5", "[::1]", "fe80::1%<b>"]
)
def test_host_is_refused(text: str) -> None:
    """Any other text is refused."""
    assert not names.is_host(text)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("web.example.org", ("web.example.org", 443)),
        ("web.example.org:8443", ("web.example.org", 8443)),
        ("10.0.0.1:8443", ("10.0.0.1", 8443)),
        ("[2001:db8::1]", ("2001:db8::1", 443)),
        ("[2001:db8::1]:8443", ("2001:db8::1", 8443)),
        *((text, None) for text in ("", ":443", "web:", "web:0", "web:65536", "*.example.org", "[web]:443")),
        *((text, None) for text in ("2001:db8::1", "https://web", "web/x", "Web", "web:443\n", "web:٤٤٣")),
    ],
)
def test_an_address_is_a_host_and_a_port(text: str, expected: tuple[str, int] | None) -> None:
    """A name or IP address, IPv6 in brackets, with 443 where no port is given; nothing else."""
    assert names.split_address(text) == expected


def test_a_key_of_data_is_told_by_its_name_or_not_at_all() -> None:
    """A name that is invalid as a key of data is not shown, because it could be any text."""
    assert names.data_keys(["tls.crt", "key_store-1.JKS"]) == {"tls.crt", "key_store-1.JKS"}
    for text in ("", "a b", "a\n", "../x", "é", "a" * 254, 5.5):
        (told,) = names.data_keys([text])
        assert told in ("a key without a valid name", "5.5")
