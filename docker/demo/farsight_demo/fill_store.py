"""Fill the store of a demo PACS once, for an image: `python -m farsight_demo.fill_store CONFIG`.

The store is the one that the Orthanc configuration CONFIG names; nothing runs afterwards.
"""

from __future__ import annotations

import json
import re
import sys
import tempfile
from pathlib import Path

from farsight_demo.demo_pacs import load
from farsight_demo.samples import make_samples
from farsight_demo.server_process import ServerProcess


def fill_store(configuration: Path) -> int:
    """How many sample files it holds now. Raises: ServerFailed."""
    without_comments = re.sub(r"^\s*//.*$", "", configuration.read_text(), flags=re.MULTILINE)
    port = int(json.loads(without_comments)["DicomPort"])
    with tempfile.TemporaryDirectory() as scratch:
        samples = Path(scratch) / "samples"
        count = make_samples(samples)
        log = Path(scratch) / "pacs.log"
        pacs = ServerProcess("PACS", ["Orthanc", str(configuration)], log, {"TCP_NODELAY": "1"})
        try:
            pacs.wait_for_port("127.0.0.1", port)
            load(samples, port, Path(scratch) / "dcmsend.log")
        finally:
            pacs.stop()
    return count


if __name__ == "__main__":
    print(fill_store(Path(sys.argv[1])), "files stored")
