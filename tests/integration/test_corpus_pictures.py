"""Rendered resources and thumbnails of every real file, beside what PS3.3 says a pixel looks like.

Pictures are compared as PNG: grayscale within 1 of 255 of the formulas of PS3.3 C.11, colours
within 2 of what DCMTK, Pillow and pydicom decode (more where chroma was halved).
"""

from __future__ import annotations

import html
import io
import itertools
from collections import defaultdict
from collections.abc import Iterator

import numpy as np
import pytest
import requests
from PIL import Image
from pydicom.pixels import apply_color_lut

from corpus import requires_corpus
from orthanc_process import requires_orthanc
from pixel_oracle import Cells, decoded, rgb, stored_frame
from related_parts import related_parts
from stored_corpus import Stock, Stored, each, stocked

pytestmark = [requires_orthanc, requires_corpus]
TYPES = ("image/jpeg", "image/png", "image/gif", "image/jp2")


@pytest.fixture(scope="module")
def stock(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stock]:
    with stocked(tmp_path_factory.mktemp("stock")) as stock:
        yield stock


def picture(answer: requests.Response | bytes, mode: str | None = None) -> Cells:
    body = answer if isinstance(answer, bytes) else answer.content
    with Image.open(io.BytesIO(body)) as opened:
        return np.asarray(opened.convert(mode) if mode else opened).astype(int)


def is_gray(one: Stored) -> bool:
    """Whether the formulas below are all there is to it: no modality LUT, no functional groups,
    no overlay, no padding."""
    theirs = one.theirs
    special = {"ModalityLUTSequence", "PixelPaddingValue", "SharedFunctionalGroupsSequence"}
    return (
        one.has_pixels
        and str(theirs.get("PhotometricInterpretation", "")).startswith("MONOCHROME")
        and not special & set(theirs.dir())
        and not any(element.tag.group in range(0x6000, 0x601F) for element in theirs)
        and "BitsStored" in theirs
        and theirs.get("SegmentSequence") is None
    )


def modality_values(one: Stored, number: int = 1) -> Cells:
    cells = decoded(one.theirs, one.syntax, stored_frame(one.theirs, number))[..., 0]
    slope = float(one.theirs.get("RescaleSlope", 1) or 1)
    return cells * slope + float(one.theirs.get("RescaleIntercept", 0) or 0)


def windowed(one: Stored, values: Cells, center: float, width: float, function: str) -> Cells:
    """PS3.3 C.11.2.1.2.1 (LINEAR), C.11.2.1.3.1 (SIGMOID), C.11.2.1.3.2 (LINEAR_EXACT)."""
    with np.errstate(over="ignore"):
        if function == "linear":
            ramp = (values - (center - 0.5)) / max(width - 1, 1e-9) + 0.5
        elif function == "linear-exact":
            ramp = (values - center) / width + 0.5
        else:
            ramp = 1 / (1 + np.exp(-4 * (values - center) / width))
    shown = np.clip(ramp, 0, 1) * 255
    inverse = one.theirs.get("PresentationLUTShape") == "INVERSE"
    if inverse or one.theirs.PhotometricInterpretation == "MONOCHROME1":
        shown = 255 - shown
    return shown


def near(ours: Cells, expected: Cells, most: float = 1.0) -> None:
    assert ours.shape == expected.shape
    error = float(np.abs(ours - expected).max())
    assert error <= most, f"differs by {error}"


def test_windows(stock: Stock) -> None:
    """Each function; the window that comes with the image; each pixel."""
    gray = [one for one in stock.kinds() if is_gray(one)]
    assert len(gray) > 20

    def check(one: Stored) -> None:
        values = modality_values(one)
        low, high = np.percentile(values, (5, 95))
        center, width = round((low + high) / 2, 1), max(round(high - low, 1), 2)
        path = f"{one.path}/frames/1/rendered"
        for function in ("linear", "linear-exact", "sigmoid"):
            answer = stock.ok(f"{path}?window={center},{width},{function}", "image/png")
            near(picture(answer, "L"), windowed(one, values, center, width, function), 1.01)
        if "WindowCenter" in one.theirs and "VOILUTSequence" not in one.theirs:
            first = [np.atleast_1d(one.theirs[k].value)[0] for k in ("WindowCenter", "WindowWidth")]
            center, width = map(float, first)
            function = str(one.theirs.get("VOILUTFunction", "LINEAR")).lower().replace("_", "-")
            if width >= 1:
                expected = windowed(one, values, center, width, function)
                near(picture(stock.ok(path, "image/png"), "L"), expected, 1.01)

    each(gray, check)


def test_colours(stock: Stock) -> None:
    coloured = [one for one in stock.kinds() if one.row["photometric"] and one.has_pixels
                and not one.row["photometric"].startswith("MONO")]  # fmt: skip
    assert len(coloured) > 8

    def check(one: Stored) -> None:
        theirs = one.theirs
        cells = decoded(theirs, one.syntax, stored_frame(theirs, 1))
        most = 60.0 if "422" in theirs.PhotometricInterpretation else 2.0
        if theirs.PhotometricInterpretation == "PALETTE COLOR":
            mapped = apply_color_lut(cells[..., 0].astype(np.uint16), theirs)
            depth = theirs.RedPaletteColorLookupTableDescriptor[2]
            cells = mapped.astype(int) >> (8 if depth == 16 and mapped.max() > 255 else 0)
        expected = rgb(theirs.PhotometricInterpretation, cells)
        ours = picture(stock.ok(f"{one.path}/frames/1/rendered", "image/png"), "RGB")
        near(ours, expected, most)
        assert np.abs(ours - expected).mean() < 2

    each(coloured, check)


def test_every_image_in_every_type(stock: Stock) -> None:
    """JPEG by default; one size; the pictures are alike. GIF of several frames has them all."""

    def check(one: Stored) -> None:
        path = f"{one.path}/frames/1/rendered"
        default = stock.ok(path)
        assert default.headers["Content-Type"] == "image/jpeg"
        exact = picture(stock.ok(path, "image/png"), "RGB")
        for media_type in TYPES:
            answer = stock.ok(path, media_type)
            assert answer.headers["Content-Type"] == media_type
            ours = picture(answer, "RGB")
            assert ours.shape == exact.shape, media_type
            if ours.size > 10_000:  # smaller than a few blocks, JPEG's chroma is a guess
                assert np.abs(ours - exact).mean() <= 6, media_type
            whole = stock.ok(f"{one.path}/rendered", media_type)
            with Image.open(io.BytesIO(whole.content)) as opened:
                if media_type == "image/gif" and one.frames > 1:
                    assert opened.n_frames == changes(path.rpartition("/frames")[0], one.frames)
        refused = stock.get(path, "video/mp4, text/html")
        assert refused.status_code == 406
        assert "image/jpeg" in refused.json()["error"]

    def changes(path: str, frames: int) -> int:
        """Frames that show something else than the one before: a GIF may hold others longer."""
        urls = (f"{path}/frames/{number + 1}/rendered" for number in range(frames))
        shown = [stock.ok(url, "image/png").content for url in urls]
        return 1 + sum(one != other for one, other in itertools.pairwise(shown))

    chosen = [one for one in stock.kinds(pixels=True) if one.frames < 40]
    each([one for one in chosen if one.theirs.Rows * one.theirs.Columns < 400_000], check)


def test_viewports(stock: Stock) -> None:
    """PS3.18 8.3.5.1.3: the picture fits in, in its shape; a region is cut; negative ones flip."""

    def check(one: Stored) -> None:
        path = f"{one.path}/frames/1/rendered"
        rows, columns = one.theirs.Rows, one.theirs.Columns
        full = picture(stock.ok(path, "image/png"), "RGB")
        for width, height in ((100, 100), (64, 500), (3000, 40)):
            ours = picture(stock.ok(f"{path}?viewport={width},{height}", "image/png"))
            assert ours.shape[0] <= height
            assert ours.shape[1] <= width
            assert ours.shape[0] == height or ours.shape[1] == width
        if full.shape[:2] != (rows, columns):
            return  # its pixels are no squares
        w, h = columns // 2, rows // 2
        part = f"{path}?viewport={w},{h},1,2,{w},{h}"
        near(picture(stock.ok(part, "image/png"), "RGB"), full[2 : h + 2, 1 : w + 1])
        flipped = f"{path}?viewport={columns},{rows},0,0,-{columns},-{rows}"
        near(picture(stock.ok(flipped, "image/png"), "RGB"), full[::-1, ::-1])

    small = [one for one in stock.kinds(pixels=True) if 16 <= one.theirs.Rows < 800]
    each(small, check)


def test_rendered_frames_and_levels(stock: Stock) -> None:
    one = next(one for one in stock.files if one.name.startswith("nm-pt/NM"))
    parts = related_parts(
        stock.ok(f"{one.path}/frames/2,1/rendered", 'multipart/related; type="image/png"')
    )
    singles = [stock.ok(f"{one.path}/frames/{n}/rendered", "image/png").content for n in (2, 1)]
    assert [body for _, body in parts] == singles
    assert stock.get(f"{one.path}/frames/{one.frames + 1}/rendered").status_code == 404
    groups: dict[str, list[Stored]] = defaultdict(list)
    for stored in stock.files:
        series = stored.path.rpartition("/instances")[0]
        groups[series].append(stored)
        groups[series.partition("/series")[0]].append(stored)

    def check(item: tuple[str, list[Stored]]) -> None:
        path, members = item
        answer = stock.get(f"{path}/rendered", 'multipart/related; type="image/jpeg"')
        shown = sum(one.frames for one in members if one.has_pixels)
        others = [one for one in members if not one.has_pixels]
        if not shown:
            assert answer.status_code in (200, 206, 406), answer.text
            return
        assert answer.status_code == (206 if others else 200), answer.text[:200]
        assert ("Warning" in answer.headers) == bool(others)
        bodies = related_parts(answer)
        assert len(bodies) == shown
        assert {kind for kind, _ in bodies} == {"image/jpeg"}

    each([item for item in groups.items() if sum(o.frames for o in item[1]) <= 12][:80], check)


def test_thumbnails(stock: Stock) -> None:
    """One picture, at all four levels, of everything, not larger than asked for."""

    def check(one: Stored) -> None:
        series = one.path.rpartition("/instances")[0]
        paths = [one.path, series, series.partition("/series")[0]]
        if one.has_pixels:
            paths.append(f"{one.path}/frames/{one.frames}")
        for path in paths:
            answer = stock.ok(f"{path}/thumbnail?viewport=64,48", "image/jpeg")
            assert answer.headers["Content-Type"] == "image/jpeg"
            ours = picture(answer)
            assert ours.shape[0] <= 48
            assert ours.shape[1] <= 64
        for media_type in TYPES[:3]:
            answer = stock.ok(f"{one.path}/thumbnail", media_type)
            assert answer.headers["Content-Type"] == media_type
            picture(answer)
        assert stock.get(f"{one.path}/thumbnail", "text/plain").status_code == 406
        assert stock.get(f"{one.path}/thumbnail?viewport=0,1").status_code == 400

    each(stock.kinds(), check)


def test_documents_are_the_files_they_hold(stock: Stock) -> None:
    held = [one for one in stock.files if one.theirs.get("EncapsulatedDocument")]
    assert held
    for one in held:
        media_type = one.theirs.MIMETypeOfEncapsulatedDocument
        length = one.theirs.get("EncapsulatedDocumentLength")
        value = one.theirs.EncapsulatedDocument[:length]
        answer = stock.ok(f"{one.path}/rendered", media_type)
        assert answer.headers["Content-Type"].lower() == media_type.lower()
        assert answer.content.rstrip(b"\0") == value.rstrip(b"\0")
        assert stock.get(f"{one.path}/rendered", "image/jpeg").status_code == 406


def test_reports_say_what_is_in_them(stock: Stock) -> None:
    """Every text and every code's meaning of the content tree, in HTML and in plain text."""
    reports = [one for one in stock.files if one.row["modality"] == "SR"]
    assert len(reports) > 3

    def check(one: Stored) -> None:
        page = stock.ok(f"{one.path}/rendered", "text/html")
        assert page.headers["Content-Type"].startswith("text/html")
        assert "sandbox" in page.headers["Content-Security-Policy"]
        text = stock.ok(f"{one.path}/rendered", "text/plain")
        assert text.headers["Content-Type"].startswith("text/plain")
        for content in (html.unescape(page.content.decode()), text.content.decode()):
            flat = " ".join(content.split())
            for said in _texts(one.theirs):
                assert " ".join(said.split())[:40] in flat, said

    each(reports, check)


def _texts(item: object) -> Iterator[str]:
    """Text and code meanings of a content tree."""
    for child in item.get("ContentSequence", ()):  # type: ignore[attr-defined]
        if child.get("ValueType") == "TEXT" and child.get("TextValue"):
            yield str(child.TextValue)
        if child.get("ValueType") == "CODE":
            yield str(child.ConceptCodeSequence[0].CodeMeaning)
        yield from _texts(child)
