"""The query part of a search as a value (PS3.18 8.3.4): parsed once, at the edge.

Laws: names and values are percent-decoded exactly once before they come here; repeated names are
kept; a parameter that isn't known is ignored, as PS3.18 8.3 demands, but never in silence; a bad
value of one that is known is refused by name.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from farsight.errors import InvalidParameter
from farsight.model import Level
from farsight.ps318 import warning
from farsight.ps318.attribute_id import attribute_path
from farsight.ps318.attribute_levels import (
    SPECIFIC_CHARACTER_SET,
    TIMEZONE_OFFSET_FROM_UTC,
    reaches,
)
from farsight.ps318.matching_key import MatchingKey, matching_key
from farsight.ps318.query_values import bounded

MAX_INCLUDE_FIELDS = 512
#: A list of a thousand UIDs; a single value is bounded by matching_key.
MAX_VALUE_CHARS = 65_536
MAX_UINT_DIGITS = 9

#: Parameters of the request that aren't the search's (PS3.18 8.3.3.1).
_NOT_OURS = frozenset({"accept", "charset"})
_CONTROL = frozenset(
    {
        "fuzzymatching",
        "includefield",
        "limit",
        "offset",
        "emptyvaluematching",
        "multiplevaluematching",
    }
)
#: Nothing at all, and what is there to read the rest by: it is never matched (PS3.4 C.2.2.2).
_NOT_MATCHED = (None, (SPECIFIC_CHARACTER_SET,), (TIMEZONE_OFFSET_FROM_UTC,))
_UNSUPPORTED = {
    "fuzzymatching": warning.FUZZY_MATCHING_UNSUPPORTED,
    "emptyvaluematching": warning.EMPTY_VALUE_MATCHING_UNSUPPORTED,
    "multiplevaluematching": warning.MULTIPLE_VALUE_MATCHING_UNSUPPORTED,
}


@dataclass(frozen=True, slots=True)
class SearchQuery:
    """What to look for at one level, and what to say of it.

    include_fields: tags (eight upper-case hex digits) beyond the required ones; a path through
    a sequence stands as its outermost sequence. limit: None where the client gave none. fresh:
    the client wants no answer of a moment ago (Cache-Control: no-cache, RFC 9111 5.2.1.4).
    warnings: texts for Warning headers that the query alone brings about.
    """

    level: Level
    matching_keys: tuple[MatchingKey, ...] = ()
    include_fields: frozenset[str] = frozenset()
    include_all: bool = False
    limit: int | None = None
    offset: int = 0
    fuzzy_matching: bool = False
    fresh: bool = False
    warnings: tuple[str, ...] = ()

    def keys_at(self, level: Level, *levels: Level) -> tuple[MatchingKey, ...]:
        """The matching keys whose attribute belongs to one of the levels."""
        return tuple(key for key in self.matching_keys if key.level in (level, *levels))


def parse_search_query(pairs: Iterable[tuple[str, str]], level: Level) -> SearchQuery:
    """Decoded query pairs, in order, as a SearchQuery for a list of that level.

    Raises: InvalidParameter naming the parameter, its value and what would be allowed.
    """
    kept = bounded(pairs, MAX_VALUE_CHARS)
    control = {name: [v for n, v in kept if n == name] for name in _CONTROL}
    flags = {name: _flag(name, control[name]) for name in _UNSUPPORTED}
    include_fields, include_all = _include_fields(control["includefield"])
    others = [(n, v) for n, v in kept if n not in _CONTROL | _NOT_OURS]
    known = [(n, v) for n, v in others if attribute_path(n) not in _NOT_MATCHED]
    unknown = sorted({n for n, _ in others} - {n for n, _ in known})
    return SearchQuery(
        level=level,
        matching_keys=_matching_keys(known, level),
        include_fields=include_fields,
        include_all=include_all,
        limit=_uint("limit", control["limit"]),
        offset=_uint("offset", control["offset"]) or 0,
        fuzzy_matching=flags["fuzzymatching"],
        warnings=(
            *(text for name, text in _UNSUPPORTED.items() if flags[name]),
            *warning.ignored_parameters(unknown),
        ),
    )


def _matching_keys(pairs: Sequence[tuple[str, str]], level: Level) -> tuple[MatchingKey, ...]:
    """One key per attribute; values of an attribute given repeatedly come together."""
    found: dict[tuple[str, ...], tuple[str, list[str]]] = {}
    for name, value in pairs:
        path = attribute_path(name)
        assert path is not None
        if not reaches(level, path[0]):
            why = f"not an attribute that a search at level {level.value} can match"
            raise InvalidParameter(name, value, why)
        found.setdefault(path, (name, []))[1].append(value)
    return tuple(matching_key(path, name, values) for path, (name, values) in found.items())


def _include_fields(values: Sequence[str]) -> tuple[frozenset[str], bool]:
    items = [item.strip(" ") for value in values for item in value.split(",")]
    if len(items) > MAX_INCLUDE_FIELDS:
        raise InvalidParameter("includefield", items[0], f"more than {MAX_INCLUDE_FIELDS} fields")
    tags: set[str] = set()
    for item in items:
        if item in ("", "all"):
            continue
        path = attribute_path(item)
        if path is None:
            why = "no attribute of the DICOM dictionary, no tag and not 'all'"
            raise InvalidParameter("includefield", item, why)
        tags.add(path[0])
    return frozenset(tags), "all" in items


def _uint(name: str, values: Sequence[str]) -> int | None:
    text = _once(name, values)
    if text is None:
        return None
    if not (text.isascii() and text.isdigit() and len(text) <= MAX_UINT_DIGITS):
        why = f"expected an integer from 0, of at most {MAX_UINT_DIGITS} digits"
        raise InvalidParameter(name, text, why)
    return int(text)


def _flag(name: str, values: Sequence[str]) -> bool:
    text = _once(name, values)
    if text is None:
        return False
    if text.lower() not in ("true", "false"):
        raise InvalidParameter(name, text, "expected true or false")
    return text.lower() == "true"


def _once(name: str, values: Sequence[str]) -> str | None:
    if len(set(values)) > 1:
        raise InvalidParameter(name, values[1], "given more than once, with different values")
    return values[0] if values else None
