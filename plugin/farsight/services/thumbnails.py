"""Small pictures for lists: one for each study, series, instance and frame, kept once drawn."""

from __future__ import annotations

import logging
import threading
from collections import OrderedDict
from dataclasses import dataclass

from farsight.documents.legible import class_name
from farsight.errors import (
    ArchiveError,
    DecoderLost,
    MalformedDicom,
    NotAcceptable,
    UnsupportedDicom,
)
from farsight.imaging.jobs import ImageType
from farsight.model import InstanceRef, SeriesRef
from farsight.ports.archive import Archive, Kept
from farsight.ps318.rendering_query import RenderingQuery, Viewport
from farsight.services.kept_thumbnails import read_thumbnails, write_thumbnails
from farsight.services.rendering import RenderService, Shot
from farsight.services.representative import Representatives

LOG = logging.getLogger("farsight.imaging")

_USUAL = Viewport(256, 256, None)
_MAX_BYTES = 32 << 20
_MODALITY = 0x00080060


@dataclass(frozen=True, slots=True)
class ThumbnailKey:
    """series: what stands for it is shown, or one instance of it, or one frame of that."""

    series: SeriesRef
    image_type: ImageType
    query: RenderingQuery
    sop_instance_uid: str = ""
    frame_number: int = 0

    @property
    def name(self) -> str:
        """Among the pictures of a series."""
        viewport = self.query.viewport or _USUAL
        return f"{self.image_type.value} {viewport.width} {viewport.height}"


@dataclass(frozen=True, slots=True)
class _Drawn:
    version: int
    changes: int
    picture: bytes


@dataclass(frozen=True, slots=True)
class _Picture:
    """is_icon: that is no picture of the instance; another version of this program may draw one.
    may_get_better: it is an icon because a worker was lost, or took too long."""

    picture: bytes
    is_icon: bool = False
    may_get_better: bool = False


class ThumbnailService:
    """Thread-safe. Calls block, and raise what a search or a retrieve raises."""

    def __init__(
        self, render: RenderService, representatives: Representatives, archive: Archive
    ) -> None:
        self._render = render
        self._representatives = representatives
        self._archive = archive
        self._lock = threading.Lock()
        self._drawn: OrderedDict[ThumbnailKey, _Drawn] = OrderedDict()
        self._bytes = 0

    def series_of(self, study_instance_uid: str) -> SeriesRef:
        """Whose thumbnail is the study's."""
        return self._representatives.series_of(study_instance_uid)

    def at_hand(self, key: ThumbnailKey) -> bytes | None:
        """What was drawn before, if nothing was stored or deleted since. Never blocks."""
        with self._lock:
            found = self._drawn.get(key)
            if found is None or found.changes != self._archive.changes:
                return None
            self._drawn.move_to_end(key)
            return found.picture

    def picture(self, key: ThumbnailKey) -> bytes:
        """Drawn now, or before and nothing of its series has changed since."""
        changes = self._archive.changes  # before the version that it may belong to
        version = self._archive.series_version(key.series)
        with self._lock:
            found = self._drawn.get(key)
        if found is not None and found.version == version:
            drawn = _Drawn(version, changes, found.picture)
        else:
            made = self._kept_or_drawn(key)
            if made.may_get_better:
                return made.picture
            drawn = _Drawn(version, changes, made.picture)
        self._keep(key, drawn)
        return drawn.picture

    def _kept_or_drawn(self, key: ThumbnailKey) -> _Picture:
        """Of whole series the pictures are kept in the archive, for the next life too."""
        series = key.series
        fingerprint = ""
        if not key.sop_instance_uid and self._archive.completeness(series) is not None:
            fingerprint = self._archive.fingerprint(series)
        if not fingerprint:
            return self._draw(key)
        record = self._archive.kept(series, Kept.THUMBNAILS)
        pictures = read_thumbnails(record, fingerprint) if record else {}
        picture = pictures.get(key.name)
        if picture is None:
            drawn = self._draw(key)
            if drawn.is_icon:
                return drawn
            pictures[key.name] = picture = drawn.picture
            try:
                record = write_thumbnails(fingerprint, pictures)
                self._archive.keep(series, record, Kept.THUMBNAILS)
            except ArchiveError as error:  # it is drawn all the same
                LOG.warning("series %s: %s", series.series_instance_uid, error)
        return _Picture(picture)

    def _draw(self, key: ThumbnailKey) -> _Picture:
        series = key.series
        ref = (
            InstanceRef(series.study_instance_uid, series.series_instance_uid, key.sop_instance_uid)
            if key.sop_instance_uid
            else self._representatives.of_series(series)
        )
        header = self._render.header(ref)
        query = key.query if key.query.viewport else RenderingQuery(viewport=_USUAL)
        if key.frame_number:
            shot = Shot(ref, key.frame_number)
            return _Picture(self._render.still(shot, query, key.image_type, enlarge=False))
        lost = False
        try:
            shots = self._render.shots(ref, header)
            if shots:
                shot = self._render.representative(shots, header)
                return _Picture(self._render.still(shot, query, key.image_type, enlarge=False))
        except (NotAcceptable, MalformedDicom, UnsupportedDicom) as error:
            LOG.info("instance %s: %s", ref.sop_instance_uid, error)  # an icon, as without pixels
            lost = isinstance(error, DecoderLost)
        assert query.viewport is not None
        size = (query.viewport.width, query.viewport.height)
        modality = header.text(_MODALITY) or "?"
        caption = class_name(header.sop_class_uid)
        icon = self._render.icon(modality, caption, size, key.image_type)
        return _Picture(icon, is_icon=True, may_get_better=lost)

    def _keep(self, key: ThumbnailKey, drawn: _Drawn) -> None:
        with self._lock:
            old = self._drawn.pop(key, None)
            self._drawn[key] = drawn
            self._bytes += len(drawn.picture) - (0 if old is None else len(old.picture))
            while self._bytes > _MAX_BYTES:
                _, evicted = self._drawn.popitem(last=False)
                self._bytes -= len(evicted.picture)
