"""Others delete in the archive while many instances are answered for: what is left is answered."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence

import pytest

from fakes.memory_archive import MemoryArchive
from fakes.retrieving import retrieving
from fakes.series_source import part10
from farsight.errors import NotFound
from farsight.model import InstanceRef
from farsight.ps318.resource_path import parse_resource_path
from farsight.services.holdings import RetrieveLimits
from farsight.services.memory_tier import MemoryTier
from farsight.services.serve import ServeService
from farsight.web.handlers_retrieve import RetrieveHandler
from farsight.web.messages import Body, Request
from sample_files import ct_slice, instance_uid, series_uid, study_uid

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


class NoImaging:
    def run(self, _job: object, _frames: Sequence[bytes | memoryview] = ()) -> Sequence[bytes]:
        raise AssertionError("nothing here has to be decoded")


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
def handler(archive: LateArchive) -> Iterator[RetrieveHandler]:
    limits = RetrieveLimits(wait_s=20)
    retrieve, persister = retrieving((), archive, MemoryTier(64 << 20), limits)
    serve = ServeService(retrieve, archive, quiet_s=60)
    yield RetrieveHandler(serve, NoImaging(), "/dicom-web/")
    serve.close(5)
    retrieve.close()
    persister.close(5)


def answer(handler: RetrieveHandler, path: str) -> bytes:
    response = handler(Request("GET", path), parse_resource_path(path))
    assert response.status == 200
    return whole(response.body)


def whole(body: Body) -> bytes:
    return body if isinstance(body, bytes) else b"".join(body.chunks())


def named_in(body: bytes) -> set[InstanceRef]:
    every = {ref(series, number) for series in (1, 2) for number in range(5)}
    return {one for one in every if one.sop_instance_uid.encode() in body}


@pytest.mark.parametrize("resource", RESOURCES)
def test_a_series_is_gone(handler: RetrieveHandler, archive: LateArchive, resource: str) -> None:
    archive.delete_behind([ref(1, number) for number in range(5)])
    left = {ref(2, number) for number in range(5)}
    assert named_in(answer(handler, STUDY + resource)) == left


@pytest.mark.parametrize("resource", RESOURCES)
def test_some_of_a_series_are_gone(
    handler: RetrieveHandler, archive: LateArchive, resource: str
) -> None:
    archive.delete_behind([ref(1, number) for number in range(4)])
    assert named_in(answer(handler, DELETED + resource)) == {ref(1, 4)}


@pytest.mark.parametrize("resource", RESOURCES)
def test_all_that_was_asked_for_is_gone(
    handler: RetrieveHandler, archive: LateArchive, resource: str
) -> None:
    archive.delete_behind([ref(1, number) for number in range(5)])
    with pytest.raises(NotFound):
        answer(handler, DELETED + resource)


class Endless(LateArchive):
    """Something else is gone at each look."""

    def study_instances(self, study_instance_uid: str) -> Mapping[str, Collection[str]]:
        found = dict(super().study_instances(study_instance_uid))
        found[f"1.2.{self.looks}"] = ("1.3",)
        return found


def test_it_is_not_tried_for_ever(archive: LateArchive) -> None:
    endless = Endless()
    endless.stored = archive.stored
    limits = RetrieveLimits(wait_s=20)
    retrieve, persister = retrieving((), endless, MemoryTier(64 << 20), limits)
    serve = ServeService(retrieve, endless, quiet_s=60)
    handler = RetrieveHandler(serve, NoImaging(), "/dicom-web/")
    try:
        with pytest.raises(NotFound):
            answer(handler, f"{STUDY}/metadata")
    finally:
        serve.close(5)
        retrieve.close()
        persister.close(5)
    assert endless.looks == 2


def test_what_was_never_there_is_not_looked_for_again(
    handler: RetrieveHandler, archive: LateArchive
) -> None:
    with pytest.raises(NotFound):
        answer(handler, "/studies/1.2.3/metadata")
    assert archive.looks == 0
