"""One series at a PACS, in memory and strict."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from io import BytesIO

from pydicom.dataset import Dataset

from fakes.memory_archive import MemoryArchive as MemoryArchive
from fakes.taking import Taking
from farsight.dicom.part10 import parse_object
from farsight.errors import PacsError, PacsFailure, PacsRefusedContexts
from farsight.model import (
    Attributes,
    IdentifierKey,
    InstanceRef,
    Level,
    ReceivedInstance,
    SubOperations,
)
from farsight.ports.pacs import (
    Arrivals,
    Delivered,
    Outgoing,
    Sink,
    Told,
    not_told,
    unknown_arrivals,
)

_TAGS = {
    "0020000D": "StudyInstanceUID",
    "0020000E": "SeriesInstanceUID",
    "00080018": "SOPInstanceUID",
    "00080016": "SOPClassUID",
    "00080060": "Modality",
}
_COUNT = "00201209"


def part10(data_set: Dataset) -> bytes:
    written = BytesIO()
    data_set.save_as(written, enforce_file_format=True)
    return written.getvalue()


def received(data_set: Dataset) -> ReceivedInstance:
    meta = data_set.file_meta
    return ReceivedInstance(
        str(meta.MediaStorageSOPClassUID),
        str(meta.MediaStorageSOPInstanceUID),
        str(meta.TransferSyntaxUID),
        part10(data_set),
    )


@dataclass(frozen=True)
class Retrieved:
    """One retrieve as it was asked for."""

    series_instance_uid: str | None
    sop_instance_uids: frozenset[str]
    urgent: bool


class SeriesSource:
    """The Pacs port over a list of objects.

    omits: SOPInstanceUID -> how often it is left out. sends_along: sent with every retrieve.
    fails_after: after so many instances `failure` is raised. gate: waited for before sending.
    after_each: called with the number of instances delivered so far. lists_instances: answers at
    IMAGE level. names_instances: with their UIDs. counts: tells NumberOfSeriesRelatedInstances.
    before: called with the number of instances about to be delivered. names_classes: rows tell
    the SOP class. refuses_classes: no context of these is accepted.
    taking: what it does with what it is sent.
    """

    def __init__(self, objects: Sequence[Dataset], name: str = "pacs") -> None:
        self.objects = list(objects)
        self._name = name
        self.taking = Taking()
        self.omits: dict[str, float] = {}
        self.sends_along: list[ReceivedInstance] = []
        self.fails_after: int | None = None
        self.failure: PacsError | None = None
        self.gate: threading.Event | None = None
        self.after_each: Callable[[int], None] | None = None
        self.moves_to: Callable[[InstanceRef, bytes], None] | None = None
        self.at_once = 1
        self.lists_instances = True
        self.counts = True
        self.names_instances = True
        self.names_classes = True
        self.refuses_classes: frozenset[str] = frozenset()
        self.before: Callable[[int], None] | None = None
        self.finds = 0
        self.retrieved: list[Retrieved] = []
        self._lock = threading.Lock()

    @property
    def name(self) -> str:
        return self._name

    @property
    def ae_title(self) -> str:
        return self._name.upper()

    @property
    def requests_at_once(self) -> int:
        return self.at_once

    def store(self, instances: Sequence[Outgoing], delivered: Delivered) -> None:
        self.taking.store(instances, delivered)

    def echo(self) -> None:
        raise AssertionError("a retrieve never echoes")

    def find(
        self, level: Level, identifier: Sequence[IdentifierKey], *, max_rows: int | None = None
    ) -> Iterator[Attributes]:
        self.finds += 1
        if self.failure is not None and self.fails_after is None:
            raise self.failure
        if level is Level.IMAGE and not self.lists_instances:
            raise PacsFailure(self._name, "C-FIND: identifier does not match SOP class", 0xA900)
        wanted = {key.tag: key.value for key in identifier if key.value}
        seen: set[tuple[str, ...]] = set()
        for one in self.objects:
            row = {
                key.tag: self._count() if key.tag == _COUNT else str(one[_TAGS[key.tag]].value)
                for key in identifier
            }
            if not self.names_classes and "00080016" in row:
                row["00080016"] = ""
            if level is Level.IMAGE and not self.names_instances:
                row["00080018"] = ""
            shown = tuple(row.values())
            if all(row[tag] == value for tag, value in wanted.items()) and shown not in seen:
                seen.add(shown)
                yield {tag: {"vr": "UI", "Value": [value]} for tag, value in row.items()}

    def _count(self) -> str:
        return str(len(self.objects)) if self.counts else ""

    @property
    def sends_headers(self) -> bool:
        return False

    def headers(
        self, sop_instance_uids: Sequence[str], sop_class_uids: Sequence[str], sink: Sink
    ) -> None:
        raise AssertionError("not offered")

    def retrieve(
        self,
        study_instance_uid: str,
        series_instance_uid: str | None,
        sop_instance_uids: Sequence[str],
        sop_class_uids: Sequence[str],
        sink: Sink,
        *,
        arrivals: Arrivals = unknown_arrivals,
        told: Told = not_told,
        urgent: bool = False,
        attempt: int = 0,
    ) -> SubOperations:
        assert len(set(sop_instance_uids)) == len(sop_instance_uids)
        with self._lock:
            asked = Retrieved(series_instance_uid, frozenset(sop_instance_uids), urgent)
            self.retrieved.append(asked)
        if self.refuses_classes & set(sop_class_uids):
            raise PacsRefusedContexts(self._name, "none accepted")
        if self.gate is not None:
            assert self.gate.wait(10)
        chosen = [one for one in self.objects if self._is_asked(one, study_instance_uid, asked)]
        sent = [received(one) for one in chosen if not self._is_left_out(one.SOPInstanceUID)]
        if self.before is not None:
            self.before(len(sent))
        for number, instance in enumerate([*sent, *self.sends_along]):
            if number == self.fails_after and self.failure is not None:
                raise self.failure
            self._deliver(instance, sink)
            if self.after_each is not None:
                self.after_each(number + 1)
            told(SubOperations(number + 1, 0, 0, 0xFF00, len(chosen) - number - 1))
        outcome = SubOperations(len(chosen), 0, 0, 0)
        told(outcome)
        return outcome

    def _is_asked(self, one: Dataset, study_instance_uid: str, asked: Retrieved) -> bool:
        return (
            one.StudyInstanceUID == study_instance_uid
            and asked.series_instance_uid in (None, one.SeriesInstanceUID)
            and (not asked.sop_instance_uids or one.SOPInstanceUID in asked.sop_instance_uids)
        )

    def _is_left_out(self, uid: str) -> bool:
        if self.omits.get(uid, 0) <= 0:
            return False
        self.omits[uid] -= 1
        return True

    def _deliver(self, instance: ReceivedInstance, sink: Sink) -> None:
        if self.moves_to is None:
            sink(instance)
            return
        parsed = parse_object(instance.part10)
        ref = InstanceRef(
            parsed.study_instance_uid, parsed.series_instance_uid, parsed.sop_instance_uid
        )
        self.moves_to(ref, instance.part10)
