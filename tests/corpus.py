"""The collection of real DICOM files the tests read: DICOM_CORPUS, or ../shared/dicom.

One row of its manifest describes one file; tests that need the files carry `requires_corpus`.
"""

from __future__ import annotations

import csv
import functools
import os
from dataclasses import dataclass
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).resolve().parent.parent

#: Folders whose files can't be stored side by side: repeated UIDs, missing UIDs, defects.
NOT_STORABLE = frozenset({"ts-variants", "codec-only", "non-patient", "malformed"})

#: Storage of media directories: a DICOMDIR is a file, not an object a PACS takes.
MEDIA_DIRECTORY = "1.2.840.10008.1.3.10"


@dataclass(frozen=True, slots=True)
class CorpusFile:
    """One file: its absolute path and its line of the manifest, all values as text."""

    path: Path
    row: dict[str, str]

    @property
    def name(self) -> str:
        """Path inside the collection, fit to be a test's id."""
        return self.row["path"]

    @property
    def category(self) -> str:
        return self.row["category"]

    def read(self) -> bytes:
        return self.path.read_bytes()


def corpus_root() -> Path | None:
    """The folder with manifest.csv, or None where there is no collection."""
    configured = os.environ.get("DICOM_CORPUS")
    root = Path(configured) if configured else REPOSITORY.parent / "shared" / "dicom"
    return root if (root / "manifest.csv").is_file() else None


@functools.cache
def manifest() -> tuple[CorpusFile, ...]:
    """Every file of the collection in the manifest's order; empty where there is none."""
    root = corpus_root()
    if root is None:
        return ()
    with (root / "manifest.csv").open(encoding="utf-8", newline="") as lines:
        return tuple(CorpusFile(root / row["path"], row) for row in csv.DictReader(lines))


def files_in(*categories: str) -> tuple[CorpusFile, ...]:
    """The files of some top-level folders."""
    return tuple(file for file in manifest() if file.category in categories)


def storable_files() -> tuple[CorpusFile, ...]:
    """The files a store can hold together: no SOPInstanceUID twice, none without UIDs."""
    return tuple(
        file
        for file in manifest()
        if file.category not in NOT_STORABLE and file.row["sop_class_uid"] != MEDIA_DIRECTORY
    )


requires_corpus = pytest.mark.skipif(
    corpus_root() is None,
    reason="no DICOM collection: set DICOM_CORPUS to a folder with a manifest.csv",
)
