"""The path of a DICOMweb resource as a value (PS3.18 10.1.1, tables 10.4.1-1 to 10.6.1-1).

Laws: the path has been percent-decoded exactly once; a segment is never empty, `.` or `..`;
every UID is checked before anyone sees it.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from functools import lru_cache
from typing import Final

from farsight.errors import InvalidParameter, NotFound
from farsight.model import Level, checked_uid

#: More frames than this in one request are refused; a URL of 10,000 numbers is 60 kB.
MAX_FRAMES = 10_000
MAX_FRAME_NUMBER = 2**31 - 1
MAX_BULKDATA_SEGMENTS = 64
MAX_BULKDATA_CHARS = 2_048
_MOST_REMEMBERED_CHARS = 400


class Action(StrEnum):
    """What a resource is made of."""

    SEARCH = "search"  # a list: QIDO-RS, and the target of STOW-RS
    OBJECTS = "objects"  # the DICOM objects themselves
    METADATA = "metadata"
    FRAMES = "frames"
    BULKDATA = "bulkdata"
    ALL_BULKDATA = "all bulkdata"  # of an instance, a series, a study
    PIXELDATA = "pixeldata"
    RENDERED = "rendered"
    THUMBNAIL = "thumbnail"


@dataclass(frozen=True, slots=True)
class ResourcePath:
    """One resource. `level`: what a search lists, otherwise what the UIDs name.

    A UID is None where the path doesn't give it: a search with one missing in between
    (`/instances`, `/studies/{s}/instances`) is relational. `frames` are 1-based, in the order
    given; `bulkdata` holds the segments below `/bulkdata/`.
    """

    action: Action
    level: Level
    study_instance_uid: str | None = None
    series_instance_uid: str | None = None
    sop_instance_uid: str | None = None
    frames: tuple[int, ...] = ()
    bulkdata: tuple[str, ...] = ()

    @property
    def is_relational(self) -> bool:
        """A search that skips a level of the hierarchy (PS3.4 C.4.1.2.2.1)."""
        if self.action is not Action.SEARCH or self.level is Level.STUDY:
            return False
        if self.level is Level.SERIES:
            return self.study_instance_uid is None
        return self.series_instance_uid is None


_DOTS: Final = frozenset((".", ".."))
_LISTS = {"studies": Level.STUDY, "series": Level.SERIES, "instances": Level.IMAGE}
_UID_NAMES = {
    "studies": "StudyInstanceUID",
    "series": "SeriesInstanceUID",
    "instances": "SOPInstanceUID",
}
_VIEWS = {
    "metadata": Action.METADATA,
    "bulkdata": Action.ALL_BULKDATA,
    "pixeldata": Action.PIXELDATA,
    "rendered": Action.RENDERED,
    "thumbnail": Action.THUMBNAIL,
}


#: What viewers ask for by the thousand: read in one step, a tenth of the time.
_ONE_FRAME: Final = re.compile(
    r"/studies/([0-9.]{1,64})/series/([0-9.]{1,64})/instances/([0-9.]{1,64})/frames/([1-9]\d{0,8})\Z",
    re.ASCII,
)


def parse_resource_path(path_below_root: str) -> ResourcePath:
    """The resource that a path below the service's root names ("/studies/1.2/series").

    Raises: NotFound for anything that isn't a resource; InvalidUid, naming the UID;
    InvalidParameter for a bad list of frames.
    """
    if (one := _ONE_FRAME.match(path_below_root)) and not _DOTS & {*one.groups()}:
        study, series, instance, frame = one.groups()
        return ResourcePath(Action.FRAMES, Level.IMAGE, study, series, instance, (int(frame),))
    if len(path_below_root) > _MOST_REMEMBERED_CHARS:
        return _parsed(path_below_root)
    return _remembered(path_below_root)


def _parsed(path: str) -> ResourcePath:
    segments = path.removeprefix("/").split("/")
    if any(segment in _DOTS or not segment for segment in segments):
        raise _unknown()
    if len(segments) == 1 and segments[0] in _LISTS:
        return ResourcePath(Action.SEARCH, _LISTS[segments[0]])
    if segments[0] != "studies":
        raise _unknown()
    return _below_study(segments)


#: One request looks at its path several times.
_remembered = lru_cache(maxsize=256)(_parsed)


def _below_study(segments: Sequence[str]) -> ResourcePath:
    """`segments` begin with studies/{s}; goes down as far as the pairs name/UID reach."""
    uids: dict[str, str] = {}
    rest = list(segments)
    for name in ("studies", "series", "instances"):
        if not rest or rest[0] != name:
            break
        if len(rest) == 1:
            return _resource(Action.SEARCH, _LISTS[name], uids)
        uids[name] = checked_uid(rest[1], f"{_UID_NAMES[name]} in the path")
        del rest[:2]
    level = _LISTS[list(uids)[-1]]
    if not rest:
        return _resource(Action.OBJECTS, level, uids)
    if rest == ["instances"] and level is Level.STUDY:
        return _resource(Action.SEARCH, Level.IMAGE, uids)
    if len(rest) == 1 and rest[0] in _VIEWS:
        return _resource(_VIEWS[rest[0]], level, uids)
    if level is Level.IMAGE:
        return _below_instance(rest, uids)
    raise _unknown()


def _below_instance(rest: Sequence[str], uids: dict[str, str]) -> ResourcePath:
    if rest[0] == "frames" and len(rest) in (2, 3):
        action = Action.FRAMES if len(rest) == 2 else _VIEWS.get(rest[2])
        if action not in (Action.FRAMES, Action.RENDERED, Action.THUMBNAIL):
            raise _unknown()
        return _resource(action, Level.IMAGE, uids, frames=_frame_list(rest[1]))
    if rest[0] == "bulkdata" and len(rest) > 1:
        return _resource(Action.BULKDATA, Level.IMAGE, uids, bulkdata=_bulkdata(rest[1:]))
    raise _unknown()


def _resource(
    action: Action,
    level: Level,
    uids: dict[str, str],
    frames: tuple[int, ...] = (),
    bulkdata: tuple[str, ...] = (),
) -> ResourcePath:
    return ResourcePath(
        action,
        level,
        uids.get("studies"),
        uids.get("series"),
        uids.get("instances"),
        frames,
        bulkdata,
    )


def _frame_list(text: str) -> tuple[int, ...]:
    """Comma separated frame numbers, from 1, none of them twice (PS3.18 table 10.4.1-1)."""
    if text.count(",") >= MAX_FRAMES:
        raise InvalidParameter("frames", text, f"at most {MAX_FRAMES} frames in one request")
    frames = tuple(_frame_number(item, text) for item in text.split(","))
    if len(set(frames)) < len(frames):
        raise InvalidParameter("frames", text, "a frame can be asked for once only")
    return frames


def _frame_number(item: str, text: str) -> int:
    item = item.strip(" ")
    if not (item.isascii() and item.isdigit() and len(item) <= 10):
        raise InvalidParameter("frames", text, "frame numbers are positive integers, with commas")
    number = int(item)
    if not 1 <= number <= MAX_FRAME_NUMBER:
        raise InvalidParameter("frames", text, "frames are numbered from 1")
    return number


def _bulkdata(segments: Sequence[str]) -> tuple[str, ...]:
    too_much = len(segments) > MAX_BULKDATA_SEGMENTS or sum(map(len, segments)) > MAX_BULKDATA_CHARS
    if too_much or not all(segment.isprintable() for segment in segments):
        raise _unknown()
    return tuple(segments)


def _unknown() -> NotFound:
    return NotFound("there is no such DICOMweb resource")
