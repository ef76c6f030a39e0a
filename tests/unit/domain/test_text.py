"""Text for people: printable characters, tables, shortened lists."""

import pytest

from tasks.domain.text import MAX_LENGTH, MAX_NAMES, join_limited, printable, table


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Let's Encrypt R10", "Let's Encrypt R10"),
        ("Müller \u4e2d", "Müller \u4e2d"),
        ("a\nb\r\tc", "a?b??c"),
        ("\x1b[31mred\x7f\x00", "?[31mred??"),
        ("\x85\x9b", "??"),
        ("\U0001f389", "\U0001f389"),
        pytest.param(
            "a\u2028b\u2029c\u202ed\u200fe\ufeff",
            "a?b?c?d?e?",
        ),
    ],
)
def test_printable_text_stays_on_its_line(text: str, expected: str) -> None:
    """Characters that move the cursor, end the line or change the writing direction are replaced."""
    assert printable(text) == expected


def test_table_is_as_wide_as_it_must_be() -> None:
    """Columns are aligned, lines have no trailing space, and no cell contains a line break."""
    assert table(["a", "bbb"], [["1\n2", "x"], ["", "yyyy"]]) == [
        "a    bbb",
        "1?2  x",
        "     yyyy",
    ]


def test_a_message_names_the_first_of_many_objects() -> None:
    """Beyond the limit, names are counted; one that is longer than a DNS name is cut."""
    names = [f"n{n}" for n in range(MAX_NAMES + 1)]
    assert join_limited(names[:-1]) == ", ".join(names[:-1])
    assert join_limited(names) == f"{', '.join(names[:-1])} and 1 more"
    assert (
        join_limited(["x" * MAX_LENGTH, "y" * (MAX_LENGTH + 1)]) == f"{'x' * MAX_LENGTH}, {'y' * MAX_LENGTH}…"
    )
