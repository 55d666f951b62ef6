"""Which picture stands for what, and that it is drawn once."""

from __future__ import annotations

from dataclasses import dataclass, field

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fakes.catalog import Study, study
from fakes.pacs import FakePacs
from fakes.series_source import part10
from farsight.dicom.elements import DicomObject
from farsight.dicom.part10 import parse_object
from farsight.errors import DecoderLost, NotAcceptable, NotFound
from farsight.imaging.jobs import ImageType
from farsight.model import Completeness, InstanceRef, SeriesRef
from farsight.ports.archive import Kept
from farsight.ps318.rendering_query import RenderingQuery, Viewport
from farsight.services.kept_thumbnails import read_thumbnails, write_thumbnails
from farsight.services.rendering import RenderService, Shot
from farsight.services.representative import Representatives
from farsight.services.search import SearchService
from farsight.services.thumbnails import ThumbnailKey, ThumbnailService
from sample_files import ct_slice

SERIES = SeriesRef("1.2.1", "1.2.1.1")
KEY = ThumbnailKey(SERIES, ImageType.JPEG, RenderingQuery())


def representatives(*studies: Study) -> Representatives:
    return Representatives(SearchService([FakePacs(studies)], None))


# ---- who stands for whom


@pytest.mark.parametrize(("slices", "middle"), [(1, 1), (2, 2), (5, 3), (12, 7)])
def test_the_middle_by_instance_number_stands_for_a_series(slices: int, middle: int) -> None:
    made = study("1.2.1", slices=slices)
    for instance in made.series[0].instances:
        number = int(instance["00080018"].rsplit(".", 1)[1])
        instance["00200013"] = str(number)
    found = representatives(made).of_series(SERIES)
    assert found == InstanceRef("1.2.1", "1.2.1.1", f"1.2.1.1.{middle}")


def test_numbers_count_as_numbers() -> None:
    made = study("1.2.1", slices=3)
    for instance, number in zip(made.series[0].instances, ("10", "9", "2"), strict=True):
        instance["00200013"] = number
    uid = made.series[0].instances[1]["00080018"]
    assert representatives(made).of_series(SERIES).sop_instance_uid == uid


def test_the_first_series_with_images_stands_for_a_study() -> None:
    made = study("1.2.1", modalities=("SR", "PR", "MR", "CT"))
    assert representatives(made).series_of("1.2.1") == SeriesRef("1.2.1", "1.2.1.3")
    assert representatives(study("1.2.1", modalities=("SR",))).series_of("1.2.1") == SERIES


def test_what_nobody_has_is_not_found() -> None:
    found = representatives(study("1.2.1"))
    with pytest.raises(NotFound):
        found.series_of("9.9")
    with pytest.raises(NotFound):
        found.of_series(SeriesRef("1.2.1", "9.9"))


# ---- drawn once


@dataclass
class Store:
    """As much of the archive as thumbnails need."""

    version: int = 1
    changes: int = 1
    complete: bool = True
    records: dict[SeriesRef, bytes] = field(default_factory=dict)

    def series_version(self, _series: SeriesRef) -> int:
        return self.version

    def completeness(self, _series: SeriesRef) -> Completeness | None:
        return Completeness(1, 1, "pacs", "") if self.complete else None

    def fingerprint(self, _series: SeriesRef) -> str:
        return f"version {self.version}"

    def kept(self, owner: SeriesRef, what: Kept) -> bytes | None:
        assert what is Kept.THUMBNAILS
        return self.records.get(owner)

    def keep(self, owner: SeriesRef, record: bytes, what: Kept) -> None:
        assert what is Kept.THUMBNAILS
        self.records[owner] = record


class Drawing(RenderService):
    """Draws nothing, counts what would be."""

    def __init__(self, *, drawable: bool = True) -> None:
        self.drawn: list[tuple[Shot, RenderingQuery, ImageType]] = []
        self.icons: list[str] = []
        self._drawable = drawable
        self.lost = False

    def header(self, _ref: InstanceRef) -> DicomObject:
        return parse_object(part10(ct_slice(1)))

    def still(
        self, shot: Shot, query: RenderingQuery, image_type: ImageType, *, enlarge: bool = True
    ) -> bytes:
        assert not enlarge
        if not self._drawable:
            raise NotAcceptable("nobody decodes that")
        if self.lost:
            raise DecoderLost("it took too long")
        self.drawn.append((shot, query, image_type))
        return f"picture {len(self.drawn)}".encode()

    def icon(self, label: str, caption: str, size: tuple[int, int], image_type: ImageType) -> bytes:
        self.icons.append(f"{label}, {caption}, {size[0]} x {size[1]}")
        return b"icon"


def thumbnails(render: Drawing, store: Store) -> ThumbnailService:
    of = representatives(study("1.2.1"))
    return ThumbnailService(render, of, store)  # type: ignore[arg-type]


def test_a_picture_is_drawn_once() -> None:
    render, store = Drawing(), Store()
    service = thumbnails(render, store)
    assert service.at_hand(KEY) is None
    assert service.picture(KEY) == service.picture(KEY) == service.at_hand(KEY) == b"picture 1"
    ((_, query, image_type),) = render.drawn
    assert (query.viewport, image_type) == (Viewport(256, 256, None), ImageType.JPEG)


def test_another_size_or_type_is_another_picture() -> None:
    render = Drawing()
    service = thumbnails(render, Store())
    small = RenderingQuery(viewport=Viewport(64, 64, None))
    keys = [KEY, ThumbnailKey(SERIES, ImageType.PNG, RenderingQuery()),
            ThumbnailKey(SERIES, ImageType.JPEG, small)]  # fmt: skip
    assert len({service.picture(key) for key in keys * 2}) == len(render.drawn) == 3


def test_something_else_that_is_stored_sends_it_to_a_worker_and_draws_nothing() -> None:
    render, store = Drawing(), Store()
    service = thumbnails(render, store)
    service.picture(KEY)
    store.changes += 1
    assert service.at_hand(KEY) is None
    assert service.picture(KEY) == b"picture 1"
    assert service.at_hand(KEY) == b"picture 1"


def test_a_series_that_changes_is_drawn_again() -> None:
    render, store = Drawing(), Store()
    service = thumbnails(render, store)
    service.picture(KEY)
    store.changes += 1
    store.version += 1
    assert service.picture(KEY) == b"picture 2"


def test_of_a_whole_series_it_is_there_after_a_restart() -> None:
    store = Store()
    assert thumbnails(Drawing(), store).picture(KEY) == b"picture 1"
    render = Drawing()
    assert thumbnails(render, store).picture(KEY) == b"picture 1"
    assert not render.drawn
    store.version += 1  # others replaced something meanwhile
    assert thumbnails(render, store).picture(KEY) == b"picture 1"
    assert len(render.drawn) == 1


def test_of_a_part_of_a_series_nothing_is_kept() -> None:
    store = Store(complete=False)
    thumbnails(Drawing(), store).picture(KEY)
    assert not store.records


def test_of_one_frame() -> None:
    render = Drawing()
    key = ThumbnailKey(SERIES, ImageType.PNG, RenderingQuery(), "1.2.1.1.2", 7)
    thumbnails(render, Store()).picture(key)
    ref = InstanceRef("1.2.1", "1.2.1.1", "1.2.1.1.2")
    assert render.drawn[0][0] == Shot(ref, 7)


def test_what_can_not_be_drawn_gets_an_icon() -> None:
    render = Drawing(drawable=False)
    assert thumbnails(render, Store()).picture(KEY) == b"icon"
    assert render.icons == ["CT, CT Image Storage, 256 x 256"]


def test_an_icon_for_want_of_a_worker_is_not_kept() -> None:
    render = Drawing()
    render.lost = True
    service = thumbnails(render, Store())
    assert service.picture(KEY) == b"icon"
    assert service.at_hand(KEY) is None
    render.lost = False
    assert service.picture(KEY) == b"picture 1"


# ---- as they are kept


@given(st.dictionaries(st.text(max_size=20), st.binary(max_size=50), max_size=6), st.text())
def test_what_is_written_is_read(pictures: dict[str, bytes], fingerprint: str) -> None:
    record = write_thumbnails(fingerprint, pictures)
    assert read_thumbnails(record, fingerprint) == dict(list(pictures.items())[-4:])
    assert read_thumbnails(record, fingerprint + "x") == {}


@given(st.integers(0, 200), st.integers(0, 255))
def test_what_is_damaged_is_nothing_or_pictures(at: int, octet: int) -> None:
    whole = write_thumbnails("f", {"a": b"12345", "b": b"678"})
    assert read_thumbnails(whole[:-1], "f") == {}
    record = bytearray(whole)
    record[at % len(record)] = octet
    found = read_thumbnails(bytes(record), "f")
    assert all(isinstance(picture, bytes) for picture in found.values())
