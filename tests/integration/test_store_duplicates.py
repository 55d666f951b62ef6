"""What becomes of an instance whose name is taken, and of storing where there is to be none."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from io import BytesIO
from typing import Any

import pydicom
import pytest
import requests

from orthanc_process import OrthancProcess, requires_orthanc
from stowing import (
    ANY_SYNTAX,
    STUDIES,
    booked,
    doors,
    held,
    new_files,
    new_study,
    nothing_stored,
    parcels,
    part10,
    post,
    records,
    store,
    stored_files,
    storing_gateway,
    uid_of,
)

pytestmark = requires_orthanc
DUPLICATE, DISCARDED = 0x0111, 0xB006
Start = Callable[..., OrthancProcess]


@pytest.fixture(scope="module")
def start(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Start]:
    """Gateways, one for each policy."""
    started: dict[str, OrthancProcess] = {}
    with ExitStack() as stack:

        def run(duplicates: str, **orthanc: Any) -> OrthancProcess:
            if duplicates not in started:
                directory = tmp_path_factory.mktemp(duplicates)
                gateway = storing_gateway(directory, {"Duplicates": duplicates}, **orthanc)
                started[duplicates] = stack.enter_context(gateway)
            return started[duplicates]

        yield run


def _changed(file: bytes) -> bytes:
    """The same names, other pixels."""
    return file[:-2] + b"\x12\x34"


def _written_by_another(file: bytes) -> bytes:
    """The same data set in another file."""
    image = pydicom.dcmread(BytesIO(file))
    image.file_meta.ImplementationVersionName = "ANOTHER"
    image.file_meta.SourceApplicationEntityTitle = "SOMEBODY"
    return part10(image)


@pytest.mark.parametrize("door", [0, 1], ids=["full", "orthanc"])
@pytest.mark.parametrize("policy", ["reject", "keep", "replace"])
def test_the_same_again(start: Start, policy: str, door: int) -> None:
    """A client that heard nothing sends it again: that is a success, whatever the policy."""
    gateway = start(policy, OverwriteInstances=policy == "replace")
    url = doors(gateway)[door]
    files = new_files(2)
    assert store(url, files).status == 200
    for again in (files, [_written_by_another(file) for file in files], [files[0]] * 3):
        with nothing_stored(gateway):
            answer = store(url, again)
        assert answer.status == 200, answer.body
        assert answer.stored == [uid_of(file) for file in again]
        assert answer.warned == {}
    assert [stored_files(gateway, uid_of(file)) for file in files] == [[file] for file in files]


@pytest.mark.parametrize("door", [0, 1], ids=["full", "orthanc"])
def test_another_content_is_rejected(start: Start, door: int) -> None:
    gateway = start("reject")
    url = doors(gateway)[door]
    (file,) = new_files()
    assert store(url, [file]).status == 200
    with nothing_stored(gateway):
        answer = store(url, [_changed(file)])
    assert answer.status == 409
    assert answer.refused == {uid_of(file): DUPLICATE}
    assert stored_files(gateway, uid_of(file)) == [file]


@pytest.mark.parametrize("door", [0, 1], ids=["full", "orthanc"])
def test_what_is_there_is_kept(start: Start, door: int) -> None:
    """The client hears that what is stored is not what it sent."""
    gateway = start("keep")
    url = doors(gateway)[door]
    file, other = new_files(2)
    assert store(url, [file]).status == 200
    answer = store(url, [_changed(file), other])
    assert answer.status == 202
    assert answer.stored == [uid_of(file), uid_of(other)]
    assert answer.warned == {uid_of(file): DISCARDED}
    assert "stays" in answer.headers["Warning"]
    assert stored_files(gateway, uid_of(file)) == [file]


@pytest.mark.parametrize("door", [0, 1], ids=["full", "orthanc"])
def test_what_is_there_is_replaced(start: Start, door: int) -> None:
    """And whoever reads gets the new one at once, though the old one was read before."""
    gateway = start("replace", OverwriteInstances=True)
    url = doors(gateway)[door]
    (image,) = new_study()
    file = part10(image)
    assert store(url, [file]).status == 200
    instance = (
        f"{STUDIES}/{image.StudyInstanceUID}/series/{image.SeriesInstanceUID}"
        f"/instances/{image.SOPInstanceUID}"
    )
    for new in (_changed(file), part10(_described(image, "again")), file):
        assert store(url, [new]).status == 200
        assert stored_files(gateway, uid_of(file)) == [new]
        for base in doors(gateway):
            whole = requests.get(base + instance, headers={"Accept": ANY_SYNTAX}, timeout=60)
            assert new in whole.content
            rows = requests.get(f"{base}{instance}/metadata", timeout=60).json()
            expected = pydicom.dcmread(BytesIO(new)).SeriesDescription
            assert rows[0]["0008103E"]["Value"] == [expected]
    assert len(stored_files(gateway, uid_of(file))) == 1


def _described(image: pydicom.FileDataset, text: str) -> pydicom.FileDataset:
    image.SeriesDescription = text
    return image


@pytest.mark.parametrize("policy", ["reject", "keep", "replace"])
def test_twice_in_a_message(start: Start, policy: str) -> None:
    """The first one counts: which of two is right can't be told."""
    gateway = start(policy, OverwriteInstances=policy == "replace")
    (file,) = new_files()
    answer = store(gateway.full_door_url, [file, _changed(file), file])
    assert answer.status == 202
    assert answer.stored == [uid_of(file), uid_of(file)]
    assert answer.refused == {uid_of(file): DUPLICATE}
    assert stored_files(gateway, uid_of(file)) == [file]


def test_refused_messages_leave_no_trace(tmp_path_factory: pytest.TempPathFactory) -> None:
    """In the account of what is stored, in the outbox, on the disk: after a restart too."""
    with storing_gateway(tmp_path_factory.mktemp("traces"), {"MaxParts": 3}) as gateway:
        (kept,) = new_files()
        assert store(gateway.full_door_url, [kept]).status == 200
        for url in doors(gateway):
            with nothing_stored(gateway):
                assert store(url, new_files(2), study="1.2.3").status == 409
                assert store(url, [_changed(kept)]).status == 409
                assert store(url, new_files(4)).status == 413
                assert store(url, [b"junk"]).status == 409
        before = held(gateway)
        gateway.stop()
        gateway.start()
        assert held(gateway) == before
        assert store(gateway.full_door_url, [kept]).status == 200
        gateway.stop()
        assert booked(gateway) == {uid_of(kept)}
        assert parcels(gateway) == []
        assert {path.suffix for path in records(gateway).iterdir() if path.is_file()} <= {
            ".sqlite",
            ".sqlite-wal",
            ".sqlite-shm",
        }


def test_no_storing(tmp_path_factory: pytest.TempPathFactory) -> None:
    directory = tmp_path_factory.mktemp("reads-only")
    with storing_gateway(directory, {"Enabled": False}) as gateway:
        for url in doors(gateway):
            with nothing_stored(gateway):
                answer = store(url, new_files())
            assert answer.status == 405
            assert "POST" not in answer.headers["Allow"]
        full = gateway.full_door_url
        assert post(full + STUDIES, bytes(30 << 20)).status == 405
        for path in ("/dicom-web/studies", "/dicom-web/studies/1.2", "/dicom-web/"):
            allow = requests.options(full + path, timeout=60).headers["Allow"]
            assert "POST" not in allow
        described = requests.options(
            f"{full}/dicom-web/", headers={"Accept": "application/json"}, timeout=60
        )
        assert "POST" not in described.text
        assert "store" not in described.text.lower()


def test_storing_is_told_of(start: Start) -> None:
    full = start("reject").full_door_url
    assert "POST" in requests.options(f"{full}{STUDIES}", timeout=60).headers["Allow"]
    assert "POST" in requests.options(f"{full}{STUDIES}/1.2", timeout=60).headers["Allow"]
    assert (
        "POST" not in requests.options(f"{full}{STUDIES}/1.2/series", timeout=60).headers["Allow"]
    )
    described = requests.options(
        f"{full}/dicom-web/", headers={"Accept": "application/json"}, timeout=60
    )
    assert "POST" in described.text
