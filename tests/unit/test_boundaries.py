"""Delimiters of answers in parts."""

from __future__ import annotations

import re
from concurrent.futures import ThreadPoolExecutor

from farsight.ps318.multipart_related import new_boundary


def test_no_two_are_the_same_whoever_asks() -> None:
    with ThreadPoolExecutor(8) as threads:
        drawn = list(threads.map(lambda _: new_boundary(), range(5000)))
    assert len(set(drawn)) == 5000
    assert all(re.fullmatch(r"farsight-[0-9a-f]{32}", one) for one in drawn)
