"""Content negotiation for objects and frames: as stored, by name, transcoded (PS3.18 8.7.3)."""

from __future__ import annotations

import pytest
from pydicom.uid import AllTransferSyntaxes

from accept_headers import (
    BIG,
    DEFLATED,
    DEFLATED_FRAMES,
    DICOM,
    EXPLICIT,
    IMPLICIT,
    J2K,
    J2K_LOSSY,
    JLS,
    JPEG,
    JPEG_LOSSLESS,
    MPEG4,
    OCTETS,
    OHIF,
    RLE,
    related,
)
from farsight.errors import NotAcceptable
from farsight.ps318.accept import parse_accept
from farsight.ps318.media_type import choose_dicom, choose_frames, takes_any_dicom

#: JPEG of a retired process, JPEG 2000 in several components, fragmentable video, native frames
#: in fragments.
UNUSUAL = ("1.2.840.10008.1.2.4.53", "1.2.840.10008.1.2.4.92", "1.2.840.10008.1.2.4.102.1",
           "1.2.840.10008.1.2.1.98")  # fmt: skip
PRIVATE = "1.2.826.0.1.3680043.8.498.1"
ALL_SYNTAXES = tuple(str(uid) for uid in AllTransferSyntaxes)


@pytest.mark.parametrize(
    ("header", "stored", "target", "multipart"),
    [
        # as stored: no Accept, wildcards, transfer-syntax=*
        *((header, stored, stored, True)
          for header in (None, "*/*", related("*/*"), "multipart/related", related(DICOM, "*"))
          for stored in (EXPLICIT, DEFLATED, JPEG, JPEG_LOSSLESS, MPEG4)),
        *((related(DICOM, "*"), stored, stored, True) for stored in (IMPLICIT, BIG)),
        # ... but what no web service sends unless it is asked for
        *((header, stored, EXPLICIT, True)
          for header in (None, "*/*", related("*/*"), "multipart/related")
          for stored in (IMPLICIT, BIG)),
        (f"{DICOM}; transfer-syntax=*", J2K, J2K, False),
        # by name
        (related(DICOM, JLS), JLS, JLS, True),
        (related(DICOM, f'"{JLS}"'), JLS, JLS, True),
        (related(DICOM, IMPLICIT), IMPLICIT, IMPLICIT, True),
        (f"{DICOM}; transfer-syntax={JLS}", JLS, JLS, False),
        # without: Explicit VR Little Endian, made from any native syntax
        *((related(DICOM), stored, EXPLICIT, True)
          for stored in (IMPLICIT, EXPLICIT, BIG, DEFLATED)),
        (DICOM, IMPLICIT, EXPLICIT, False),
        (related(DICOM, EXPLICIT), BIG, EXPLICIT, True),
        # ... but what is compressed comes as it is stored
        *((related(DICOM), stored, stored, True)
          for stored in (JPEG, J2K_LOSSY, MPEG4, RLE, JPEG_LOSSLESS, JLS, J2K, *UNUSUAL)),
        (f"{DICOM}; transfer-syntax={PRIVATE}", PRIVATE, PRIVATE, False),
        # several
        (f"{related(DICOM, EXPLICIT)}, {related(DICOM, JLS)}", JLS, JLS, True),
        (f"{related(DICOM, EXPLICIT)};q=0.5, {related(DICOM, '*')}", IMPLICIT, IMPLICIT, True),
        (f"{related(DICOM, EXPLICIT)}, {related(DICOM, '*')};q=0.5", IMPLICIT, EXPLICIT, True),
        (f"text/html, {DICOM};q=0.1", EXPLICIT, EXPLICIT, False),
    ],
)  # fmt: skip
def test_whole_objects(header: str | None, stored: str, target: str, multipart: bool) -> None:
    offer = choose_dicom(parse_accept(header), stored, single_part=True)
    assert (offer.transfer_syntax_uid, offer.multipart) == (target, multipart)
    assert offer.as_stored is (target == stored)
    assert offer.content_type == f"application/dicom; transfer-syntax={target}"


@pytest.mark.parametrize(
    ("header", "stored"),
    [
        (related(DICOM, EXPLICIT), JPEG),
        (related(DICOM, EXPLICIT), PRIVATE),
        (related(DICOM, J2K), JLS),
        (related(DICOM, BIG), EXPLICIT),
        (OHIF, EXPLICIT),
        ("image/jpeg", JPEG),
        ("text/html", EXPLICIT),
    ],
)
def test_whole_objects_that_would_need_transcoding(header: str, stored: str) -> None:
    with pytest.raises(NotAcceptable) as refusal:
        choose_dicom(parse_accept(header), stored, single_part=True)
    assert f'multipart/related; type="application/dicom"; transfer-syntax={stored}' in str(
        refusal.value
    )


def test_several_objects_need_multipart() -> None:
    with pytest.raises(NotAcceptable):
        choose_dicom(parse_accept(DICOM), EXPLICIT, single_part=False)


@pytest.mark.parametrize(
    ("header", "takes_any"),
    [
        *((header, True)
          for header in (None, "*/*", "multipart/related", related("*/*"), related(DICOM),
                         related(DICOM, "*"), f"{related(DICOM, JPEG)}, {related(DICOM)}")),
        (related(DICOM, EXPLICIT), False),
        (f"{related(DICOM, EXPLICIT)}, {related(DICOM, JPEG)}", False),
        (f"{related(DICOM, JPEG)};q=0, {related(DICOM, '*')}", False),
        (f"{related(OCTETS)};q=0, image/*;q=0, {related(DICOM, '*')}", True),
        (f"{related(DICOM, '1.2.840.10008.1.2.4.0')}, {related(DICOM, EXPLICIT)}", False),
        (DICOM, False),
    ],
)  # fmt: skip
def test_who_takes_objects_whatever_they_are_stored_in(header: str | None, takes_any: bool) -> None:
    accept = parse_accept(header)
    assert takes_any_dicom(accept) is takes_any
    if takes_any:
        for stored in (*ALL_SYNTAXES, PRIVATE):
            choose_dicom(accept, stored, single_part=False)


@pytest.mark.parametrize(
    ("header", "stored", "content_type", "multipart"),
    [
        # OHIF asks for everything like this, and wants the true type in the part
        (OHIF, EXPLICIT, f"{OCTETS}; transfer-syntax={EXPLICIT}", True),
        (OHIF, BIG, f"{OCTETS}; transfer-syntax={EXPLICIT}", True),
        (OHIF, JLS, f"image/jls; transfer-syntax={JLS}", True),
        (OHIF, JPEG, f"image/jpeg; transfer-syntax={JPEG}", True),
        (OHIF, MPEG4, f"video/mp4; transfer-syntax={MPEG4}", True),
        (OHIF, DEFLATED_FRAMES, f"{OCTETS}; transfer-syntax={DEFLATED_FRAMES}", True),
        # whatever there is
        *((header, J2K, f"image/jp2; transfer-syntax={J2K}", True)
          for header in (None, "*/*", "multipart/related", related("*/*"), related("image/*"),
                         related("image/jp2"), related("image/jp2", "*"), related("image/"),
                         related("image/jp2", J2K), f"{related('image/jls')}, */*;q=0.1")),
        ("image/jpeg", JPEG_LOSSLESS, f"image/jpeg; transfer-syntax={JPEG_LOSSLESS}", False),
        ("image/*", RLE, f"image/dicom-rle; transfer-syntax={RLE}", False),
        (related("image/x-jls"), JLS, f"image/jls; transfer-syntax={JLS}", True),
        (related("video/mpeg2"), "1.2.840.10008.1.2.4.100",
         "video/mpeg; transfer-syntax=1.2.840.10008.1.2.4.100", True),
        # octets without transfer syntax are Explicit VR Little Endian
        *((related(OCTETS), stored, f"{OCTETS}; transfer-syntax={EXPLICIT}", True)
          for stored in (IMPLICIT, EXPLICIT, BIG, DEFLATED)),
        (OCTETS, IMPLICIT, f"{OCTETS}; transfer-syntax={EXPLICIT}", False),
        (related(OCTETS, EXPLICIT), IMPLICIT, f"{OCTETS}; transfer-syntax={EXPLICIT}", True),
        (f"{OCTETS}; transfer-syntax=*", JLS, f"image/jls; transfer-syntax={JLS}", False),
        # the packaging the client likes better
        (f"image/jls;q=0.5, {related('image/jls')}",
         JLS, f"image/jls; transfer-syntax={JLS}", True),
        (f"image/jls, {related('image/jls')};q=0.5",
         JLS, f"image/jls; transfer-syntax={JLS}", False),
    ],
)  # fmt: skip
def test_frames(header: str | None, stored: str, content_type: str, multipart: bool) -> None:
    offer = choose_frames(parse_accept(header), stored, single_part=True)
    assert (offer.content_type, offer.multipart) == (content_type, multipart)


@pytest.mark.parametrize(
    ("header", "stored", "available"),
    [
        (related(OCTETS), JLS, f'type="image/jls"; transfer-syntax={JLS}'),
        (related(OCTETS, EXPLICIT), JPEG, f'type="image/jpeg"; transfer-syntax={JPEG}'),
        (related("image/jpeg"), J2K, f'type="image/jp2"; transfer-syntax={J2K}'),
        (related("image/jpeg", JPEG), JPEG_LOSSLESS, f"transfer-syntax={JPEG_LOSSLESS}"),
        (related("image/jpeg"), EXPLICIT, f'type="{OCTETS}"; transfer-syntax={EXPLICIT}'),
        (related(OCTETS), DEFLATED_FRAMES, f"transfer-syntax={DEFLATED_FRAMES}"),
        (f"{OHIF};q=0", EXPLICIT, EXPLICIT),
    ],
)
def test_frames_that_would_need_transcoding(header: str, stored: str, available: str) -> None:
    with pytest.raises(NotAcceptable) as refusal:
        choose_frames(parse_accept(header), stored, single_part=True)
    assert available in str(refusal.value)


def test_several_frames_need_multipart() -> None:
    with pytest.raises(NotAcceptable):
        choose_frames(parse_accept("image/jls"), JLS, single_part=False)


# ---- where pixels can be transcoded

OTHERS = (EXPLICIT, JPEG_LOSSLESS, JLS, J2K, "1.2.840.10008.1.2.4.201", RLE, JPEG, J2K_LOSSY)


@pytest.mark.parametrize(
    ("header", "stored", "target"),
    [
        # the default of the standard, but for what has lost already
        *((related(DICOM), stored, EXPLICIT) for stored in (J2K, RLE, JPEG_LOSSLESS, IMPLICIT)),
        *((related(DICOM), stored, stored) for stored in (JPEG, J2K_LOSSY, EXPLICIT)),
        # as stored for anyone
        *((header, J2K, J2K) for header in (None, "*/*", related(DICOM, "*"))),
        # by name, also what loses
        (related(DICOM, JLS), EXPLICIT, JLS),
        (related(DICOM, JPEG), J2K, JPEG),
        (f"{related(DICOM, MPEG4)}, {related(DICOM, RLE)};q=0.1", EXPLICIT, RLE),
    ],
)  # fmt: skip
def test_transcoded_objects(header: str | None, stored: str, target: str) -> None:
    offer = choose_dicom(parse_accept(header), stored, single_part=False, others=OTHERS)
    assert offer.transfer_syntax_uid == target
    assert offer.as_stored is (target == stored)


@pytest.mark.parametrize(
    ("header", "stored", "content_type"),
    [
        (related(OCTETS), J2K, f"{OCTETS}; transfer-syntax={EXPLICIT}"),
        (related(OCTETS), JPEG, f"{OCTETS}; transfer-syntax={EXPLICIT}"),
        (related(OCTETS), DEFLATED_FRAMES, f"{OCTETS}; transfer-syntax={EXPLICIT}"),
        (related(OCTETS, "*"), J2K, f"image/jp2; transfer-syntax={J2K}"),
        # a type means what is stored of it, else its lossless default
        (related("image/jp2"), J2K_LOSSY, f"image/jp2; transfer-syntax={J2K_LOSSY}"),
        (related("image/jp2"), EXPLICIT, f"image/jp2; transfer-syntax={J2K}"),
        (related("image/jpeg"), JPEG, f"image/jpeg; transfer-syntax={JPEG}"),
        (related("image/jpeg"), EXPLICIT, f"image/jpeg; transfer-syntax={JPEG_LOSSLESS}"),
        (related("image/jpeg", JPEG), EXPLICIT, f"image/jpeg; transfer-syntax={JPEG}"),
        (related("image/jphc"), JPEG, "image/jphc; transfer-syntax=1.2.840.10008.1.2.4.201"),
        (None, EXPLICIT, f"{OCTETS}; transfer-syntax={EXPLICIT}"),
        ("*/*", JLS, f"image/jls; transfer-syntax={JLS}"),
    ],
)
def test_transcoded_frames(header: str | None, stored: str, content_type: str) -> None:
    offer = choose_frames(parse_accept(header), stored, single_part=False, others=OTHERS)
    assert offer.content_type == content_type


def test_what_loses_is_made_for_nobody_who_does_not_name_it() -> None:
    lossy = (JPEG, J2K_LOSSY)
    for header in (related("image/jpeg"), related("image/jp2"), related(OCTETS, "*")):
        try:
            offer = choose_frames(parse_accept(header), JLS, single_part=False, others=lossy)
        except NotAcceptable:
            continue
        assert offer.transfer_syntax_uid == JLS
