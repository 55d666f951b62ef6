"""Stored instances on their way to a PACS: as they are stored, or in an encoding it takes."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from farsight.dicom.elements import DicomObject
from farsight.dicom.explicit import rewritten
from farsight.dicom.implicit import as_implicit_little_endian
from farsight.dicom.part10 import opening, parse_object
from farsight.dicom.transfer_syntax import (
    DEFLATED,
    EXPLICIT_VR_LITTLE_ENDIAN,
    IMPLICIT_VR_LITTLE_ENDIAN,
    NATIVE,
)
from farsight.errors import NotAcceptable, NotFound, UnsupportedDicom
from farsight.model import InstanceRef
from farsight.services.transcoding import TranscodeService


@dataclass(frozen=True, slots=True)
class StoredOutgoing:
    """See ports.pacs.Outgoing. read: all of the file; called whenever a data set is asked for."""

    ref: InstanceRef
    sop_class_uid: str
    transfer_syntax_uid: str
    read: Callable[[InstanceRef], bytes]
    transcoder: TranscodeService

    @property
    def sop_instance_uid(self) -> str:
        return self.ref.sop_instance_uid

    def data_set(self, transfer_syntax_uid: str) -> bytes | memoryview:
        """What is behind the file meta information, unless another encoding is asked for.

        Only what breaks PS3.5 7.1 by an odd length, which DIMSE can't carry (peers abort), is
        written anew with its values padded. Decompressing changes neither pixels nor name: what a
        lossy image says of its losses stays.
        Raises: UnsupportedDicom, NotFound, ArchiveError, MalformedDicom, ImagingBusy.
        """
        data = self.read(self.ref)
        offset, stored_as, guessed = opening(data)
        is_odd = (len(data) - offset) % 2 == 1
        if guessed:
            parse_object(data)  # which tells whether the guess is right
        if stored_as == transfer_syntax_uid and not is_odd:
            return memoryview(data)[offset:]
        if stored_as == transfer_syntax_uid and stored_as in DEFLATED:
            return data[offset:] + b"\0"  # as PS3.5 A.5 pads it
        return self._encoded(parse_object(data), transfer_syntax_uid)

    def _encoded(self, instance: DicomObject, transfer_syntax_uid: str) -> bytes | memoryview:
        if transfer_syntax_uid == EXPLICIT_VR_LITTLE_ENDIAN:
            explicit = self._explicit(instance)
            return memoryview(explicit)[opening(explicit)[0] :]
        if transfer_syntax_uid != IMPLICIT_VR_LITTLE_ENDIAN:
            why = f"{instance.transfer_syntax_uid} can't be had as {transfer_syntax_uid}"
            raise UnsupportedDicom(f"{why}, or has an odd length")
        if instance.transfer_syntax_uid not in NATIVE:
            instance = parse_object(self._explicit(instance))
        return as_implicit_little_endian(instance)

    def _explicit(self, instance: DicomObject) -> bytes:
        """Raises: UnsupportedDicom where the pixels can't be decompressed without loss."""
        if instance.transfer_syntax_uid == EXPLICIT_VR_LITTLE_ENDIAN:
            return rewritten(instance, EXPLICIT_VR_LITTLE_ENDIAN, {})
        if instance.transfer_syntax_uid not in NATIVE and (
            EXPLICIT_VR_LITTLE_ENDIAN not in self.transcoder.targets(instance)
        ):
            raise UnsupportedDicom(f"{instance.transfer_syntax_uid} can't be decompressed here")
        try:
            return self.transcoder.whole(instance, EXPLICIT_VR_LITTLE_ENDIAN)
        except (NotAcceptable, NotFound) as error:
            raise UnsupportedDicom(str(error)) from error
