"""A joined row as the client gets it (PS3.18 10.6.3.3, tables 10.6.3-3 to 10.6.3-5)."""

from __future__ import annotations

import json
from collections.abc import Iterable

from farsight.model import Attributes, Level
from farsight.ps318 import attribute_levels as levels
from farsight.ps318.attribute_id import vr_of
from farsight.ps318.matching import values_of
from farsight.ps318.search_query import SearchQuery
from farsight.services.search_rows import uid_of

_SEGMENTS = {Level.STUDY: "studies", Level.SERIES: "series", Level.IMAGE: "instances"}
_NEVER = frozenset({levels.QUERY_RETRIEVE_LEVEL, levels.SPECIFIC_CHARACTER_SET})


def answer_row(
    attributes: Attributes,
    query: SearchQuery,
    named_levels: Iterable[Level],
    root_url: str,
) -> Attributes:
    """The attributes required, requested, and (for `all`) whatever there is, in tag order.

    Required ones are always there, empty where unknown. `named_levels`: the levels above that
    the resource names; of the others, the required attributes come along (10.6.3.3.2, -3).
    `root_url` is absolute and has no trailing slash.
    """
    shown = _always(query, set(named_levels))
    wanted = shown | _if_there(query)
    row = {
        tag: attribute
        for tag, attribute in attributes.items()
        if tag not in _NEVER and levels.reaches(query.level, tag) and _asked(tag, wanted, query)
    }
    for tag in shown:
        row.setdefault(tag, {"vr": vr_of(tag) or "UN"})
    for tag in levels.IF_KNOWN[query.level]:
        if tag not in query.include_fields and not values_of(row.get(tag)):
            row.pop(tag, None)
    row[levels.RETRIEVE_URL] = {"vr": "UR", "Value": [retrieve_url(row, query.level, root_url)]}
    if not json.dumps(row, ensure_ascii=False).isascii():
        row[levels.SPECIFIC_CHARACTER_SET] = {"vr": "CS", "Value": ["ISO_IR 192"]}
    return dict(sorted(row.items()))


def shown_tags(query: SearchQuery, named_levels: Iterable[Level]) -> frozenset[str]:
    """What an answer's rows carry, empty or not; with `all`, every attribute they may."""
    if not query.include_all:
        return _always(query, set(named_levels)) | query.include_fields
    tags = {tag for level in levels.LEVELS for tag in levels.REQUIRED[level]}
    return frozenset(tag for tag in tags if levels.reaches(query.level, tag))


def retrieve_url(row: Attributes, level: Level, root_url: str) -> str:
    """Where the object is retrieved (PS3.18 10.4.1.1)."""
    down_to = levels.LEVELS[: levels.LEVELS.index(level) + 1]
    return root_url + "".join(f"/{_SEGMENTS[at]}/{uid_of(row, at)}" for at in down_to)


def _always(query: SearchQuery, named_levels: set[Level]) -> frozenset[str]:
    above = levels.LEVELS[: levels.LEVELS.index(query.level)]
    shown = set(levels.REQUIRED[query.level]) | {levels.RETRIEVE_AE_TITLE}
    for level in above:
        if level not in named_levels:
            shown.update(levels.REQUIRED[level])
    return frozenset(shown)


def _if_there(query: SearchQuery) -> frozenset[str]:
    tags = set(levels.IF_KNOWN[query.level]) | query.include_fields
    return frozenset(tags | {key.tag for key in query.matching_keys})


def _asked(tag: str, wanted: frozenset[str], query: SearchQuery) -> bool:
    return query.include_all or tag in wanted
