"""The store that is the cache: Orthanc, as the services see it."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from enum import Enum
from typing import Protocol

from farsight.model import (
    Attributes,
    Completeness,
    IdentifierKey,
    InstanceRef,
    Level,
    SeriesRef,
)


class StoredObject(Protocol):
    """One stored DICOM file, read in pieces, whatever becomes of its instance meanwhile.

    `size` in bytes. `identity`: names these bytes for ever; None where the archive has no pieces
    to give, and all of it is in memory already.
    """

    @property
    def size(self) -> int: ...
    @property
    def identity(self) -> str | None: ...

    def read(self, start: int, length: int) -> bytes:
        """Exactly these bytes. Raises: ArchiveError."""
        ...

    def read_at_hand(self, start: int, length: int) -> bytes | memoryview | None:
        """The same, where no disk has to be waited for; else None."""
        ...


class Kept(Enum):
    """Kinds of records that are kept with what is stored."""

    INDEX = 0
    THUMBNAILS = 1


class Archive(Protocol):
    """Orthanc's own store. Methods may block; they raise ArchiveError subclasses."""

    @property
    def changes(self) -> int:
        """Grows whenever anything is stored, replaced or deleted."""
        ...

    def study_instances(self, study_instance_uid: str) -> Mapping[str, Collection[str]]:
        """What is stored of a study: SeriesInstanceUID -> its SOPInstanceUIDs. Empty if nothing."""
        ...

    def follows(self, study_instance_uid: str) -> bool:
        """Whether what becomes of the study is told of; never blocks, and counts as a use of it.

        From `study_instances` or `holds` on it is, until many others were asked for.
        """
        ...

    def holds(self, ref: InstanceRef) -> bool:
        """Whether the instance is stored; cheap, unlike study_instances of a large study."""
        ...

    def series_version(self, series: SeriesRef) -> int:
        """Changes whenever an instance of the series is added, replaced or deleted."""
        ...

    def reload(self, study_instance_uid: str) -> None:
        """Look again at what is stored of a study: others may have stored, deleted, replaced."""
        ...

    def store(self, ref: InstanceRef, part10: bytes | memoryview) -> bool:
        """Store one instance; it is durable, and listed by study_instances, when this returns.

        False: one with these UIDs was stored before, and stays as it is. Raises: ArchiveError,
        ArchiveFull.
        """
        ...

    def named(self, sop_instance_uid: str) -> Sequence[InstanceRef]:
        """Stored instances of that name: more than one where somebody gave it twice."""
        ...

    def patient_ids(self, study_instance_uid: str) -> frozenset[str]:
        """The PatientIDs under which instances of the study are stored; empty if none are."""
        ...

    def delete(self, refs: Collection[InstanceRef]) -> None:
        """Delete these instances, in one step where the archive can; those not stored don't matter.

        Raises: ArchiveError.
        """
        ...

    def free_bytes(self) -> int | None:
        """Room left on the disk the archive is on; None where that can't be told."""
        ...

    def read(self, ref: InstanceRef) -> bytes:
        """The Part 10 bytes exactly as stored.

        Raises: NotFound, ArchiveError.
        """
        ...

    def open(self, ref: InstanceRef) -> StoredObject:
        """The object for reading in pieces.

        Raises: NotFound, ArchiveError.
        """
        ...

    def identity_at_hand(self, ref: InstanceRef) -> str | None:
        """Which bytes are stored, where nothing has to be waited for to tell; else None."""
        ...

    def open_at_hand(self, ref: InstanceRef) -> StoredObject | None:
        """The object, where nothing has to be waited for; else None.

        It isn't looked at: only the identity of one that `open` gave before says what it is.
        """
        ...

    def fingerprint(self, series: SeriesRef) -> str:
        """Another one whenever other instances, or other bytes under the same UIDs, are stored.

        Unlike series_version it is the same after a restart. "": can't be told.
        """
        ...

    def kept(self, owner: SeriesRef | InstanceRef, what: Kept = Kept.INDEX) -> bytes | None:
        """What was kept with a series or an instance; None where that can't be had."""
        ...

    def keep(self, owner: SeriesRef | InstanceRef, record: bytes, what: Kept = Kept.INDEX) -> None:
        """Keep one record of a kind with a series or an instance, as long as that is stored.

        Raises: ArchiveError.
        """
        ...

    def completeness(self, series: SeriesRef) -> Completeness | None:
        """The record left by mark_complete, if the series is still there."""
        ...

    def mark_complete(self, series: SeriesRef, record: Completeness) -> None:
        """Keep the record with the series; it goes when the series goes. One that expects more than
        is stored says that the series isn't whole any more. Counts among the changes."""
        ...

    def find(
        self, level: Level, keys: Sequence[IdentifierKey], *, max_rows: int | None = None
    ) -> Sequence[Attributes]:
        """Stored studies, series or instances that may match, as DICOM JSON.

        Wider than asked is allowed (the search matches again); narrower is not. Keys of
        higher levels that are UIDs are exact. Each row carries, where the stored objects have
        them, every attribute of `keys` and the UIDs down to its level.
        """
        ...
