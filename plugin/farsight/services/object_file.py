"""One DICOM file on its way out: looked into only where that is needed."""

from __future__ import annotations

from dataclasses import dataclass

from farsight.dicom.elements import DicomObject
from farsight.dicom.part10 import parse_object


@dataclass(frozen=True, slots=True)
class FileSize:
    """How many bytes a file has, and what its data set is encoded in."""

    transfer_syntax_uid: str
    size: int


@dataclass(frozen=True, slots=True)
class ObjectFile:
    """The bytes as they are stored. parsed: where that was done already."""

    transfer_syntax_uid: str
    data: bytes
    parsed: DicomObject | None = None

    def instance(self) -> DicomObject:
        """Raises: MalformedDicom."""
        return self.parsed or parse_object(self.data)


def file_of(instance: DicomObject) -> ObjectFile:
    return ObjectFile(instance.transfer_syntax_uid, instance.data, instance)
