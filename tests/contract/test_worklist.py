"""The worklist over real associations, with DCMTK's wlmscpfs."""

from __future__ import annotations

from datetime import date
from pathlib import Path

import pytest

from farsight.adapters.dimse_connection import Timeouts
from farsight.adapters.dimse_worklist import DimseWorklist
from farsight.adapters.pacs_address import PacsAddress
from farsight.errors import PacsError, PacsRefusedService, PacsUnavailable
from farsight.model_prefetch import WorklistRule
from farsight.services.prefetch_choice import facts_of
from farsight.services.prefetch_scheduled import scheduled_patients
from free_ports import free_port
from pacs_peers import dcmqrscp, requires_dcmtk
from sample_files import write_series
from worklist_peers import AE_TITLE, entry, wlmscpfs

pytestmark = requires_dcmtk
JUNE_1, JUNE_3 = date(2024, 6, 1), date(2024, 6, 3)


def worklist_at(port: int, ae_title: str = AE_TITLE) -> DimseWorklist:
    address = PacsAddress(
        *("ris", ae_title, "127.0.0.1", port, "FARSIGHT"), timeouts=Timeouts(2, 5, 5)
    )
    return DimseWorklist(address)


def test_who_is_scheduled_on_a_day_and_on_some(tmp_path: Path) -> None:
    entries = [
        entry("P1", "20240601", modality="CT", issuer="HOSPITAL"),
        entry("P2", "20240603", modality="MR", birth_date=""),
        entry("P3", "20240604"),
        entry("P4", "20240531"),
    ]
    with wlmscpfs(tmp_path, entries) as peer:
        worklist = worklist_at(peer.port)
        (row,) = worklist.scheduled(JUNE_1, JUNE_1, 100)
        assert facts_of(row).patient.patient_id == "P1"
        rows = worklist.scheduled(JUNE_1, JUNE_3, 100)
        found = scheduled_patients(rows, WorklistRule("a", "ris"), JUNE_1, JUNE_3)
        told = [
            (one.patient.patient_id, one.patient.issuer, one.patient.birth_date) for one in found
        ]
        assert sorted(told) == [("P1", "HOSPITAL", "19700101"), ("P2", "", "")]
        assert {(one.date, one.time, one.modalities) for one in found} == {
            ("20240601", "090000", frozenset({"CT"})),
            ("20240603", "090000", frozenset({"MR"})),
        }


def test_after_so_many_the_question_is_cancelled(tmp_path: Path) -> None:
    entries = [entry(f"P{number}", "20240601") for number in range(20)]
    with wlmscpfs(tmp_path, entries) as peer:
        worklist = worklist_at(peer.port)
        assert len(worklist.scheduled(JUNE_1, JUNE_1, 5)) == 5
        assert len(worklist.scheduled(JUNE_1, JUNE_1, 100)) == 20


def test_nobody_is_scheduled(tmp_path: Path) -> None:
    with wlmscpfs(tmp_path, []) as peer:
        assert worklist_at(peer.port).scheduled(JUNE_1, JUNE_1, 100) == []


def test_one_that_has_no_worklist(tmp_path: Path) -> None:
    files = write_series(tmp_path / "files", 1)
    not_offered = pytest.raises(PacsRefusedService, match="worklist C-FIND is not offered")
    with dcmqrscp(tmp_path / "pacs", files) as peer, not_offered:
        worklist_at(peer.port, "PACS").scheduled(JUNE_1, JUNE_1, 100)


def test_one_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(PacsUnavailable, match="no connection"):
        worklist_at(free_port()).scheduled(JUNE_1, JUNE_1, 100)
    with wlmscpfs(tmp_path, []) as peer, pytest.raises(PacsError):
        worklist_at(peer.port, "UNKNOWN").scheduled(JUNE_1, JUNE_1, 100)
