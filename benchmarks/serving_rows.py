"""What the serving benchmark asks for, how fast it has to be, and what a right answer is."""

from __future__ import annotations

import gzip
import http.client
import json
import struct
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from benchmarks.serving_objects import (
    FIRST_SLICE,
    FRAMES,
    RUN_SERIES,
    SIZE,
    slice_numbers,
)

from sample_files import instance_uid, series_uid, study_uid

JSON = "application/dicom+json"
OCTETS = "multipart/related; type=application/octet-stream; transfer-syntax=*"
DICOM = 'multipart/related; type="application/dicom"; transfer-syntax=*'
JPEG = "image/jpeg"
THUMBNAIL = 256
SERIES = f"studies/{study_uid()}/series/{series_uid()}"
RUN = f"studies/{study_uid()}/series/{series_uid(RUN_SERIES)}"

Check = Callable[[bytes], bool]


@dataclass(frozen=True, slots=True)
class Row:
    """One measure. paths: below the root, asked for in turn. target: how many times the rate of
    the official plugin. tail: whether its p99 at 32 connections may not be worse either."""

    name: str
    target: float
    paths: Sequence[str]
    accept: str
    is_right: Check
    encoding: str = "identity"
    connections: Sequence[int] = (1, 8, 32)
    tail: bool = False
    whole: bool = False  # an answer takes long: as many requests as connections

    def headers(self) -> dict[str, str]:
        return {"Accept": self.accept, "Accept-Encoding": self.encoding}


class WrongAnswer(Exception):
    """The server answered 200 with something else than was asked for."""


def ask(row: Row, port: int, root: str) -> tuple[int, int]:
    """Status and length of one answer. Raises: WrongAnswer."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=300)
    connection.request("GET", root + row.paths[0], headers=row.headers())
    answer = connection.getresponse()
    body = answer.read()
    connection.close()
    content = gzip.decompress(body) if answer.getheader("Content-Encoding") == "gzip" else body
    if answer.status == 200 and not row.is_right(content):
        raise WrongAnswer(f"{row.name}: {root}{row.paths[0]}: {content[:300]!r}")
    return answer.status, len(body)


def from_memory(slices: Sequence[bytes], frames: Sequence[bytes]) -> list[Row]:
    """For a gateway whose memory holds what is asked for."""
    middle = FIRST_SLICE + len(slices) // 2
    image = f"{SERIES}/instances/{instance_uid(middle)}"
    series = Row("", 0, (f"{SERIES}/metadata",), JSON, _lists(len(slices)))
    windowed = f"{image}/rendered?window=40,400,linear&viewport={THUMBNAIL},{THUMBNAIL}"
    return [
        _of(series, f"metadata of {len(slices)}, gzip accepted", 25, "gzip"),
        _of(series, f"metadata of {len(slices)}", 8, "identity"),
        Row(
            "frame of a CT, in memory", 4, (f"{image}/frames/1",), OCTETS,
            _holds(pixels(slices[middle - FIRST_SLICE])), tail=True,
        ),
        *_run_frames("in memory", 10, frames),
        _whole_series("in memory", slices),
        Row("rendered CT", 1, (f"{image}/rendered",), JPEG, _is_jpeg(SIZE)),
        Row("rendered CT, window and viewport", 1, (windowed,), JPEG, _is_jpeg(THUMBNAIL)),
        Row(
            "thumbnail of a CT", 50, (f"{image}/thumbnail?viewport={THUMBNAIL},{THUMBNAIL}",),
            JPEG, _is_jpeg(THUMBNAIL),
        ),
    ]  # fmt: skip


def from_store(slices: Sequence[bytes], frames: Sequence[bytes]) -> list[Row]:
    """For a gateway whose memory is smaller than the run, and than a series."""
    numbers = slice_numbers(len(slices))
    paths = tuple(f"{SERIES}/instances/{instance_uid(number)}/frames/1" for number in numbers)
    return [
        Row(
            "frame of a CT, from the store", 3, paths, OCTETS,
            _holds(pixels(slices[0])), tail=True,
        ),
        *_run_frames("from the store", 10, frames),
        _whole_series("from the store", slices),
    ]  # fmt: skip


def pixels(file: bytes) -> bytes:
    """Of a CT slice, which ends in them."""
    return file[-2 * SIZE * SIZE :]


def _of(series: Row, name: str, target: float, encoding: str) -> Row:
    return Row(name, target, series.paths, series.accept, series.is_right, encoding, tail=True)


def _run_frames(where: str, target: float, frames: Sequence[bytes]) -> list[Row]:
    image = f"{RUN}/instances/{instance_uid(FIRST_SLICE, RUN_SERIES)}"
    return [
        Row(
            f"frame {number} of {FRAMES} in JPEG-LS, {where}", target,
            (f"{image}/frames/{number}",), OCTETS, _holds(frames[number - 1]), tail=True,
        )
        for number in (1, FRAMES // 2, FRAMES)
    ]  # fmt: skip


def _whole_series(where: str, slices: Sequence[bytes]) -> Row:
    return Row(
        f"series of {len(slices)} as DICOM, {where}", 1.5, (SERIES,), DICOM,
        _holds_all(slices), connections=(1, 8), whole=True,
    )  # fmt: skip


def _lists(count: int) -> Check:
    return lambda body: len(json.loads(body)) == count


def _holds(frame: bytes) -> Check:
    return lambda body: frame in body


def _holds_all(files: Sequence[bytes]) -> Check:
    def check(body: bytes) -> bool:
        """Each is there; its last kilobytes tell which it is."""
        return body.count(b"DICM") == len(files) and all(file[-4096:] in body for file in files)

    return check


def _is_jpeg(size: int) -> Check:
    """Baseline, with the size that was asked for (ITU-T T.81 B.2.2)."""

    def check(body: bytes) -> bool:
        at = body.find(b"\xff\xc0")
        if not body.startswith(b"\xff\xd8") or not body.endswith(b"\xff\xd9") or at < 0:
            return False
        return struct.unpack_from(">HH", body, at + 5) == (size, size)

    return check
