"""A message to store in all the forms that clients give it, at both doors."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from io import BytesIO

import pydicom
import pytest

from orthanc_process import OrthancProcess, requires_orthanc
from stowing import (
    BOUNDARY,
    RELATED,
    STUDIES,
    Answer,
    doors,
    held,
    new_files,
    nothing_stored,
    post,
    related,
    store,
    stored_files,
    storing_gateway,
    uid_of,
)

pytestmark = requires_orthanc
CANNOT_UNDERSTAND = 0xC000


@pytest.fixture(scope="module")
def gateway(tmp_path_factory: pytest.TempPathFactory) -> Iterator[OrthancProcess]:
    with storing_gateway(tmp_path_factory.mktemp("gateway")) as gateway:
        yield gateway


@pytest.fixture(params=["full", "orthanc"])
def door(request: pytest.FixtureRequest, gateway: OrthancProcess) -> str:
    return doors(gateway)[request.param == "orthanc"]


def _all_stored(gateway: OrthancProcess, answer: Answer, files: list[bytes]) -> None:
    """Under their names, bit for bit, and nothing else is told of them."""
    assert answer.status == 200, answer.body
    assert answer.stored == [uid_of(file) for file in files]
    assert answer.reasons == []
    for file in files:
        assert stored_files(gateway, uid_of(file)) == [file]


@pytest.mark.parametrize(
    ("begin", "end"),
    [
        pytest.param(b"", b"--\r\n", id="plain"),
        pytest.param(b"\r\n", b"--\r\n", id="CRLF first"),
        pytest.param(b"\r\n\r\n", b"--", id="two CRLF first, nothing behind"),
        pytest.param(b"read by nobody\r\n", b"--\r\nnor is this", id="preamble and epilogue"),
        pytest.param(b"--boundaryother\r\n", b"-- \t\r\n", id="another's delimiter first"),
    ],
)
def test_what_is_around_the_parts(
    gateway: OrthancProcess, door: str, begin: bytes, end: bytes
) -> None:
    files = new_files(2)
    answer = post(door + STUDIES, related(files, begin=begin, end=end))
    _all_stored(gateway, answer, files)


@pytest.mark.parametrize(
    ("boundary", "written"),
    [
        pytest.param("b", "b", id="one character"),
        pytest.param("b" * 70, "b" * 70, id="70 characters"),
        pytest.param("two words", '"two words"', id="a blank"),
        pytest.param("'()+_,-./:=?", '"\'()+_,-./:=?"', id="all that RFC 2046 allows"),
        pytest.param("--b--", "--b--", id="hyphens"),
        pytest.param("a.b_c'd+e", "a.b_c'd+e", id="a token"),
        pytest.param("b;c", '"b;c"', id="a semicolon"),
        pytest.param('b"c', '"b\\"c"', id="a quoted quote"),
    ],
)
def test_boundaries(gateway: OrthancProcess, door: str, boundary: str, written: str) -> None:
    files = new_files(2)
    answer = post(door + STUDIES, related(files, boundary), RELATED.format(written))
    _all_stored(gateway, answer, files)


@pytest.mark.parametrize(
    "content_type",
    [
        f'multipart/related; type="application/dicom"; boundary={BOUNDARY}',
        f"multipart/related; type=application/dicom; boundary={BOUNDARY}",
        f"multipart/related; boundary={BOUNDARY}",
        f'Multipart/Related;Boundary="{BOUNDARY}";Type="Application/Dicom"',
        f'multipart/related; type="application/dicom; transfer-syntax=*"; boundary={BOUNDARY}',
        f"multipart/related; type=application/dicom; start=x; charset=utf-8; boundary={BOUNDARY}",
    ],
)
def test_ways_to_say_what_it_is(gateway: OrthancProcess, door: str, content_type: str) -> None:
    files = new_files(1)
    _all_stored(gateway, post(door + STUDIES, related(files), content_type), files)


@pytest.mark.parametrize(
    "part_type",
    [None, "application/octet-stream", "application/dicom; transfer-syntax=1.2.840.10008.1.2.4.90"],
)
def test_ways_to_say_what_a_part_is(
    gateway: OrthancProcess, door: str, part_type: str | None
) -> None:
    """Where the message says what its parts are; of the syntax, the file knows best."""
    files = new_files(2)
    _all_stored(gateway, post(door + STUDIES, related(files, part_type=part_type)), files)


def test_a_file_alone(gateway: OrthancProcess, door: str) -> None:
    (file,) = new_files(1)
    _all_stored(gateway, post(door + STUDIES, file, "application/dicom"), [file])


def test_data_that_looks_like_a_delimiter(gateway: OrthancProcess, door: str) -> None:
    (file,) = new_files(1, size=64)
    hostile = b"\r\n--boundar\r\n--boundaryy\r\n--boundary-\r\n--\r\n\r\n-boundary--"
    file = file[:-1024] + hostile + file[-1024 + len(hostile) :]
    _all_stored(gateway, post(door + STUDIES, related([file])), [file])


def test_a_body_that_comes_in_pieces(gateway: OrthancProcess, door: str) -> None:
    """Chunked, in lengths that cut delimiters and headers anywhere."""
    files = new_files(2)
    body = related(files, begin=b"\r\n")
    for length in (1, 7, 61, 4096):
        cut = body[: 700 if length == 1 else None]
        pieces = [cut[at : at + length] for at in range(0, len(cut), length)]
        answer = post(door + STUDIES, iter([*pieces, body[len(cut) :]]))
        _all_stored(gateway, answer, files)


@pytest.mark.parametrize(
    ("content_type", "body", "status", "says"),
    [
        pytest.param("text/plain", b"x", 415, "text/plain", id="text"),
        pytest.param(None, b"x", 415, "taken are", id="no type"),
        pytest.param(
            RELATED.format(BOUNDARY).replace("application/dicom", "image/jpeg"),
            b"x",
            415,
            "image/jpeg",
            id="a multipart of pictures",
        ),
        pytest.param(
            'multipart/related; type="application/dicom"', b"x", 400, "boundary", id="no boundary"
        ),
        pytest.param(RELATED.format('""'), b"x", 400, "boundary", id="empty boundary"),
        pytest.param(RELATED.format("b" * 71), b"x", 400, "70", id="71 characters"),
        pytest.param(RELATED.format('"b "'), b"x", 400, "boundary", id="a blank at the end"),
        pytest.param(
            RELATED.format("b; boundary=c"), b"x", 400, "more than once", id="two boundaries"
        ),
        pytest.param(RELATED.format(BOUNDARY), b"", 400, "boundary", id="nothing"),
        pytest.param(RELATED.format(BOUNDARY), b"no delimiter", 400, "no line", id="no delimiter"),
        pytest.param(RELATED.format(BOUNDARY), b"--boundary--\r\n", 400, "nothing", id="no parts"),
        pytest.param("application/dicom", b"", 400, "empty", id="an empty file"),
    ],
)
def test_what_is_refused_as_a_whole(
    gateway: OrthancProcess,
    door: str,
    content_type: str | None,
    body: bytes,
    status: int,
    says: str,
) -> None:
    with nothing_stored(gateway):
        answer = post(door + STUDIES, body, content_type)
    assert answer.status == status, answer.body
    assert says in answer.body.decode()


@pytest.mark.parametrize(
    "spoil",
    [
        pytest.param(lambda body: body[: -len("--boundary--\r\n")], id="no last delimiter"),
        pytest.param(lambda body: body[:-4], id="no last hyphens"),
        pytest.param(lambda body: body[:-3], id="one last hyphen"),
        pytest.param(lambda body: body[:-2] + b"x", id="text behind the last delimiter"),
        pytest.param(lambda body: body[: len(body) // 2], id="half of it"),
        pytest.param(lambda body: body[:-4] + b"\r\n", id="one more part begins"),
        pytest.param(lambda body: body.replace(b"\r\n--boundary", b"\n--boundary"), id="bare LF"),
        pytest.param(
            lambda body: body.replace(b"Content-Type: application/dicom", b"no header", 1),
            id="no header line",
        ),
        pytest.param(
            lambda body: body.replace(b"Content-Type", b"Content-Type: a/b\r\nContent-Type", 1),
            id="a header twice",
        ),
    ],
)
def test_a_broken_message_stores_nothing(
    gateway: OrthancProcess, door: str, spoil: Callable[[bytes], bytes]
) -> None:
    """Its first file was whole all the same: who gets an error sends all of it again."""
    body = spoil(related(new_files(2)))
    with nothing_stored(gateway):
        answer = post(door + STUDIES, body)
    assert answer.status == 400, answer.body


def test_parts_of_another_type_are_told_each(gateway: OrthancProcess, door: str) -> None:
    files = new_files(2)
    picture = related([b"\xff\xd8\xff"], part_type="image/jpeg", end=b"\r\n")
    cut = picture[: -len("--boundary\r\n")]
    answer = post(door + STUDIES, cut + related(files))
    assert answer.status == 202
    assert answer.nameless == [CANNOT_UNDERSTAND]
    assert answer.stored == [uid_of(file) for file in files]
    assert "image/jpeg" in answer.headers["Warning"]


def test_a_form(gateway: OrthancProcess, door: str) -> None:
    """No message to store. Orthanc takes forms apart by itself, hands over each file alone, and
    says 200 whatever becomes of them."""
    files = new_files(1)
    of_form = 'application/dicom\r\nContent-Disposition: form-data; name="a"; filename="a.dcm"'
    body = related(files, part_type=of_form)
    before = held(gateway)
    answer = post(door + STUDIES, body, f"multipart/form-data; boundary={BOUNDARY}")
    if door == gateway.full_door_url:
        assert answer.status == 415
        assert held(gateway) == before
    else:
        assert answer.status == 200
        assert stored_files(gateway, uid_of(files[0])) == files


def test_a_coding_is_refused(gateway: OrthancProcess, door: str) -> None:
    with nothing_stored(gateway):
        answer = post(door + STUDIES, related(new_files(1)), Content_Encoding="gzip")
    assert answer.status == 415
    assert b"gzip" in answer.body


def test_order_is_kept(gateway: OrthancProcess, door: str) -> None:
    files = new_files(25)
    _all_stored(gateway, store(door, files), files)


def test_where_it_can_be_stored(gateway: OrthancProcess, door: str) -> None:
    """Studies and one study; other resources take nothing."""
    files = new_files(1)
    study = str(pydicom.dcmread(BytesIO(files[0])).StudyInstanceUID)
    _all_stored(gateway, store(door, files, study), files)
    for path in ("/1.2/series", "/1.2/series/1.3", "/1.2/series/1.3/instances", "/1.2/metadata"):
        with nothing_stored(gateway):
            answer = post(f"{door}{STUDIES}{path}", related(new_files(1)))
        assert answer.status == 405, path
        assert "POST" not in answer.headers["Allow"]
    wrong = post(f"{door}{STUDIES}/1.2.x", related(new_files(1)))
    assert wrong.status == 400, "no UID"
