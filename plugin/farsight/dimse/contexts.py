"""Which presentation contexts to propose (PS3.8 7.1.1.13; PS3.4 C.5.3).

A storage context holds one transfer syntax only, so that the PACS can send each object as it
keeps it: with several in one context the peer picks one and would have to convert, or fail.
"""

from __future__ import annotations

from collections.abc import Sequence

from pynetdicom import AllStoragePresentationContexts

from farsight.dimse.association import MAX_CONTEXTS, ProposedContext
from farsight.dimse.identifier_encoding import EXPLICIT_LE, IMPLICIT_LE

VERIFICATION = "1.2.840.10008.1.1"
STUDY_ROOT_FIND = "1.2.840.10008.5.1.4.1.2.2.1"
STUDY_ROOT_MOVE = "1.2.840.10008.5.1.4.1.2.2.2"
STUDY_ROOT_GET = "1.2.840.10008.5.1.4.1.2.2.3"
PATIENT_ROOT_FIND = "1.2.840.10008.5.1.4.1.2.1.1"
PATIENT_ROOT_MOVE = "1.2.840.10008.5.1.4.1.2.1.2"
PATIENT_ROOT_GET = "1.2.840.10008.5.1.4.1.2.1.3"
#: Objects without their pixels and other bulk data, named by SOP Instance UID (PS3.4 Z).
WITHOUT_BULK_DATA_GET = "1.2.840.10008.5.1.4.1.2.5.3"
#: The models to propose for a service, the one we prefer first (PS3.4 C.3).
FIND_MODELS = (STUDY_ROOT_FIND, PATIENT_ROOT_FIND)
MOVE_MODELS = (STUDY_ROOT_MOVE, PATIENT_ROOT_MOVE)
GET_MODELS = (STUDY_ROOT_GET, PATIENT_ROOT_GET)
#: Every C-GET association proposes all of these, so that it serves for any of them, and kept
#: for a query or an echo too: what is asked next needs no association of its own then, and none
#: has to be closed for it.
GET_SERVICES = (*GET_MODELS, WITHOUT_BULK_DATA_GET, *FIND_MODELS, VERIFICATION)

EXPLICIT_BE = "1.2.840.10008.1.2.2"
DEFLATED = "1.2.840.10008.1.2.1.99"
UNCOMPRESSED = (EXPLICIT_LE, IMPLICIT_LE)
#: Everything a stored object may be encoded in (PS3.5 annex A, PS3.6 table A-1), commonest first.
STORED_SYNTAXES = (
    EXPLICIT_LE,
    IMPLICIT_LE,
    "1.2.840.10008.1.2.4.70",  # JPEG Lossless SV1
    "1.2.840.10008.1.2.4.90",  # JPEG 2000 lossless
    "1.2.840.10008.1.2.4.91",  # JPEG 2000
    "1.2.840.10008.1.2.4.50",  # JPEG Baseline
    "1.2.840.10008.1.2.4.80",  # JPEG-LS lossless
    "1.2.840.10008.1.2.5",  # RLE
    "1.2.840.10008.1.2.4.51",  # JPEG Extended
    "1.2.840.10008.1.2.4.57",  # JPEG Lossless
    "1.2.840.10008.1.2.4.81",  # JPEG-LS near-lossless
    EXPLICIT_BE,
    DEFLATED,
    "1.2.840.10008.1.2.4.201",  # HTJ2K lossless
    "1.2.840.10008.1.2.4.202",  # HTJ2K lossless RPCL
    "1.2.840.10008.1.2.4.203",  # HTJ2K
    "1.2.840.10008.1.2.4.102",  # MPEG-4 AVC
    "1.2.840.10008.1.2.4.103",
    "1.2.840.10008.1.2.4.104",
    "1.2.840.10008.1.2.4.105",
    "1.2.840.10008.1.2.4.106",
    "1.2.840.10008.1.2.4.107",  # HEVC
    "1.2.840.10008.1.2.4.108",
    "1.2.840.10008.1.2.4.100",  # MPEG-2
    "1.2.840.10008.1.2.4.101",
    "1.2.840.10008.1.2.4.110",  # JPEG XL lossless
    "1.2.840.10008.1.2.4.111",  # JPEG XL, JPEG recompressed
    "1.2.840.10008.1.2.4.112",  # JPEG XL
    "1.2.840.10008.1.2.8.1",  # Deflated Image Frame
)
#: Hardly ever met; proposed where there is room.
RARE_SYNTAXES = (
    "1.2.840.10008.1.2.4.92",  # JPEG 2000, several components, lossless
    "1.2.840.10008.1.2.4.93",
    "1.2.840.10008.1.2.1.98",  # Encapsulated Uncompressed
    *(f"1.2.840.10008.1.2.4.{number}.1" for number in range(100, 107)),  # fragmentable video
    "1.2.840.10008.1.2.4.53",  # JPEG Spectral Selection, retired
)
_COMMON_COMPRESSED = STORED_SYNTAXES[2:10]
#: How many SOP classes fit beside the services when each has one context per syntax.
CLASSES_PER_ASSOCIATION = (MAX_CONTEXTS - len(GET_SERVICES)) // len(STORED_SYNTAXES)


def service_contexts(*sop_class_uids: str) -> tuple[ProposedContext, ...]:
    """For C-FIND, C-MOVE and C-ECHO: the service, in either uncompressed encoding."""
    return tuple(ProposedContext(uid, UNCOMPRESSED) for uid in sop_class_uids)


def get_contexts(
    sop_class_uids: Sequence[str], *, uncompressed_only: bool, attempt: int = 0
) -> tuple[ProposedContext, ...]:
    """For what C-GET of objects of those classes sends us; none given: every storage class.

    With unknown classes each gets one context with the uncompressed encodings, and the commonest
    one with all compressed ones, of which the PACS picks one. What it could not send that way is
    asked for again: then the commonest classes get a context per syntax, then come the classes
    that had no room.
    """
    proposed: list[ProposedContext] = []
    if uncompressed_only:
        for uid in sop_class_uids or _STORAGE_CLASSES:
            proposed.append(ProposedContext(uid, UNCOMPRESSED))
    elif sop_class_uids and len(sop_class_uids) <= CLASSES_PER_ASSOCIATION:
        for uid in sop_class_uids:
            proposed.extend(ProposedContext(uid, (syntax,)) for syntax in STORED_SYNTAXES)
        for uid in sop_class_uids:
            proposed.extend(ProposedContext(uid, (syntax,)) for syntax in RARE_SYNTAXES)
    elif attempt % 3 == 2:
        for uid in sop_class_uids or _COMMON_CLASSES:
            proposed.extend(ProposedContext(uid, (syntax,)) for syntax in _COMMON_COMPRESSED)
    elif attempt and attempt % 3 == 0:
        for uid in reversed(sop_class_uids or _STORAGE_CLASSES):
            proposed.append(ProposedContext(uid, UNCOMPRESSED))
    else:
        compressed = tuple(s for s in STORED_SYNTAXES if s not in UNCOMPRESSED)
        for uid in sop_class_uids or _COMMON_CLASSES:
            proposed.append(ProposedContext(uid, compressed))
        for uid in sop_class_uids or _STORAGE_CLASSES:
            proposed.append(ProposedContext(uid, UNCOMPRESSED))
    return tuple(proposed[: MAX_CONTEXTS - len(GET_SERVICES)])


_COMMON_CLASSES = (
    "1.2.840.10008.5.1.4.1.1.2",  # CT
    "1.2.840.10008.5.1.4.1.1.4",  # MR
    "1.2.840.10008.5.1.4.1.1.1",  # CR
    "1.2.840.10008.5.1.4.1.1.1.1",  # DX
    "1.2.840.10008.5.1.4.1.1.1.2",  # MG
    "1.2.840.10008.5.1.4.1.1.6.1",  # US
    "1.2.840.10008.5.1.4.1.1.3.1",  # US multi-frame
    "1.2.840.10008.5.1.4.1.1.7",  # SC
    "1.2.840.10008.5.1.4.1.1.12.1",  # XA
    "1.2.840.10008.5.1.4.1.1.20",  # NM
    "1.2.840.10008.5.1.4.1.1.128",  # PET
    "1.2.840.10008.5.1.4.1.1.2.1",  # Enhanced CT
    "1.2.840.10008.5.1.4.1.1.4.1",  # Enhanced MR
    "1.2.840.10008.5.1.4.1.1.13.1.3",  # Breast tomosynthesis
    "1.2.840.10008.5.1.4.1.1.77.1.6",  # Whole slide microscopy
)


def _storage_classes() -> tuple[str, ...]:
    known = [str(c.abstract_syntax) for c in AllStoragePresentationContexts]
    rest = sorted(set(known) - set(_COMMON_CLASSES), key=lambda uid: (len(uid), uid))
    return (*_COMMON_CLASSES, *rest)


_STORAGE_CLASSES = _storage_classes()
