"""Whether one C-FIND identifier asks for no more than another (PS3.4 C.2.2.2).

Sufficient, not necessary: False only says that it isn't known.
"""

from __future__ import annotations

from collections.abc import Sequence

from farsight.model import IdentifierKey
from farsight.ps318.wildcard import wildcard_match

_TEXT = frozenset({"PN", "LO", "SH", "LT", "ST", "UC", "UR", "UT", "CS", "AE"})


def refines(narrow: Sequence[IdentifierKey], wide: Sequence[IdentifierKey]) -> bool:
    """Whether every match of `narrow` matches `wide`, whose answer has all that `narrow` wants."""
    asked = {key.tag: key.value for key in narrow}
    had = {key.tag: key for key in wide}
    return asked.keys() <= had.keys() and all(
        _implies(asked.get(tag, ""), key) for tag, key in had.items() if key.value
    )


def added_tags(narrow: Sequence[IdentifierKey], wide: Sequence[IdentifierKey]) -> list[str]:
    """The attributes that `narrow` asks for by another value than `wide` does."""
    had = {key.tag: key.value for key in wide}
    return [key.tag for key in narrow if key.value and key.value != had.get(key.tag)]


def _implies(value: str, wide: IdentifierKey) -> bool:
    """Whether what `value` matches is matched by the key."""
    if value == wide.value:
        return True
    if not value.strip("*"):  # universal: it matches also what has no value (C.2.2.2.3)
        return False
    if wide.vr == "DA":
        return _within(_days(value), _days(wide.value))
    if wide.vr not in _TEXT or "*" not in wide.value or "?" in wide.value:
        return False
    pattern, text = wide.value, value
    if wide.vr == "PN":
        pattern, text = pattern.lower(), text.lower()
    # A wildcard of the narrow one is a character that only a wildcard of the wide one covers.
    return wildcard_match(pattern.strip(" "), text.replace("*", "\0").replace("?", "\0"))


def _days(value: str) -> tuple[str, str]:
    first, dash, last = value.replace(".", "").partition("-")
    return first or "0", (last or "9") if dash else first


def _within(narrow: tuple[str, str], wide: tuple[str, str]) -> bool:
    return wide[0] <= narrow[0] and narrow[1] <= wide[1]
