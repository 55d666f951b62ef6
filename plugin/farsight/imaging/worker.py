"""A worker process: jobs in, blocks of bytes out, until its input ends.

    python -m farsight.imaging.worker MAX_BYTES

It runs what may fall over hostile data: codecs. It has no way to anything but its two pipes, as
much memory as it is told, and nothing that it says is executed or unpickled by who asked.

Wire: a job is `<LL` (length of the pickled job, number of frames), `<Q` per frame, the pickle, the
frames. An answer is `<BL` (0 done, else an error of `OUTCOMES`; number of blocks), `<Q` per block,
the blocks; the one block of an error is its message.
"""

from __future__ import annotations

import pickle
import resource
import sys
from struct import Struct
from typing import BinaryIO

from farsight.errors import FarsightError, UnsupportedDicom
from farsight.imaging.jobs import Job

HEAD = Struct("<LL")
SIZE = Struct("<Q")
ANSWER = Struct("<BL")
DONE, MALFORMED, UNSUPPORTED, OUTSIDE, NO_MEMORY, BUG = range(6)


def main() -> None:
    limit = int(sys.argv[1])
    resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    from farsight.imaging.perform import perform  # once the limits are set: this loads the codecs
    from farsight.imaging.render import OutsideImage

    source, sink = sys.stdin.buffer, sys.stdout.buffer
    _answer(sink, DONE, [])  # ready
    while (job_and_frames := _read(source)) is not None:
        job, frames = job_and_frames
        try:
            outcome, blocks = DONE, perform(job, frames)
        except OutsideImage as error:
            outcome, blocks = OUTSIDE, [str(error).encode()]
        except UnsupportedDicom as error:
            outcome, blocks = UNSUPPORTED, [str(error).encode()]
        except FarsightError as error:
            outcome, blocks = MALFORMED, [str(error).encode()]
        except MemoryError:
            outcome, blocks = NO_MEMORY, [b"it takes more memory than a worker may have"]
        except Exception as error:  # the end of this process's only thread
            outcome, blocks = BUG, [f"{type(error).__name__}: {error}"[:500].encode()]
        _answer(sink, outcome, blocks)
        del job, frames, blocks


def _read(source: BinaryIO) -> tuple[Job, list[bytes]] | None:
    head = source.read(HEAD.size)
    if len(head) < HEAD.size:
        return None
    job_size, count = HEAD.unpack(head)
    sizes = [SIZE.unpack(source.read(SIZE.size))[0] for _ in range(count)]
    job: Job = pickle.loads(source.read(job_size))
    return job, [source.read(size) for size in sizes]


def _answer(sink: BinaryIO, outcome: int, blocks: list[bytes]) -> None:
    sink.write(ANSWER.pack(outcome, len(blocks)))
    for block in blocks:
        sink.write(SIZE.pack(len(block)))
    for block in blocks:
        sink.write(block)
    sink.flush()


if __name__ == "__main__":
    main()
