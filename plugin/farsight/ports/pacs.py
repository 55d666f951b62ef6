"""A legacy PACS, as the services see it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Protocol

from farsight.errors import FarsightError
from farsight.model import (
    Attributes,
    IdentifierKey,
    Level,
    ReceivedInstance,
    StoreReply,
    SubOperations,
)

Sink = Callable[[ReceivedInstance], None]
#: How many instances have arrived by now, whichever way. Raises where no more is wanted.
Arrivals = Callable[[], int]
#: Hears what the PACS says while it is at it.
Told = Callable[[SubOperations], None]


def unknown_arrivals() -> int:
    """For whoever doesn't count what arrives elsewhere."""
    return 0


def not_told(_sub_operations: SubOperations) -> None:
    """For whoever needs to know the end only."""


class Outgoing(Protocol):
    """One instance to be sent by C-STORE; its bytes are read when its turn comes."""

    @property
    def sop_class_uid(self) -> str: ...
    @property
    def sop_instance_uid(self) -> str: ...
    @property
    def transfer_syntax_uid(self) -> str:
        """As it is stored."""
        ...

    def data_set(self, transfer_syntax_uid: str) -> bytes | memoryview:
        """Encoded in that syntax: as stored, without a change, if it is that.

        Raises: UnsupportedDicom where it can't be had so, NotFound, ArchiveError, MalformedDicom.
        """
        ...


#: Hears what became of each instance: the PACS's reply, or why it could not be sent.
Delivered = Callable[[Outgoing, StoreReply | FarsightError], None]


class Pacs(Protocol):
    """One remote PACS. Methods may block; they raise PacsError subclasses, never raw I/O errors.

    Implementations hold to the PACS's association limit by themselves.
    """

    @property
    def name(self) -> str:
        """The name the administrator gave it (key in DicomModalities)."""
        ...

    @property
    def ae_title(self) -> str:
        """Its AE title, for (0008,0054) RetrieveAETitle."""
        ...

    @property
    def requests_at_once(self) -> int:
        """Into how many requests at once a large retrieve is worth splitting; 1: it isn't."""
        ...

    @property
    def sends_headers(self) -> bool:
        """Whether it was found to offer instances without their bulk data (PS3.4 Z)."""
        ...

    def headers(
        self, sop_instance_uids: Sequence[str], sop_class_uids: Sequence[str], sink: Sink
    ) -> None:
        """Deliver those instances without pixels and other bulk data to `sink`, ahead of the rest.

        Raises: as `retrieve`.
        """
        ...

    def find(
        self, level: Level, identifier: Sequence[IdentifierKey], *, max_rows: int | None = None
    ) -> Iterator[Attributes]:
        """C-FIND in the Study root (PS3.4 C.4.1). Rows as DICOM JSON, text decoded.

        The Query/Retrieve Level and Specific Character Set are the adapter's business. After
        `max_rows` rows the query is cancelled (C-CANCEL). Closing the iterator cancels too.
        A key the PACS doesn't support is absent from its rows.

        Raises: PacsUnavailable, PacsTimeout, PacsFailure.
        """
        ...

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
        """Fetch a study, one of its series, or instances of a series; deliver each to `sink`.

        `sop_instance_uids` empty means all of the level named. `sop_class_uids` says what the
        objects are, as far as known, so that presentation contexts suffice; empty: unknown.
        `sink` is called on the caller's thread (but see `urgent`) in order of arrival; when it
        raises, the retrieve is abandoned and the error goes through. With C-MOVE the instances
        arrive at Orthanc itself and `sink` isn't called; `arrivals` is, now and then: while it
        grows the PACS isn't taken for silent, and when it raises, the move is cancelled. `told` is
        called with the counts of every response, pending ones and those that end a request.
        `urgent`: a viewer waits for just this; it goes before other retrieves. One instance that is
        asked for alone may then be waited for only until the sink has it; what the PACS sends and
        says besides is given to `sink` and `told` afterwards, on another thread. `attempt`: how
        often the same was asked for before without getting all; with unknown classes other
        presentation contexts are proposed then.

        Raises: PacsUnavailable, PacsTimeout, PacsRefusedService, PacsFailure. What was
        delivered before an error stays delivered.
        """
        ...

    def store(self, instances: Sequence[Outgoing], delivered: Delivered) -> None:
        """C-STORE (PS3.4 B): each in the order given, as stored where the PACS takes that, else in
        Explicit or Implicit VR Little Endian. Whoever else waits for the PACS goes first.

        `delivered` is called for each in that order, on the caller's thread; a failure status of
        one doesn't keep the next from being sent. When it raises, no more are sent and the error
        goes through. Raises: PacsUnavailable, PacsTimeout, PacsFailure where no more can be sent;
        those `delivered` was called for are settled.
        """
        ...

    def echo(self) -> None:
        """C-ECHO. Raises PacsError when the PACS can't be reached or refuses."""
        ...
