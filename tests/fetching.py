"""Fetching from a PACS on this machine, as the gateway does: its adapter, and what came."""

from __future__ import annotations

from pydicom.dataset import Dataset

from farsight.adapters.dimse_pacs import DimsePacs
from farsight.adapters.pacs_address import PacsAddress
from farsight.dimse.manners import Manners
from farsight.model import IdentifierKey, ReceivedInstance
from sample_files import ct_slice, series_uid, study_uid

CT = "1.2.840.10008.5.1.4.1.1.2"
STUDY = IdentifierKey("0020000D", "UI", study_uid())


def two_series() -> list[Dataset]:
    """One study: six slices in its first series, one in its second."""
    objects = [ct_slice(number) for number in range(1, 7)]
    return [*objects, ct_slice(1, series=2)]


def pacs_at(port: int, learned: list[Manners] | None = None, **more: object) -> DimsePacs:
    address = PacsAddress("pacs", "PACS", "127.0.0.1", port, "FARSIGHT", **more)  # type: ignore[arg-type]
    return DimsePacs(address, [].append if learned is None else learned.append)


def fetched(pacs: DimsePacs, uids: tuple[str, ...] = (), series: str = series_uid()) -> set[str]:
    got: list[ReceivedInstance] = []
    pacs.retrieve(study_uid(), series, uids, (CT,), got.append)
    return {one.sop_instance_uid for one in got}
