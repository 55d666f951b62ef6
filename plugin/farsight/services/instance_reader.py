"""One instance, wherever it is: in memory, in the archive, or still at a PACS."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterable
from typing import TypeVar

from farsight.dicom.elements import DicomObject, Instance
from farsight.errors import NotFound
from farsight.model import InstanceRef, SeriesRef
from farsight.ports.archive import Archive
from farsight.services.memory_tier import MemoryTier
from farsight.services.object_file import FileSize, ObjectFile, file_of
from farsight.services.open_instance import OpenInstance
from farsight.services.reading import InUse
from farsight.services.single_fetch import SingleFetches
from farsight.services.stored_instances import StoredInstances

T = TypeVar("T")


class InstanceReader:
    """Fetches ahead of its series what isn't here. Thread-safe; calls block.

    All but `at_hand` raise: NotFound, PacsError, ArchiveError, MalformedDicom.
    """

    def __init__(
        self, archive: Archive, tier: MemoryTier, single: SingleFetches, in_use: InUse
    ) -> None:
        self._archive = archive
        self._in_use = in_use
        self._tier = tier
        self._single = single
        self._stored = StoredInstances(archive, tier)

    def only(self, single: SingleFetches) -> InstanceReader:
        """The same, fetching from fewer sources; what is kept is shared."""
        fewer = copy.copy(self)
        fewer._single = single
        return fewer

    def at_hand(self, ref: InstanceRef) -> OpenInstance | None:
        """The instance if it is in memory, or in a file that was read before and that the system
        needn't ask a disk for. Never blocks."""
        if not self._is_followed(ref):
            return None
        whole = self._tier.get(ref)
        found = self._stored.at_hand(ref) if whole is None else OpenInstance(whole)
        if found is not None:
            self._in_use.used(ref.series)
        return found

    def instance(self, ref: InstanceRef) -> DicomObject:
        """The whole instance, which stays in memory for a while."""
        return self._in_memory_or(ref, self._tier.get, self._stored.whole)

    def file(self, ref: InstanceRef) -> ObjectFile:
        """The file for one use: what memory holds isn't given up for it."""
        found = self._in_memory_or(ref, self._tier.peek, self._stored.file)
        return found if isinstance(found, ObjectFile) else file_of(found)

    def size(self, ref: InstanceRef) -> FileSize:
        """What `file` will bring."""
        found = self._in_memory_or(ref, self._tier.peek, self._stored.size)
        if isinstance(found, FileSize):
            return found
        return FileSize(found.transfer_syntax_uid, len(found.data))

    def open(self, ref: InstanceRef) -> OpenInstance:
        """To read frames or bulk data of: of a large one no more than that gets into memory."""
        found = self._in_memory_or(ref, self._tier.get, self._stored.open)
        return found if isinstance(found, OpenInstance) else OpenInstance(found)

    def header(self, ref: InstanceRef) -> Instance:
        """For its metadata: long values may be left out. Memory stays as it is."""
        return self._in_memory_or(ref, self._tier.peek, self._stored.header)

    def when_walked(self, tell: Callable[[SeriesRef], None]) -> None:
        """Called with the series of every instance whose frames had to be looked for in its file.

        Must not block.
        """
        self._stored.when_walked(tell)

    def keep_outlines(self, refs: Iterable[InstanceRef]) -> None:
        """Keep with each stored instance where its frames are, if that is long to find."""
        self._stored.keep_outlines(refs)

    def _in_memory_or(
        self,
        ref: InstanceRef,
        look: Callable[[InstanceRef], DicomObject | None],
        read: Callable[[InstanceRef], T],
    ) -> DicomObject | T:
        with self._in_use.reading(ref.series):
            self._is_followed(ref)
            for _ in range(2):
                self._single.ensure(ref)
                found = look(ref)
                if found is not None:
                    return found
                try:
                    return read(ref)
                except NotFound:
                    continue  # deleted behind our back; the archive has noticed by now
        deleted = NotFound(f"instance {ref.sop_instance_uid} was deleted while it was read")
        raise self._single.why_not_stored(ref) or deleted

    def _is_followed(self, ref: InstanceRef) -> bool:
        """Else what memory has of it may be deleted or replaced, and is forgotten."""
        if self._archive.follows(ref.study_instance_uid):
            return True
        self._tier.forget(ref)
        return False
