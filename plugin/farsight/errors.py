"""One tree of errors; each class knows the HTTP status it becomes (PS3.18 8.5).

Messages are written for the person at the other end: they name the parameter, the PACS or
the DIMSE status, and never carry patient data.
"""

from __future__ import annotations

import math


class FarsightError(Exception):
    """Anything Farsight reports on purpose. `str(error)` is fit to be sent to a client."""

    status = 500


class SettingsError(FarsightError):
    """A configuration Farsight can't start with: names the JSON key, the value, what is allowed."""

    def __init__(self, key: str, value: object, allowed: str) -> None:
        super().__init__(f"{key} is {value!r}: {allowed}")
        self.key = key


class BadRequest(FarsightError):
    """The request is wrong and repeating it won't help."""

    status = 400


class InvalidUid(BadRequest):
    """A value that has to be a UID is not one (PS3.5 9.1)."""

    def __init__(self, where: str, value: str) -> None:
        super().__init__(f"{where} is not a valid UID: {value[:80]!r}")


class InvalidParameter(BadRequest):
    """A query parameter or header has a value that can't be used."""

    def __init__(self, name: str, value: str, why: str) -> None:
        super().__init__(f"parameter {name[:80]!r} has the value {value[:80]!r}: {why}")
        self.name = name


class Unauthorized(FarsightError):
    """No credentials, or wrong ones."""

    status = 401


class NotFound(FarsightError):
    """Neither the archive nor any PACS that answered has it."""

    status = 404


class MethodNotAllowed(FarsightError):
    """The resource exists, the method doesn't apply to it."""

    status = 405

    def __init__(self, method: str, allowed: tuple[str, ...]) -> None:
        super().__init__(f"{method} is not allowed here; allowed: {', '.join(allowed)}")
        self.allowed = allowed


class RequestTimeout(FarsightError):
    """The client stopped sending before its request was whole."""

    status = 408


class Conflict(FarsightError):
    """Well-formed, and in the way of what is here already or under way."""

    status = 409


class NotAcceptable(FarsightError):
    """None of the media types and transfer syntaxes the client accepts can be produced."""

    status = 406


class PayloadTooLarge(FarsightError):
    """A body, part or result above its limit."""

    status = 413


class UnsupportedMediaType(FarsightError):
    """The body is of a type this resource doesn't take."""

    status = 415


class RangeNotSatisfiable(FarsightError):
    """A byte range outside the representation, which has `size` bytes."""

    status = 416

    def __init__(self, size: int) -> None:
        super().__init__(f"the range lies outside of the {size} bytes there are")
        self.size = size


class MalformedDicom(FarsightError):
    """Bytes that claim to be DICOM and can't be read as such."""

    status = 500


class DecoderLost(MalformedDicom):
    """Decoding ended without an answer, or took too long: most likely over hostile data."""


class UnsupportedDicom(FarsightError):
    """Well-formed, but of a kind that can't be served this way (no pixels, say)."""

    status = 404


class UploadsBusy(FarsightError):
    """As many bodies are being read as can be; it is worth coming again."""

    status = 503

    def __init__(self, waited_s: float) -> None:
        super().__init__(f"other uploads are being read, for {waited_s:g} s: come again")
        self.retry_after_s = math.ceil(waited_s)


class ImagingBusy(FarsightError):
    """No worker for decoding and drawing can be had."""

    status = 503


class PacsError(FarsightError):
    """A PACS failed us. The message names it and, where there is one, the DIMSE status."""

    status = 502

    def __init__(self, pacs: str, message: str, dimse_status: int | None = None) -> None:
        suffix = "" if dimse_status is None else f" (DIMSE status 0x{dimse_status:04X})"
        super().__init__(f"PACS {pacs!r}: {message}{suffix}")
        self.pacs = pacs
        self.what = message
        self.dimse_status = dimse_status


class PacsFailure(PacsError):
    """The PACS answered with a failure status, or not as the protocol demands."""


class PacsRefusedService(PacsFailure):
    """The PACS doesn't offer the SOP class or operation asked for (C-GET, say)."""


class PacsRefusedContexts(PacsRefusedService):
    """The PACS offers C-GET, and none of the contexts it would have to send the instances on."""


class PacsUnavailable(PacsError):
    """No association could be had: connection refused, association rejected, limit reached."""

    status = 503


class PacsTimeout(PacsError):
    """The PACS accepted the connection but did not answer in time."""

    status = 504


class RetrieveInterrupted(PacsError):
    """Given up in favour of another retrieve; what is missing may be asked for at once."""

    status = 503


class RetrieveIncomplete(PacsError):
    """The PACS lists instances it did not deliver, also when asked again."""

    def __init__(self, pacs: str, received: int, expected: int, why: str = "") -> None:
        super().__init__(
            pacs, f"delivered {received} of the {expected} instances it lists{why and ': ' + why}"
        )
        self.received = received
        self.expected = expected


class ArchiveError(FarsightError):
    """Orthanc's store refused or failed."""

    status = 500


class ArchiveRefused(ArchiveError):
    """Orthanc can't make sense of what it was given to store."""


class OutboxError(FarsightError):
    """What is to go to a PACS can't be noted down or looked up."""


class CacheBookError(FarsightError):
    """The account of what is stored can't be kept or looked up."""


class ArchiveFull(ArchiveError):
    """Orthanc's store has no room left."""

    status = 507
