"""Answers from our own bytes: metadata, objects, frames, bulk data."""

from __future__ import annotations

import copy
import json
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import NamedTuple

from farsight.dicom.elements import DicomObject, Instance
from farsight.dicom.transfer_syntax import VIDEO
from farsight.model import InstanceRef, SeriesRef
from farsight.ports.archive import Archive
from farsight.ps318.dicom_json import DicomJson, with_available_syntax
from farsight.services.holdings import Holdings
from farsight.services.kept_metadata import KeptMetadata, read_kept
from farsight.services.metadata_cache import CachedSeries, MetadataCache
from farsight.services.metadata_keeper import MetadataKeeper
from farsight.services.object_file import FileSize, ObjectFile
from farsight.services.open_instance import OpenInstance
from farsight.services.presence import Presence
from farsight.services.retrieve import RetrieveService

_INSTANCE_NUMBER = 0x00200013
#: Shorter metadata is made as fast as it is looked up.
_WORTH_KEEPING_BYTES = 32 * 1024


@dataclass(frozen=True, slots=True)
class Metadata:
    """A JSON array of data sets. warnings: why it may not be all there is. tag: of these bytes, an
    entity tag, where that was found out before."""

    json: bytes
    warnings: tuple[str, ...] = ()
    tag: str = ""


class ZippedMetadata(NamedTuple):
    """Metadata, and its gzip form where that was made already."""

    metadata: Metadata
    zipped: bytes | None


class ServeService:
    """Reads through the retrieve service; keeps the metadata of complete series. Thread-safe."""

    def __init__(
        self,
        retrieve: RetrieveService,
        archive: Archive,
        max_metadata_bytes: int = 128 << 20,
        quiet_s: float = 1.0,
    ) -> None:
        """`quiet_s`: so long nothing has to have come in before metadata is kept."""
        self._retrieve = retrieve
        self._archive = archive
        self._json = DicomJson()
        self._cache = MetadataCache(max_metadata_bytes)
        self._root = _Root()
        self._keeper = MetadataKeeper(
            self._keep_with_series, lambda: bool(retrieve.progress()), quiet_s
        )
        retrieve.when_complete(self._keeper.submit)
        retrieve.reader.when_walked(self._keeper.submit)

    def close(self, deadline_s: float) -> None:
        self._keeper.close(deadline_s)

    def only(self, source: str) -> ServeService:
        """The same service with one PACS to fetch from; what is kept is shared."""
        fewer = copy.copy(self)
        fewer._retrieve = self._retrieve.only(source)
        return fewer

    def instance(self, ref: InstanceRef) -> DicomObject:
        """One instance. Raises: NotFound, PacsError, ArchiveError, MalformedDicom."""
        return self._retrieve.reader.instance(ref)

    def open(self, ref: InstanceRef) -> OpenInstance:
        """One instance to read frames or bulk data of. Raises: as instance."""
        return self._retrieve.reader.open(ref)

    def at_hand(self, ref: InstanceRef) -> OpenInstance | None:
        """The same, if it is in memory, or was read before and no disk has to be waited for. Never
        blocks."""
        return self._retrieve.reader.at_hand(ref)

    def files(self, holdings: Holdings) -> Iterator[ObjectFile]:
        """The instances of a settled series, one at a time."""
        for ref in _refs(holdings.series, holdings.sop_instance_uids):
            yield self._retrieve.reader.file(ref)

    def sizes(self, holdings: Holdings) -> Iterator[FileSize]:
        """What `files` will bring, without reading it."""
        for ref in _refs(holdings.series, holdings.sop_instance_uids):
            yield self._retrieve.reader.size(ref)

    def stored(self, study_instance_uid: str) -> Mapping[str, Collection[str]]:
        """SeriesInstanceUID -> SOPInstanceUIDs of what is stored, as far as was heard."""
        return self._archive.study_instances(study_instance_uid)

    def stored_now(self, study_instance_uid: str) -> Mapping[str, Collection[str]]:
        """The same, looked at anew."""
        self._archive.reload(study_instance_uid)
        return self._archive.study_instances(study_instance_uid)

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
        header = self._retrieve.reader.header(ref)
        return Metadata(_array([self._row(ref.series, header, root).json]))

    def series_metadata(self, series: SeriesRef, root: str, presence: Presence) -> Metadata:
        """The metadata of every instance, in the order of their instance numbers."""
        changes = self._archive.changes  # before anything is looked at
        headers = self._retrieve.headers(series, presence)
        if headers is not None:
            rows = [self._row(series, header, root, _with_pixels) for header in headers]
            return Metadata(_in_order(rows))
        holdings = self.series(series, presence)  # at once where the series is known to be complete
        return self._metadata_of(holdings, root, changes)

    def metadata_at_hand(self, series: SeriesRef, root: str) -> ZippedMetadata | None:
        """What was answered before, if nothing was stored or deleted since. Never blocks."""
        cached = self._cache.checked(series, root, self._archive.changes)
        if cached is None:
            return None
        return ZippedMetadata(Metadata(cached.json, tag=cached.tag), cached.zipped)

    def study_metadata(self, study_instance_uid: str, root: str, presence: Presence) -> Metadata:
        """The metadata of every instance of every series."""
        settled, warnings = self.study(study_instance_uid, presence)
        arrays = [self._metadata_of(holdings, root, -1).json for holdings in settled]
        inner = [array[1:-1] for array in arrays if len(array) > 2]
        return Metadata(b"[" + b",".join(inner) + b"]", warnings)

    def zipped(self, series: SeriesRef, root: str, metadata: Metadata) -> bytes:
        """The gzip form of a series' metadata, kept beside it."""
        return self._cache.zipped(series, root, metadata.json)

    def _metadata_of(self, holdings: Holdings, root: str, changes: int) -> Metadata:
        """As it was made before, in this life or in another, or made now.

        `changes`: of the archive, before the holdings were settled.
        """
        series, warning = holdings.series, holdings.warning
        if warning is not None:
            return Metadata(self._made(series, holdings.sop_instance_uids, root), (warning,))
        self._root.last = root
        version = self._archive.series_version(series)
        cached = self._cache.get(series, root, version)
        uids = frozenset(holdings.sop_instance_uids)
        if cached is None or cached.sop_instance_uids != uids:
            cached = self._kept(holdings, root, version)
            if cached is None:
                text = self._made(series, uids, root)
                cached = CachedSeries(holdings.version, uids, text)
                self._keeper.submit(series)
            self._keep(series, root, cached)
        if self._retrieve.is_settled(series):
            cached.changes = max(cached.changes, changes)
        return Metadata(cached.json, tag=cached.tag)

    def _made(self, series: SeriesRef, uids: Iterable[str], root: str) -> bytes:
        headers = map(self._retrieve.reader.header, _refs(series, uids))
        return _in_order([self._row(series, header, root) for header in headers])

    def _kept(self, holdings: Holdings, root: str, version: int) -> CachedSeries | None:
        """What was kept with the series, if it is of exactly these instances."""
        series = holdings.series
        if self._held(series) != frozenset(holdings.sop_instance_uids):
            return None  # some are in memory only
        data = self._archive.kept(series)
        kept = data and read_kept(data, self._archive.fingerprint(series))
        text = kept.json(root) if kept else None
        if not kept or text is None:
            return None
        zipped = kept.zipped if kept.root == root else None
        return CachedSeries(version, holdings.sop_instance_uids, text, zipped)

    def _keep_with_series(self, series: SeriesRef) -> None:
        """Of what is stored: its metadata and where its frames are, for the next life."""
        version = self._archive.series_version(series)
        root, fingerprint = self._root.last, self._archive.fingerprint(series)
        uids = self._held(series)
        if not fingerprint or not uids:
            return
        self._retrieve.reader.keep_outlines(_refs(series, uids))
        before = self._archive.kept(series)
        if before is not None and read_kept(before, fingerprint) is not None:
            return
        cached = self._cache.get(series, root, version)
        if cached is None or cached.sop_instance_uids != uids:
            cached = CachedSeries(version, uids, self._made(series, uids, root))
            self._keep(series, root, cached)
        if len(cached.json) < _WORTH_KEEPING_BYTES:
            return
        zipped = self._cache.zipped(series, root, cached.json)
        if self._archive.series_version(series) == version:  # else it is not what was looked at
            kept = KeptMetadata(fingerprint, root, zipped)
            self._archive.keep(series, kept.to_bytes())

    def _held(self, series: SeriesRef) -> frozenset[str]:
        stored = self._archive.study_instances(series.study_instance_uid)
        return frozenset(stored.get(series.series_instance_uid, ()))

    def _row(
        self,
        series: SeriesRef,
        instance: Instance,
        root: str,
        complete: Callable[[str, str], str] = lambda text, _root: text,
    ) -> _Row:
        uid = instance.sop_instance_uid
        ref = InstanceRef(series.study_instance_uid, series.series_instance_uid, uid)
        bulk_data_root = _bulk_data_root(root, ref)
        number = instance.number(_INSTANCE_NUMBER)
        text = complete(self._json.encode(instance, bulk_data_root), bulk_data_root)
        if instance.transfer_syntax_uid in VIDEO:
            text = with_available_syntax(text, instance.transfer_syntax_uid)
        return _Row(number is None, number or 0, uid, text)

    def _keep(self, series: SeriesRef, root: str, cached: CachedSeries) -> None:
        if cached.version == self._archive.series_version(series):
            self._cache.put(series, root, cached)
        # else it grew while it was built, say by storing; the next one is kept


class _Root:
    """The root that clients ask under, as far as any has."""

    last = "/"


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


def _refs(series: SeriesRef, uids: Iterable[str]) -> Iterator[InstanceRef]:
    for uid in uids:
        yield InstanceRef(series.study_instance_uid, series.series_instance_uid, uid)


def _array(objects: list[str]) -> bytes:
    return ("[" + ",".join(objects) + "]").encode("utf-8")


def _bulk_data_root(root: str, ref: InstanceRef) -> str:
    return (
        f"{root}studies/{ref.study_instance_uid}/series/{ref.series_instance_uid}"
        f"/instances/{ref.sop_instance_uid}/bulkdata"
    )
