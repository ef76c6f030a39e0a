"""What a review of rights says about Secrets."""

from typing import Any

import pytest

from tasks.kube.permissions import Rights, parse_rights

SHIPPED = ["list", "get", "patch", "create"]


def rule(*verbs: str, groups: tuple[str, ...] = ("",), resources: tuple[str, ...] = ("secrets",)) -> Any:
    return {"verbs": list(verbs), "apiGroups": list(groups), "resources": list(resources)}


def test_the_shipped_rights_are_just_enough() -> None:
    """With the Role that we ship nothing is missing and nothing is too much."""
    found = parse_rights({"resourceRules": [rule(*SHIPPED)], "incomplete": False})
    assert (found.missing(), found.excess()) == ((), ())


@pytest.mark.parametrize(
    "rules",
    [
        [],
        [rule(*SHIPPED, resources=("configmaps",))],
        [rule(*SHIPPED, groups=("apps",))],
        [rule(*SHIPPED) | {"resourceNames": ["web-tls"]}],
    ],
    ids=["none", "of another resource", "of another group", "on single names"],
)
def test_rights_on_something_else_are_none(rules: list[Any]) -> None:
    """Only rules about all Secrets of the namespace count."""
    assert parse_rights({"resourceRules": rules}).missing() == ("create", "get", "list", "patch")


def test_rights_add_up_over_rules() -> None:
    """Several Roles may each give a part."""
    rules = [rule("list", "get"), rule("patch"), rule("create", groups=("*",), resources=("*",))]
    assert parse_rights({"resourceRules": rules}).missing() == ()


def test_a_wildcard_is_enough_and_too_much() -> None:
    """`*` allows everything that is needed, and is said."""
    found = parse_rights({"resourceRules": [rule("*")]})
    assert (found.missing(), found.excess()) == ((), ("*",))


def test_nothing_is_missing_where_not_all_can_be_known() -> None:
    """An authorizer that can't list its rules (a cloud's webhook) is no proof of a missing right."""
    assert parse_rights({"resourceRules": [], "incomplete": True}) == Rights(complete=False)
    assert parse_rights({"resourceRules": [], "incomplete": True}).missing() == ()
