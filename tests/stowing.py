"""Storing as a client does it: bodies written by hand, answers read by pydicom."""

from __future__ import annotations

import json
import os
import sqlite3
from collections.abc import Iterable, Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import Any

import pydicom
import requests
from pydicom.dataset import Dataset, FileDataset
from pydicom.uid import generate_uid

from orthanc_process import OrthancProcess, gateway_configuration, running_orthanc
from sample_files import ct_slice

TIMEOUT_S = 120
STUDIES = "/dicom-web/studies"
DICOM_JSON = "application/dicom+json"
RELATED = 'multipart/related; type="application/dicom"; boundary={}'
BOUNDARY = "boundary"
ANY_SYNTAX = 'multipart/related; type="application/dicom"; transfer-syntax=*'


def new_study(count: int = 1, *, size: int = 16) -> list[FileDataset]:
    """Slices of a series that nobody has stored before."""
    study, series = generate_uid(), generate_uid()
    images = [ct_slice(number, size=size) for number in range(1, count + 1)]
    for image in images:
        image.StudyInstanceUID, image.SeriesInstanceUID = study, series
        image.SOPInstanceUID = image.file_meta.MediaStorageSOPInstanceUID = generate_uid()
    return images


def new_files(count: int = 1, *, size: int = 16) -> list[bytes]:
    """The same as files."""
    return [part10(image) for image in new_study(count, size=size)]


def part10(data_set: Dataset) -> bytes:
    """A file of it."""
    written = BytesIO()
    data_set.save_as(written, enforce_file_format=True)
    return written.getvalue()


def related(
    parts: Iterable[bytes],
    boundary: str = BOUNDARY,
    *,
    begin: bytes = b"",
    end: bytes = b"--\r\n",
    part_type: str | None = "application/dicom",
) -> bytes:
    """A multipart body. begin: what is before the first delimiter; end: behind the last one."""
    delimiter = b"--" + boundary.encode()
    header = b"" if part_type is None else f"Content-Type: {part_type}\r\n".encode()
    pieces = [delimiter + b"\r\n" + header + b"\r\n" + part + b"\r\n" for part in parts]
    return begin + b"".join(pieces) + delimiter + end


@contextmanager
def storing_gateway(
    directory: Path,
    stow: dict[str, Any] | None = None,
    farsight: dict[str, Any] | None = None,
    **orthanc: Any,
) -> Iterator[OrthancProcess]:
    """A gateway without a PACS. `stow`: of Farsight.Stow; `farsight`: other settings."""
    section = {"Stow": stow or {}, **(farsight or {})}
    configuration = gateway_configuration({}, section, **orthanc)
    with running_orthanc(directory, configuration) as gateway:
        yield gateway


@dataclass(frozen=True)
class Answer:
    """One answer to a request to store."""

    status: int
    headers: Any
    body: bytes

    @property
    def data_set(self) -> Dataset:
        kind = self.headers["Content-Type"]
        # Orthanc calls the body of whatever is not 200 text.
        assert kind.startswith(DICOM_JSON) or (self.status != 200 and "text/plain" in kind)
        return Dataset.from_json(json.loads(self.body))

    @property
    def stored(self) -> list[str]:
        """SOPInstanceUIDs, in the order of the answer."""
        items = self.data_set.get("ReferencedSOPSequence") or []
        return [str(item.ReferencedSOPInstanceUID) for item in items]

    @property
    def refused(self) -> dict[str, int]:
        """SOPInstanceUID -> FailureReason."""
        items = self.data_set.get("FailedSOPSequence") or []
        return {str(item.ReferencedSOPInstanceUID): int(item.FailureReason) for item in items}

    @property
    def nameless(self) -> list[int]:
        """FailureReason of what could not be named."""
        return [
            int(item.FailureReason) for item in self.data_set.get("OtherFailuresSequence") or []
        ]

    @property
    def warned(self) -> dict[str, int]:
        """SOPInstanceUID -> WarningReason."""
        items = self.data_set.get("ReferencedSOPSequence") or []
        return {
            str(item.ReferencedSOPInstanceUID): int(item.WarningReason)
            for item in items
            if "WarningReason" in item
        }

    @property
    def reasons(self) -> list[int]:
        """All of them, named or not."""
        return [*self.refused.values(), *self.nameless]


def post(
    url: str,
    body: bytes | Iterator[bytes],
    content_type: str | None = RELATED.format(BOUNDARY),
    accept: str | None = DICOM_JSON,
    **headers: str,
) -> Answer:
    """One POST. `headers`: `_` stands for `-`. A body that comes as an iterator is sent chunked."""
    sent: dict[str, Any] = {name.replace("_", "-"): value for name, value in headers.items()}
    sent |= {"Accept": accept, "Content-Type": content_type}
    answer = requests.post(url, data=body, headers=sent, timeout=TIMEOUT_S)
    return Answer(answer.status_code, answer.headers, answer.content)


def store(door: str, files: Sequence[bytes], study: str | None = None, **options: Any) -> Answer:
    """Stores files in one multipart message."""
    url = door + STUDIES + ("" if study is None else f"/{study}")
    return post(url, related(files), **options)


def held(gateway: OrthancProcess) -> set[str]:
    """Orthanc's ids of all that is stored."""
    return set(gateway.json("/instances"))


@contextmanager
def nothing_stored(gateway: OrthancProcess) -> Iterator[None]:
    """What is stored is the same afterwards, and nothing of an upload lies about."""
    before = held(gateway)
    yield
    assert held(gateway) == before
    assert spooled(gateway) == []


def spooled(gateway: OrthancProcess) -> list[str]:
    """Files without a name that are open in our directory: uploads under way."""
    found = []
    for link in Path(f"/proc/{gateway.pid}/fd").iterdir():
        try:
            target = os.readlink(link)
        except FileNotFoundError:
            continue
        if "/farsight/" in target and target.endswith("(deleted)"):
            found.append(target)
    return found


def stored_files(gateway: OrthancProcess, sop_instance_uid: str) -> list[bytes]:
    """All files that are stored under that name."""
    found = json.loads(gateway.request("POST", "/tools/lookup", sop_instance_uid.encode()))
    ids = [one["ID"] for one in found if one["Type"] == "Instance"]
    return [gateway.request("GET", f"/instances/{one}/file") for one in ids]


def uid_of(file: bytes) -> str:
    """Its SOPInstanceUID."""
    return str(pydicom.dcmread(BytesIO(file), stop_before_pixels=True).SOPInstanceUID)


def doors(gateway: OrthancProcess) -> tuple[str, str]:
    """Base URLs, the full door first."""
    return gateway.full_door_url, gateway.url


def records(gateway: OrthancProcess) -> Path:
    """Where our own records are."""
    return Path(gateway.configuration["StorageDirectory"]) / "farsight"


def booked(gateway: OrthancProcess) -> set[str]:
    """SOPInstanceUIDs in the account of what is stored; the gateway has to be stopped."""
    with closing(sqlite3.connect(f"file:{records(gateway)}/cache.sqlite?mode=ro", uri=True)) as db:
        return {str(row[0]) for row in db.execute("SELECT sop FROM instance")}


def parcels(gateway: OrthancProcess) -> list[tuple[str, str]]:
    """Stage and SOPInstanceUID of all in the outbox; the gateway has to be stopped."""
    with closing(sqlite3.connect(f"file:{records(gateway)}/outbox.sqlite?mode=ro", uri=True)) as db:
        return [(str(a), str(b)) for a, b in db.execute("SELECT stage, instance FROM parcels")]
