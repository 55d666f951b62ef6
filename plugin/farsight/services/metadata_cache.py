"""The metadata of whole series, kept as text and gzipped, within a budget of bytes."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Iterable

from farsight.model import SeriesRef
from farsight.ps318.entity_tag import content_tag
from farsight.services.kept_metadata import zip_json


class CachedSeries:
    """The metadata of one series as it was at one version of the archive.

    sop_instance_uids: what it is of; what is in memory only doesn't count in a version. changes: of
    the archive, when it was last known to be the metadata of the whole series.
    """

    __slots__ = ("changes", "json", "sop_instance_uids", "tag", "version", "zipped")

    def __init__(
        self,
        version: int,
        sop_instance_uids: Iterable[str],
        json: bytes,
        zipped: bytes | None = None,
    ) -> None:
        self.version = version
        self.sop_instance_uids = frozenset(sop_instance_uids)
        self.json = json
        self.zipped = zipped
        self.tag = content_tag(json)
        self.changes = -1

    @property
    def size(self) -> int:
        return len(self.json) + len(self.zipped or b"")


class MetadataCache:
    """By series and root, which stands in the BulkDataURIs. Thread-safe; the least recently used
    goes first."""

    def __init__(self, max_bytes: int) -> None:
        self._max_bytes = max_bytes
        self._lock = threading.Lock()
        self._cached: OrderedDict[tuple[SeriesRef, str], CachedSeries] = OrderedDict()
        self._bytes = 0

    def get(self, series: SeriesRef, root: str, version: int) -> CachedSeries | None:
        """What was kept of it at this version."""
        with self._lock:
            cached = self._cached.get((series, root))
            if cached is None or cached.version != version:
                return None
            self._cached.move_to_end((series, root))
            return cached

    def checked(self, series: SeriesRef, root: str, changes: int) -> CachedSeries | None:
        """What was kept of it, if nothing in the archive has changed since that was right."""
        with self._lock:
            cached = self._cached.get((series, root))
            if cached is None or cached.changes != changes:
                return None
            self._cached.move_to_end((series, root))
            return cached

    def put(self, series: SeriesRef, root: str, cached: CachedSeries) -> None:
        with self._lock:
            old = self._cached.pop((series, root), None)
            self._bytes += cached.size - (0 if old is None else old.size)
            self._cached[(series, root)] = cached
            self._shrink()

    def zipped(self, series: SeriesRef, root: str, json: bytes) -> bytes:
        """The gzip form, kept beside the text if that is the one kept."""
        with self._lock:
            cached = self._cached.get((series, root))
        if cached is None or cached.json is not json:
            return zip_json(json)
        zipped = cached.zipped or zip_json(json)
        with self._lock:
            if cached.zipped is None and self._cached.get((series, root)) is cached:
                cached.zipped = zipped
                self._bytes += len(zipped)
                self._shrink()
        return zipped

    def _shrink(self) -> None:
        while self._bytes > self._max_bytes and len(self._cached) > 1:
            _, evicted = self._cached.popitem(last=False)
            self._bytes -= evicted.size
