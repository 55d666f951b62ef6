"""All sample studies in one directory: `python -m farsight_demo.samples DIRECTORY`."""

from __future__ import annotations

import hashlib
import shutil
import sys
from importlib.metadata import version
from pathlib import Path

from farsight_demo.bundled import bundled_files
from farsight_demo.generated import write_generated


def samples_digest() -> str:
    """Changes when the samples would: with the generator's source and the packages' versions."""
    digest = hashlib.sha256()
    for source in sorted(Path(__file__).parent.glob("*.py")):
        if source.stem in _SOURCES:
            digest.update(source.read_bytes())
    for package in ("pydicom", "pydicom-data", "numpy"):
        digest.update(f"{package} {version(package)}\n".encode())
    return digest.hexdigest()


_SOURCES = {"bundled", "generated", "head", "samples", "soft_shapes", "thorax"}


def make_samples(directory: Path) -> int:
    """Write the samples unless they are there already; how many files there are.

    An interrupted run leaves no stamp and is done again.
    """
    stamp = directory / "samples.sha256"
    digest = samples_digest()
    if stamp.is_file() and stamp.read_text() == digest:
        return sum(1 for _ in directory.rglob("*.dcm"))
    shutil.rmtree(directory, ignore_errors=True)
    directory.mkdir(parents=True)
    count = 0
    for count, _ in enumerate(write_generated(directory / "generated"), start=1):
        if count % 50 == 0:
            print(f"  {count} images drawn", flush=True)
    (directory / "bundled").mkdir()
    for index, source in enumerate(bundled_files()):
        shutil.copyfile(source, directory / "bundled" / f"{index:03d}-{source.stem}.dcm")
        count += 1
    stamp.write_text(digest)
    return count


def main() -> None:
    if len(sys.argv) != 2:
        sys.exit("usage: python -m farsight_demo.samples DIRECTORY")
    print(f"{make_samples(Path(sys.argv[1]))} sample files in {sys.argv[1]}")


if __name__ == "__main__":
    main()
