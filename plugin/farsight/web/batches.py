"""Chunks of a long answer, several at a time: each turn to a worker thread and back costs more than
most chunks do."""

from __future__ import annotations

import time
from collections.abc import Generator, Iterator

Chunk = bytes | memoryview
#: Held in memory for each answer under way.
_BATCH_BYTES = 2 << 20
#: What takes longer than that to be made is better sent at once.
_QUICK_S = 0.005
#: So many chunks go one by one before it is known how quick their source is.
_TRIED = 4


def in_batches(chunks: Iterator[Chunk], most_bytes: int = _BATCH_BYTES) -> Generator[list[Chunk]]:
    """Lists of chunks, none of them empty: twice as many each time while their source is quick, one
    by one where it is slow, so that nothing that is ready waits for long.

    `most_bytes`: none is added to as many. Closing this closes the source.
    """
    batch: list[Chunk] = []
    size, most, tried = 0, 1, 0
    began = time.monotonic()
    try:
        for chunk in chunks:
            batch.append(chunk)
            size += len(chunk)
            is_slow = time.monotonic() - began > _QUICK_S * len(batch)
            if is_slow or len(batch) >= most or size >= most_bytes:
                yield batch
                tried += 1
                most = 1 if is_slow or tried < _TRIED else most * 2
                batch, size = [], 0
                began = time.monotonic()
        if batch:
            yield batch
    finally:
        close = getattr(chunks, "close", None)
        if close is not None:
            close()
