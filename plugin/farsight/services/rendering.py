"""Pictures of instances: which frames, shown how, drawn by whom (PS3.18 8.7.4, 10.4.1.1.3).

What is shown of an instance is a list of shots: one frame each, by itself or as a presentation
state has it. A still is one shot, an animation all of them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import overload

from farsight.dicom.elements import DicomObject, Instance
from farsight.errors import NotAcceptable, NotFound, UnsupportedDicom
from farsight.imaging import presentation
from farsight.imaging.describe import picture_of, pixel_format, varies
from farsight.imaging.jobs import Graphics, IconJob, ImageType, RenderJob
from farsight.imaging.picture import Picture
from farsight.imaging.values import numbers
from farsight.model import InstanceRef
from farsight.ports.imaging import Imaging
from farsight.ps318.rendering_query import RenderingQuery
from farsight.services.captions import captions_of
from farsight.services.open_instance import OpenInstance
from farsight.services.renditions import Kind, frames_said, is_presentation_state, kind_of
from farsight.services.serve import ServeService

#: Of all frames of an animation, as they are stored, and as they are drawn.
_MOST_ANIMATED_BYTES = 256 << 20
_MOST_ANIMATED = 2000
#: Frames that one presentation state may show.
_MOST_SHOWN = 10_000
_REPRESENTATIVE_FRAME = 0x00286010


@dataclass(frozen=True, slots=True)
class Shot:
    """One frame of an instance, and the presentation state it is shown by, if any."""

    image: InstanceRef
    frame_number: int
    state: InstanceRef | None = None


@dataclass(frozen=True, slots=True)
class FramesOf(Sequence[Shot]):
    """All frames of one instance, each made when it is asked for: a slide may have a million, and
    a hostile file claims more."""

    image: InstanceRef
    number_of_frames: int
    state: InstanceRef | None = None

    def __len__(self) -> int:
        return self.number_of_frames

    @overload
    def __getitem__(self, at: int) -> Shot: ...
    @overload
    def __getitem__(self, at: slice) -> list[Shot]: ...
    def __getitem__(self, at: int | slice) -> Shot | list[Shot]:
        numbers_ = range(1, self.number_of_frames + 1)[at]
        if isinstance(numbers_, int):
            return Shot(self.image, numbers_, self.state)
        return [Shot(self.image, number, self.state) for number in numbers_]


class RenderService:
    """Draws; thread-safe. Calls block, and raise what reading an instance raises: NotFound,
    PacsError, ArchiveError, MalformedDicom; and NotAcceptable for what can't be drawn."""

    def __init__(self, serve: ServeService, imaging: Imaging) -> None:
        self._serve = serve
        self._imaging = imaging

    def open(self, ref: InstanceRef) -> OpenInstance:
        return self._serve.open(ref)

    def header(self, ref: InstanceRef) -> Instance:
        return self._serve.open(ref).header

    def whole(self, ref: InstanceRef) -> DicomObject:
        """For documents, which are read whole."""
        return self._serve.instance(ref)

    def shots(self, ref: InstanceRef, header: Instance) -> Sequence[Shot]:
        """All that is to be seen of an instance; empty where it is no image."""
        kind = kind_of(header)
        if kind in (Kind.IMAGE, Kind.MULTI_FRAME):
            return FramesOf(ref, frames_said(header))
        if not is_presentation_state(header):
            return []
        shown = self._shown_by(ref, header)
        if sum(len(frames) for _, frames in shown) > _MOST_SHOWN:
            raise NotAcceptable(f"the presentation state shows more than {_MOST_SHOWN} frames")
        return [Shot(image, number, ref) for image, frames in shown for number in frames]

    def _shown_by(
        self, ref: InstanceRef, header: Instance
    ) -> list[tuple[InstanceRef, Sequence[int]]]:
        shown: list[tuple[InstanceRef, Sequence[int]]] = []
        for one in presentation.referenced_images(header):
            image = InstanceRef(
                ref.study_instance_uid, one.series_instance_uid, one.sop_instance_uid
            )
            frames = one.frames or range(1, frames_said(self.header(image)) + 1)
            shown.append((image, frames))
        return shown

    def representative(self, shots: Sequence[Shot], header: Instance) -> Shot:
        """The one to show of several (PS3.3 C.7.6.6): the one named so, else the middle one."""
        said = header.number(_REPRESENTATIVE_FRAME)
        if isinstance(said, int) and 1 <= said <= len(shots):
            return shots[said - 1]
        return shots[len(shots) // 2]

    def still(
        self, shot: Shot, query: RenderingQuery, image_type: ImageType, *, enlarge: bool = True
    ) -> bytes:
        """One shot as a file."""
        instance = self._serve.open(shot.image)
        try:
            picture, graphics = self._shown(instance, shot)
            index = instance.frames()
            if shot.frame_number > index.number_of_frames:
                raise NotFound(f"frame {shot.frame_number} does not exist")
            job = RenderJob(
                (picture,),
                query,
                image_type,
                captions=captions_of(instance.header, query.annotations),
                graphics=graphics,
                enlarge=enlarge,
            )
            return self._imaging.run(job, (instance.frame(index, shot.frame_number),))[0]
        except UnsupportedDicom as error:
            raise NotAcceptable(str(error)) from error

    def _shown(self, instance: OpenInstance, shot: Shot) -> tuple[Picture, Graphics | None]:
        picture = picture_of(instance.header, shot.frame_number)
        if shot.state is None:
            return picture, None
        state = self._serve.instance(shot.state)
        uid = shot.image.sop_instance_uid
        return presentation.apply(state, picture, uid, shot.frame_number)

    def animation(self, ref: InstanceRef, query: RenderingQuery) -> bytes:
        """All frames of an instance as a GIF, in the time they are to be shown."""
        instance = self._serve.open(ref)
        try:
            pixels = pixel_format(instance.header)
            index = instance.frames()
            count = index.number_of_frames
            cell_bytes = max(pixels.bits_allocated // 8, 1)
            if count > _MOST_ANIMATED or pixels.cells * cell_bytes * count > _MOST_ANIMATED_BYTES:
                raise NotAcceptable(
                    f"an animation of {count} frames of this size is too large; frames can be had "
                    "one by one"
                )
            numbers_ = range(1, count + 1)
            each = numbers_ if varies(instance.header) else (1,)
            job = RenderJob(
                tuple(picture_of(instance.header, number) for number in each),
                query,
                ImageType.GIF,
                delays_ms=_delays(instance.header, count),
                captions=captions_of(instance.header, query.annotations),
            )
            frames = [instance.frame(index, number) for number in numbers_]
            return self._imaging.run(job, frames)[0]
        except UnsupportedDicom as error:
            raise NotAcceptable(str(error)) from error

    def icon(self, label: str, caption: str, size: tuple[int, int], image_type: ImageType) -> bytes:
        """For what has no image."""
        return self._imaging.run(IconJob(label, caption, *size, image_type))[0]


def _delays(instance: Instance, count: int) -> tuple[int, ...]:
    """How long each frame is shown (PS3.3 C.7.6.5); nothing where that isn't said."""
    vector = numbers(instance, 0x00181065)
    if len(vector) >= count:
        return tuple(round(step) for step in (*vector[1:count], vector[count - 1]))
    time = numbers(instance, 0x00181063)
    rate = numbers(instance, 0x00082144) or numbers(instance, 0x00180040)
    if time and time[0] > 0:
        return (round(time[0]),) * count
    return (round(1000 / rate[0]),) * count if rate and rate[0] > 0 else ()
