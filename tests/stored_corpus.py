"""The collection in the store of one gateway, no PACS beside it."""

from __future__ import annotations

import functools
import io
import urllib.error
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import pydicom
import requests

from corpus import CorpusFile, storable_files
from orthanc_process import OrthancProcess, gateway_configuration, running_orthanc

T = TypeVar("T")
TIMEOUT_S = 120


@dataclass(frozen=True)
class Stored:
    """One object that Orthanc took. `path`: of its resource, without a door."""

    name: str
    data: bytes
    path: str
    row: dict[str, str]

    @property
    def syntax(self) -> str:
        return self.row["transfer_syntax_uid"]

    @property
    def has_pixels(self) -> bool:
        """Whether any are in the data set: some files of the collection have lost theirs."""
        return bool(
            {"PixelData", "FloatPixelData", "DoubleFloatPixelData"} & set(self.theirs.dir())
        )

    @property
    def frames(self) -> int:
        return int(self.row["frames"] or 1)

    @property
    def kind(self) -> tuple[str, ...]:
        return (self.row["sop_class_uid"], *self.pixel_kind)

    @property
    def pixel_kind(self) -> tuple[str, ...]:
        keys = ("transfer_syntax_uid", "photometric", "bits_allocated", "bits_stored",
                "samples_per_pixel")  # fmt: skip
        return (*(self.row[key] for key in keys), "several" if self.frames > 1 else "one")

    @functools.cached_property
    def theirs(self) -> pydicom.FileDataset:
        """As pydicom reads it."""
        return pydicom.dcmread(io.BytesIO(self.data))


class Stock:
    """A gateway and what is in it. `skipped`: files that Orthanc refused, and how."""

    def __init__(self, gateway: OrthancProcess) -> None:
        self.gateway = gateway
        self.door = gateway.full_door_url
        self.files: list[Stored] = []
        self.skipped: dict[str, str] = {}

    def store(self, files: Iterable[CorpusFile]) -> None:
        for file in files:
            data = file.read()
            try:
                self.gateway.store(data)
            except urllib.error.HTTPError as error:
                self.skipped[file.name] = f"{error.code} {error.reason}"
                continue
            row = file.row
            path = (
                f"/dicom-web/studies/{row['study_uid']}/series/{row['series_uid']}"
                f"/instances/{row['sop_instance_uid']}"
            )
            self.files.append(Stored(file.name, data, path, row))

    def get(self, path: str, accept: str | None = "*/*", **headers: str) -> requests.Response:
        """GET at the full door, whatever its status. `headers`: `_` stands for `-`."""
        sent = {name.replace("_", "-"): value for name, value in headers.items()}
        return ask("GET", path if path.startswith("http") else self.door + path, accept, sent)

    def ok(self, path: str, accept: str | None = "*/*", **headers: str) -> requests.Response:
        answer = self.get(path, accept, **headers)
        assert answer.status_code == 200, f"{path} {accept}: {answer.status_code} {answer.text}"
        return answer

    def kinds(self, *, pixels: bool = False) -> list[Stored]:
        """One file of each kind: SOP class, transfer syntax, photometric interpretation, depth.
        `pixels`: those with pixels, whatever their SOP class."""
        if pixels:
            found = {one.pixel_kind: one for one in reversed(self.files) if one.has_pixels}
        else:
            found = {one.kind: one for one in reversed(self.files)}
        return list(found.values())


def ask(
    method: str, url: str, accept: str | None = None, headers: dict[str, str] | None = None
) -> requests.Response:
    """One request; nothing is added but what is named."""
    sent: dict[str, Any] = {"Accept": accept, "Accept-Encoding": None, **(headers or {})}
    return requests.request(method, url, headers=sent, timeout=TIMEOUT_S)


def each(files: Iterable[T], check: Callable[[T], None], threads: int = 3) -> None:
    """Checks them side by side; all that fail are told, by name."""

    def failure(one: T) -> str | None:
        try:
            check(one)
        except Exception as error:  # a test must tell them all
            return f"{getattr(one, 'name', one)}: {type(error).__name__}: {error}"[:1500]
        return None

    with ThreadPoolExecutor(threads) as pool:
        failures = [text for text in pool.map(failure, list(files)) if text]
    assert not failures, f"{len(failures)} failed:\n" + "\n".join(failures)


@contextmanager
def stocked(directory: Path, **farsight: Any) -> Iterator[Stock]:
    """A gateway with the whole collection."""
    with running_orthanc(directory, gateway_configuration({}, farsight)) as gateway:
        stock = Stock(gateway)
        stock.store(storable_files())
        yield stock
