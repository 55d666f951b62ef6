"""One job done: what a worker process runs. Imported by nothing else, for what it loads."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from farsight.imaging.annotate import icon
from farsight.imaging.colours import rgb
from farsight.imaging.decode import Decoded, decode
from farsight.imaging.encode import encode
from farsight.imaging.files import saved
from farsight.imaging.jobs import IconJob, Job, RenderJob, TranscodeJob
from farsight.imaging.render import render


def perform(job: Job, frames: Sequence[bytes | memoryview]) -> list[bytes]:
    """The blocks that the job's description names. Raises: FarsightError, OutsideImage."""
    if isinstance(job, RenderJob):
        return [render(job, frames)]
    if isinstance(job, IconJob):
        return [saved(icon(job), job.image_type, None, b"")]
    return _transcode(job, frames)


def _transcode(job: TranscodeJob, frames: Sequence[bytes | memoryview]) -> list[bytes]:
    blocks, photometric = [], job.picture.pixels.photometric
    pixels = replace(job.picture.pixels, by_plane=False)
    for frame in frames:
        decoded = decode(job.picture, frame)
        if decoded.photometric == "YBR_PARTIAL":  # has no name in DICOM but with halved colours
            decoded = Decoded(rgb(decoded, pixels), "RGB")
        block, photometric = encode(decoded, pixels, job.transfer_syntax_uid, job.quality)
        blocks.append(block)
    return [photometric.encode("ascii"), *blocks]
