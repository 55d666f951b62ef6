"""`make bench`: every benchmark in turn."""

from __future__ import annotations

import subprocess
import sys

for name in ("reading", "http_servers", "dimse", "gateway", "serving", "retrieve", "search"):
    print(f"\n## {name}\n", flush=True)
    subprocess.run([sys.executable, "-m", f"benchmarks.{name}"], check=True)
