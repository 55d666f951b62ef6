"""A search as the keys of a C-FIND identifier (PS3.4 C.4.1.1.3, C.2.2.2).

Law: the identifier never asks for less than the search; whatever a PACS can't be trusted to
decide goes as a universal key, because every row is matched again when it comes back.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable, Mapping

from farsight.model import IdentifierKey, Level
from farsight.ps318.attribute_id import vr_of
from farsight.ps318.attribute_levels import (
    IF_KNOWN,
    LEVELS,
    MADE_HERE,
    REQUIRED,
    UNIQUE_KEY,
    holds,
    optional_keys,
)
from farsight.ps318.matching_key import TEXT_VRS, MatchingKey
from farsight.ps318.search_query import SearchQuery

#: VRs whose values can be sent in an identifier. Not those of numbers written as text: a PACS
#: that compares the text doesn't find "01" by "1", nor a moment by the day; and a C-FIND by
#: floating point is nobody's.
_SENDABLE = frozenset(
    {"PN", "LO", "SH", "LT", "ST", "UC", "UR", "UT", "CS", "AE", "AS", "UI", "DA", "TM"}
    | {"US", "SS", "UL", "SL"}
)


_NOT_ASCII = re.compile(r"[*?]*[^\x00-\x7f][*?\x80-\U0010ffff]*")
_MORE_STARS = re.compile(r"\*\*+")
_ENOUGH_LEFT = 2


def search_identifier(
    query: SearchQuery,
    level: Level,
    upper_uids: Mapping[str, str],
    universal_tags: frozenset[str] = frozenset(),
) -> tuple[IdentifierKey, ...]:
    """The keys for a C-FIND at `level`, in ascending order of their tags.

    `level` is the query's own or one above it, on the way down. `upper_uids`: tag -> UID of the
    levels above (and of `level` itself where one object is meant). `universal_tags`: attributes
    this PACS is known to match badly; they are asked for, not matched.
    """
    tags = return_tags(query, level)
    values = dict.fromkeys(tags, "")
    for key in query.matching_keys:
        if holds(level, key.tag) and key.tag not in MADE_HERE:
            values[key.tag] = "" if key.tag in universal_tags else dimse_value(key)
    for upper in LEVELS[: LEVELS.index(level)]:
        values.pop(UNIQUE_KEY[upper], None)
    values.update(upper_uids)
    return identifier_keys(values)


def return_tags(query: SearchQuery, level: Level) -> frozenset[str]:
    """What to ask of a source at this level: the required ones and those the client named."""
    tags = set(REQUIRED[level] + IF_KNOWN[level])
    tags.update(tag for tag in query.include_fields if holds(level, tag))
    tags.update(key.tag for key in query.matching_keys if holds(level, key.tag))
    if query.include_all:
        tags |= optional_keys(level)
    return frozenset(tags - MADE_HERE)


def identifier_keys(values: Mapping[str, str]) -> tuple[IdentifierKey, ...]:
    """Keys from tag -> value, in ascending order."""
    return tuple(IdentifierKey(tag, vr_of(tag) or "UN", value) for tag, value in _sorted(values))


def dimse_value(key: MatchingKey) -> str:
    """The key's value in DIMSE's form; "" (universal) where that can't say as much.

    UIDs become a list with backslashes. Alternatives of other VRs have no form of their own,
    and neither has a key inside a sequence here. Names are widened, and so is what isn't ASCII.
    """
    if len(key.path) > 1 or key.vr not in _SENDABLE:
        return ""
    if key.vr == "UI":
        return "\\".join(key.values)
    if len(key.values) != 1:
        return ""
    value = key.values[0]
    if key.vr == "PN":
        value = _name_value(value)
    elif key.vr == "TM":
        value = _time_value(value)
    if key.vr in TEXT_VRS:  # a PACS may take "?" for one byte, or not know it
        value = _MORE_STARS.sub("*", value.replace("?", "*"))
    return _without_letters_of_sets(value)


def _name_value(name: str) -> str:
    """Wide enough for a PACS that compares the whole value literally (PS3.4 C.2.2.2.4, note 3).

    Open at the end, for empty components and further component groups, and around `^`, where
    there may be spaces; also at the beginning where the name isn't ASCII and may stand in the
    second or third group.
    """
    groups = [_group_value(group) for group in name.split("=")]
    while len(groups) > 1 and groups[-1] == "*":
        groups.pop()
    if len(groups) == 1 and not name.isascii():
        groups[0] = "*" + groups[0]
    return "=".join(groups)


def _group_value(group: str) -> str:
    components = [component.strip(" ") for component in group.rstrip("^ *?").split("^")]
    return "*^*".join(components) + "*"


def _time_value(value: str) -> str:
    """As a range whose end is as late as the last moment that is meant (PS3.4 C.2.2.2.5)."""
    first, dash, last = value.partition("-")
    last = last if dash else first
    if not last:
        return value
    whole, _, fraction = last.partition(".")
    whole += "235959"[len(whole) :]
    return f"{first}-{whole}.{fraction:9<6}"


def _without_letters_of_sets(value: str) -> str:
    """`*` for what isn't ASCII, where enough remains to look for.

    So the PACS needn't know UTF-8, nor compare letters in the encoding they are stored in, nor
    know their capitals.
    """
    if value.isascii():
        return value
    value = unicodedata.normalize("NFC", value)  # else a letter stays of a letter with a mark
    wide = _NOT_ASCII.sub("*", value)
    return wide if sum(c.isalnum() for c in wide) >= _ENOUGH_LEFT else value


def _sorted(values: Mapping[str, str]) -> Iterable[tuple[str, str]]:
    return sorted(values.items())
