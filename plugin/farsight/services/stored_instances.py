"""Instances out of the archive: small ones whole and into memory, large ones piece by piece."""

from __future__ import annotations

import logging
import threading
from collections import OrderedDict
from collections.abc import Callable, Iterable
from dataclasses import replace

from farsight.dicom.elements import DicomObject, Instance
from farsight.dicom.part10 import opening, parse_object
from farsight.errors import ArchiveError, MalformedDicom
from farsight.model import InstanceRef, SeriesRef
from farsight.ports.archive import Archive, StoredObject
from farsight.services.memory_tier import MemoryTier
from farsight.services.object_file import FileSize, ObjectFile, file_of
from farsight.services.open_instance import OpenInstance
from farsight.services.outline import Outline, outline_in, outline_of

LOG = logging.getLogger("farsight.archive")

#: Larger files are not read whole to answer for a part of them.
LARGE_BYTES = 4 << 20
#: File meta information, whatever is in it, ends before that.
_HEAD_BYTES = 64 << 10


class StoredInstances:
    """Thread-safe; calls block. All raise: NotFound, ArchiveError, MalformedDicom.

    Law: memory never keeps what was replaced or deleted while it was read.
    """

    def __init__(
        self, archive: Archive, tier: MemoryTier, max_outline_bytes: int = 64 << 20
    ) -> None:
        """`max_outline_bytes`: what the outlines of files may weigh together."""
        self._archive = archive
        self._tier = tier
        self._max_outline_bytes = max_outline_bytes
        self._lock = threading.Lock()
        self._outlines: OrderedDict[str, Outline] = OrderedDict()
        self._outline_bytes = 0
        self._walked: list[Callable[[SeriesRef], None]] = []

    def whole(self, ref: InstanceRef) -> DicomObject:
        """The instance, which is kept in memory from now on."""
        version = self._archive.series_version(ref.series)
        return self._remembered(ref, parse_object(self._archive.read(ref)), version)

    def file(self, ref: InstanceRef) -> ObjectFile:
        """The file for one use: what memory has stays there, what has room is added."""
        version = self._archive.series_version(ref.series)
        data = self._archive.read(ref)
        _, syntax, guessed = opening(data)
        if not guessed and not self._tier.has_room(len(data)):
            return ObjectFile(syntax, data)
        return file_of(self._remembered(ref, parse_object(data), version))

    def size(self, ref: InstanceRef) -> FileSize:
        """What `file` will bring, of a file that needn't be read for it."""
        stored = self._archive.open(ref)
        try:
            _, syntax, guessed = opening(stored.read(0, min(stored.size, _HEAD_BYTES)))
        except MalformedDicom:  # meta information that is longer, or that is no DICOM
            guessed = True
        if guessed:
            syntax = parse_object(stored.read(0, stored.size)).transfer_syntax_uid
        return FileSize(syntax, stored.size)

    def open(self, ref: InstanceRef) -> OpenInstance:
        """The instance for reading frames and bulk data of."""
        version = self._archive.series_version(ref.series)
        stored = self._archive.open(ref)
        outline = self._outline(ref, stored) if stored.size > LARGE_BYTES else None
        if outline is not None:
            return OpenInstance(outline.head, stored, outline.frames)
        try:
            whole = parse_object(stored.read(0, stored.size))
        except ArchiveError:
            whole = parse_object(self._archive.read(ref))  # which may know another way
        else:
            self._note(stored, whole)
        return OpenInstance(self._remembered(ref, whole, version))

    def at_hand(self, ref: InstanceRef) -> OpenInstance | None:
        """The same of a file of which the outline is known. Never blocks; never raises."""
        identity = self._archive.identity_at_hand(ref)
        outline = None if identity is None else self._known(identity)
        if outline is None:
            return None
        stored = self._archive.open_at_hand(ref)
        if stored is None or stored.identity != identity:
            return None
        return OpenInstance(outline.head, stored, outline.frames)

    def header(self, ref: InstanceRef) -> Instance:
        """The instance for its metadata: long values may be left out. Memory keeps what it has."""
        stored = self._archive.open(ref)
        outline = self._outline(ref, stored)
        return outline.head if outline else parse_object(stored.read(0, stored.size))

    def _remembered(self, ref: InstanceRef, found: DicomObject, version: int) -> DicomObject:
        """`version`: of its series before it was read."""
        self._tier.add_stored(ref, found)
        if self._archive.series_version(ref.series) != version:  # replaced or deleted meanwhile
            self._tier.discard(ref, found)
        return found

    def when_walked(self, tell: Callable[[SeriesRef], None]) -> None:
        """See InstanceReader.when_walked."""
        self._walked.append(tell)

    def keep_outlines(self, refs: Iterable[InstanceRef]) -> None:
        """See InstanceReader.keep_outlines."""
        for ref in refs:
            stored = self._archive.open(ref)
            outline = self._outline(ref, stored) if stored.size > LARGE_BYTES else None
            if outline is None or stored.identity is None or not outline.is_worth_keeping:
                continue
            record = outline.record()
            if record is not None:
                self._archive.keep(ref, record.to_bytes(stored.identity))
                self._keep(stored.identity, replace(outline, is_kept=True))

    def _outline(self, ref: InstanceRef, stored: StoredObject) -> Outline | None:
        """None where it takes the whole file to tell."""
        if stored.identity is None:
            return None
        if (outline := self._known(stored.identity)) is not None:
            return outline
        is_large = stored.size > LARGE_BYTES
        outline = outline_of(stored, self._archive.kept(ref) if is_large else None)
        if outline is not None:
            self._keep(stored.identity, outline)
            if is_large and outline.is_worth_keeping:
                for tell in self._walked:
                    tell(ref.series)
        return outline

    def _note(self, stored: StoredObject, whole: DicomObject) -> None:
        """What `at_hand` needs. What can't be told is asked for in the file each time."""
        if stored.identity is None or self._known(stored.identity) is not None:
            return
        try:
            outline = outline_in(whole)
        except MalformedDicom as error:
            LOG.debug("instance %s: %s", whole.sop_instance_uid, error)
            return
        if outline is not None:
            self._keep(stored.identity, outline)

    def _known(self, identity: str) -> Outline | None:
        """Counts as a use."""
        with self._lock:
            outline = self._outlines.get(identity)
            if outline is not None:
                self._outlines.move_to_end(identity)
            return outline

    def _keep(self, identity: str, outline: Outline) -> None:
        with self._lock:
            before = self._outlines.pop(identity, None)
            self._outline_bytes += outline.bytes - (0 if before is None else before.bytes)
            self._outlines[identity] = outline
            while self._outline_bytes > self._max_outline_bytes and len(self._outlines) > 1:
                _, gone = self._outlines.popitem(last=False)
                self._outline_bytes -= gone.bytes
