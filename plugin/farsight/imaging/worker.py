"""A worker process: jobs in, blocks of bytes out, until its input ends.

    python -m farsight.imaging.worker MAX_BYTES MAX_SECONDS [TRAY]

It runs what may fall over hostile data: codecs. It has as much memory as it is told, as much of the
processor's time for a job (so that it ends also where nobody is left to end it), little of
Orthanc's environment, and can't fill a file, gain rights or (unless it is root's) start anything.
It is no sandbox: it runs as Orthanc's user and can read the files and reach the network that this
one can. Nothing that it says is executed or unpickled by who asked.

Wire: a job is `<LL?` (length of the pickled job, number of frames, whether they are in the tray),
`<Q` per frame, the pickle, the frames if they aren't. The tray, a descriptor of shared memory, has
them one after another until the answer: half a megabyte takes a quarter of a millisecond through a
pipe. An answer is `<BL` (0 done, else which error; number of blocks), `<Q` per block, the blocks;
the one block of an error is its message.
"""

from __future__ import annotations

import ctypes
import itertools
import mmap
import pickle
import resource
import sys
from io import BufferedWriter, FileIO
from struct import Struct
from typing import BinaryIO

from farsight.errors import FarsightError, UnsupportedDicom
from farsight.imaging.jobs import Job

HEAD = Struct("<LL?")
SIZE = Struct("<Q")
ANSWER = Struct("<BL")
DONE, MALFORMED, UNSUPPORTED, OUTSIDE, NO_MEMORY, BUG = range(6)
_OPEN_FILES = 32
#: An answer up to that is said at once.
_AT_ONCE = 64 << 10
_PR_SET_NO_NEW_PRIVS = 38  # <linux/prctl.h>


def main() -> None:
    _limit(resource.RLIMIT_AS, int(sys.argv[1]))
    _limit(resource.RLIMIT_CORE, 0)
    from farsight.imaging.perform import perform  # once the limits are set: this loads the codecs
    from farsight.imaging.render import OutsideImage

    _confine()
    source = sys.stdin.buffer
    sink = BufferedWriter(FileIO(1, "wb", closefd=False), _AT_ONCE)
    tray = _tray(int(sys.argv[3])) if len(sys.argv) > 3 else memoryview(b"")
    _answer(sink, DONE, [])  # ready
    while (job_and_frames := _read(source, tray)) is not None:
        job, frames = job_and_frames
        _allow_more_time(int(sys.argv[2]))
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


def _confine() -> None:
    """What takes from a codec that was taken over what it never needs.

    Fonts and some codecs are loaded when they are needed first: some files can still be opened.
    """
    _limit(resource.RLIMIT_FSIZE, 0)  # of files; pipes have no size
    _limit(resource.RLIMIT_NOFILE, _OPEN_FILES)
    _limit(resource.RLIMIT_NPROC, 0)  # neither processes nor threads
    ctypes.CDLL(None).prctl(_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)


def _allow_more_time(seconds: int) -> None:
    """For the next job; beyond, the kernel ends this process."""
    spent = resource.getrusage(resource.RUSAGE_SELF)
    until = int(spent.ru_utime + spent.ru_stime) + seconds
    _, allowed = resource.getrlimit(resource.RLIMIT_CPU)
    if allowed == resource.RLIM_INFINITY or until < allowed:
        resource.setrlimit(resource.RLIMIT_CPU, (until, allowed))


def _limit(which: int, most: int) -> None:
    """Never above what is allowed already: only root could do that."""
    _, allowed = resource.getrlimit(which)
    value = most if allowed == resource.RLIM_INFINITY else min(most, allowed)
    resource.setrlimit(which, (value, value))


def _tray(descriptor: int) -> memoryview:
    with FileIO(descriptor) as file:
        return memoryview(mmap.mmap(file.fileno(), 0, prot=mmap.PROT_READ))


def _read(source: BinaryIO, tray: memoryview) -> tuple[Job, list[bytes | memoryview]] | None:
    head = source.read(HEAD.size)
    if len(head) < HEAD.size:
        return None
    job_size, count, in_tray = HEAD.unpack(head)
    sizes = [SIZE.unpack(source.read(SIZE.size))[0] for _ in range(count)]
    job: Job = pickle.loads(source.read(job_size))
    if not in_tray:
        return job, [source.read(size) for size in sizes]
    ends = list(itertools.accumulate(sizes))
    return job, [tray[end - size : end] for size, end in zip(sizes, ends, strict=True)]


def _answer(sink: BinaryIO, outcome: int, blocks: list[bytes]) -> None:
    sink.write(ANSWER.pack(outcome, len(blocks)))
    for block in blocks:
        sink.write(SIZE.pack(len(block)))
    for block in blocks:
        sink.write(block)
    sink.flush()


if __name__ == "__main__":
    main()
