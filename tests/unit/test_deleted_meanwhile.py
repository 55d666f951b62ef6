"""Others delete in the archive while many instances are answered for: what is left is answered."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import ExitStack

import pytest

from fakes.memory_archive import MemoryArchive
from fakes.retrieving import retrieving
from fakes.series_source import SeriesSource, part10
from farsight.errors import NotFound, PacsUnavailable
from farsight.model import InstanceRef
from farsight.ps318.resource_path import Action, parse_resource_path
from farsight.services.holdings import RetrieveLimits
from farsight.services.memory_tier import MemoryTier
from farsight.services.rendering import RenderService
from farsight.services.serve import ServeService
from farsight.web.handlers_pictures import PictureHandler
from farsight.web.handlers_rendered import RenderedInstances
from farsight.web.handlers_retrieve import RetrieveHandler
from farsight.web.messages import Body, Request, Response
from farsight.web.settled import of_what_is_left
from sample_files import ct_slice, instance_uid, series_uid, study_uid

Handler = Callable[[Request], Response]
Serving = Callable[..., ServeService]
STUDY = f"/studies/{study_uid()}"
DELETED = f"{STUDY}/series/{series_uid(1)}"
RESOURCES = ("/metadata", "", "/pixeldata", "/bulkdata")


class LateArchive(MemoryArchive):
    """Hears of what others delete when it meets it missing, one by one, or looks anew."""

    def __init__(self) -> None:
        super().__init__()
        self.unheard: set[InstanceRef] = set()
        self.looks = 0

    def delete_behind(self, refs: Collection[InstanceRef]) -> None:
        self.unheard = set(refs)

    def read(self, ref: InstanceRef) -> bytes:
        if ref in self.unheard:
            self.unheard.discard(ref)
            self.delete([ref])
            raise NotFound(f"{ref.sop_instance_uid} is not stored any more")
        return super().read(ref)

    def reload(self, study_instance_uid: str) -> None:
        self.looks += 1
        self.delete(self.unheard)
        self.unheard = set()


class OnePicture:
    """All are alike."""

    def run(self, _job: object, _frames: Sequence[bytes | memoryview] = ()) -> Sequence[bytes]:
        return (b"a picture",)


def ref(series: int, number: int) -> InstanceRef:
    return InstanceRef(study_uid(), series_uid(series), instance_uid(10 * series + number))


@pytest.fixture
def archive() -> LateArchive:
    """Two series of five instances."""
    archive = LateArchive()
    for series in (1, 2):
        for number in range(5):
            one = ct_slice(10 * series + number)
            one.SeriesInstanceUID = series_uid(series)
            archive.store(ref(series, number), part10(one))
    return archive


@pytest.fixture
def serving(archive: LateArchive) -> Iterator[Serving]:
    """Services over the archive, with these PACS."""
    with ExitStack() as ends:

        def start(*sources: SeriesSource, at: LateArchive = archive) -> ServeService:
            limits = RetrieveLimits(wait_s=20, passes=1, backoff_s=0.001)
            retrieve, persister = retrieving(sources, at, MemoryTier(64 << 20), limits)
            serve = ServeService(retrieve, at, quiet_s=60)
            ends.callback(persister.close, 5)
            ends.callback(retrieve.close)
            ends.callback(serve.close, 5)
            return serve

        yield start


@pytest.fixture
def handler(serving: Serving) -> Handler:
    return DicomWeb(serving())


class DicomWeb:
    """What is asked of studies and series."""

    def __init__(self, serve: ServeService) -> None:
        drawn = RenderedInstances(RenderService(serve, OnePicture()))
        self._pictures = PictureHandler(serve, drawn, None, "/dicom-web/")  # type: ignore[arg-type]
        self._retrieve = RetrieveHandler(serve, OnePicture(), "/dicom-web/")

    def __call__(self, request: Request) -> Response:
        path = parse_resource_path(request.path)
        handler = self._pictures if path.action is Action.RENDERED else self._retrieve
        return handler(request, path)


def answer(handler: Handler, path: str, status: int = 200) -> bytes:
    response = handler(Request("GET", path))
    assert response.status == status
    return whole(response.body)


def whole(body: Body) -> bytes:
    return body if isinstance(body, bytes) else b"".join(body.chunks())


def named_in(body: bytes) -> set[InstanceRef]:
    every = {ref(series, number) for series in (1, 2) for number in range(5)}
    return {one for one in every if one.sop_instance_uid.encode() in body}


@pytest.mark.parametrize("resource", RESOURCES)
def test_a_series_is_gone(handler: Handler, archive: LateArchive, resource: str) -> None:
    archive.delete_behind([ref(1, number) for number in range(5)])
    left = {ref(2, number) for number in range(5)}
    assert named_in(answer(handler, STUDY + resource)) == left


@pytest.mark.parametrize("resource", RESOURCES)
def test_some_of_a_series_are_gone(handler: Handler, archive: LateArchive, resource: str) -> None:
    archive.delete_behind([ref(1, number) for number in range(4)])
    assert named_in(answer(handler, DELETED + resource)) == {ref(1, 4)}


@pytest.mark.parametrize("resource", RESOURCES)
def test_all_that_was_asked_for_is_gone(
    handler: Handler, archive: LateArchive, resource: str
) -> None:
    archive.delete_behind([ref(1, number) for number in range(5)])
    with pytest.raises(NotFound):
        answer(handler, DELETED + resource)


def test_pictures_of_what_is_left(handler: Handler, archive: LateArchive) -> None:
    archive.delete_behind([ref(1, number) for number in range(5)])
    assert answer(handler, f"{STUDY}/rendered").count(b"a picture") == 5


def test_with_a_pacs_that_does_not_answer(serving: Serving, archive: LateArchive) -> None:
    """It is asked for what has gone, and no reason to say nothing of the rest."""
    gone = SeriesSource([])
    gone.failure = PacsUnavailable("pacs", "no route")
    handler = DicomWeb(serving(gone))
    archive.delete_behind([ref(1, number) for number in range(5)])
    left = {ref(2, number) for number in range(5)}
    assert named_in(answer(handler, f"{STUDY}/metadata", 206)) == left


class Shrinking(LateArchive):
    """Something else is gone at each look."""

    def study_instances(self, study_instance_uid: str) -> Mapping[str, Collection[str]]:
        found = dict(super().study_instances(study_instance_uid))
        found[f"1.2.{self.looks}"] = ("1.3",)
        return found


class Growing(LateArchive):
    """Something else has come at each look."""

    def study_instances(self, study_instance_uid: str) -> Mapping[str, Collection[str]]:
        more = {f"1.2.{look}": ("1.3",) for look in range(self.looks)}
        return {**super().study_instances(study_instance_uid), **more}


@pytest.mark.parametrize(("kind", "asked"), [(Shrinking, 3), (Growing, 1), (LateArchive, 1)])
def test_it_is_not_tried_for_ever(serving: Serving, kind: type[LateArchive], asked: int) -> None:
    at = kind()
    at.store(ref(1, 0), part10(ct_slice(10)))
    serve, times = serving(at=at), []

    def never() -> Response:
        times.append(1)
        raise NotFound("no")

    with pytest.raises(NotFound):
        of_what_is_left(serve, parse_resource_path(f"{STUDY}/metadata"), never)
    assert len(times) == asked


@pytest.mark.parametrize("path", ["/studies/1.2.3", f"{STUDY}/series/1.2.3"])
def test_what_was_never_there_is_not_looked_for_again(
    handler: Handler, archive: LateArchive, path: str
) -> None:
    with pytest.raises(NotFound):
        answer(handler, f"{path}/metadata")
    assert archive.looks == 0
