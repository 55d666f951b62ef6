"""A series is read, or it leaves: never both."""

from __future__ import annotations

import threading
import time

from fakes.cache_book import FakeCacheBook
from farsight.model import SeriesRef
from farsight.services.presence import Presence
from farsight.services.reading import InUse

SERIES, OTHER = SeriesRef("1.2", "1.2.3"), SeriesRef("1.2", "1.2.4")


def in_use() -> InUse:
    return InUse(FakeCacheBook(time.time))


def test_what_is_read_does_not_leave() -> None:
    use = in_use()
    with use.reading(SERIES):
        with use.leaving(SERIES) as may_go:
            assert not may_go
        with use.leaving(OTHER) as may_go:
            assert may_go
    with use.leaving(SERIES) as may_go:
        assert may_go


def test_a_reader_waits_until_it_has_left() -> None:
    use, seen = in_use(), list[str]()

    def read() -> None:
        with use.reading(SERIES):
            seen.append("read")

    with use.leaving(SERIES) as may_go:
        assert may_go
        reader = threading.Thread(target=read, daemon=True)
        reader.start()
        with use.reading(OTHER):
            pass  # others don't wait
        with use.leaving(SERIES) as again:
            assert not again
        reader.join(0.2)
        seen.append("left")
    reader.join(10)
    assert seen == ["left", "read"]


def test_an_answer_holds_a_series_until_it_is_over() -> None:
    use, presence = in_use(), Presence()
    presence.hold(use.reading(SERIES))
    assert use.is_read(SERIES)
    presence.over()
    assert not use.is_read(SERIES)
    presence.hold(use.reading(SERIES))
    assert not use.is_read(SERIES), "it is over already"


def test_entering_may_take_its_time_while_the_answer_ends() -> None:
    use, presence = in_use(), Presence()
    with use.leaving(SERIES):
        holder = threading.Thread(target=lambda: presence.hold(use.reading(SERIES)), daemon=True)
        holder.start()
        holder.join(0.1)
        presence.over()  # does not wait for the other
    holder.join(10)
    assert not holder.is_alive()
    assert not use.is_read(SERIES)
