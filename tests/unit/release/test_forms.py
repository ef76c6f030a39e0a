"""The forms of issues are such as GitHub shows, and ask nobody for a secret."""

from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).parents[3]
FORMS = sorted(path for path in (ROOT / ".github" / "ISSUE_TEMPLATE").iterdir() if path.stem != "config")


@pytest.mark.parametrize("path", FORMS, ids=lambda path: path.stem)
def test_a_form_has_the_keys_of_githubs_schema(path: Path) -> None:
    """GitHub shows no form that lacks a name, or has two fields of one id, or an unknown kind of field."""
    form = yaml.safe_load(path.read_text())
    assert set(form) == {"name", "description", "labels", "body"}
    fields = [field for field in form["body"] if field["type"] != "markdown"]
    ids = [field["id"] for field in fields]
    assert len(ids) == len(set(ids)) > 0
    for field in fields:
        assert set(field) <= {"type", "id", "attributes", "validations"}
        assert field["type"] in {"textarea", "input", "dropdown", "checkboxes"}
        assert field["attributes"]["label"]


def test_whoever_reports_a_defect_is_led_to_the_private_way() -> None:
    """The form of defects names SECURITY.md before its first field, and asks for no credential."""
    first, *_ = yaml.safe_load((ROOT / ".github" / "ISSUE_TEMPLATE" / "bug.yml").read_text())["body"]
    assert first["type"] == "markdown"
    assert "SECURITY.md" in first["attributes"]["value"]
    assert "Report a vulnerability" in (ROOT / "SECURITY.md").read_text()
