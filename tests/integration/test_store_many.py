"""Many clients that store at once, clients that leave, and uploads larger than memory."""

from __future__ import annotations

import shutil
import socket
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from random import Random

import pytest
import requests

from fakes.scripted_pacs import wait_until
from orthanc_process import OrthancProcess, requires_orthanc
from raw_http import RawConnection
from stowing import (
    BOUNDARY,
    RELATED,
    STUDIES,
    booked,
    doors,
    held,
    new_files,
    new_study,
    part10,
    post,
    related,
    spooled,
    store,
    stored_files,
    storing_gateway,
    uid_of,
)

pytestmark = requires_orthanc
MEGABYTE = 1 << 20
TYPE = f"Content-Type: {RELATED.format(BOUNDARY)}"


@pytest.fixture
def gateway(tmp_path: Path) -> Iterator[OrthancProcess]:
    with storing_gateway(tmp_path / "gateway", {"MemoryMegabytes": 4}) as gateway:
        yield gateway


@pytest.mark.parametrize("door", [0, 1], ids=["full", "orthanc"])
def test_overlapping_sets_at_once(gateway: OrthancProcess, door: int) -> None:
    """Eight clients, each with most of the files in an order of its own, several messages each."""
    url = doors(gateway)[door]
    files = [file for _ in range(3) for file in new_files(20, size=64)]

    def client(seed: int) -> list[str]:
        chosen = Random(seed).sample(files, 45)
        acknowledged = []
        for at in range(0, 45, 15):
            answer = store(url, chosen[at : at + 15])
            assert answer.status == 200, answer.body
            acknowledged += answer.stored
        assert acknowledged == [uid_of(file) for file in chosen]
        return acknowledged

    with ThreadPoolExecutor(8) as pool:
        stored = {uid for uids in pool.map(client, range(8)) for uid in uids}
    assert len(held(gateway)) == len(stored)
    for file in files:
        if uid_of(file) in stored:
            assert stored_files(gateway, uid_of(file)) == [file]
    wait_until(lambda: spooled(gateway) == [])
    gateway.stop()
    assert booked(gateway) == stored
    gateway.start()


@pytest.mark.parametrize("door", [0, 1], ids=["full", "orthanc"])
def test_two_contents_of_one_name_at_once(gateway: OrthancProcess, door: int) -> None:
    """One of them is stored, and only who sent that one is told so."""
    url = doors(gateway)[door]
    for _ in range(5):
        (file,) = new_files(size=64)
        contents = [file[:-1] + bytes([number]) for number in range(8)]
        with ThreadPoolExecutor(8) as pool:
            answers = list(pool.map(lambda content: store(url, [content]), contents))
        assert sorted(answer.status for answer in answers) == [200] + [409] * 7
        ((stored, _),) = [
            (content, answer)
            for content, answer in zip(contents, answers, strict=True)
            if answer.status == 200
        ]
        assert stored_files(gateway, uid_of(file)) == [stored]


def test_one_study_from_both_doors_by_two_patients(gateway: OrthancProcess) -> None:
    """Whoever is first names the patient; there is never a study of two."""
    for _ in range(5):
        images = new_study(8)
        for image in images[::2]:
            image.PatientID = "SOMEBODY ELSE"
        files = [part10(image) for image in images]
        with ThreadPoolExecutor(8) as pool:
            both = doors(gateway) * 4
            list(pool.map(lambda url, file: store(url, [file]), both, files))
        studies = gateway.json("/studies?expand")
        uids = [study["MainDicomTags"]["StudyInstanceUID"] for study in studies]
        assert len(uids) == len(set(uids))


def test_clients_that_stop_sending_hold_up_nobody(tmp_path: Path) -> None:
    """More of them than there are threads to serve requests, for as long as they please."""
    directory, body = tmp_path / "few-threads", related(new_files(1, size=64))
    with storing_gateway(directory, farsight={"Http": {"Port": 0, "Threads": 8}}) as gateway:
        full, orthanc = doors(gateway)
        silent = [RawConnection(full) for _ in range(20)]
        try:
            for connection in silent:
                connection.post(STUDIES, TYPE, f"Content-Length: {len(body)}")
                connection.send(body[:1000])
            files = new_files(1)
            assert store(orthanc, files).status == 200
            for _ in range(20):
                assert requests.get(full + STUDIES, timeout=20).status_code == 200
        finally:
            for connection in silent:
                connection.close()
        for _ in range(100):
            assert store(full, files).status == 200
        assert len(held(gateway)) == 1


def _large(gateway: OrthancProcess) -> tuple[int, int]:
    """Parts, and pixels of each side of the image: 2 GB, or 1 GB where there is less room."""
    free = shutil.disk_usage(gateway.directory).free
    parts = 128 if free > 12 << 30 else 64
    if free < 6 << 30:
        pytest.skip("needs 6 GB of disk")
    return parts, 2896  # 2896 * 2896 * 2 bytes: 16 MB


def test_an_upload_larger_than_memory(gateway: OrthancProcess) -> None:
    """2 GB in parts of 16 MB, as they are made: Orthanc grows by what one part takes, not by all.

    Every one is stored as it was sent.
    """
    parts, side = _large(gateway)
    (image,) = new_study(size=side)
    template = part10(image)
    uid = str(image.SOPInstanceUID)
    uids = [f"{number:03d}".join((uid[:-3], "")) for number in range(parts)]

    def file(number: int) -> bytes:
        return template.replace(uid.encode(), uids[number].encode())

    def body() -> Iterator[bytes]:
        for number in range(parts):
            part = file(number)
            yield b"--boundary\r\nContent-Type: application/dicom\r\n\r\n"
            for at in range(0, len(part), MEGABYTE):
                yield part[at : at + MEGABYTE]
            yield b"\r\n"
        yield b"--boundary--\r\n"

    assert store(gateway.full_door_url, new_files(3)).status == 200
    before = _resident_megabytes(gateway, "VmRSS")
    answer = post(gateway.full_door_url + STUDIES, body())
    assert answer.status == 200, answer.body[:1000]
    assert answer.stored == uids
    assert _resident_megabytes(gateway, "VmHWM") - before < 400
    for number in (0, parts // 2, parts - 1):
        assert stored_files(gateway, uids[number]) == [file(number)]
    wait_until(lambda: spooled(gateway) == [])


def _resident_megabytes(gateway: OrthancProcess, what: str) -> float:
    """VmRSS: now; VmHWM: the most there ever was."""
    status = Path(f"/proc/{gateway.pid}/status").read_text()
    return int(status.split(f"{what}:")[1].split()[0]) / 1024


def test_stopping_while_it_is_sent(gateway: OrthancProcess) -> None:
    """An upload under way holds up nobody's shutdown, and is not stored."""
    body = related(new_files(2, size=64))
    with RawConnection(gateway.full_door_url) as connection:
        connection.post(STUDIES, TYPE, f"Content-Length: {len(body)}")
        connection.send(body[:-10])
        assert gateway.stop() == 0
        connection.socket.shutdown(socket.SHUT_WR)
    gateway.start()
    assert held(gateway) == set()
