"""What is too large is refused with the setting's name, and while it is still being sent."""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest
import requests

from orthanc_process import OrthancProcess, requires_orthanc
from raw_http import RawConnection
from stowing import (
    BOUNDARY,
    RELATED,
    STUDIES,
    doors,
    new_files,
    nothing_stored,
    post,
    related,
    store,
    storing_gateway,
)

pytestmark = requires_orthanc
TYPE = f"Content-Type: {RELATED.format(BOUNDARY)}"
MEGABYTE = 1 << 20
STOW = {
    "MaxParts": 5,
    "MaxPartMegabytes": 1,
    "MaxMegabytes": 3,
    "MaxPartHeaderBytes": 256,
    "MemoryMegabytes": 1,
}


@pytest.fixture(scope="module")
def gateway(tmp_path_factory: pytest.TempPathFactory) -> Iterator[OrthancProcess]:
    with storing_gateway(tmp_path_factory.mktemp("gateway"), STOW) as gateway:
        yield gateway


@pytest.fixture(params=["full", "orthanc"])
def door(request: pytest.FixtureRequest, gateway: OrthancProcess) -> str:
    return doors(gateway)[request.param == "orthanc"]


def _files(megabytes: float, count: int = 1) -> list[bytes]:
    """Of about that size each."""
    side = int((megabytes * MEGABYTE / 2) ** 0.5)
    return new_files(count, size=side)


def _too_long_header() -> bytes:
    return related(new_files(1), part_type=f"application/dicom\r\nX-Long: {'x' * 300}")


#: What is above a limit, and the setting that says so.
TOO_MUCH = [
    pytest.param(lambda: related(_files(1.1)), "Farsight.Stow.MaxPartMegabytes", id="a part"),
    pytest.param(lambda: related(_files(0.8, 4)), "Farsight.Stow.MaxMegabytes", id="all of it"),
    pytest.param(lambda: related(new_files(6)), "Farsight.Stow.MaxParts", id="parts"),
    pytest.param(_too_long_header, "Farsight.Stow.MaxPartHeaderBytes", id="a part's headers"),
]


def _names_it(status: int, body: bytes, setting: str, gateway: OrthancProcess, door: str) -> None:
    assert status == 413, body
    assert setting in body.decode()
    if door == gateway.full_door_url:
        assert json.loads(body)["status"] == 413


def test_what_fits(gateway: OrthancProcess, door: str) -> None:
    answer = store(door, _files(0.95, 3))
    assert answer.status == 200, answer.body
    assert store(door, new_files(5)).status == 200
    header = f"application/dicom\r\nX-Long: {'x' * 200}"
    assert post(door + STUDIES, related(new_files(1), part_type=header)).status == 200


@pytest.mark.parametrize(("body", "setting"), TOO_MUCH)
def test_with_a_length(gateway: OrthancProcess, door: str, body: object, setting: str) -> None:
    with nothing_stored(gateway):
        answer = post(door + STUDIES, body())  # type: ignore[operator]
    _names_it(answer.status, answer.body, setting, gateway, door)
    assert store(door, new_files(1)).status == 200


@pytest.mark.parametrize(("body", "setting"), TOO_MUCH)
def test_in_chunks(gateway: OrthancProcess, door: str, body: object, setting: str) -> None:
    whole = body()  # type: ignore[operator]
    pieces = [whole[at : at + 50_000] for at in range(0, len(whole), 50_000)]
    with nothing_stored(gateway):
        answer = post(door + STUDIES, iter(pieces))
    _names_it(answer.status, answer.body, setting, gateway, door)
    assert store(door, new_files(1)).status == 200


@pytest.mark.parametrize(
    ("size", "setting"),
    [(1.5, "Farsight.Stow.MaxPartMegabytes"), (4, "Farsight.Stow.Max")],
)
def test_a_file_alone(gateway: OrthancProcess, door: str, size: float, setting: str) -> None:
    (file,) = _files(size)
    with nothing_stored(gateway):
        answer = post(door + STUDIES, file, "application/dicom")
    _names_it(answer.status, answer.body, setting, gateway, door)


def test_the_answer_comes_before_the_body(gateway: OrthancProcess) -> None:
    """Too much was announced: nothing of it has to be sent."""
    with RawConnection(gateway.full_door_url) as connection, nothing_stored(gateway):
        connection.post(STUDIES, TYPE, f"Content-Length: {100 * MEGABYTE}")
        answer = connection.answer()
        assert answer.status == 413
        assert b"Farsight.Stow.MaxMegabytes" in answer.body


@pytest.mark.parametrize(
    ("part_megabytes", "setting"),
    # Of a part that is above both limits, either may be said.
    [(64, "Farsight.Stow.Max"), (0.9, "Farsight.Stow.MaxMegabytes")],
)
def test_the_answer_can_be_read_while_sending(
    gateway: OrthancProcess, part_megabytes: float, setting: str
) -> None:
    """A client that would send for ever hears of it; one that goes on sending is not cut off."""
    part = b"--boundary\r\n\r\n" + bytes(int(part_megabytes * MEGABYTE)) + b"\r\n"
    with RawConnection(gateway.full_door_url) as connection, nothing_stored(gateway):
        connection.post(STUDIES, TYPE, "Transfer-Encoding: chunked")
        sent = 0
        while not connection.is_answered() and sent < 1000 * MEGABYTE:
            for at in range(0, len(part), MEGABYTE // 4):
                piece = part[at : at + MEGABYTE // 4]
                connection.send_chunk(piece)
                sent += len(piece)
                if connection.is_answered():
                    break
        for _ in range(40):
            connection.send_chunk(bytes(MEGABYTE // 4))
        connection.send_chunk(b"")
        answer = connection.answer()
        assert answer.status == 413
        assert setting.encode() in answer.body


def test_a_client_that_reads_only_at_the_end(gateway: OrthancProcess, door: str) -> None:
    """As requests does it: 40 MB are sent, then it looks for an answer."""
    with nothing_stored(gateway):
        answer = requests.post(
            door + STUDIES,
            data=related([bytes(40 * MEGABYTE)]),
            headers={"Content-Type": RELATED.format(BOUNDARY)},
            timeout=120,
        )
    assert answer.status_code == 413
    assert "Farsight.Stow.Max" in answer.text


def test_what_is_not_for_storing_stays_small(gateway: OrthancProcess) -> None:
    """The room for uploads is for uploads."""
    answer = requests.put(
        f"{gateway.full_door_url}{STUDIES}/1.2.3", data=bytes(2 * MEGABYTE), timeout=60
    )
    assert answer.status_code in (405, 413)
