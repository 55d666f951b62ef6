"""WADO-URI on real files: every parameter (PS3.18 9)."""

from __future__ import annotations

import io
import subprocess
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pydicom
import pytest
import requests
from PIL import Image

from corpus import requires_corpus
from farsight.dicom.transfer_syntax import LOSSY
from orthanc_process import requires_orthanc
from pacs_peers import requires_dcmtk
from stored_corpus import TIMEOUT_S, Stock, Stored, each, stocked

pytestmark = [requires_orthanc, requires_corpus, requires_dcmtk]


@pytest.fixture(scope="module")
def stock(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stock]:
    with stocked(tmp_path_factory.mktemp("stock")) as stock:
        yield stock


def named(one: Stored, **more: str) -> dict[str, str]:
    uids = {name: one.row[column] for name, column in (
        ("studyUID", "study_uid"), ("seriesUID", "series_uid"), ("objectUID", "sop_instance_uid"),
    )}  # fmt: skip
    return {"requestType": "WADO", **uids, **more}


def wado(stock: Stock, query: dict[str, str], accept: str | None = None) -> requests.Response:
    return requests.get(
        f"{stock.door}/wado", params=query, headers={"Accept": accept}, timeout=TIMEOUT_S
    )


def shape(answer: requests.Response) -> tuple[int, int]:
    """Rows, columns."""
    with Image.open(io.BytesIO(answer.content)) as opened:
        return opened.height, opened.width


def cells(answer: requests.Response) -> np.ndarray:
    with Image.open(io.BytesIO(answer.content)) as opened:
        return np.asarray(opened.convert("RGB")).astype(int)


def file_named(stock: Stock, start: str) -> Stored:
    return next(one for one in stock.files if one.name.startswith(start))


def test_what_comes_without_a_content_type(stock: Stock) -> None:
    """9.3: a JPEG of what is an image; what isn't comes as something a browser shows."""

    def check(one: Stored) -> None:
        answer = wado(stock, named(one))
        assert answer.status_code == 200, answer.text[:200]
        kind = answer.headers["Content-Type"].partition(";")[0]
        if one.has_pixels:
            assert kind == "image/jpeg"
            assert shape(answer)[0] > 0
            rendered = stock.ok(f"{one.path}/rendered", "image/jpeg")
            assert rendered.content == answer.content
        else:
            assert kind in ("image/jpeg", "text/html", "application/pdf"), kind

    each([one for one in stock.kinds() if one.frames < 100], check)


def test_objects(stock: Stock) -> None:
    """9.4.2.4: Explicit VR Little Endian unless a transfer syntax is asked for."""

    def check(one: Stored) -> None:
        answer = wado(stock, named(one, contentType="application/dicom"))
        assert answer.headers["Content-Type"].startswith("application/dicom")
        ours = pydicom.dcmread(io.BytesIO(answer.content))
        explicit = "1.2.840.10008.1.2.1"
        wanted = one.syntax if one.syntax in LOSSY else explicit
        assert ours.file_meta.TransferSyntaxUID == wanted
        assert ours.SOPInstanceUID == one.row["sop_instance_uid"]
        any_syntax = named(one, contentType="application/dicom", transferSyntax="*")
        assert wado(stock, any_syntax).content == one.data

    each([one for one in stock.kinds() if one.frames < 40], check)
    one = file_named(stock, "transfer-syntax/mr-9-variants/2")
    for syntax in ("1.2.840.10008.1.2.4.70", "1.2.840.10008.1.2.4.90", "1.2.840.10008.1.2.5"):
        answer = wado(stock, named(one, contentType="application/dicom", transferSyntax=syntax))
        ours = pydicom.dcmread(io.BytesIO(answer.content))
        assert ours.file_meta.TransferSyntaxUID == syntax
    for refused in ("1.2.840.10008.1.2", "1.2.840.10008.1.2.2", "1.2.3.4"):
        answer = wado(stock, named(one, contentType="application/dicom", transferSyntax=refused))
        assert answer.status_code == 406, refused


def test_lists_of_content_types(stock: Stock) -> None:
    one = file_named(stock, "us/JPEGLosslessP14SV1")
    for asked, told in (
        ("image/png", "image/png"), ("image/webp,image/png", "image/png"),
        ("image/png,image/jpeg", "image/png"), ("image/jpeg;q=0.2,image/gif", "image/gif"),
        ("image/jp2", "image/jp2"), ("*/*", "image/jpeg"), ("IMAGE/PNG", "image/png"),
    ):  # fmt: skip
        answer = wado(stock, named(one, contentType=asked), accept="image/*, */*;q=0.1")
        assert answer.status_code == 200, f"{asked}: {answer.text}"
        assert answer.headers["Content-Type"] == told, asked
    assert wado(stock, named(one, contentType="image/webp"), "image/webp").status_code == 406
    for start, asked in (("documents/encaps", "application/pdf"), ("sr/test-SR", "text/plain"),
                         ("sr/test-SR", "text/html")):  # fmt: skip
        answer = wado(stock, named(file_named(stock, start), contentType=asked))
        assert answer.headers["Content-Type"].partition(";")[0] == asked


def test_size_window_region_and_frame(stock: Stock) -> None:
    one = file_named(stock, "us/US-PAL-8-10x-echo")
    png = {"contentType": "image/png"}
    full = cells(wado(stock, named(one, frameNumber="3", **png)))
    assert full.shape[:2] == (430, 600)
    rendered = stock.ok(f"{one.path}/frames/3/rendered", "image/png")
    assert wado(stock, named(one, frameNumber="3", **png)).content == rendered.content
    assert shape(wado(stock, named(one, rows="215", columns="9999", frameNumber="1"))) == (215, 300)
    assert shape(wado(stock, named(one, columns="60", frameNumber="1"))) == (43, 60)
    assert shape(wado(stock, named(one, rows="100", columns="30", frameNumber="1")))[1] == 30
    part = wado(stock, named(one, region="0.25,0.5,0.5,1", frameNumber="3", **png))
    assert np.array_equal(cells(part), full[215:430, 150:300])
    gray = file_named(stock, "ct/irregular")
    narrow = wado(stock, named(gray, windowCenter="1000", windowWidth="2", **png))
    wanted = stock.ok(f"{gray.path}/rendered?window=1000,2,linear", "image/png")
    assert narrow.content == wanted.content
    low, high = (len(wado(stock, named(gray, imageQuality=q)).content) for q in ("5", "95"))
    assert low < high / 2
    noted = wado(stock, named(gray, annotation="patient,technique", **png))
    assert not np.array_equal(cells(noted), cells(wado(stock, named(gray, **png))))
    with Image.open(
        io.BytesIO(wado(stock, named(gray, iccprofile="srgb", **png)).content)
    ) as tagged:
        assert tagged.info.get("icc_profile")


def test_presentation_states(stock: Stock, tmp_path: Path) -> None:
    """The state's LUTs are applied: as DCMTK shows it, not as the bare image."""
    image = file_named(stock, "presentation/luts/imageForPr")
    state = file_named(stock, "presentation/luts/prLUTs")
    by_state = {
        "presentationUID": state.row["sop_instance_uid"],
        "presentationSeriesUID": state.row["series_uid"],
        "contentType": "image/png",
    }
    shown = wado(stock, named(image, **by_state))
    assert shown.status_code == 200, shown.text
    assert not np.array_equal(cells(shown), cells(stock.ok(f"{image.path}/rendered", "image/png")))
    as_such = stock.ok(f"{state.path}/rendered", "image/png")
    assert np.array_equal(cells(as_such), cells(shown))
    for one, name in ((image, "image"), (state, "state")):
        (tmp_path / name).write_bytes(one.data)
    command = ["dcmp2pgm", "-p", tmp_path / "state", tmp_path / "image", tmp_path / "shown.pgm"]
    subprocess.run(command, check=True, timeout=60, capture_output=True)
    with Image.open(tmp_path / "shown.pgm") as theirs:
        difference = np.abs(np.asarray(theirs).astype(int) - cells(shown)[..., 0])
    assert difference.max() <= 1
    for more in ({"windowCenter": "1", "windowWidth": "2"}, {"frameNumber": "1"}):
        assert wado(stock, named(image, **by_state, **more)).status_code == 400
    alone = wado(stock, named(image, presentationUID=state.row["sop_instance_uid"]))
    assert alone.status_code == 400
    assert "presentationSeriesUID" in alone.json()["error"]
    unknown = wado(stock, named(image, presentationUID="1.2.3", presentationSeriesUID="1.2.4"))
    assert unknown.status_code == 404


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("requestType", "WADOX"), ("studyUID", "1.2.x"), ("seriesUID", ""), ("objectUID", "../1"),
        ("rows", "0"), ("rows", "1.5"), ("columns", "-3"), ("columns", "99999999"),
        ("region", "0,0,1"), ("region", "0.5,0,0.5,1"), ("region", "0,0,2,1"),
        ("region", "a,0,1,1"),
        ("frameNumber", "0"), ("frameNumber", "x"), ("imageQuality", "0"), ("imageQuality", "101"),
        ("annotation", "doctor"), ("windowCenter", "5"), ("windowWidth", "5"), ("anonymize", "no"),
        ("iccprofile", "cmyk"), ("transferSyntax", "abc"), ("presentationUID", "1.2"),
        ("charset", "utf 8"),
    ],
)  # fmt: skip
def test_errors_name_the_parameter(stock: Stock, name: str, value: str) -> None:
    one = file_named(stock, "ct/irregular")
    answer = wado(stock, {**named(one), name: value})
    assert answer.status_code == 400, answer.text[:200]
    message = answer.json()["error"]
    assert name in message or (name[:6] == "window" and "window" in message), message


def test_what_isnt_there(stock: Stock) -> None:
    one = file_named(stock, "ct/irregular")
    for name in ("studyUID", "seriesUID", "objectUID"):
        assert wado(stock, {**named(one), name: "1.2.3.4"}).status_code == 404, name
        missing = {key: value for key, value in named(one).items() if key != name}
        answer = wado(stock, missing)
        assert answer.status_code == 400
        assert name in answer.json()["error"]
    beyond = wado(stock, named(one, frameNumber="2"))
    assert beyond.status_code == 404
    assert wado(stock, named(one, anonymize="yes")).status_code == 406
    ignored = wado(stock, named(one, colour="blue"))
    assert ignored.status_code == 200
    assert "colour" in ignored.headers["Warning"]
