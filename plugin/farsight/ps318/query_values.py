"""Values of query parameters, read strictly: what every parser of a query shares (PS3.18 8.3).

Laws: names and values are percent-decoded exactly once before they come here; a value that can't
be used is refused by the parameter's name; a number is finite.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable, Sequence
from typing import Final

from farsight.errors import InvalidParameter

MAX_PARAMETERS: Final = 256
MAX_NAME_CHARS: Final = 256
MAX_VALUE_CHARS: Final = 4_096
#: A double as JavaScript writes it takes up to 25.
MAX_DECIMAL_CHARS: Final = 32
_MAX_UINT_DIGITS: Final = 10
_DECIMAL: Final = re.compile(r"[+-]?(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][+-]?[0-9]+)?\Z")


def bounded(
    pairs: Iterable[tuple[str, str]], max_value_chars: int = MAX_VALUE_CHARS
) -> tuple[tuple[str, str], ...]:
    """The pairs themselves, if they are text of a length worth reading. Empty ones ("?&limit=1" is
    sent by clients in the field) are left out.

    Raises: InvalidParameter for too many or too long ones, control characters, and surrogates
    (what was no UTF-8).
    """
    kept: list[tuple[str, str]] = []
    for count, (name, value) in enumerate(pairs, start=1):
        if count > MAX_PARAMETERS:
            raise InvalidParameter("query", name, f"more than {MAX_PARAMETERS} parameters")
        if len(name) > MAX_NAME_CHARS:
            raise InvalidParameter(name, value, f"a name is at most {MAX_NAME_CHARS} characters")
        if len(value) > max_value_chars:
            raise InvalidParameter(name, value, f"a value is at most {max_value_chars} characters")
        if not _is_text(name) or not _is_text(value):
            why = "control characters, and what isn't UTF-8, are not allowed"
            raise InvalidParameter(name, value, why)
        if name or value:
            kept.append((name, value))
    return tuple(kept)


def _is_text(said: str) -> bool:
    return said.isprintable() or not any(unicodedata.category(c) in ("Cc", "Cs") for c in said)


def once(pairs: Sequence[tuple[str, str]], name: str) -> str | None:
    """The value of the parameter, None where it isn't given; the same value twice is one.

    Raises: InvalidParameter for different values.
    """
    values = [value for key, value in pairs if key == name]
    for value in values[1:]:
        if value != values[0]:
            raise InvalidParameter(name, value, "given more than once, with different values")
    return values[0] if values else None


def uint(name: str, text: str, least: int, most: int) -> int:
    """An integer within the limits, both included. Raises: InvalidParameter."""
    digits = text.strip(" ")
    if digits.isascii() and digits.isdigit() and len(digits) <= _MAX_UINT_DIGITS:
        value = int(digits)
        if least <= value <= most:
            return value
    raise InvalidParameter(name, text, f"expected an integer from {least} to {most}")


def decimal(name: str, text: str, least: float, most: float) -> float:
    """A decimal number within the limits, both included. Raises: InvalidParameter."""
    digits = text.strip(" ")
    if len(digits) <= MAX_DECIMAL_CHARS and _DECIMAL.match(digits):
        value = float(digits)
        if least <= value <= most:  # no infinity is
            return value
    raise InvalidParameter(name, text, f"expected a decimal number from {least:g} to {most:g}")
