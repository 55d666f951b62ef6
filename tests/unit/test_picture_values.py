"""What data sets say of their pictures: of any size, in any number, and by whomever."""

from __future__ import annotations

import math
from typing import Any

import pytest
from pydicom.dataset import Dataset
from pydicom.sequence import Sequence as Items

from fakes.series_source import MemoryArchive
from farsight.dicom.elements import DataSet, DicomHead, Instance
from farsight.dicom.part10 import parse_object
from farsight.dicom.positions import Element, Span
from farsight.errors import FarsightError, MalformedDicom, UnsupportedDicom
from farsight.imaging.describe import picture_of
from farsight.imaging.picture import Lut
from farsight.imaging.presentation import apply, referenced_images
from farsight.model import InstanceRef
from farsight.services.memory_tier import MemoryTier
from farsight.services.open_instance import OpenInstance
from farsight.services.renditions import Kind, frames_said, kind_of
from farsight.services.stored_instances import LARGE_BYTES, StoredInstances
from multi_frame import slice_bytes
from sample_files import instance_uid, series_uid, study_uid

REF = InstanceRef(study_uid(), series_uid(), instance_uid(1))
STATE = "1.2.840.10008.5.1.4.1.1.11.1"
PALETTE = bytes(range(256)) * 512
PROFILE = b"profile " * 12_500
SIZE = 512


def _opened(data: bytes) -> OpenInstance:
    archive = MemoryArchive()
    archive.store(REF, data)
    return StoredInstances(archive, MemoryTier(64 << 20)).open(REF)


# ---- large ones


def _large(made: Any) -> None:
    made.Rows = made.Columns = SIZE
    made.SamplesPerPixel, made.PhotometricInterpretation = 1, "PALETTE COLOR"
    made.BitsAllocated = made.BitsStored = 16
    made.HighBit, made.PixelRepresentation = 15, 0
    made.NumberOfFrames = frames = 10
    made.PixelData = bytes(frames * SIZE * SIZE * 2)
    made["PixelData"].VR = "OW"
    for tag in (0x00281101, 0x00281102, 0x00281103):
        made.add_new(tag, "US", [0, 0, 16])
        made.add_new(tag + 0x100, "OW", PALETTE)
    made.ICCProfile = PROFILE
    for group in (0x6000, 0x6002):
        base = group << 16
        made.add_new(base | 0x10, "US", SIZE)
        made.add_new(base | 0x11, "US", SIZE)
        made.add_new(base | 0x40, "CS", "G")
        made.add_new(base | 0x50, "SS", [1, 1])
        made.add_new(base | 0x3000, "OW", bytes([group & 0xFF]) * (SIZE * SIZE // 8))


def test_a_large_one_is_shown_with_all_it_has() -> None:
    data = slice_bytes(1, _large)
    header = _opened(data).header
    assert len(data) > LARGE_BYTES
    assert isinstance(header, DicomHead)
    picture = picture_of(header, 7)
    assert picture == picture_of(parse_object(data), 7)
    assert [type(lut) for lut in picture.display.palette] == [Lut] * 3
    assert picture.display.icc_profile == PROFILE
    assert [overlay.group for overlay in picture.display.overlays] == [0x6000, 0x6002]


def test_a_large_one_with_a_segmented_palette_and_tables_in_items() -> None:
    def change(made: Any) -> None:
        _large(made)
        for tag in (0x00281201, 0x00281202, 0x00281203):
            del made[tag]
            made.add_new(tag + 0x20, "OW", b"\0\0\1\0\7\0" * 5_000)
        del made.ICCProfile
        path = Dataset()
        path.ICCProfile = PROFILE
        made.add_new(0x00480105, "SQ", [path])
        table = Dataset()
        table.add_new(0x00283002, "US", [0, 0, 16])
        table.add_new(0x00283006, "OW", PALETTE)
        made.add_new(0x00283000, "SQ", [table])

    data = slice_bytes(1, change)
    header = _opened(data).header
    assert isinstance(header, DicomHead)
    picture = picture_of(header)
    assert picture == picture_of(parse_object(data))
    assert picture.display.icc_profile == PROFILE
    assert picture.display.modality_lut == Lut(0, 16, PALETTE)


def test_what_is_too_long_even_for_that_is_named() -> None:
    def change(made: Any) -> None:
        _large(made)
        made.ICCProfile = bytes((4 << 20) + 2)

    header = _opened(slice_bytes(1, change)).header
    assert isinstance(header, DicomHead)
    with pytest.raises(UnsupportedDicom, match="0028,2000"):
        picture_of(header)


@pytest.mark.parametrize("tag", [0x00280010, 0x00280004, 0x00280101, 0x00281050, 0x00281101])
def test_numbers_that_claim_to_be_long_bytes(tag: int) -> None:
    def change(made: Any) -> None:
        _large(made)
        made.add_new(tag, "OB", b"1" * 20_000)

    data = slice_bytes(1, change)
    assert _outcome(_opened(data).header) == _outcome(parse_object(data))


def _outcome(instance: Instance) -> Any:
    try:
        return picture_of(instance)
    except FarsightError as error:
        return type(error), str(error)


# ---- hostile ones

OF_IMAGES = {
    *(0x00280002, 0x00280004, 0x00280006, 0x00280008, 0x00280010, 0x00280011, 0x00280030),
    *(0x00280034, 0x00280100, 0x00280101, 0x00280102, 0x00280103, 0x00280120, 0x00280121),
    *(0x00281050, 0x00281051, 0x00281052, 0x00281053, 0x00281056, 0x00281101, 0x00281201),
    *(0x00181164, 0x00182010, 0x20500020, 0x60000010, 0x60000011, 0x60000015, 0x60000040),
    *(0x60000050, 0x60000051, 0x60003000),
}
OF_STATES = {
    *(0x00181602, 0x00181604, 0x00181606, 0x00181608, 0x00181610, 0x00181612, 0x00181620),
    *(0x00181622, 0x00181623, 0x00181624, 0x00281052, 0x00281053, 0x00700041, 0x00700042),
    *(0x20500020, 0x60000010, 0x60000015, 0x60000050, 0x60000051, 0x60001001),
}
OF_ITEMS = {
    0x0070005A: (0x00700052, 0x00700053, 0x00700101, 0x00700102),
    0x00700060: (0x00700002, 0x00700062, 0x00700066, 0x00700067, 0x00700401),
    0x00283110: (0x00281050, 0x00281051, 0x00283002),
    0x00283000: (0x00283002, 0x00283006),
    0x20500010: (0x00283002, 0x00283006),
    0x00081115: (0x0020000E,),
}
TEXTS = ("1e999", "-1e999", "1e308", "-1", "0.5", "1" + "0" * 20, "-1" + "0" * 20, "", "text")
VALUES = [
    *(("LO", text) for text in TEXTS),
    *(("LO", "\\".join([text] * 4)) for text in TEXTS),
    *(("FD", [number] * 4) for number in (math.inf, -math.inf, math.nan, 1e308)),
]


def _shown(made: Any) -> None:
    _large(made)
    made.Rows = made.Columns = 8
    made.PixelData = bytes(1280)
    made.ICCProfile = bytes(128)
    for tag in (0x00281101, 0x00281102, 0x00281103):
        made[tag].value = [256, 0, 16]
        made[tag + 0x100].value = PALETTE[:512]
    made.BitsStored, made.HighBit = 12, 11
    for tag in (0x60000010, 0x60000011, 0x60020010, 0x60020011):
        made[tag].value = 8
    made.add_new(0x60000015, "IS", 2)
    for tag in (0x60003000, 0x60023000):
        made[tag].value = bytes(16)


def _grey(made: Any) -> None:
    _shown(made)
    made.PhotometricInterpretation = "MONOCHROME2"


def _state(made: Any) -> None:
    del made.PixelData
    made.SOPClassUID = made.file_meta.MediaStorageSOPClassUID = STATE
    image, series, area, layer = Dataset(), Dataset(), Dataset(), Dataset()
    image.ReferencedSOPInstanceUID = instance_uid(1)
    series.SeriesInstanceUID = series_uid()
    series.ReferencedImageSequence = [image]
    made.ReferencedSeriesSequence = [series]
    area.DisplayedAreaTopLeftHandCorner, area.DisplayedAreaBottomRightHandCorner = [1, 1], [8, 8]
    made.DisplayedAreaSelectionSequence = [area]
    layer.GraphicLayer, layer.GraphicLayerOrder = "ONE", 1
    made.GraphicLayerSequence = [layer]
    voi, lut = Dataset(), Dataset()
    voi.WindowCenter, voi.WindowWidth = 40, 80
    made.SoftcopyVOILUTSequence = [voi]
    lut.add_new(0x00283002, "US", [4, 0, 16])
    lut.add_new(0x00283006, "OW", bytes(8))
    made.add_new(0x00283000, "SQ", [lut])
    made.add_new(0x20500010, "SQ", [lut])
    made.ShutterShape = ["RECTANGULAR", "CIRCULAR", "BITMAP"]
    for tag in (0x00181602, 0x00181606):
        made.add_new(tag, "IS", 1)
    for tag in (0x00181604, 0x00181608):
        made.add_new(tag, "IS", 8)
    made.CenterOfCircularShutter, made.RadiusOfCircularShutter = [4, 4], 3
    made.ShutterPresentationValue, made.ShutterOverlayGroup = 0, 0x6000
    made.add_new(0x60000010, "US", 8)
    made.add_new(0x60000011, "US", 8)
    made.add_new(0x60000040, "CS", "G")
    made.add_new(0x60000050, "SS", [1, 1])
    made.add_new(0x60001001, "CS", "ONE")
    made.add_new(0x60003000, "OW", bytes(8))


def test_the_samples_are_shown_as_they_are() -> None:
    picture = picture_of(parse_object(slice_bytes(1, _grey)), 2)
    apply(parse_object(slice_bytes(1, _state)), picture, instance_uid(1), 1)


@pytest.mark.parametrize("tag", sorted(OF_IMAGES), ids=hex)
@pytest.mark.parametrize("sample", [_shown, _grey])
def test_any_value_of_an_image_is_shown_or_refused(tag: int, sample: Any) -> None:
    for vr, value in VALUES:

        def change(made: Any, vr: str = vr, value: Any = value) -> None:
            sample(made)
            made.add_new(tag, vr, value)

        instance = parse_object(slice_bytes(1, change))
        assert 1 <= frames_said(instance) < 1 << 31
        for number in (1, 2):
            try:
                picture_of(instance, number)
            except FarsightError:
                continue


@pytest.mark.parametrize(
    ("sequence", "tag"),
    [(0, tag) for tag in sorted(OF_STATES)]
    + [(sequence, tag) for sequence, tags in OF_ITEMS.items() for tag in tags],
)
def test_any_value_of_a_state_is_shown_or_refused(sequence: int, tag: int) -> None:
    picture = picture_of(parse_object(slice_bytes(1, _grey)))
    for vr, value in VALUES:

        def change(made: Any, vr: str = vr, value: Any = value) -> None:
            _state(made)
            (made[sequence].value[0] if sequence else made).add_new(tag, vr, value)

        state = parse_object(slice_bytes(1, change))
        try:
            apply(state, picture, instance_uid(1), 1)
        except FarsightError:
            continue


def test_more_frames_than_a_number_may_say_are_no_number_of_frames() -> None:
    for text, said in (("2147483647", 2**31 - 1), ("2147483648", 1), ("1" + "0" * 20, 1)):
        instance = parse_object(
            slice_bytes(1, lambda made, text=text: made.add_new(0x00280008, "LO", text))
        )
        assert frames_said(instance) == said
        assert kind_of(instance) is (Kind.IMAGE if said == 1 else Kind.MULTI_FRAME)


@pytest.mark.parametrize("tag", [0x00280101, 0x00280102])
def test_bits_are_whole_numbers(tag: int) -> None:
    data = slice_bytes(1, lambda made: made.add_new(tag, "DS", "12.5"))
    with pytest.raises(MalformedDicom, match=f"{tag >> 16:04X},{tag & 0xFFFF:04X}"):
        picture_of(parse_object(data))


# ---- many


def _groups(frames: int) -> bytes:
    def change(made: Any) -> None:
        made.NumberOfFrames = frames
        own = []
        for number in range(1, frames + 1):
            window, group = Dataset(), Dataset()
            window.WindowCenter, window.WindowWidth = number, 100
            group.FrameVOILUTSequence = Items([window])
            own.append(group)
        made.PerFrameFunctionalGroupsSequence = Items(own)
        measures, shared = Dataset(), Dataset()
        measures.PixelSpacing = [2, 1]
        shared.PixelMeasuresSequence = Items([measures])
        made.SharedFunctionalGroupsSequence = Items([shared])
        table = Dataset()
        table.add_new(0x00283002, "US", [0, 0, 16])
        table.add_new(0x00283006, "OW", PALETTE)
        made.add_new(0x00283000, "SQ", [table])

    return slice_bytes(1, change)


def test_a_frame_costs_no_more_where_there_are_many(monkeypatch: pytest.MonkeyPatch) -> None:
    looked_at: list[int] = []
    item_spans = DataSet.item_spans

    def counted(self: DataSet, element: Element) -> list[Span]:
        spans = item_spans(self, element)
        looked_at.append(len(spans))
        return spans

    monkeypatch.setattr(DataSet, "item_spans", counted)
    instance = parse_object(_groups(200))
    pictures = [picture_of(instance, number) for number in range(1, 201)]
    assert [picture.display.windows[0].center for picture in pictures] == list(range(1, 201))
    assert {picture.display.aspect for picture in pictures} == {2.0}
    assert looked_at.count(200) == 1, "frames are looked for once"
    assert sum(looked_at) < 200 * 10
    assert len({id(picture.display.modality_lut) for picture in pictures}) == 1
    assert picture_of(instance, 201).display.windows == ()


# ---- who is asked for


def _referring(*uids: str, series: str = "1.2.3") -> Any:
    def change(made: Any) -> None:
        _state(made)
        item = made.ReferencedSeriesSequence[0]
        item.add_new(0x0020000E, "LO", series)
        item.ReferencedImageSequence = Items([])
        for uid in uids:
            image = Dataset()
            image.add_new(0x00081155, "LO", uid)
            item.ReferencedImageSequence.append(image)

    return parse_object(slice_bytes(1, change))


@pytest.mark.parametrize("uid", ["*", "1.2\\1.3*", "1.2?", "", "1" * 65, "1.2/../3"])
def test_what_is_no_uid_is_not_asked_for(uid: str) -> None:
    assert referenced_images(_referring("1.2.3.4"))[0].sop_instance_uid == "1.2.3.4"
    for state in (_referring("1.2.3.4", uid), _referring("1.2.3.4", series=uid)):
        with pytest.raises(MalformedDicom):
            referenced_images(state)


def test_more_images_than_are_shown_are_not_even_read(monkeypatch: pytest.MonkeyPatch) -> None:
    assert len(referenced_images(_referring(*["1.2"] * 10_000))) == 10_000
    too_many = _referring(*["1.2"] * 10_001)
    read: list[Span] = []
    item = DataSet.item
    monkeypatch.setattr(DataSet, "item", lambda self, span: read.append(span) or item(self, span))
    with pytest.raises(UnsupportedDicom, match="10000"):
        referenced_images(too_many)
    assert len(read) == 1, "the series, and none of its images"
