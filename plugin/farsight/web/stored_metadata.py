"""Instances that come as metadata with bulk data beside it (PS3.18 10.5.1.4)."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from datetime import UTC, datetime

from farsight.errors import BadRequest, PayloadTooLarge
from farsight.model import Attributes
from farsight.ports.spool import Spool, SpooledPart
from farsight.ps318.assembled_instances import Assembled, AssemblyFailure, assemble
from farsight.ps318.bulk_parts import BulkPart
from farsight.ps318.data_set_bytes import Coercion
from farsight.ps318.store_reasons import WarningReason
from farsight.ps318.store_request import PartKind, StorePart
from farsight.services.offers import Refusal

#: Why it is stored with a warning, what it was before, and words for people.
Coerced = tuple[WarningReason, Attributes | None, str]


class Assembling:
    """Takes the parts of one message, and makes files of them.

    refused: what no file could be made of. coerced: by SOP Instance UID.
    """

    def __init__(self, spool: Spool, max_bytes: int, turns: threading.Semaphore) -> None:
        """`max_bytes`: of metadata and bulk data together. `turns`: taken with the first part."""
        self._spool = spool
        self._left_bytes = self._max_bytes = max_bytes
        self._turns = turns
        self._has_turn = False
        self._documents: list[bytes | memoryview] = []
        self._bulk: list[BulkPart] = []
        self._root_type = ""
        self.refused: list[Refusal] = []
        self.coerced: dict[str, Coerced] = {}

    def take(self, root_type: str, what: StorePart, body: SpooledPart) -> None:
        """Metadata, which is of the root type, or bulk data: all of it gets into memory.

        Raises: PayloadTooLarge, ArchiveError.
        """
        if not self._has_turn:
            self._has_turn = self._turns.acquire()
        self._left_bytes -= body.size
        if self._left_bytes < 0:
            limit = f"{self._max_bytes >> 20} MB (Farsight.Stow.MemoryMegabytes)"
            raise PayloadTooLarge(f"metadata and bulk data together are above {limit}")
        self._root_type = root_type
        if what.kind is PartKind.METADATA:
            self._documents.append(body.whole())
        else:
            self._bulk.append(BulkPart(what.content_type, what.location, body.whole()))

    def close(self) -> None:
        """The next message may have its turn."""
        self._documents.clear()
        self._bulk.clear()
        if self._has_turn:
            self._turns.release()

    def files(self) -> list[SpooledPart]:
        """Raises: BadRequest where the metadata can't be read at all, PayloadTooLarge,
        UnsupportedMediaType, ArchiveError."""
        if not self._documents:
            return []
        files: list[SpooledPart] = []
        message = assemble(self._root_type, self._documents, self._bulk)
        failed = any(isinstance(one, AssemblyFailure) for one in message.instances)
        if message.unclaimed and not failed:  # what failed claims nothing
            location = message.unclaimed[0][:200]
            raise BadRequest(f"no metadata refers to the part with Content-Location {location!r}")
        for one in message.instances:
            if isinstance(one, AssemblyFailure):
                uids = one.sop_class_uid, one.sop_instance_uid
                self.refused.append(Refusal(one.reason, one.why, *uids))
                continue
            files.append(self._file(one))
            if one.coercions:
                self.coerced[one.ref.sop_instance_uid] = _told(one.coercions)
        return files

    def _file(self, one: Assembled) -> SpooledPart:
        for piece in one.pieces:
            self._spool.write(piece)
        return self._spool.end_part()


def _told(coercions: Sequence[Coercion]) -> Coerced:
    """With an item of Original Attributes Sequence (PS3.3 C.12.1.1.9)."""
    changed = {one.path: one.original for one in coercions if "/" not in one.path}
    original: Attributes | None = None
    if changed:
        now = datetime.now(UTC).strftime("%Y%m%d%H%M%S+0000")
        original = {
            "04000550": {"vr": "SQ", "Value": [changed]},
            "04000562": {"vr": "DT", "Value": [now]},
            "04000563": {"vr": "LO", "Value": ["Farsight"]},
            "04000564": {"vr": "LO"},
            "04000565": {"vr": "CS", "Value": ["COERCE"]},
        }
    why = "; ".join(dict.fromkeys(one.why for one in coercions))
    return WarningReason.COERCED, original, why
