"""The workers: no call waits for a busy thread while another is free."""

from __future__ import annotations

import gc
import threading
import weakref

import pytest

from farsight.web.worker_pool import Overloaded, WorkerPool


def test_calls_return_and_raise() -> None:
    pool = WorkerPool(2)
    assert pool.run(lambda: 42) == 42
    with pytest.raises(KeyError):
        pool.run(lambda: {}["x"])
    pool.close()


def test_who_waits_may_give_up() -> None:
    pool = WorkerPool(1)
    go_on, ended = threading.Event(), threading.Event()

    def work() -> None:
        assert go_on.wait(30)
        ended.set()

    with pytest.raises(Overloaded, match="longer than"):
        pool.run(work, 0.01)
    go_on.set()
    assert ended.wait(30), "it goes on all the same"
    assert pool.run(lambda: 42, 30) == 42
    pool.close()


def test_threads_are_started_while_calls_would_wait() -> None:
    """Each round blocks all threads at once: no call may be queued behind a busy one."""
    for _ in range(100):
        pool = WorkerPool(8)
        pool.run(lambda: None)  # one thread is idle, or about to be
        everyone = threading.Barrier(9, timeout=5)
        for _ in range(8):
            pool.submit(everyone.wait, lambda: None)
        everyone.wait()
        pool.close()


def test_never_more_threads_than_allowed() -> None:
    pool = WorkerPool(4)
    lock, running, most = threading.Lock(), 0, 0
    over = threading.Semaphore(0)

    def work() -> None:
        nonlocal running, most
        with lock:
            running += 1
            most = max(most, running)
        threading.Event().wait(0.001)
        with lock:
            running -= 1

    for _ in range(200):
        pool.submit(work, over.release)
    for _ in range(200):
        assert over.acquire(timeout=20)
    assert most == 4
    pool.close()


def test_too_many_waiting() -> None:
    pool = WorkerPool(1, max_waiting=2)
    release, entered = threading.Event(), threading.Event()

    def block() -> None:
        entered.set()
        release.wait(20)

    pool.submit(block, lambda: None)
    assert entered.wait(20)
    pool.submit(lambda: None, lambda: None)
    pool.submit(lambda: None, lambda: None)
    with pytest.raises(Overloaded, match="too many"):
        pool.submit(lambda: None, lambda: None)
    release.set()
    pool.close()


def test_closing_lets_nobody_wait() -> None:
    pool = WorkerPool(1)
    release, entered = threading.Event(), threading.Event()
    said: list[str] = []

    def block() -> None:
        entered.set()
        release.wait(20)

    def wait() -> None:
        try:
            pool.run(block)
        except Overloaded as error:
            said.append(str(error))

    waiting = threading.Thread(target=wait, daemon=True)
    waiting.start()
    assert entered.wait(20)
    pool.close()
    waiting.join(20)
    assert said == ["the server is stopping"]
    with pytest.raises(Overloaded, match="stopping"):
        pool.submit(lambda: None, lambda: None)
    release.set()


def test_idle_workers_hold_nothing_of_what_they_did() -> None:
    class Large:
        pass

    pool = WorkerPool(4)
    results = [pool.run(Large) for _ in range(4)]
    alive = [weakref.ref(result) for result in results]
    del results
    gc.collect()
    assert [one() for one in alive] == [None] * 4
    pool.close()
