"""What is answered without a worker: frames in memory, and nothing that could take time."""

from __future__ import annotations

import http.client
import struct
import threading
from collections.abc import Callable, Sequence

import pytest

from fakes.series_source import part10
from farsight.dicom.elements import DicomObject
from farsight.dicom.part10 import parse_object
from farsight.errors import BadRequest
from farsight.imaging.jobs import Job
from farsight.model import InstanceRef
from farsight.ps318 import frames
from farsight.ps318.multipart_related import RelatedBody
from farsight.ps318.resource_path import parse_resource_path
from farsight.services.open_instance import OpenInstance
from farsight.web.base_url import BaseUrl
from farsight.web.credentials import Credentials
from farsight.web.full_door import FullDoor
from farsight.web.handlers_retrieve import RetrieveHandler
from farsight.web.messages import Request, Response
from farsight.web.routes import Router
from farsight.web.worker_pool import WorkerPool
from sample_files import ct_slice, instance_uid, series_uid, study_uid

ANY_FRAME = {"accept": "multipart/related; type=application/octet-stream; transfer-syntax=*"}
INSTANCE = f"/studies/{study_uid()}/series/{series_uid()}/instances/{instance_uid(1)}"


class Memory:
    """As much of the serving service as is asked without a worker."""

    def __init__(self, instance: DicomObject | None) -> None:
        self._instance = instance

    def at_hand(self, _ref: InstanceRef) -> OpenInstance | None:
        return None if self._instance is None else OpenInstance(self._instance)

    def open(self, _ref: InstanceRef) -> OpenInstance:
        assert self._instance is not None
        return OpenInstance(self._instance)


class Nobody:
    """Decodes nothing: frames as they are stored need no worker process."""

    def run(self, _job: Job, _frames: Sequence[bytes | memoryview] = ()) -> Sequence[bytes]:
        raise AssertionError("nothing here has to be decoded")


def slice_object(**changes: object) -> DicomObject:
    made = ct_slice(1)
    for keyword, value in changes.items():
        setattr(made, keyword, value)
    return parse_object(part10(made))


def at_once(
    instance: DicomObject | None, path: str, headers: dict[str, str] = ANY_FRAME
) -> Response | None:
    handler = RetrieveHandler(Memory(instance), Nobody(), "/dicom-web/")  # type: ignore[arg-type]
    return handler.at_once(Request("GET", path, headers=headers), parse_resource_path(path))


def answered(instance: DicomObject, path: str, headers: dict[str, str] = ANY_FRAME) -> Response:
    """By a worker."""
    handler = RetrieveHandler(Memory(instance), Nobody(), "/dicom-web/")  # type: ignore[arg-type]
    return handler(Request("GET", path, headers=headers), parse_resource_path(path))


def test_a_frame_in_memory() -> None:
    instance = slice_object()
    response = at_once(instance, f"{INSTANCE}/frames/1")
    assert response is not None
    assert isinstance(response.body, RelatedBody)
    (part,) = response.body.parts
    assert bytes(part.body) == instance.raw(0x7FE00010)


@pytest.mark.parametrize("rest", ["/frames/1,2", "/metadata", "", "/bulkdata/7FE00010"])
def test_everything_else_goes_to_a_worker(rest: str) -> None:
    assert at_once(slice_object(), INSTANCE + rest) is None


def test_what_is_not_in_memory_goes_to_a_worker() -> None:
    assert at_once(None, f"{INSTANCE}/frames/1") is None


def test_frames_that_have_to_be_made_go_to_a_worker() -> None:
    bits = slice_object(BitsAllocated=1, BitsStored=1, HighBit=0, Rows=3, Columns=3)
    assert at_once(bits, f"{INSTANCE}/frames/1") is None


def encapsulated(fragment_bytes: int) -> DicomObject:
    """A JPEG of one fragment."""
    fragments = struct.pack("<HHLHHL", 0xFFFE, 0xE000, 0, 0xFFFE, 0xE000, fragment_bytes)
    made = ct_slice(1)
    made.file_meta.TransferSyntaxUID = "1.2.840.10008.1.2.4.50"
    made.PixelData = fragments + bytes(fragment_bytes) + struct.pack("<HHL", 0xFFFE, 0xE0DD, 0)
    made["PixelData"].is_undefined_length = True
    made["PixelData"].VR = "OB"
    return parse_object(part10(made))


def test_few_fragments_are_walked_at_once() -> None:
    assert at_once(encapsulated(1000), f"{INSTANCE}/frames/1") is not None


def test_fragments_are_not_walked_at_once_unless_they_were_before() -> None:
    long = encapsulated(1 << 20)
    assert at_once(long, f"{INSTANCE}/frames/1") is None
    assert answered(long, f"{INSTANCE}/frames/1").status == 200
    assert at_once(long, f"{INSTANCE}/frames/1") is not None


def test_what_takes_time_to_send_goes_to_a_worker() -> None:
    video = encapsulated(5 << 20)
    assert answered(video, f"{INSTANCE}/frames/1").status == 200
    assert at_once(video, f"{INSTANCE}/frames/1") is None


def pixels_of(tag: int, fragments: int) -> DicomObject:
    """Many empty fragments in another element than Pixel Data."""
    empty = struct.pack("<HHL", 0xFFFE, 0xE000, 0) * fragments
    element = struct.pack("<HH2sHL", tag >> 16, tag & 0xFFFF, b"OB", 0, 0xFFFFFFFF)
    made = ct_slice(1)
    made.file_meta.TransferSyntaxUID = "1.2.840.10008.1.2.4.50"
    del made.PixelData
    return parse_object(part10(made) + element + empty + struct.pack("<HHL", 0xFFFE, 0xE0DD, 0))


@pytest.mark.parametrize("tag", [0x7FE00008, 0x7FE00009, 0x7FE00010])
def test_wherever_the_fragments_are(tag: int) -> None:
    assert frames.is_quick(pixels_of(tag, 10))
    assert not frames.is_quick(pixels_of(tag, 10_000))


def test_offset_tables_count_as_well() -> None:
    made = ct_slice(1)
    made.file_meta.TransferSyntaxUID = "1.2.840.10008.1.2.4.50"
    made.ExtendedOffsetTable = bytes(8 * 10_000)
    made.ExtendedOffsetTableLengths = bytes(8 * 10_000)
    made.PixelData = struct.pack("<HHL", 0xFFFE, 0xE000, 0)
    made["PixelData"].is_undefined_length = True
    made["PixelData"].VR = "OB"
    assert not frames.is_quick(parse_object(part10(made)))


def test_large_indexes_are_not_kept() -> None:
    extents = (frames.Extent(0, 2),)
    assert frames.EncapsulatedFrames(extents[:1] * 2, "", "").may_be_kept  # type: ignore[arg-type]
    many = frames.EncapsulatedFrames((extents,) * 50_001, "", "")
    assert not many.may_be_kept


def test_what_was_found_is_kept() -> None:
    def find(_instance: DicomObject) -> str:
        raise AssertionError("recall never looks")

    instance = slice_object()
    assert instance.recall(find) is None
    instance.keep(find, "found")
    assert instance.recall(find) == "found"


@pytest.mark.parametrize(
    ("path", "headers"),
    [
        (f"{INSTANCE}/frames/1", ANY_FRAME),
        (f"{INSTANCE}/frames/1", {"accept": "image/gif"}),
        (f"{INSTANCE}/frames/1", {"accept": "application/octet-stream"}),
        (f"{INSTANCE}/frames/1", {"accept": "application/octet-stream", "range": "bytes=2-5"}),
        (f"{INSTANCE}/frames/1", {"accept": "application/octet-stream", "range": "bytes=99999-"}),
        (f"{INSTANCE}/frames/2", ANY_FRAME),
        (f"{INSTANCE}/frames/2", {"accept": "image/gif"}),
        (f"{INSTANCE}/frames/0", ANY_FRAME),
        ("/studies/1.2/x", ANY_FRAME),
    ],
)
def test_the_answer_is_the_same_either_way(path: str, headers: dict[str, str]) -> None:
    """Where there is one at once; errors included."""
    instance = slice_object()
    router = Router(
        {"/": lambda request: answered(instance, request.path, dict(request.headers))},
        at_once={"/": lambda request: at_once(instance, request.path, dict(request.headers))},
    )
    request = Request("GET", path, headers=headers)
    quick, slow = router.at_once(request), router.handle(request)
    if quick is not None:
        assert (quick.status, plain(quick)) == (slow.status, plain(slow))
        assert _without_boundary(quick) == _without_boundary(slow)
    else:
        assert slow.status in (404, 406)


def plain(response: Response) -> bytes:
    if isinstance(response.body, RelatedBody):
        return b"".join(bytes(part.body) for part in response.body.parts)
    return response.body


def _without_boundary(response: Response) -> list[tuple[str, str]]:
    return [(name, value.split("; boundary=")[0]) for name, value in response.headers]


@pytest.mark.parametrize("method", ["HEAD", "OPTIONS", "POST"])
def test_only_get_is_answered_at_once(method: str) -> None:
    router = Router({}, at_once={"/": lambda _request: Response(200)})
    assert router.at_once(Request(method, "/studies")) is None


def test_a_bug_is_told_of_like_any_other(caplog: pytest.LogCaptureFixture) -> None:
    def answer(_request: Request) -> Response | None:
        raise RuntimeError("1.2.3 of Doe^John")

    response = Router({}, at_once={"/": answer}).at_once(Request("GET", "/studies"))
    assert response is not None
    assert response.status == 500
    assert b"Doe" not in bytes(response.body)  # type: ignore[arg-type]
    assert "internal error" in caplog.text


def ask(door: FullDoor, path: str) -> int:
    connection = http.client.HTTPConnection("127.0.0.1", door.port, timeout=20)
    connection.request("GET", path)
    return connection.getresponse().status


def test_the_full_door_needs_no_worker_for_it() -> None:
    """While every worker waits for a slow PACS, what is in memory is answered."""
    release, blocked = threading.Event(), threading.Event()

    def wait(_request: Request) -> Response:
        blocked.set()
        assert release.wait(30)
        return Response(200)

    def answer(request: Request) -> Response | None:
        if request.path == "/x/wrong":
            raise BadRequest("wrong")
        return Response(200) if request.path == "/x/at-hand" else None

    pool = WorkerPool(1)
    router = Router({"/x/": wait}, at_once={"/x/": answer})
    door = FullDoor(router, pool, Credentials(), BaseUrl("http://localhost:1"))
    door.start("127.0.0.1", 0)
    statuses: list[int] = []
    run: Callable[[], None] = lambda: statuses.append(ask(door, "/x/slow"))  # noqa: E731
    waiting = threading.Thread(target=run, daemon=True)
    try:
        waiting.start()
        assert blocked.wait(20)
        assert ask(door, "/x/at-hand") == 200
        assert ask(door, "/x/wrong") == 400
        assert statuses == []
    finally:
        release.set()
        waiting.join(20)
        door.stop(5)
        pool.close()
    assert statuses == [200]
