"""A PACS that does wrong on purpose: pynetdicom on a port of its own, in this process.

It speaks real DIMSE; only what it sends follows a script. Everything it was asked is recorded.
"""

from __future__ import annotations

import contextlib
import math
import socket
import struct
import threading
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from io import BytesIO
from typing import Protocol

from pydicom import dcmread
from pydicom.dataset import Dataset
from pynetdicom import AE, build_context, evt
from pynetdicom.events import Event
from pynetdicom.sop_class import (
    CompositeInstanceRetrieveWithoutBulkDataGet,
    StudyRootQueryRetrieveInformationModelFind,
    StudyRootQueryRetrieveInformationModelGet,
    StudyRootQueryRetrieveInformationModelMove,
    Verification,
)

PENDING = 0xFF00
ALWAYS = math.inf
_UNIQUE = {"STUDY": "StudyInstanceUID", "SERIES": "SeriesInstanceUID", "IMAGE": "SOPInstanceUID"}


class Awaited(Protocol):
    """A threading.Event, or something like it."""

    def wait(self, timeout_s: float, /) -> object: ...


@dataclass
class Script:
    """What goes wrong; may be changed while it runs.

    omits: SOPInstanceUID -> how often a C-GET leaves it out and reports success all the same.
    sends_along: objects sent with every C-GET, asked for or not.
    resets_after: so many instances are sent in all; then every C-GET's connection is reset.
    pause_s: before each instance of a C-GET.
    refuses_uid_lists: the status of a C-GET that names several instances; 0 takes it.
    refuses_levels: level -> the status of a C-GET at it.
    sends_nothing: C-GET is offered, and none of the contexts to send anything on.
    ends_kept: the second C-FIND on an association is answered by its abort, a C-ECHO after one too.
    offers_headers: instances without bulk data are to be had (PS3.4 Z), without any pause.
    refuses_utf_8: the status of a C-FIND whose Specific Character Set is UTF-8; 0 takes it.
    names_no_set: rows don't name their Specific Character Set.
    moves_for_s: so long a C-MOVE takes, without a word, or until it is cancelled; it moves nothing.
    silent_in: services that accept the request and never answer: "C-FIND", "C-GET".
    ends_when: set before the end of any C-GET is said, whose instances have been sent.
    aborts_at_end: instead of saying it.
    """

    omits: dict[str, float] = field(default_factory=dict)
    sends_along: list[Dataset] = field(default_factory=list)
    resets_after: int | None = None
    silent_in: frozenset[str] = frozenset()
    ends_when: Awaited | None = None
    aborts_at_end: bool = False
    pause_s: float = 0
    refuses_uid_lists: int = 0
    refuses_levels: dict[str, int] = field(default_factory=dict)
    sends_nothing: bool = False
    offers_headers: bool = False
    ends_kept: bool = False
    refuses_utf_8: int = 0
    names_no_set: bool = False
    moves_for_s: float = 0


@dataclass(frozen=True)
class Asked:
    """One request: "C-FIND" or "C-GET", its level, the SOPInstanceUIDs it names."""

    service: str
    level: str
    sop_instance_uids: frozenset[str]


class ScriptedPacs:
    """Listens from construction to `close`. AE title PACS, but any called title is taken."""

    def __init__(self, objects: Sequence[Dataset], **script: object) -> None:
        self.script = Script(**script)  # type: ignore[arg-type]
        self.asked: list[Asked] = []
        self.character_sets: list[object] = []
        self._objects = list(objects)
        self._changed = threading.Condition()
        self._closing = threading.Event()
        self._connections = 0
        self._associations: set[int] = set()
        self._found_on: set[int] = set()
        self.most_associations = 0
        self.connections_made = 0
        self.cancelled = 0
        self.identities: list[tuple[str, str]] = []
        self._entity = AE("PACS")
        self._entity.maximum_associations = 100
        self._entity.network_timeout = None
        for service in (
            Verification,
            StudyRootQueryRetrieveInformationModelFind,
            StudyRootQueryRetrieveInformationModelGet,
            StudyRootQueryRetrieveInformationModelMove,
        ):
            self._entity.add_supported_context(service)
        if self.script.offers_headers:
            self._entity.add_supported_context(CompositeInstanceRetrieveWithoutBulkDataGet)
        for sop_class_uid, syntax in () if self.script.sends_nothing else _kinds(self._objects):
            self._entity.add_supported_context(sop_class_uid, syntax, scu_role=True, scp_role=True)
        self._server = self._entity.start_server(
            ("127.0.0.1", 0),
            block=False,
            evt_handlers=[
                (evt.EVT_CONN_OPEN, self._opened),
                (evt.EVT_CONN_CLOSE, self._closed),
                (evt.EVT_ACCEPTED, self._accepted),
                (evt.EVT_RELEASED, self._ended),
                (evt.EVT_ABORTED, self._ended),
                (evt.EVT_C_ECHO, self._echo),
                (evt.EVT_C_FIND, self._find),
                (evt.EVT_C_GET, self._get),
                (evt.EVT_C_MOVE, self._move),
                (evt.EVT_USER_ID, self._identified),
            ],
        )
        self.port = int(self._server.socket.getsockname()[1])

    def close(self) -> None:
        self._closing.set()
        self._server.shutdown()
        self._server.server_close()

    # ---- what tests look at

    def wait_for_connections(self, count: int, timeout_s: float = 30) -> bool:
        """Until exactly so many connections are open here."""
        with self._changed:
            return self._changed.wait_for(lambda: self._connections == count, timeout_s)

    def take(self, *objects: Dataset) -> None:
        """It has these as well from now on."""
        with self._changed:
            self._objects = [*self._objects, *objects]

    def wait_until_asked(self, service: str, timeout_s: float = 30) -> None:
        def was_asked() -> bool:
            return any(asked.service == service for asked in self.asked)

        with self._changed:
            assert self._changed.wait_for(was_asked, timeout_s), f"no {service} came"

    def gets(self) -> list[Asked]:
        with self._changed:
            return [asked for asked in self.asked if asked.service == "C-GET"]

    # ---- DIMSE

    def _opened(self, event: Event) -> None:
        with self._changed:
            self._connections += 1
            self.connections_made += 1
            self._changed.notify_all()

    def _closed(self, event: Event) -> None:
        with self._changed:
            self._connections -= 1
            self._associations.discard(id(event.assoc))
            self._changed.notify_all()

    def _accepted(self, event: Event) -> None:
        with self._changed:
            self._associations.add(id(event.assoc))
            self.most_associations = max(self.most_associations, len(self._associations))

    def _ended(self, event: Event) -> None:
        with self._changed:
            self._associations.discard(id(event.assoc))

    def _identified(self, event: Event) -> tuple[bool, None]:
        with self._changed:
            self.identities.append((event.primary_field.decode(), event.secondary_field.decode()))
        return True, None

    def _note(self, service: str, identifier: Dataset) -> None:
        asked = Asked(
            service, identifier.QueryRetrieveLevel, frozenset(_values(identifier, "SOPInstanceUID"))
        )
        with self._changed:
            self.asked.append(asked)
            self._changed.notify_all()
        if service in self.script.silent_in:
            self._closing.wait()

    def _find(self, event: Event) -> Iterator[tuple[int, Dataset]]:
        identifier = event.identifier
        self._note("C-FIND", identifier)
        if self.script.ends_kept and id(event.assoc) in self._found_on:
            event.assoc.abort()
            return
        self._found_on.add(id(event.assoc))
        self.character_sets.append(identifier.get("SpecificCharacterSet"))
        if self.script.refuses_utf_8 and self.character_sets[-1] == "ISO_IR 192":
            yield self.script.refuses_utf_8, Dataset()
            return
        unique = _UNIQUE[identifier.QueryRetrieveLevel]
        seen: set[str] = set()
        for found in self._matching(identifier):
            if found[unique].value in seen:
                continue
            seen.add(found[unique].value)
            row = Dataset()
            for element in identifier:
                if element.tag in found:
                    row[element.tag] = found[element.tag]
            row.SpecificCharacterSet = "ISO_IR 192"
            if self.script.names_no_set:  # pydicom writes Latin-1 then
                row.PatientName = str(row.PatientName)
                del row.SpecificCharacterSet
            row.QueryRetrieveLevel = identifier.QueryRetrieveLevel
            yield PENDING, row

    def _headers(self, event: Event) -> Iterator[object]:
        """PS3.4 Z: named by SOP Instance UIDs alone, and sent without what table Z.1-1 lists."""
        self._note("headers", event.identifier)
        assert event.identifier.QueryRetrieveLevel == "IMAGE"
        assert set(event.identifier.dir()) == {"QueryRetrieveLevel", "SOPInstanceUID"}
        chosen = [
            found
            for found in self._matching(event.identifier)
            if self.script.omits.get(found.SOPInstanceUID, 0) <= 0
        ]
        yield len(chosen)
        for found in chosen:
            header = _as_read(found)
            if "PixelData" in header:
                del header.PixelData
            yield PENDING, header

    def _echo(self, event: Event) -> int:
        if self.script.ends_kept and id(event.assoc) in self._found_on:
            event.assoc.abort()
        return 0x0000

    def _get(self, event: Event) -> Iterator[object]:
        if event.context.abstract_syntax == CompositeInstanceRetrieveWithoutBulkDataGet:
            yield from self._headers(event)
            return
        self._note("C-GET", event.identifier)
        refusal = self.script.refuses_levels.get(event.identifier.QueryRetrieveLevel, 0)
        if len(_values(event.identifier, "SOPInstanceUID")) > 1:
            refusal = refusal or self.script.refuses_uid_lists
        if refusal:
            yield 1  # of nothing to do pynetdicom reports a success by itself
            yield refusal, None
            return
        chosen = []
        for found in self._matching(event.identifier):
            uid = found.SOPInstanceUID
            if self.script.omits.get(uid, 0) > 0:
                self.script.omits[uid] -= 1
            else:
                chosen.append(found)
        chosen += self.script.sends_along
        yield len(chosen)
        for found in chosen:
            if self.script.resets_after is not None:
                if self.script.resets_after <= 0:
                    _reset(event)
                    return
                self.script.resets_after -= 1
            self._closing.wait(self.script.pause_s)
            if event.is_cancelled:
                self.cancelled += 1
                yield 0xFE00, None
                return
            yield PENDING, _as_read(found)
        if self.script.ends_when is not None:
            self.script.ends_when.wait(30)
        if self.script.aborts_at_end:
            event.assoc.abort()

    def _move(self, event: Event) -> Iterator[object]:
        self._note("C-MOVE", event.identifier)
        # Somewhere that accepts an association; nothing is sent there.
        yield "127.0.0.1", self.port, {"contexts": [build_context(Verification)]}
        yield 1
        until = time.monotonic() + self.script.moves_for_s
        cancelled = False  # asking pynetdicom forgets it
        while time.monotonic() < until and not (cancelled := event.is_cancelled):
            self._closing.wait(0.02)
        if cancelled:
            self.cancelled += 1
            yield 0xFE00, None
            return
        yield 0x0000, None

    def _matching(self, identifier: Dataset) -> list[Dataset]:
        """By UIDs only: whatever else is asked for, it sends too much."""
        wanted = {
            keyword: values
            for keyword in _UNIQUE.values()
            if (values := _values(identifier, keyword))
        }
        return [
            found
            for found in self._objects
            if all(found[keyword].value in values for keyword, values in wanted.items())
        ]


def _values(identifier: Dataset, keyword: str) -> list[str]:
    value = identifier.get(keyword)
    if not value:
        return []
    return [value] if isinstance(value, str) else list(value)


def _kinds(objects: Sequence[Dataset]) -> set[tuple[str, str]]:
    return {(o.SOPClassUID, o.file_meta.TransferSyntaxUID) for o in objects}


def _as_read(made: Dataset) -> Dataset:
    """With its encoding settled, as if it came out of a file."""
    written = BytesIO()
    made.save_as(written, enforce_file_format=True)
    return dcmread(BytesIO(written.getvalue()))


def _reset(event: Event) -> None:
    """RST instead of FIN, in the middle of everything."""
    connection = event.assoc.dul.socket.socket
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    connection.close()


@contextlib.contextmanager
def scripted_pacs(objects: Sequence[Dataset], **script: object) -> Iterator[ScriptedPacs]:
    """Listening, and closed whatever happens."""
    pacs = ScriptedPacs(objects, **script)
    try:
        yield pacs
    finally:
        pacs.close()


@contextlib.contextmanager
def mute_listener() -> Iterator[int]:
    """A port that accepts connections and never says a word: not even to A-ASSOCIATE-RQ."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen(50)
        yield int(listener.getsockname()[1])


def wait_until(condition: object, timeout_s: float = 30, what: str = "it") -> None:
    """Polls where the other process has no event to wait on."""
    deadline = time.monotonic() + timeout_s
    while not condition():  # type: ignore[operator]
        assert time.monotonic() < deadline, f"{what} did not happen within {timeout_s:g} s"
        time.sleep(0.02)
