"""What decodes, draws and encodes pixels: somebody outside this process."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from farsight.imaging.jobs import Job


class Imaging(Protocol):
    """Does jobs, several at once. Calls block."""

    def run(self, job: Job, frames: Sequence[bytes | memoryview] = ()) -> Sequence[bytes]:
        """The blocks of bytes that the job's description names.

        Raises: MalformedDicom (also where decoding took too long or too much, or the decoder fell
        over), UnsupportedDicom, InvalidParameter for a region outside of the image, ImagingBusy.
        """
        ...
