"""C-FIND on one PACS, in the Study root, or in the Patient root where nothing else is offered."""

from __future__ import annotations

import logging
import threading
import time
from collections import OrderedDict
from collections.abc import Generator, Sequence
from contextlib import AbstractContextManager, closing
from typing import Protocol

from farsight.adapters.dimse_exchange import Exchange
from farsight.adapters.pacs_address import PacsAddress
from farsight.dimse import commands, status
from farsight.dimse.identifier_encoding import encode_identifier, is_encodable
from farsight.dimse.status import refuses_identifier
from farsight.errors import MalformedDicom, PacsError, PacsFailure
from farsight.model import Attributes, IdentifierKey, Level
from farsight.ps318.dicom_json import identifier_attributes

LOG = logging.getLogger("farsight.dimse")

_UTF_8 = "ISO_IR 192"
#: How long a refusal counts: it may have been something else.
_REMEMBERED_S = 3600.0
_UNIQUE_KEYS = ("00100020", "0020000D", "0020000E", "00080018")
_STUDY, _PATIENT_ID = "0020000D", "00100020"
#: Attributes that are asked for at PATIENT level (PS3.4 C.6.1.1.2).
_OF_PATIENT = frozenset({"00100010", _PATIENT_ID, "00100021", "00100030", "00100032", "00100040"})
_MOST_PATIENTS = 500


class Lease(Protocol):
    """How an exchange is had: the C-FIND models on a leased association."""

    def __call__(self) -> AbstractContextManager[Exchange]: ...


class PatientIds:
    """StudyInstanceUID -> PatientID, as lately seen; the oldest go first. Thread-safe."""

    def __init__(self, most: int = 10_000) -> None:
        self._most = most
        self._lock = threading.Lock()
        self._known: OrderedDict[str, str] = OrderedDict()

    def note(self, row: Attributes) -> None:
        study, patient = _text(row, _STUDY), _text(row, _PATIENT_ID)
        if not study or not patient:
            return
        with self._lock:
            self._known[study] = patient
            while len(self._known) > self._most:
                self._known.popitem(last=False)

    def of(self, study_instance_uid: str) -> str | None:
        with self._lock:
            return self._known.get(study_instance_uid)


class Finder:
    """Asks and reads rows. Thread-safe: every call leases an association of its own."""

    def __init__(self, address: PacsAddress, lease: Lease, patient_ids: PatientIds) -> None:
        self._character_set = address.character_set
        self._no_utf_8_until = 0.0
        self._name = address.name
        self._lease = lease
        self._patient_ids = patient_ids

    def rows(
        self, level: Level, keys: Sequence[IdentifierKey], max_rows: int | None
    ) -> Generator[Attributes]:
        """One row per match; closing it early cancels.

        Raises: PacsError; StaleConnection before the first row, which is worth a second call.
        """
        with self._lease() as exchange:
            if exchange.patient_root:
                found = self._in_patient_root(exchange, level, keys)
            else:
                found = self._ask(exchange, level, keys)
            try:
                for number, row in enumerate(found, 1):
                    yield row
                    if number == max_rows:
                        return
            finally:
                found.close()

    def _ask(
        self, exchange: Exchange, level: str, keys: Sequence[IdentifierKey]
    ) -> Generator[Attributes]:
        """In UTF-8; what isn't ASCII in the configured set as well.

        A PACS that refuses UTF-8 is asked without it for a while.
        """
        is_ascii = all(key.value.isascii() for key in keys)
        own = self._own_set(keys)
        seen: set[tuple[str, ...]] = set()
        if time.monotonic() >= self._no_utf_8_until:
            try:
                with closing(self._ask_in(exchange, level, keys, _UTF_8)) as rows:
                    for row in rows:
                        seen.add(_uids(row))
                        yield row
            except PacsFailure as error:
                may_be_the_set = is_ascii or own is not None
                if seen or not may_be_the_set or not refuses_identifier(error.dimse_status):
                    raise
                yield from self._without_utf_8(exchange, level, keys, own, error)
                return
            if is_ascii or own is None:
                return
        elif own is None and not is_ascii:
            why = "C-FIND: takes no UTF-8, and these letters aren't in its CharacterSet"
            raise PacsFailure(self._name, why)
        with closing(self._ask_in(exchange, level, keys, own)) as rows:
            for row in rows:
                if _uids(row) not in seen:
                    yield row

    def _without_utf_8(
        self,
        exchange: Exchange,
        level: str,
        keys: Sequence[IdentifierKey],
        own: str | None,
        refusal: PacsFailure,
    ) -> Generator[Attributes]:
        """The same without UTF-8. Raises: `refusal` where that is refused too."""
        rows = self._ask_in(exchange, level, keys, own)
        try:
            first = next(rows, None)
        except PacsFailure as error:
            if refuses_identifier(error.dimse_status):
                raise refusal from error
            raise
        LOG.warning("PACS %r takes no UTF-8 (%s); not asked in it for a while", self._name, refusal)
        self._no_utf_8_until = time.monotonic() + _REMEMBERED_S
        with closing(rows):
            if first is not None:
                yield first
                yield from rows

    def _own_set(self, keys: Sequence[IdentifierKey]) -> str | None:
        """The configured set if the values can be written in it; None: no set, or none needed."""
        own = self._character_set
        return own if own and is_encodable(keys, own) else None

    def _ask_in(
        self,
        exchange: Exchange,
        level: str,
        keys: Sequence[IdentifierKey],
        character_set: str | None,
    ) -> Generator[Attributes]:
        identifier = encode_identifier(level, keys, exchange.transfer_syntax, character_set)
        message = exchange.ask(commands.C_FIND_RQ, identifier)
        while message.command.status in status.PENDING:
            row = self._row(message.data_set or b"", exchange.transfer_syntax)
            self._patient_ids.note(row)
            try:
                yield row
            except GeneratorExit:
                try:
                    exchange.cancel()
                except PacsError as error:  # enough came all the same
                    LOG.info("%s", error)
                    exchange.connection.abort()
                raise
            message = exchange.receive()
        exchange.check_end(message)
        if message.command.status != status.SUCCESS:
            # Nobody cancelled: a limit of the PACS. What is cut short must not pass for all.
            why = "C-FIND: the PACS cut its answer short"
            raise PacsFailure(self._name, why, message.command.status)

    def _row(self, data_set: bytes, transfer_syntax_uid: str) -> Attributes:
        try:
            return identifier_attributes(data_set, transfer_syntax_uid, self._character_set)
        except MalformedDicom as error:
            raise PacsFailure(self._name, f"C-FIND: a row can't be read ({error})") from error

    # ---- Patient root

    def _in_patient_root(
        self, exchange: Exchange, level: Level, keys: Sequence[IdentifierKey]
    ) -> Generator[Attributes]:
        """The same question once per patient: each identifier names one (PS3.4 C.6.1.2)."""
        study = next((key.value for key in keys if key.tag == _STUDY and key.value), "")
        known = self._patient_ids.of(study) if study else None
        if known is not None:
            found = yield from self._of_patient(exchange, level, keys, known)
            # Without anything: the study may have been given to another patient since.
            if found or self._still_has(exchange, known, study):
                return
        for patient_id in self._patients(exchange, keys):
            yield from self._of_patient(exchange, level, keys, patient_id)

    def _still_has(self, exchange: Exchange, patient_id: str, study: str) -> bool:
        keys = (IdentifierKey(_PATIENT_ID, "LO", patient_id), IdentifierKey(_STUDY, "UI", study))
        rows = list(self._ask(exchange, "STUDY", keys))
        return any(_text(row, _STUDY) == study for row in rows)

    def _of_patient(
        self, exchange: Exchange, level: Level, keys: Sequence[IdentifierKey], patient_id: str
    ) -> Generator[Attributes, None, bool]:
        """Returns whether there was anything."""
        of_one = [key for key in keys if key.tag != _PATIENT_ID]
        of_one.insert(0, IdentifierKey(_PATIENT_ID, "LO", patient_id))
        found = False
        with closing(self._ask(exchange, level, of_one)) as rows:
            for row in rows:
                found = True
                yield row
        return found

    def _patients(self, exchange: Exchange, keys: Sequence[IdentifierKey]) -> list[str]:
        asked = [key for key in keys if key.tag in _OF_PATIENT and key.tag != _PATIENT_ID]
        wanted = next((key.value for key in keys if key.tag == _PATIENT_ID), "")
        asked.insert(0, IdentifierKey(_PATIENT_ID, "LO", wanted))
        found: list[str] = []
        rows = self._ask(exchange, "PATIENT", asked)
        try:
            for row in rows:
                found.append(_text(row, _PATIENT_ID))
                if len(found) > _MOST_PATIENTS:
                    raise PacsFailure(
                        self._name,
                        f"knows the Patient root only, and more than {_MOST_PATIENTS} patients "
                        "match: narrow the search by PatientID or PatientName",
                    )
        finally:
            rows.close()
        return [patient_id for patient_id in dict.fromkeys(found) if patient_id]


def _uids(row: Attributes) -> tuple[str, ...]:
    return tuple(_text(row, tag) for tag in _UNIQUE_KEYS)


def _text(row: Attributes, tag: str) -> str:
    values = row.get(tag, {}).get("Value") or [""]
    return str(values[0] or "")
