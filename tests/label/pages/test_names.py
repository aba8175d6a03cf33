"""A person's name is what can be read aloud, and no longer than a line."""

from __future__ import annotations

import pytest

from pseudocap.errors import InputError
from pseudocap.label.pages.names import LONGEST, checked_name


def test_a_name_comes_without_the_spaces_around_it() -> None:
    assert checked_name("  Anna Öz ", field="rater") == "Anna Öz"
    assert checked_name("x" * LONGEST, field="rater") == "x" * LONGEST


@pytest.mark.parametrize("name", ["", "   ", "a\nb", "x" * (LONGEST + 1), None, 7, "a\u202eb"])
def test_what_is_no_name_is_refused_with_its_field(name: object) -> None:
    with pytest.raises(InputError, match=rf"^rater is .* and must be 1 to {LONGEST} printable characters"):
        checked_name(name, field="rater")
