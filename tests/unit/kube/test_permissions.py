"""What a review of our permissions says about Secrets."""

from typing import Any

import pytest

from tasks.kube.permissions import Permissions, parse_permissions

SHIPPED = ["list", "get", "patch", "create"]


def rule(*verbs: str, groups: tuple[str, ...] = ("",), resources: tuple[str, ...] = ("secrets",)) -> Any:
    return {"verbs": list(verbs), "apiGroups": list(groups), "resources": list(resources)}


def test_the_shipped_role_is_just_enough() -> None:
    """Of the verbs that our Role allows, none is missing and none is in excess."""
    found = parse_permissions({"resourceRules": [rule(*SHIPPED)], "incomplete": False})
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
def test_permissions_on_something_else_do_not_count(rules: list[Any]) -> None:
    """Only rules about all Secrets of the namespace count."""
    assert parse_permissions({"resourceRules": rules}).missing() == ("create", "get", "list", "patch")


def test_permissions_add_up_over_rules() -> None:
    """Several Roles may each allow some of the verbs."""
    rules = [rule("list", "get"), rule("patch"), rule("create", groups=("*",), resources=("*",))]
    assert parse_permissions({"resourceRules": rules}).missing() == ()


def test_a_wildcard_is_enough_and_in_excess() -> None:
    """`*` allows every required verb, and is reported as excess."""
    found = parse_permissions({"resourceRules": [rule("*")]})
    assert (found.missing(), found.excess()) == ((), ("*",))


def test_no_verb_counts_as_missing_in_an_incomplete_review() -> None:
    """An authorizer that can't list its rules (a cloud's webhook) proves no missing permission."""
    assert parse_permissions({"resourceRules": [], "incomplete": True}) == Permissions(complete=False)
    assert parse_permissions({"resourceRules": [], "incomplete": True}).missing() == ()
