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
    """One file as it is sent.

    digest: of the content, hexadecimal. gzipped: None where compressing doesn't pay.
    moved: the content differs from the file's, because the file names its base.
    """

    digest: str
    gzipped: bytes | None
    moved: bool


class OhifAssets:
    """Thread-safe. Keeps compressed bodies in memory, the most recently used `max_bytes` of them.

    The directory need not exist, and may be replaced by another build at any time.
    """

    def __init__(self, directory: Path, root: str, max_bytes: int = 64 * 2**20) -> None:
        self._directory = directory
        self._root = root
        self._max_bytes = max_bytes
        self._kept: OrderedDict[str, tuple[Signature, Asset]] = OrderedDict()
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
        """Digest and compressed body, remembered for as long as the file stays the same.

        Raises: NotFound, OhifBuildUnknown.
        """
        path = self._existing(name)
        signature = _signature(path)
        with self._lock:
            kept = self._kept.get(name)
            if kept is not None and kept[0] == signature:
                self._kept.move_to_end(name)
                return kept[1]
        published = path.read_bytes()
        content = self._as_sent(name, published)
        digest = hashlib.sha256(content).hexdigest()[:32]
        asset = Asset(digest, _gzipped(name, content), content != published)
        self._keep(name, signature, asset)
        return asset

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

    def _keep(self, name: str, signature: Signature, asset: Asset) -> None:
        with self._lock:
            self._forget(name)
            self._kept[name] = (signature, asset)
            self._kept_bytes += len(asset.gzipped or b"")
            while self._kept_bytes > self._max_bytes:
                self._forget(next(iter(self._kept)))

    def _forget(self, name: str) -> None:
        kept = self._kept.pop(name, None)
        if kept is not None:
            self._kept_bytes -= len(kept[1].gzipped or b"")


def _signature(path: Path) -> Signature:
    status = path.stat()
    return (status.st_ino, status.st_size, status.st_mtime_ns, status.st_ctime_ns)


def _gzipped(name: str, content: bytes) -> bytes | None:
    suffix = Path(name).suffix.lower()
    if suffix not in COMPRESSIBLE or len(content) < COMPRESS_FROM_BYTES:
        return None
    return gzip.compress(content, GZIP_LEVEL, mtime=0)
