"""HTTP load by wrk, for answers that are short: beside them a client in Python is what is measured.

Of long ones wrk costs more, because it reads 8 kB at a time: those are for http_load.
"""

from __future__ import annotations

import subprocess
import tempfile
from pathlib import Path

from benchmarks.http_load import Load, Measured

#: Above that http_load costs less.
SHORT_BYTES = 256 << 10
_PERCENTILES = 200
_SCRIPT = f"""
done = function(summary, latency)
  local failed = summary.errors
  io.stderr:write(string.format("%d %d %d %d %d", summary.duration, summary.requests, summary.bytes,
    failed.status, failed.connect + failed.read + failed.write + failed.timeout))
  for n = 1, {_PERCENTILES} do
    io.stderr:write(" ", latency:percentile((n - 0.5) * 100 / {_PERCENTILES}))
  end
end
"""


def measure(load: Load, length: int, seconds: int) -> Measured:
    """Of one path, for so long. `length`: of the body of every answer.

    Raises: RuntimeError where an answer isn't that.
    """
    (path,) = load.paths
    with tempfile.NamedTemporaryFile("w", suffix=".lua") as script:
        Path(script.name).write_text(_SCRIPT)
        command = ["wrk", "-t1", f"-c{load.connections}", f"-d{seconds}s", "-s", script.name]
        for name, value in load.headers.items():
            command += ["-H", f"{name}: {value}"]
        url = f"http://127.0.0.1:{load.port}{path}"
        done = subprocess.run([*command, url], capture_output=True, text=True, check=True)
    duration_us, requests, received, refused, broken, *latencies_us = map(
        float, done.stderr.split()
    )
    if refused or received < requests * length:
        raise RuntimeError(f"{path}: {refused:g} of {requests:g} answers are others than the first")
    latencies_ms = [each / 1e3 for each in latencies_us]
    return Measured(duration_us / 1e6, int(requests), latencies_ms, [(200, length)], int(broken))
