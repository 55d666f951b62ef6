"""What clients accept: transfer syntaxes by name, and Accept headers as they write them."""

from __future__ import annotations

IMPLICIT, EXPLICIT, BIG = "1.2.840.10008.1.2", "1.2.840.10008.1.2.1", "1.2.840.10008.1.2.2"
DEFLATED, RLE = "1.2.840.10008.1.2.1.99", "1.2.840.10008.1.2.5"
JPEG, JPEG_LOSSLESS = "1.2.840.10008.1.2.4.50", "1.2.840.10008.1.2.4.70"
JLS, J2K, J2K_LOSSY = "1.2.840.10008.1.2.4.80", "1.2.840.10008.1.2.4.90", "1.2.840.10008.1.2.4.91"
MPEG4, DEFLATED_FRAMES = "1.2.840.10008.1.2.4.102", "1.2.840.10008.1.2.8.1"
OCTETS = "application/octet-stream"
OHIF = "multipart/related; type=application/octet-stream; transfer-syntax=*"
DICOM = "application/dicom"


def related(media_type: str, syntax: str | None = None) -> str:
    suffix = "" if syntax is None else f"; transfer-syntax={syntax}"
    return f'multipart/related; type="{media_type}"{suffix}'
