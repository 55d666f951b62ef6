"""PACS that refuse this or that: what is tried instead, and what is remembered."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from fakes.scripted_pacs import ScriptedPacs, scripted_pacs
from farsight.adapters.association_pool import PoolLimits
from farsight.dimse.manners import Manners
from farsight.errors import PacsFailure
from farsight.model import IdentifierKey, Level
from fetching import STUDY, fetched, pacs_at, two_series
from orthanc_process import OrthancProcess, requires_orthanc
from pacs_peers import PEERS, dcmqrscp, requires_dcmtk
from sample_files import ct_slice, instance_uid, series_uid, study_uid, write_series

THREE = tuple(instance_uid(number) for number in (1, 3, 5))


@pytest.fixture
def scripted() -> Iterator[ScriptedPacs]:
    with scripted_pacs(two_series()) as running:
        yield running


# ---- Patient root


@requires_dcmtk
@pytest.mark.parametrize("retrieve", ["c-get"])
def test_patient_root_only(tmp_path: Path, retrieve: str) -> None:
    files = write_series(tmp_path / "files", 5) + write_series(tmp_path / "files", 2, study=2)
    with dcmqrscp(tmp_path / "pacs", files, options=["--no-study-root"]) as peer:
        pacs = pacs_at(peer.port, retrieve=retrieve)
        keys = (IdentifierKey("0020000D", "UI"), IdentifierKey("00100010", "PN"))
        studies = {row["0020000D"]["Value"][0] for row in pacs.find(Level.STUDY, keys)}
        assert studies == {study_uid(1), study_uid(2)}
        named = (IdentifierKey("00100020", "LO", "PAT2"), IdentifierKey("0020000D", "UI"))
        assert [row["0020000D"]["Value"] for row in pacs.find(Level.STUDY, named)] == [
            [study_uid(2)]
        ]
        assert fetched(pacs, THREE) == set(THREE)
        pacs.close()


@requires_dcmtk
def test_patient_root_finds_the_patient_for_itself(tmp_path: Path) -> None:
    with dcmqrscp(
        tmp_path / "pacs", write_series(tmp_path / "files", 5), options=["--no-study-root"]
    ) as peer:
        pacs = pacs_at(peer.port)
        assert len(fetched(pacs)) == 5
        series = (STUDY, IdentifierKey("0020000E", "UI"))
        assert len(list(pacs.find(Level.SERIES, series))) == 1
        pacs.close()


@requires_dcmtk
def test_a_study_given_to_another_patient_is_found_again(tmp_path: Path) -> None:
    with dcmqrscp(
        tmp_path / "pacs", write_series(tmp_path / "files", 2), options=["--no-study-root"]
    ) as peer:
        pacs = pacs_at(peer.port)
        before = {"0020000D": {"Value": [study_uid()]}, "00100020": {"Value": ["MERGED"]}}
        pacs._patient_ids.note(before)
        series = (STUDY, IdentifierKey("0020000E", "UI"))
        assert len(list(pacs.find(Level.SERIES, series))) == 1
        other = (STUDY, IdentifierKey("0020000E", "UI", "1.2.3"))
        assert list(pacs.find(Level.SERIES, other)) == [], "of that patient, and not there"
        pacs.close()


@requires_dcmtk
def test_a_patient_id_beyond_ascii_in_the_patient_root(tmp_path: Path) -> None:
    image = ct_slice(1)
    image.PatientID = "Größe-7"
    image.save_as(tmp_path / "one.dcm", enforce_file_format=True)
    options = ["--no-study-root"]
    with dcmqrscp(tmp_path / "pacs", [tmp_path / "one.dcm"], options=options) as peer:
        pacs = pacs_at(peer.port, retrieve="c-get")
        assert fetched(pacs) == {instance_uid(1)}
        pacs.close()


# ---- identifiers


def test_lists_of_uids_are_split_where_they_fail(tmp_path: Path) -> None:
    with PEERS["qrscp"](tmp_path / "pacs", write_series(tmp_path / "files", 6)) as peer:
        pacs = pacs_at(peer.port)
        assert fetched(pacs, THREE) >= set(THREE)
        pacs.close()


def test_lists_refused_are_remembered(scripted: ScriptedPacs) -> None:
    scripted.script.refuses_uid_lists = 0xA900
    learned: list[Manners] = []
    pacs = pacs_at(scripted.port, learned)
    assert fetched(pacs, THREE) == set(THREE)
    assert learned == [Manners(uid_lists=False)]
    before = len(scripted.gets())
    assert fetched(pacs, THREE) == set(THREE)
    assert [len(asked.sop_instance_uids) for asked in scripted.gets()[before:]] == [1, 1, 1]
    pacs.close()


@pytest.mark.parametrize(
    ("refused", "finest", "brings"),
    [
        ({"IMAGE"}, Level.SERIES, {instance_uid(number) for number in range(1, 7)}),
        (
            {"IMAGE", "SERIES"},
            Level.STUDY,
            {instance_uid(number) for number in range(1, 7)} | {instance_uid(1, series=2)},
        ),
    ],
)
def test_levels_refused_are_remembered(
    scripted: ScriptedPacs, refused: set[str], finest: Level, brings: set[str]
) -> None:
    scripted.script.refuses_levels = dict.fromkeys(refused, 0xA900)
    learned: list[Manners] = []
    pacs = pacs_at(scripted.port, learned)
    assert fetched(pacs, (instance_uid(3),)) == brings
    assert learned == [Manners(finest_level=finest)]
    before = len(scripted.gets())
    fetched(pacs, (instance_uid(3),))
    assert [asked.level for asked in scripted.gets()[before:]] == [finest.value]
    pacs.close()


def test_one_failure_teaches_nothing(scripted: ScriptedPacs) -> None:
    scripted.script.refuses_levels = {"IMAGE": 0xC001}
    learned: list[Manners] = []
    pacs = pacs_at(scripted.port, learned)
    assert instance_uid(3) in fetched(pacs, (instance_uid(3),))
    assert learned == []
    pacs.close()


@requires_orthanc
def test_an_answer_cut_short_by_the_pacs_is_no_answer(tmp_path: Path) -> None:
    process = OrthancProcess(
        tmp_path / "limited",
        {
            "DicomAet": "PACS",
            "LimitFindInstances": 3,
            "DicomModalities": {"farsight": ["FARSIGHT", "127.0.0.1", 1]},
        },
    )
    process.start()
    try:
        for file in write_series(tmp_path / "files", 6):
            process.store(file.read_bytes())
        pacs = pacs_at(process.dicom_port)
        keys = (
            STUDY,
            IdentifierKey("0020000E", "UI", series_uid()),
            IdentifierKey("00080018", "UI"),
        )
        rows = []
        with contextlib.suppress(PacsFailure):
            rows = list(pacs.find(Level.IMAGE, keys))
        assert len(rows) in (0, 6), "later ones have no limit below a study"
        assert len(list(pacs.find(Level.IMAGE, keys, max_rows=2))) == 2
        pacs.close()
    finally:
        process.stop()


# ---- associations


@requires_dcmtk
def test_the_limit_of_the_pacs_is_learned(tmp_path: Path) -> None:
    files = write_series(tmp_path / "files", 3)
    learned: list[Manners] = []
    with dcmqrscp(tmp_path / "pacs", files, max_associations=2) as peer:
        pacs = pacs_at(peer.port, learned, limits=PoolLimits(max_associations=8))
        start = threading.Barrier(8)
        counts: list[int] = []

        def search() -> None:
            start.wait()
            keys = (STUDY, IdentifierKey("0020000E", "UI"))
            for _ in range(5):
                counts.append(len(list(pacs.find(Level.SERIES, keys))))

        threads = [threading.Thread(target=search) for _ in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(60)
        assert counts == [1] * 40
        assert learned[-1].max_associations <= 2
        pacs.close()


def test_adopted_manners_count(scripted: ScriptedPacs) -> None:
    pacs = pacs_at(scripted.port)
    pacs.adopt(Manners(uid_lists=False, finest_level=Level.SERIES))
    fetched(pacs, THREE)
    assert [asked.level for asked in scripted.gets()] == ["SERIES"]
    pacs.close()
