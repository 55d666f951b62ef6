"""The files of an OHIF build as they are sent: found safely, moved, digested, compressed once."""

from __future__ import annotations

import gzip
import hashlib
import threading
from collections import OrderedDict
from dataclasses import dataclass
from pathlib import Path

from farsight.errors import NotFound
from farsight.web.ohif_build import (
    OhifBuildUnknown,
    app_bundle_of,
    base_of,
    is_moved,
    names_base,
    rebased,
)

PAGE = "index.html"

#: Level 3 makes 17 MB of JavaScript 3.9 MB in half the time level 6 takes for 3.4 MB.
GZIP_LEVEL = 3
#: Below this many bytes compressing saves no packet.
COMPRESS_FROM_BYTES = 1400
COMPRESSIBLE = frozenset(
    {".css", ".html", ".js", ".json", ".jsonc", ".map", ".svg", ".txt", ".wasm", ".webapp", ".xml"}
)

#: What makes a file another one: inode, bytes, times of the last change of content and of inode.
#: Files unpacked from npm all carry the same date, and pages of two builds the same size.
Signature = tuple[int, int, int, int]


@dataclass(frozen=True, slots=True)
class Asset:
    """One file as it is sent, without the bytes.

    digest: of the content, hexadecimal. moved: the content differs from the file's, because
    the file names its base. compressible: gzip pays.
    """

    digest: str
    moved: bool
    compressible: bool


class OhifAssets:
    """Thread-safe. Keeps compressed bodies in memory, the most recently used `max_bytes` of them.

    The directory need not exist, and may be replaced by another build at any time.
    """

    def __init__(self, directory: Path, root: str, max_bytes: int = 64 * 2**20) -> None:
        self._directory = directory
        self._root = root
        self._max_bytes = max_bytes
        self._known: dict[str, tuple[Signature, Asset]] = {}
        self._gzipped: OrderedDict[str, bytes] = OrderedDict()  # by digest
        self._kept_bytes = 0
        self._page: tuple[Signature, bool] | None = None
        self._lock = threading.Lock()

    @property
    def installed(self) -> bool:
        return (self._directory / PAGE).is_file()

    @property
    def kept_bytes(self) -> int:
        """What the compressed bodies in memory take now."""
        return self._kept_bytes

    def check(self) -> None:
        """Move page and application bundle once.

        Raises: OhifBuildUnknown.
        """
        bundle = app_bundle_of((self._directory / PAGE).read_bytes())
        for name in (PAGE, bundle):
            if self.path(name) is None:
                raise OhifBuildUnknown(f"the OHIF build lacks {name}")
            self.content(name)

    def path(self, name: str) -> Path | None:
        """The regular file of that name inside the build, or None; never one outside of it."""
        segments = name.split("/")
        if any(part in ("", ".", "..") or "\\" in part or "\0" in part for part in segments):
            return None
        try:
            path = self._directory.joinpath(*segments).resolve(strict=True)
            inside = path.is_relative_to(self._directory.resolve(strict=True))
        except (OSError, RuntimeError, UnicodeError):  # missing, too long, a loop, a lone surrogate
            return None
        return path if inside and path.is_file() else None

    def content(self, name: str) -> bytes:
        """What is sent for that file.

        Raises: NotFound, OhifBuildUnknown.
        """
        return self._as_sent(name, self._existing(name).read_bytes())

    def asset(self, name: str) -> Asset:
        """Facts about a file, remembered for as long as it stays the same.

        Raises: NotFound, OhifBuildUnknown.
        """
        path = self._existing(name)
        signature = _signature(path)
        known = self._known.get(name)
        if known is not None and known[0] == signature:
            return known[1]
        published = path.read_bytes()
        content = self._as_sent(name, published)
        digest = hashlib.sha256(content).hexdigest()[:32]
        asset = Asset(digest, content != published, _compressible(name, len(content)))
        self._known[name] = (signature, asset)
        return asset

    def gzipped(self, name: str) -> bytes:
        """What is sent for that file to a client that accepts gzip.

        Raises: NotFound, OhifBuildUnknown.
        """
        digest = self.asset(name).digest
        with self._lock:
            kept = self._gzipped.get(digest)
            if kept is not None:
                self._gzipped.move_to_end(digest)
                return kept
        body = gzip.compress(self.content(name), GZIP_LEVEL, mtime=0)
        self._keep(digest, body)
        return body

    def _as_sent(self, name: str, published: bytes) -> bytes:
        if names_base(name) and self._is_moved():
            return rebased(name, published, self._root)
        return published

    def _existing(self, name: str) -> Path:
        path = self.path(name)
        if path is None:
            raise NotFound("the OHIF build has no such file")
        return path

    def _is_moved(self) -> bool:
        page = self._existing(PAGE)
        signature = _signature(page)
        known = self._page
        if known is None or known[0] != signature:
            known = (signature, is_moved(base_of(page.read_bytes()), self._root))
            self._page = known
        return known[1]

    def _keep(self, digest: str, body: bytes) -> None:
        with self._lock:
            if digest not in self._gzipped:
                self._gzipped[digest] = body
                self._kept_bytes += len(body)
            while self._kept_bytes > self._max_bytes:
                self._kept_bytes -= len(self._gzipped.popitem(last=False)[1])


def _signature(path: Path) -> Signature:
    status = path.stat()
    return (status.st_ino, status.st_size, status.st_mtime_ns, status.st_ctime_ns)


def _compressible(name: str, size: int) -> bool:
    return size >= COMPRESS_FROM_BYTES and Path(name).suffix.lower() in COMPRESSIBLE
