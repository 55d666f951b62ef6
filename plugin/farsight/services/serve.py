"""Answers from our own bytes: metadata, objects, frames, bulk data."""

from __future__ import annotations

import copy
import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import NamedTuple

from farsight.dicom.elements import DicomObject
from farsight.model import InstanceRef, SeriesRef
from farsight.ports.archive import Archive
from farsight.ps318.dicom_json import DicomJson
from farsight.services.holdings import Holdings
from farsight.services.metadata_cache import CachedSeries, MetadataCache
from farsight.services.presence import Presence
from farsight.services.retrieve import RetrieveService

_INSTANCE_NUMBER = 0x00200013


@dataclass(frozen=True, slots=True)
class Metadata:
    """A JSON array of data sets. warnings: why it may not be all there is."""

    json: bytes
    warnings: tuple[str, ...] = ()


class ServeService:
    """Reads through the retrieve service; keeps the metadata of complete series. Thread-safe."""

    def __init__(
        self, retrieve: RetrieveService, archive: Archive, max_metadata_bytes: int = 128 << 20
    ) -> None:
        self._retrieve = retrieve
        self._archive = archive
        self._json = DicomJson()
        self._cache = MetadataCache(max_metadata_bytes)

    def only(self, source: str) -> ServeService:
        """The same service with one PACS to fetch from; what is kept is shared."""
        fewer = copy.copy(self)
        fewer._retrieve = self._retrieve.only(source)
        return fewer

    def instance(self, ref: InstanceRef) -> DicomObject:
        """One instance. Raises: NotFound, PacsError, ArchiveError, MalformedDicom."""
        return self._retrieve.instance(ref)

    def at_hand(self, ref: InstanceRef) -> DicomObject | None:
        """The instance if it is in memory. Never blocks, unlike `instance`."""
        return self._retrieve.at_hand(ref)

    def instances(self, holdings: Holdings) -> Iterator[DicomObject]:
        """The instances of a settled series, one at a time."""
        series = holdings.series
        for uid in holdings.sop_instance_uids:
            yield self._retrieve.instance(
                InstanceRef(series.study_instance_uid, series.series_instance_uid, uid)
            )

    def series(self, series: SeriesRef, presence: Presence) -> Holdings:
        """What there is of a series, once it is here. Raises: as RetrieveService.ensure_series."""
        return self._retrieve.ensure_series(series, presence)

    def study(
        self, study_instance_uid: str, presence: Presence
    ) -> tuple[list[Holdings], tuple[str, ...]]:
        """What there is of every series of a study, once all is here, and the warnings.

        Raises: as RetrieveService.ensure_series.
        """
        all_series, warning = self._retrieve.study_series(study_instance_uid)
        settled = self._retrieve.ensure_all(all_series, presence)
        warnings = [warning, *(holdings.warning for holdings in settled)]
        return settled, tuple(text for text in warnings if text is not None)

    # ---- metadata

    def instance_metadata(self, ref: InstanceRef, root: str) -> Metadata:
        """`root`: absolute URL of the service with its trailing slash, for BulkDataURIs."""
        return Metadata(_array([self._json.encode(self.instance(ref), _bulk_data_root(root, ref))]))

    def series_metadata(self, series: SeriesRef, root: str, presence: Presence) -> Metadata:
        """The metadata of every instance, in the order of their instance numbers."""
        headers = self._retrieve.headers(series, presence)
        if headers is not None:
            rows = [self._row(series, header, root, _with_pixels) for header in headers]
            return Metadata(_in_order(rows))
        holdings = self.series(series, presence)  # at once where the series is known to be complete
        cached = self._cache.get(series, root, self._archive.series_version(series))
        if cached is not None and holdings.warning is None:
            return Metadata(cached.json)
        return self._build(holdings, root)

    def study_metadata(self, study_instance_uid: str, root: str, presence: Presence) -> Metadata:
        """The metadata of every instance of every series."""
        settled, warnings = self.study(study_instance_uid, presence)
        arrays = [self._build(holdings, root).json for holdings in settled]
        inner = [array[1:-1] for array in arrays if len(array) > 2]
        return Metadata(b"[" + b",".join(inner) + b"]", warnings)

    def zipped(self, series: SeriesRef, root: str, metadata: Metadata) -> bytes:
        """The gzip form of a series' metadata, kept beside it."""
        return self._cache.zipped(series, root, metadata.json)

    def _build(self, holdings: Holdings, root: str) -> Metadata:
        series = holdings.series
        rows = [self._row(series, instance, root) for instance in self.instances(holdings)]
        text = _in_order(rows)
        if holdings.warning is not None:
            return Metadata(text, (holdings.warning,))
        self._keep(series, root, CachedSeries(holdings.version, text))
        return Metadata(text)

    def _row(
        self,
        series: SeriesRef,
        instance: DicomObject,
        root: str,
        complete: Callable[[str, str], str] = lambda text, _root: text,
    ) -> _Row:
        uid = instance.sop_instance_uid
        ref = InstanceRef(series.study_instance_uid, series.series_instance_uid, uid)
        bulk_data_root = _bulk_data_root(root, ref)
        number = instance.number(_INSTANCE_NUMBER)
        text = complete(self._json.encode(instance, bulk_data_root), bulk_data_root)
        return _Row(number is None, number or 0, uid, text)

    def _keep(self, series: SeriesRef, root: str, cached: CachedSeries) -> None:
        if cached.version == self._archive.series_version(series):
            self._cache.put(series, root, cached)
        # else it grew while it was built, say by storing; the next one is kept


class _Row(NamedTuple):
    """The metadata of one instance, and its place in the series."""

    numberless: bool
    number: float
    sop_instance_uid: str
    json: str


def _in_order(rows: list[_Row]) -> bytes:
    return _array([row.json for row in sorted(rows, key=lambda row: row[:3])])


def _with_pixels(text: str, bulk_data_root: str) -> str:
    """Of a header whose pixels alone are missing: where they will be."""
    uri = f"{bulk_data_root}/7FE00010"
    return f'{text[:-1]},"7FE00010":{{"vr":"OW","BulkDataURI":{json.dumps(uri)}}}}}'


def _array(objects: list[str]) -> bytes:
    return ("[" + ",".join(objects) + "]").encode("utf-8")


def _bulk_data_root(root: str, ref: InstanceRef) -> str:
    return (
        f"{root}studies/{ref.study_instance_uid}/series/{ref.series_instance_uid}"
        f"/instances/{ref.sop_instance_uid}/bulkdata"
    )
