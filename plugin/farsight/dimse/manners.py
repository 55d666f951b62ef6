"""What a PACS was found to accept, so that what it refuses isn't asked again and again."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, replace

from farsight.model import Level

C_GET, C_MOVE = "c-get", "c-move"
#: In one identifier: a value of UIDs has at most 65,534 bytes, and old PACS less patience.
MOST_UIDS = 200
_FINEST_FIRST = (Level.IMAGE, Level.SERIES, Level.STUDY)


@dataclass(frozen=True, slots=True)
class Manners:
    """The defaults are what the standard promises.

    engine: how instances are fetched. uid_lists: several UIDs in one identifier are understood.
    finest_level: of a retrieve. max_associations: 0 where no limit was met. one_at_a_time:
    retrieves on several associations wait for each other. headers: instances can be had without
    their bulk data (PS3.4 Z).
    """

    engine: str = C_GET
    uid_lists: bool = True
    finest_level: Level = Level.IMAGE
    max_associations: int = 0
    one_at_a_time: bool = False
    headers: bool = False

    def to_json(self) -> str:
        return json.dumps(asdict(self))

    def __str__(self) -> str:
        said = [f"retrieves by {self.engine.upper()}"]
        if not self.uid_lists:
            said.append("one UID per request")
        if self.finest_level is not Level.IMAGE:
            said.append(f"{self.finest_level} level at the finest")
        if self.max_associations:
            said.append(f"at most {self.max_associations} associations")
        if self.one_at_a_time:
            said.append("one retrieve at a time")
        if self.headers:
            said.append("headers before pixels")
        return ", ".join(said)


def read_manners(text: str) -> Manners:
    """The inverse of to_json. Raises: ValueError for anything else."""
    try:
        raw = json.loads(text)
        found = Manners(
            engine=raw["engine"],
            uid_lists=raw["uid_lists"],
            finest_level=Level(raw["finest_level"]),
            max_associations=raw["max_associations"],
            one_at_a_time=raw["one_at_a_time"],
            headers=raw.get("headers", False),
        )
    except (AttributeError, KeyError, TypeError) as error:
        raise ValueError(f"not a record of manners: {error}") from error
    flags = (found.uid_lists, found.one_at_a_time, found.headers)
    known = all(isinstance(flag, bool) for flag in flags) and type(found.max_associations) is int
    if found.engine not in (C_GET, C_MOVE) or not known or found.max_associations < 0:
        raise ValueError("not a record of manners")
    return found


@dataclass(frozen=True, slots=True)
class Way:
    """One way to ask for the same thing: its identifiers' UIDs, one request each.

    sop_instance_uids: one tuple per request at IMAGE level; empty at coarser levels.
    """

    level: Level
    sop_instance_uids: tuple[tuple[str, ...], ...] = ()

    @property
    def uses_lists(self) -> bool:
        return any(len(uids) > 1 for uids in self.sop_instance_uids)


def ways_to_retrieve(
    has_series: bool, sop_instance_uids: Sequence[str], manners: Manners, *, split: bool
) -> Iterator[Way]:
    """How to ask, finest first, leaving out what the PACS is known to refuse.

    Coarser ways bring more than was asked for, never less. `split`: one UID per request,
    because a list of them was answered with less.
    """
    finest = _FINEST_FIRST.index(manners.finest_level)
    if sop_instance_uids and finest == 0:
        if len(sop_instance_uids) > 1 and manners.uid_lists and not split:
            yield Way(
                Level.IMAGE,
                tuple(
                    tuple(sop_instance_uids[at : at + MOST_UIDS])
                    for at in range(0, len(sop_instance_uids), MOST_UIDS)
                ),
            )
        yield Way(Level.IMAGE, tuple((uid,) for uid in sop_instance_uids))
    if has_series and finest <= 1:
        yield Way(Level.SERIES)
    yield Way(Level.STUDY)


def after_refusal(manners: Manners, way: Way) -> Manners:
    """What a way teaches that was taken after a finer one was refused."""
    if way.level is not Level.IMAGE:
        return replace(manners, finest_level=way.level)
    return replace(manners, uid_lists=False)
