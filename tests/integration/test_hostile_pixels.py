"""Objects that are sound but for their pixels: streams that lie, bomb or end too early."""

from __future__ import annotations

import io
import struct
from collections.abc import Iterator

import pydicom
import pytest
from pydicom.encaps import encapsulate
from pydicom.uid import generate_uid

from orthanc_process import (
    OrthancProcess,
    gateway_configuration,
    requires_orthanc,
    running_orthanc,
)
from sample_files import ct_slice

from .test_malformed_resources import RESOURCES, answer, check_clean, status_bytes, workers

pytestmark = requires_orthanc
EXPLICIT = "1.2.840.10008.1.2.1"
_JPEG = "1.2.840.10008.1.2.4."


@pytest.fixture(scope="module")
def gateway(tmp_path_factory: pytest.TempPathFactory) -> Iterator[OrthancProcess]:
    configuration = gateway_configuration(
        {}, {"Imaging": {"Workers": 1, "MaxMegabytes": 1024, "Timeout": 8}}
    )
    with running_orthanc(tmp_path_factory.mktemp("hostile"), configuration) as gateway:
        yield gateway


def _jpeg(rows: int, columns: int, kind: int = 0xC0, depth: int = 8) -> bytes:
    """Headers that claim a size, and no picture behind them."""
    frame = struct.pack(">BHHBBBB", depth, rows, columns, 1, 1, 0x11, 0)
    scan = struct.pack(">BBBBBB", 1, 1, 0, 1, 0, 0)
    return (
        b"\xff\xd8" + b"\xff" + bytes([kind]) + struct.pack(">H", len(frame) + 2) + frame
        + b"\xff\xda" + struct.pack(">H", len(scan) + 2) + scan + b"\x00" * 64 + b"\xff\xd9"
    )  # fmt: skip


def _jpeg_2000(width: int, height: int, tile: int) -> bytes:
    size = struct.pack(">HLLLLLLLLH", 0, width, height, 0, 0, tile, tile, 0, 0, 1) + b"\x0f\x01\x01"
    return (
        b"\xff\x4f\xff\x51" + struct.pack(">H", len(size) + 2) + size
        + b"\xff\x52\x00\x0c\x00\x00\x00\x01\x00\x05\x04\x04\x00\x00"
        + b"\xff\x5c\x00\x13\x40" + b"\x40" * 16
        + b"\xff\x90\x00\x0a\x00\x00\x00\x00\x00\x20\x00\x01\xff\x93" + b"\x80" * 40 + b"\xff\xd9"
    )  # fmt: skip


def _rle(segments: int, offset: int) -> bytes:
    return struct.pack("<16L", segments, *([offset] * 15)) + b"\x81\x00" * 40


#: Transfer syntax, frame, and what the data set says of it.
HOSTILE: dict[str, tuple[str, bytes, dict[str, object]]] = {
    "jpeg of another size": (_JPEG + "70", _jpeg(60000, 60000, 0xC3, 16), {}),
    "jpeg as large as it says": (
        _JPEG + "50", _jpeg(65500, 65500), {"Rows": 65500, "Columns": 65500},
    ),
    "jpeg of nothing": (_JPEG + "50", _jpeg(0, 0), {}),
    "jpeg that ends": (_JPEG + "51", b"\xff\xd8\xff\xc1", {}),
    "jpeg-ls of another size": (_JPEG + "80", _jpeg(65535, 65535, 0xF7, 16), {}),
    "jpeg 2000 of another size": (_JPEG + "90", _jpeg_2000(60000, 60000, 60000), {}),
    "jpeg 2000 of small tiles": (
        _JPEG + "90", _jpeg_2000(65535, 65535, 1), {"Rows": 65535, "Columns": 65535},
    ),
    "jpeg 2000 that is text": (_JPEG + "91", b"no picture at all", {}),
    "htj2k that ends": (_JPEG + "201", _jpeg_2000(16, 16, 16)[:60], {}),
    "jpeg xl that ends": (_JPEG + "110", b"\xff\x0a\xff\xff\xff\xff", {}),
    "rle that points away": ("1.2.840.10008.1.2.5", _rle(2, 0xFFFFFFF0), {}),
    "rle of many segments": ("1.2.840.10008.1.2.5", _rle(0xFFFFFFFF, 64), {}),
    "rle of nothing": ("1.2.840.10008.1.2.5", b"", {}),
    "deflated bomb": ("1.2.840.10008.1.2.8.1", b"\xed\xc1\x01\x0d\x00" * 200, {}),
    "too many frames": (_JPEG + "90", _jpeg_2000(16, 16, 16), {"NumberOfFrames": 2147483647}),
    "too many native frames": (EXPLICIT, b"", {"NumberOfFrames": 2147483647}),
    "negative frames": (_JPEG + "90", _jpeg_2000(16, 16, 16), {"NumberOfFrames": -5}),
    "thousands of samples": (_JPEG + "70", _jpeg(16, 16, 0xC3), {"SamplesPerPixel": 65535}),
    "strange bits": (
        _JPEG + "80", _jpeg(16, 16, 0xF7), {"BitsAllocated": 7, "BitsStored": 65535},
    ),
}  # fmt: skip


def _with_syntax(data: bytes, known: bytes, wanted: bytes) -> bytes:
    """The file with another TransferSyntaxUID, lengths mended (PS3.10 7.1)."""
    (group,) = struct.unpack_from("<L", data, 140)
    tag = b"\x02\x00\x10\x00UI"
    old = tag + struct.pack("<H", len(known)) + known
    assert data.count(old) == 1
    meta = struct.pack("<L", group + len(wanted) - len(known))
    new = tag + struct.pack("<H", len(wanted)) + wanted
    return data[:140] + meta + data[144:].replace(old, new)


def _store(gateway: OrthancProcess, syntax: str, frame: bytes, said: dict[str, object]) -> str:
    hostile = ct_slice(1)
    hostile.StudyInstanceUID, hostile.SeriesInstanceUID = generate_uid(), generate_uid()
    hostile.SOPInstanceUID = generate_uid()
    hostile.file_meta.MediaStorageSOPInstanceUID = hostile.SOPInstanceUID
    for keyword, value in said.items():
        setattr(hostile, keyword, value)
    if syntax != EXPLICIT:
        hostile.PixelData = encapsulate([frame or b"\0\0"])
        hostile["PixelData"].VR = "OB"
        hostile["PixelData"].is_undefined_length = True
    written = io.BytesIO()
    known = (
        EXPLICIT if syntax == EXPLICIT else pydicom.uid.JPEG2000MC
    )  # to write it under; pydicom doesn't know all of them
    hostile.file_meta.TransferSyntaxUID = known
    hostile.save_as(written, enforce_file_format=True)
    padded = [uid + "\0" * (len(uid) % 2) for uid in (str(known), syntax)]
    data = _with_syntax(written.getvalue(), *(uid.encode() for uid in padded))
    assert gateway.store(data)["Status"] == "Success"
    return (
        f"{gateway.full_door_url}/dicom-web/studies/{hostile.StudyInstanceUID}"
        f"/series/{hostile.SeriesInstanceUID}/instances/{hostile.SOPInstanceUID}"
    )


@pytest.mark.parametrize("name", HOSTILE)
def test_answers_in_time_and_says_what_is_wrong(gateway: OrthancProcess, name: str) -> None:
    url = _store(gateway, *HOSTILE[name])
    before = status_bytes(gateway.pid, "VmRSS")
    for resource, accept in RESOURCES:
        told = answer(url + resource, accept)
        check_clean(told, f"{name} {resource} {accept}")
    assert status_bytes(gateway.pid, "VmRSS") - before < 300 << 20
    stored = answer(url + "/frames/1", "multipart/related; type=image/*; transfer-syntax=*")
    assert stored.status_code in (200, 404, 406, 500)


def test_the_next_client_is_served(gateway: OrthancProcess) -> None:
    sound = ct_slice(2)
    written = io.BytesIO()
    sound.save_as(written, enforce_file_format=True)
    gateway.store(written.getvalue())
    url = (
        f"{gateway.full_door_url}/dicom-web/studies/{sound.StudyInstanceUID}"
        f"/series/{sound.SeriesInstanceUID}/instances/{sound.SOPInstanceUID}/rendered"
    )
    assert answer(url, "image/png").status_code == 200
    assert len(workers(gateway.pid)) == 1
    log = gateway.log()
    for sign in ("Traceback", "internal error", "imaging worker:"):
        assert sign not in log, log[log.index(sign) - 300 : log.index(sign) + 1500]
