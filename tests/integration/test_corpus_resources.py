"""Objects and frames of every real file, in every encoding, beside what others make of the file.

The truth is the file: pydicom cuts it; DCMTK, Pillow and zlib decode it.
"""

from __future__ import annotations

import io
import re
from collections.abc import Iterator

import numpy as np
import pydicom
import pytest

from corpus import requires_corpus
from data_set_comparison import differences
from farsight.dicom.transfer_syntax import LOSSY, NATIVE
from orthanc_process import requires_orthanc
from pacs_peers import requires_dcmtk
from pixel_oracle import EXPLICIT, decoded, rgb, stored_frame
from related_parts import related_parts
from stored_corpus import Stock, Stored, each, stocked

pytestmark = [requires_orthanc, requires_corpus, requires_dcmtk]

_JPEG = "1.2.840.10008.1.2.4."
LOSSLESS = {
    EXPLICIT: "application/octet-stream",
    _JPEG + "57": "image/jpeg",
    _JPEG + "70": "image/jpeg",
    _JPEG + "80": "image/jls",
    _JPEG + "90": "image/jp2",
    _JPEG + "201": "image/jphc",
    _JPEG + "110": "image/jxl",
    "1.2.840.10008.1.2.5": "image/dicom-rle",
}
DCT = {_JPEG + "50", _JPEG + "51"}
#: Mean error allowed, as a part of the range of BitsStored.
LOSES = {_JPEG + n: 0.02 for n in ("50", "51", "81", "91", "203")}
#: Two decoders of one lossy stream: rounding of the DCT and of the colours, chroma smoothed or not.
SAME_STREAM_MEAN, SAME_STREAM_MOST = 2.0, 60
#: Cells of an object that is asked for as a whole in every encoding.
LARGE_BYTES = 1 << 20


@pytest.fixture(scope="module")
def stock(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stock]:
    with stocked(tmp_path_factory.mktemp("stock")) as stock:
        yield stock


def size_of(one: Stored) -> int:
    row = one.row
    cells = int(row["rows"] or 0) * int(row["columns"] or 0) * int(row["samples_per_pixel"] or 1)
    return cells * one.frames * int(row["bits_allocated"] or 8) // 8


def transfer_syntax(content_type: str) -> str:
    found = re.search(r"transfer-syntax=\"?([\d.]+)", content_type)
    assert found is not None, content_type
    return found.group(1)


def test_nothing_is_refused_by_the_store(stock: Stock) -> None:
    assert stock.skipped == {}


def test_an_object_without_a_word_about_its_encoding(stock: Stock) -> None:
    """PS3.18 8.7.3.5.2: Explicit VR Little Endian; 8.7.3: what has lost stays as it is."""

    def check(one: Stored) -> None:
        answer = stock.ok(one.path, "application/dicom")
        wanted = one.syntax if one.syntax in LOSSY else EXPLICIT
        assert transfer_syntax(answer.headers["Content-Type"]) == wanted
        ours = pydicom.dcmread(io.BytesIO(answer.content))
        if wanted == one.syntax:
            assert answer.content == one.data
            return
        assert ours.file_meta.MediaStorageSOPInstanceUID == one.row["sop_instance_uid"]
        wholly = one.syntax in NATIVE
        assert differences(one.theirs, ours, transcoded=not wholly) == []
        if one.has_pixels and not wholly:
            check_pixels(one, ours, exact=True)

    each(stock.files, check)


def test_an_object_in_any_encoding_is_the_file(stock: Stock) -> None:
    """Implicit VR and Big Endian leave for nobody who doesn't say that anything will do."""

    def check(one: Stored) -> None:
        for accept in ("application/dicom; transfer-syntax=*", "*/*"):
            if accept == "*/*" and one.syntax in ("1.2.840.10008.1.2", "1.2.840.10008.1.2.2"):
                continue
            answer = stock.ok(one.path, accept)
            ((_, body),) = related_parts(answer) if _is_related(answer) else [("", answer.content)]
            is_the_file = body == one.data  # a difference in full would take minutes
            assert is_the_file, accept

    each(stock.files, check)


def _is_related(answer: object) -> bool:
    return str(answer.headers["Content-Type"]).startswith("multipart/related")  # type: ignore[attr-defined]


def check_pixels(
    one: Stored, ours: pydicom.FileDataset, *, exact: bool, allowed: float = 0
) -> None:
    """Frames of an object that was sent beside those of the file."""
    for number in sorted({1, one.frames // 2 + 1, one.frames}):
        before = decoded(one.theirs, one.syntax, stored_frame(one.theirs, number))
        syntax = str(ours.file_meta.TransferSyntaxUID)
        after = decoded(ours, syntax, stored_frame(ours, number))
        if exact:
            assert np.array_equal(after, before), f"frame {number} in {syntax}"
        else:
            bits = one.theirs.BitsStored
            before = rgb(one.theirs.PhotometricInterpretation, before)
            if syntax not in DCT:  # DCMTK has done it already
                after = rgb(ours.PhotometricInterpretation, after)
            error = float(np.abs(after.astype(float) - before).mean())
            assert error <= allowed * 2**bits, f"frame {number} in {syntax}: {error}"


def test_an_object_in_each_encoding(stock: Stock) -> None:
    """Lossless exactly, lossy nearly; the rest of the data set element by element."""
    made: dict[str, int] = {}

    def check(one: Stored) -> None:
        for syntax in (*LOSSLESS, *LOSES):
            if syntax == one.syntax or (one.syntax in LOSSY and syntax != EXPLICIT):
                continue
            answer = stock.get(one.path, f"application/dicom; transfer-syntax={syntax}")
            if answer.status_code == 406:
                assert f"transfer-syntax={syntax}" not in answer.text.replace(",", " ").split()
                assert f"transfer-syntax={one.syntax}" in answer.json()["error"]
                continue
            assert answer.status_code == 200, f"{syntax}: {answer.text}"
            made[syntax] = made.get(syntax, 0) + 1
            ours = pydicom.dcmread(io.BytesIO(answer.content))
            assert ours.file_meta.TransferSyntaxUID == syntax
            told = differences(one.theirs, ours, transcoded=True, lossy=syntax in LOSES)
            assert told == [], syntax
            if one.syntax in LOSSY:
                check_lossy_source(one, ours)
            else:
                check_pixels(one, ours, exact=syntax in LOSSLESS, allowed=LOSES.get(syntax, 0))

    each([one for one in stock.kinds(pixels=True) if size_of(one) <= LARGE_BYTES], check)
    assert set(made) == {*LOSSLESS, *LOSES}


def check_lossy_source(one: Stored, ours: pydicom.FileDataset) -> None:
    check_same_stream(one, 1, ours, stored_frame(ours, 1))


def check_same_stream(one: Stored, number: int, ours: pydicom.FileDataset, frame: bytes) -> None:
    """What is decoded here from a lossy stream beside what DCMTK decodes."""
    before = decoded(one.theirs, one.syntax, stored_frame(one.theirs, number)).astype(float)
    after = decoded(ours, EXPLICIT, frame)
    error = np.abs(after - before)
    assert error.mean() <= SAME_STREAM_MEAN, f"{one.name}: {error.mean()}"
    assert error.max() <= SAME_STREAM_MOST, f"{one.name}: {error.max()}"


def test_every_first_frame_as_it_is_stored(stock: Stock) -> None:
    """`transfer-syntax=*`: bytes of the file; native ones in little endian."""

    def check(one: Stored) -> None:
        accept = "multipart/related; type=application/octet-stream; transfer-syntax=*"
        for number in sorted({1, one.frames}):
            ((kind, body),) = list(related_parts(stock.ok(f"{one.path}/frames/{number}", accept)))
            assert body == stored_frame(one.theirs, number)
            assert transfer_syntax(kind) == (EXPLICIT if one.syntax in NATIVE else one.syntax)
        after = stock.get(f"{one.path}/frames/{one.frames + 1}", accept)
        assert after.status_code == 404, after.text

    each([one for one in stock.files if one.has_pixels], check)


def test_every_first_frame_as_octets(stock: Stock) -> None:
    """Without a transfer syntax: Explicit VR Little Endian, for lossy streams too."""

    def check(one: Stored) -> None:
        accept = 'multipart/related; type="application/octet-stream"'
        ((kind, body),) = list(related_parts(stock.ok(f"{one.path}/frames/1", accept)))
        assert kind.startswith("application/octet-stream")
        bare = stock.ok(f"{one.path}/frames/1", "application/octet-stream")
        assert bare.content == body
        assert int(bare.headers["Content-Length"]) == len(body)
        if one.syntax in NATIVE:
            assert body == stored_frame(one.theirs, 1)
        elif one.syntax in LOSSY:
            check_same_stream(one, 1, _planes_together(one), body)
        else:
            before = decoded(one.theirs, one.syntax, stored_frame(one.theirs, 1))
            assert np.array_equal(decoded(_planes_together(one), EXPLICIT, body), before)

    each([one for one in stock.files if one.has_pixels], check)


def _planes_together(one: Stored) -> pydicom.Dataset:
    """Its description, as it is when frames have been decoded; native ones stay as they are."""
    described = pydicom.Dataset()
    for element in one.theirs:
        if element.tag.group == 0x0028 or element.tag in (0x7FE00008, 0x7FE00009):
            described.add(element)
    if one.syntax not in NATIVE:
        described.PlanarConfiguration = 0
    return described


def test_frames_in_each_media_type(stock: Stock) -> None:
    """By media type alone (its lossless default) and by transfer syntax; every kind of pixels."""

    def check(one: Stored) -> None:
        before = decoded(one.theirs, one.syntax, stored_frame(one.theirs, 1))
        for syntax, media_type in LOSSLESS.items():
            answer = stock.get(
                f"{one.path}/frames/1",
                f'multipart/related; type="{media_type}"; transfer-syntax={syntax}',
            )
            if answer.status_code == 406:
                assert f'type="{media_type}"; transfer-syntax={syntax}' not in answer.text
                continue
            assert answer.status_code == 200, f"{syntax}: {answer.text}"
            ((kind, body),) = list(related_parts(answer))
            assert kind == f"{media_type}; transfer-syntax={syntax}"
            if one.syntax not in LOSSY:
                after = decoded(_planes_together(one), syntax, body)
                assert np.array_equal(after, before), syntax
            by_type = stock.ok(f"{one.path}/frames/1", media_type.upper())
            told = by_type.headers["Content-Type"]
            assert told.startswith(media_type)
            stored_so = LOSSLESS.get(one.syntax) == media_type or _is_lossy_of(one, media_type)
            default = one.syntax if stored_so else _default_of(media_type)
            assert transfer_syntax(told) == default

    each(
        [one for one in stock.kinds(pixels=True) if size_of(one) // one.frames < LARGE_BYTES], check
    )


def _is_lossy_of(one: Stored, media_type: str) -> bool:
    lossy = {"50": "image/jpeg", "51": "image/jpeg", "81": "image/jls", "91": "image/jp2",
             "111": "image/jxl", "112": "image/jxl", "203": "image/jphc"}  # fmt: skip
    return lossy.get(one.syntax.removeprefix(_JPEG)) == media_type


def _default_of(media_type: str) -> str:
    """PS3.18 table 8.7.3-5: JPEG is lossless, selection value 1."""
    return (
        _JPEG + "70"
        if media_type == "image/jpeg"
        else next(syntax for syntax, name in LOSSLESS.items() if name == media_type)
    )


def test_how_a_media_type_may_be_spelt(stock: Stock) -> None:
    one = next(one for one in stock.files if one.name.startswith("ct/") and one.has_pixels)
    url = f"{one.path}/frames/1"
    spellings = [
        f'multipart/related; type="image/jls"; transfer-syntax={_JPEG}80',
        f"multipart/related; type=image/jls; transfer-syntax={_JPEG}80",
        f'MULTIPART/Related;TYPE="Image/JLS";Transfer-Syntax="{_JPEG}80"',
        'multipart/related ; type="image/jls"',
        'image/png, multipart/related; type="image/jls";q=0.5',
        'multipart/related; type="image/jp2";q=0, multipart/related; type="image/*"; q=0.1, '
        'multipart/related; type="image/jls";q=0.9',
    ]
    for accept in spellings:
        ((kind, _),) = list(related_parts(stock.ok(url, accept)))
        assert kind == f"image/jls; transfer-syntax={_JPEG}80", accept
    for accept in ("image/png", 'multipart/related; type="video/mp4"', "image/jls;q=0",
                   "application/dicom", f"image/jp2; transfer-syntax={_JPEG}80"):  # fmt: skip
        refused = stock.get(url, accept)
        assert refused.status_code == 406, accept
        for media_type in set(LOSSLESS.values()):
            assert media_type in refused.json()["error"], accept


def test_several_frames_in_the_order_asked_for(stock: Stock) -> None:
    several = [one for one in stock.kinds() if one.frames > 2]
    assert len(several) > 10

    def check(one: Stored) -> None:
        accept = "multipart/related; type=application/octet-stream; transfer-syntax=*"
        for listed in (f"{one.frames},1,2", "2,1"):
            parts = related_parts(stock.ok(f"{one.path}/frames/{listed}", accept))
            numbers = map(int, listed.split(","))
            assert [body for _, body in parts] == [stored_frame(one.theirs, n) for n in numbers]
        single = stock.get(f"{one.path}/frames/1,2", "application/octet-stream")
        assert single.status_code == 406
        for wrong in ("0", "1,0", "-1", "1.5", "x", "1,,2", "1,1"):
            assert stock.get(f"{one.path}/frames/{wrong}").status_code == 400, wrong
        beyond = stock.get(f"{one.path}/frames/1,{one.frames + 1}", accept)
        assert beyond.status_code == 404
        assert str(one.frames) in beyond.json()["error"]

    each(several, check)
