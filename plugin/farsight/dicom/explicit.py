"""Native data sets re-encoded as Explicit VR Little Endian (PS3.5 A.2), by pydicom.

For clients that ask for it or name no transfer syntax; what is stored stays as it is.
"""

from __future__ import annotations

from io import BytesIO

from pydicom import dcmread
from pydicom.dataset import Dataset
from pydicom.filebase import DicomBytesIO
from pydicom.filewriter import write_dataset

from farsight.dicom.elements import DicomObject
from farsight.dicom.part10 import write_part10
from farsight.errors import MalformedDicom

EXPLICIT_VR_LITTLE_ENDIAN = "1.2.840.10008.1.2.1"
_WORD_BYTES = {"OW": 2, "OF": 4, "OL": 4, "OD": 8, "OV": 8}


def as_explicit_little_endian(instance: DicomObject) -> bytes:
    """The Part 10 bytes of a natively encoded instance in Explicit VR Little Endian.

    Raises: MalformedDicom when pydicom can't read or write it.
    """
    try:
        data_set = dcmread(BytesIO(instance.data), force=True)
        if instance.big_endian:
            _swap_words(data_set)
        buffer = DicomBytesIO()
        buffer.is_little_endian = True
        buffer.is_implicit_VR = False
        write_dataset(buffer, data_set)
    except (ValueError, TypeError, AttributeError, NotImplementedError, KeyError) as error:
        raise MalformedDicom(f"can't be re-encoded: {type(error).__name__}") from error
    return write_part10(
        instance.sop_class_uid,
        instance.sop_instance_uid,
        EXPLICIT_VR_LITTLE_ENDIAN,
        buffer.getvalue(),
    )


def _swap_words(data_set: Dataset) -> None:
    """pydicom leaves the bytes of words as they were read."""
    for element in data_set.iterall():
        size = _WORD_BYTES.get(element.VR)
        if size and isinstance(element.value, bytes):
            value = element.value
            swapped = bytearray(len(value))
            for offset in range(size):
                swapped[offset::size] = value[size - 1 - offset :: size]
            element.value = bytes(swapped)
