"""The metadata of a series as it is kept with it: ready to be sent, and valid or not at all.

A record is: four bytes that name it, the version of its format, the length of a head, the head in
JSON, the metadata gzipped. It counts only for the instances it was made of, byte for byte
(`fingerprint`), and for the writer that made it; anything else is made anew. The root stands in
its BulkDataURIs; for a client of another root the text is moved there.
"""

from __future__ import annotations

import gzip
import json
import zlib
from dataclasses import dataclass
from struct import Struct
from typing import Final

from farsight.ps318.dicom_json import WRITER_VERSION, rebase

_NAME: Final = b"FSMD"
_FORMAT: Final = 1
_START: Final = Struct("<4sBL")
_MAX_JSON_BYTES: Final = 1 << 30


@dataclass(frozen=True, slots=True)
class KeptMetadata:
    """`root`: that of the BulkDataURIs, with its trailing slash. `zipped`: the JSON array."""

    fingerprint: str
    root: str
    zipped: bytes

    def to_bytes(self) -> bytes:
        head = {"writer": WRITER_VERSION, "fingerprint": self.fingerprint, "root": self.root}
        encoded = json.dumps(head, separators=(",", ":")).encode("utf-8")
        return _START.pack(_NAME, _FORMAT, len(encoded)) + encoded + self.zipped

    def json(self, root: str) -> bytes | None:
        """The text with BulkDataURIs of a root; None where it is damaged."""
        try:
            inflater = zlib.decompressobj(31)  # the gzip format
            text = inflater.decompress(self.zipped, _MAX_JSON_BYTES)
        except zlib.error:
            return None
        if not inflater.eof:
            return None
        return text if root == self.root else rebase(text, self.root[:-1], root[:-1])


def read_kept(data: bytes, fingerprint: str) -> KeptMetadata | None:
    """The record if it is one of these instances, and of this version of the program."""
    if len(data) < _START.size:
        return None
    name, version, length = _START.unpack_from(data)
    if name != _NAME or version != _FORMAT or _START.size + length > len(data):
        return None
    try:
        head = json.loads(data[_START.size : _START.size + length])
        writer, made_of, root = head["writer"], head["fingerprint"], head["root"]
    except (ValueError, KeyError, TypeError):
        return None
    if writer != WRITER_VERSION or not isinstance(root, str) or made_of != fingerprint:
        return None
    return KeptMetadata(fingerprint, root, data[_START.size + length :])


def zip_json(text: bytes) -> bytes:
    """Gzipped the same way every time: no time of day in it."""
    return gzip.compress(text, 6, mtime=0)
