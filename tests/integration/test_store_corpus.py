"""Every file of the collection stored by both doors and read back; what can't be is told of."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator, Sequence

import pytest
import requests

from corpus import MEDIA_DIRECTORY, CorpusFile, files_in, manifest, requires_corpus, storable_files
from orthanc_process import OrthancProcess, requires_orthanc
from related_parts import related_parts
from stowing import (
    ANY_SYNTAX,
    STUDIES,
    Answer,
    doors,
    held,
    nothing_stored,
    post,
    related,
    store,
    stored_files,
    storing_gateway,
)

pytestmark = [requires_orthanc, requires_corpus]
DUPLICATE, INVALID, MISSING, CANNOT_UNDERSTAND = 0x0111, 0x0117, 0x0120, 0xC000
BATCH = 25

#: Folders of which nothing can be stored: the reasons.
NOT_STORED = {
    "codec-only": {MISSING, CANNOT_UNDERSTAND},  # without study and series, or without preamble
    "non-patient": {MISSING},  # a hanging protocol and a palette: without study and series
    "multi-study": {MISSING},  # a media directory
    "malformed": {MISSING},  # another
}
#: Defective files: why they are refused; the others are stored.
REFUSED = {
    "3gb-bulk-data-truncated": CANNOT_UNDERSTAND,  # pixels of 3 GB in a file of 100 kB
    "DICOMDIR-nopatient": MISSING,
    "ExplVR_BigEndNoMeta.dcm": CANNOT_UNDERSTAND,  # a data set alone
    "ExplVR_LitEndNoMeta.dcm": CANNOT_UNDERSTAND,
    "MR_truncated.dcm": CANNOT_UNDERSTAND,
    "OT-PAL-8-face.dcm": CANNOT_UNDERSTAND,  # a data set alone
    "UN_sequence.dcm": MISSING,
    "bad_sequence.dcm": INVALID,  # a digest for a UID
    "chrSQEncoding.dcm": MISSING,
    "dwv-test_no-number-rows.dcm": MISSING,
    "empty_charset_LEI.dcm": MISSING,
    "emri_small_jpeg_2k_lossless_too_short.dcm": CANNOT_UNDERSTAND,  # fragments without an end
    "nested_priv_SQ.dcm": MISSING,
    "no_meta.dcm": CANNOT_UNDERSTAND,
    "no_meta_group_length.dcm": MISSING,
    "rtplan_truncated.dcm": CANNOT_UNDERSTAND,
    "rtstruct.dcm": CANNOT_UNDERSTAND,  # a data set alone
}


@pytest.fixture(params=["full", "orthanc"])
def started(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[OrthancProcess, str]]:
    """An empty gateway, and one of its doors."""
    stow = {"MemoryMegabytes": 8}
    with storing_gateway(tmp_path_factory.mktemp("gateway"), stow) as gateway:
        yield gateway, doors(gateway)[request.param == "orthanc"]


def _instance(file: CorpusFile) -> str:
    row = file.row
    return (
        f"{STUDIES}/{row['study_uid']}/series/{row['series_uid']}"
        f"/instances/{row['sop_instance_uid']}"
    )


def _read_back(base: str, path: str) -> list[bytes]:
    answer = requests.get(base + path, headers={"Accept": ANY_SYNTAX}, timeout=120)
    assert answer.status_code == 200, (path, answer.text[:300])
    return [body for _, body in related_parts(answer)]


def _batches(files: Sequence[CorpusFile]) -> Iterator[Sequence[CorpusFile]]:
    for at in range(0, len(files), BATCH):
        yield files[at : at + BATCH]


def test_all_that_can_be_stored_together(started: tuple[OrthancProcess, str]) -> None:
    gateway, door = started
    files = storable_files()
    refused: dict[str, str] = {}
    for batch in _batches(files):
        answer = store(door, [file.read() for file in batch])
        assert answer.status in (200, 202), answer.body
        stored = set(answer.stored)
        missing = [file.name for file in batch if file.row["sop_instance_uid"] not in stored]
        refused |= dict.fromkeys(missing, answer.headers.get("Warning", ""))
    assert refused == {}
    assert len(held(gateway)) == len(files)
    for file in files:
        assert _read_back(door, _instance(file)) == [_as_a_file(file.read())], file.name

    again = Counter(
        store(door, [file.read() for file in batch]).status for batch in _batches(files)
    )
    assert set(again) == {200}, "the same again is a success"
    assert len(held(gateway)) == len(files)


def _as_a_file(data: bytes) -> bytes:
    """With the preamble that a file has to have (PS3.10 7.1)."""
    return data if data[128:132] == b"DICM" else bytes(128) + b"DICM" + data


def test_the_same_image_in_other_syntaxes(started: tuple[OrthancProcess, str]) -> None:
    """One file of each name is stored; another encoding of it is another content."""
    gateway, door = started
    names: set[str] = set()
    for file in files_in("ts-variants"):
        uid = file.row["sop_instance_uid"]
        answer = store(door, [file.read()])
        if uid in names:
            known = stored_files(gateway, uid)
            assert answer.refused == {uid: DUPLICATE}, file.name
            assert _as_a_file(file.read()) not in known
            gateway.request("DELETE", f"/instances/{_id_of(gateway, uid)}")
            answer = store(door, [file.read()])
        assert answer.status == 200, (file.name, answer.headers.get("Warning"))
        assert stored_files(gateway, uid) == [_as_a_file(file.read())], file.name
        assert _read_back(door, _instance(file)) == [_as_a_file(file.read())], file.name
        names.add(uid)


def _id_of(gateway: OrthancProcess, uid: str) -> str:
    (found,) = json.loads(gateway.request("POST", "/tools/lookup", uid.encode()))
    return str(found["ID"])


def test_what_can_not_be_stored(started: tuple[OrthancProcess, str]) -> None:
    """Samples without study and series, what belongs to nobody, and media directories."""
    gateway, door = started
    directories = [file for file in manifest() if file.row["sop_class_uid"] == MEDIA_DIRECTORY]
    reasons: dict[str, set[int]] = {}
    for file in [*files_in("codec-only", "non-patient"), *directories]:
        with nothing_stored(gateway):
            answer = store(door, [file.read()])
        assert answer.status == 409, file.name
        (reason,) = answer.reasons
        reasons.setdefault(file.category, set()).add(reason)
        assert answer.headers["Warning"]
    assert {category: reasons[category] - NOT_STORED[category] for category in reasons} == {
        category: set() for category in reasons
    }


def test_defective_and_hostile_files(started: tuple[OrthancProcess, str]) -> None:
    """Each is stored bit for bit or refused with a reason; nothing falls over."""
    gateway, door = started
    for file in files_in("malformed"):
        data = file.read()
        before = held(gateway)
        answer = store(door, [data])
        _is_consistent(gateway, before, answer, data, file.name)
        expected = REFUSED.get(file.path.name)
        assert answer.reasons == ([] if expected is None else [expected]), file.name
    for file in files_in("malformed"):
        answer = post(door + STUDIES, file.read(), "application/dicom")
        assert answer.status in (200, 409), (file.name, answer.body)
    assert requests.get(f"{door}/farsight/status", timeout=60).status_code == 200


def _is_consistent(
    gateway: OrthancProcess, before: set[str], answer: Answer, data: bytes, name: str
) -> None:
    assert answer.status in (200, 409), (name, answer.body)
    if answer.status == 409:
        assert held(gateway) == before, name
        assert len(answer.reasons) == 1, name
        assert answer.headers["Warning"], name
    else:
        (uid,) = answer.stored
        assert _as_a_file(data) in stored_files(gateway, uid), name


def test_all_of_it_in_one_message(started: tuple[OrthancProcess, str]) -> None:
    """The good ones are stored, whatever comes with them; every file is in the answer."""
    gateway, door = started
    files = [file.read() for file in (*files_in("malformed"), *files_in("sr", "rt", "codec-only"))]
    answer = post(door + STUDIES, related(files))
    assert answer.status == 202
    assert len(answer.stored) + len(answer.reasons) == len(files)
    good = {file.row["sop_instance_uid"] for file in files_in("sr", "rt")}
    assert good <= set(answer.stored)
    assert len(held(gateway)) == len(set(answer.stored))
