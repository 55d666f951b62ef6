"""OHIF, served from the directory npm's build was unpacked into, at a root of our choice."""

from __future__ import annotations

import hashlib
import html
import json
import logging
import re
from pathlib import Path, PurePosixPath

from farsight.errors import MethodNotAllowed, NotFound, SettingsError
from farsight.web.content_coding import accepts_gzip
from farsight.web.messages import Request, Response
from farsight.web.ohif_assets import PAGE, OhifAssets
from farsight.web.ohif_build import is_plain_root

APP_CONFIG = "app-config.js"

#: Content types by file name ending; anything else is sent as octets.
CONTENT_TYPES = {
    ".css": "text/css; charset=utf-8",
    ".html": "text/html; charset=utf-8",
    ".ico": "image/x-icon",
    ".jpg": "image/jpeg",
    ".js": "text/javascript; charset=utf-8",
    ".json": "application/json",
    ".jsonc": "application/json",
    ".map": "application/json",
    ".png": "image/png",
    ".svg": "image/svg+xml",
    ".ttf": "font/ttf",
    ".txt": "text/plain; charset=utf-8",
    ".wasm": "application/wasm",
    ".webapp": "application/manifest+json",
    ".woff": "font/woff",
    ".woff2": "font/woff2",
    ".xml": "application/xml",
}

LOG = logging.getLogger("farsight.web")

#: Names with a digest of the content in them: webpack's bundles, fonts, WebAssembly modules.
_HASHED_NAME = re.compile(r"(?:\A|[/.])[0-9a-f]{16}\.[a-z0-9]+\Z")
#: A path with such an ending names a file; UIDs, all digits and dots, don't look like one.
_FILE_ENDING = re.compile(r"\.[A-Za-z][A-Za-z0-9]{0,9}\Z")
_IMMUTABLE = "public, max-age=31536000, immutable"
_REVALIDATE = "no-cache"

_NOT_INSTALLED = """<!doctype html>
<html lang="en"><meta charset="utf-8"><title>OHIF is not installed</title>
<h1>OHIF is not installed</h1>
<p>Farsight serves the OHIF viewer from {place}.
Unpack the build that OHIF's authors publish on npm:</p>
<pre>npm pack @ohif/app@3.13.2
tar -xzf ohif-app-3.13.2.tgz   # the build is package/dist</pre>
<p>and name that directory in Orthanc's configuration, in <code>Farsight.Ohif.Directory</code>.
DICOMweb works without it.</p>
</html>
"""


class OhifHandler:
    """Answers everything below one root from an OHIF build, moved to that root on the way.

    Paths that name no file are the viewer's own (`viewer?StudyInstanceUIDs=...`) and get its
    page; missing files are 404. `app-config.js` is ours: it points OHIF at the DICOMweb of the
    server the page came from. Thread-safe.
    """

    def __init__(
        self,
        dist_directory: Path | None,
        root: str = "/ohif/",
        dicomweb_root: str = "/dicom-web",
        *,
        storing: bool = True,
    ) -> None:
        """dist_directory: None where none is configured; may be missing, and may be replaced.
        storing: whether clients may store; then there is a button for uploads.

        Raises: SettingsError when a root is not a plain absolute path.
        """
        self._directory = dist_directory
        self._root = _plain_root("the root of OHIF", root)
        dicomweb = _plain_root("the root of DICOMweb", dicomweb_root.rstrip("/") + "/")
        self._app_config = app_config(self._root, dicomweb.removesuffix("/"), storing=storing)
        self._assets = OhifAssets(dist_directory, self._root) if dist_directory else None

    @property
    def installed(self) -> bool:
        """Whether the directory holds a page to serve at all."""
        return self._assets is not None and self._assets.installed

    def check(self) -> None:
        """See, once at start, that what is installed can be served at the root.

        A directory without a build is no error, it may get one any time: until then 404 is
        answered, with the way to install one. The log says so.

        Raises: OhifBuildUnknown.
        """
        if self._assets is None:
            return
        if self._assets.installed:
            self._assets.check()
        else:
            LOG.warning("Farsight.Ohif.Directory %s holds no build of OHIF", self._directory)

    def __call__(self, request: Request) -> Response:
        """GET and HEAD below the root; the door drops the body for HEAD.

        Raises: NotFound, MethodNotAllowed, OhifBuildUnknown.
        """
        if request.method not in ("GET", "HEAD"):
            raise MethodNotAllowed(request.method, ("GET", "HEAD"))
        path = request.path
        if path + "/" == self._root:  # not redirected: Orthanc doesn't tell the two apart
            path = self._root
        if not path.startswith(self._root):
            raise NotFound("not a page of OHIF")
        name = path.removeprefix(self._root)
        if self._assets is None or not self._assets.installed:
            return self._not_installed()
        if name == APP_CONFIG:
            return self._send_app_config(request)
        return self._send(request, self._assets, _file_for(self._assets, name))

    def _not_installed(self) -> Response:
        place = "a directory that is not configured"
        if self._directory is not None:
            place = f"<code>{html.escape(str(self._directory))}</code>, where there is none"
        page = _NOT_INSTALLED.format(place=place)
        return Response(404, (("Content-Type", CONTENT_TYPES[".html"]),), page.encode())

    def _send_app_config(self, request: Request) -> Response:
        etag = f'"{hashlib.sha256(self._app_config).hexdigest()[:32]}"'
        headers = _headers(APP_CONFIG, _REVALIDATE, etag)
        if names_etag(request.headers.get("if-none-match", ""), etag):
            return Response(304, headers)
        return Response(200, headers, self._app_config)

    def _send(self, request: Request, assets: OhifAssets, name: str) -> Response:
        asset = assets.asset(name)
        accepted = accepts_gzip(request.headers.get("accept-encoding", ""))
        compressed = asset.compressible and accepted
        etag = f'"{asset.digest}-gzip"' if compressed else f'"{asset.digest}"'
        # A file that we change keeps its name when the change does: it can't be immutable.
        fixed = _HASHED_NAME.search(name) is not None and not asset.moved
        headers = _headers(name, _IMMUTABLE if fixed else _REVALIDATE, etag)
        if asset.compressible:
            headers = (*headers, ("Vary", "Accept-Encoding"))
        if names_etag(request.headers.get("if-none-match", ""), etag):
            return Response(304, headers)
        if compressed:
            return Response(200, (*headers, ("Content-Encoding", "gzip")), assets.gzipped(name))
        return Response(200, headers, assets.content(name))


def app_config(root: str, dicomweb_root: str, *, storing: bool = True) -> bytes:
    """The configuration script of an OHIF at `root` whose DICOMweb is at the same origin."""
    template = Path(__file__).with_name("ohif_app_config.js").read_text(encoding="utf-8")
    settings = json.dumps(
        {"routerBasename": root, "dicomwebRoot": dicomweb_root, "storing": storing}
    )
    return template.replace("FARSIGHT_SETTINGS", settings).encode("utf-8")


def names_etag(if_none_match: str, etag: str) -> bool:
    """Whether a header If-None-Match holds the entity tag, compared weakly (RFC 9110 13.1.2)."""
    tags = {tag.strip().removeprefix("W/") for tag in if_none_match.split(",")}
    return etag in tags or "*" in tags


def _file_for(assets: OhifAssets, name: str) -> str:
    if assets.path(name) is not None:
        return name
    if _FILE_ENDING.search(name) or ".." in name.split("/"):
        raise NotFound("the OHIF build has no such file")
    return PAGE


def _headers(name: str, caching: str, etag: str) -> tuple[tuple[str, str], ...]:
    ending = PurePosixPath(name).suffix.lower()
    return (
        ("Content-Type", CONTENT_TYPES.get(ending, "application/octet-stream")),
        ("Cache-Control", caching),
        ("ETag", etag),
        ("X-Content-Type-Options", "nosniff"),
    )


def _plain_root(what: str, path: str) -> str:
    if not is_plain_root(path):
        raise SettingsError(
            what, path, "has to be a path like /ohif/ of letters, digits, '.', '_', '~' and '-'"
        )
    return path
