"""A PythonScript for Orthanc that only stores: what Orthanc can do without Farsight."""

import threading
import time
from pathlib import Path

import orthanc


def store(output, uri, **request):  # type: ignore[no-untyped-def]  # noqa: ARG001
    """POST /bare-store with "<threads> <directory>" as body: stores the files from memory."""
    count, _, directory = request["body"].decode().partition(" ")
    files = sorted(Path(directory).iterdir())
    bodies = [file.read_bytes() for file in files]
    lock = threading.Lock()

    def work() -> None:
        while True:
            with lock:
                if not bodies:
                    return
                body = bodies.pop()
            orthanc.RestApiPost("/instances", body)

    threads = [threading.Thread(target=work, daemon=True) for _ in range(int(count))]
    started = time.perf_counter()
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    output.AnswerBuffer(str(time.perf_counter() - started), "text/plain")


orthanc.RegisterRestCallback("/bare-store", store)
