"""What the published OHIF build takes for granted about its address, and how to move it.

`@ohif/app` from npm is built for the root of a server: "/" is written into its page, its
style sheets, its manifests, the application bundle and every worker bundle. Moving it to
another root means replacing exactly these places in what is sent; the files stay untouched.

Known from 3.13.2, whose bundles are not minified:

- `index.html`: `href`, `src`, `content` attributes and `window.PUBLIC_URL` (twice)
- `*.bundle.<hash>.js`: webpack's public path, in the application and in each worker; chunks,
  further workers and WebAssembly modules are addressed through it
- `app.bundle.<hash>.js`: one import of the microscopy viewer by absolute path
- `*.css`: `url(/...)` of fonts
- manifests and `browserconfig.xml`: paths of icons

The router's base comes from `app-config.js`, not from the build. `sw.js` stays as it is: no
page of this version registers it (`init-service-worker.js` only removes old registrations).
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from farsight.errors import FarsightError

#: The root npm's build is made for.
PUBLISHED_BASE = "/"

_ROOT = re.compile(r"/(?:(?!\.{1,2}/)[A-Za-z0-9._~-]+/)*\Z")
_PUBLIC_URL = re.compile(rb'window\.PUBLIC_URL="([^"]*)"')
_APP_BUNDLE = re.compile(rb'src="[^"]*/(app\.bundle\.[0-9a-f]+\.js)"')


class OhifBuildUnknown(FarsightError):
    """The directory holds something else than an OHIF build this version can serve."""


@dataclass(frozen=True, slots=True)
class Rule:
    """In files of these names, the new root goes right after what `found` matches.

    required: a file of this name without such a place is not from a build we know.
    """

    names: re.Pattern[str]
    found: re.Pattern[bytes]
    required: bool = False


_PUBLIC_PATH = re.compile(rb'__webpack_require__\.p = "(?=/";)')

RULES = (
    Rule(
        re.compile(r"index\.html\Z"),
        re.compile(rb'(?:\b(?:href|src|content)="|window\.PUBLIC_URL=")(?=/(?!/))'),
        required=True,
    ),
    Rule(re.compile(r"app\.bundle\.[0-9a-f]+\.js\Z"), _PUBLIC_PATH, required=True),
    Rule(
        re.compile(r"app\.bundle\.[0-9a-f]+\.js\Z"),
        re.compile(rb"browserImportFunction\('(?=/)"),
    ),
    Rule(re.compile(r"(?!app\.)[^/]+\.bundle\.[0-9a-f]+\.js\Z"), _PUBLIC_PATH),
    Rule(re.compile(r"[^/]+\.css\Z"), re.compile(rb"url\((?=/(?!/))")),
    Rule(
        re.compile(
            r"(?:manifest\.json|assets/(?:manifest\.webapp|yandex-browser-manifest\.json))\Z"
        ),
        re.compile(rb'"(?=/assets/)'),
    ),
    Rule(re.compile(r"assets/browserconfig\.xml\Z"), re.compile(rb'src="(?=/assets/)')),
)


def is_plain_root(path: str) -> bool:
    """Whether it is an absolute path of plain segments that ends in a slash.

    A root is written into HTML, CSS and JavaScript, so nothing that needs escaping may be in it.
    """
    return _ROOT.match(path) is not None


def base_of(index_html: bytes) -> str:
    """The root the build was made for, as its page states it.

    Raises: OhifBuildUnknown when the page isn't OHIF's or names several.
    """
    bases = {found[1].decode("latin-1") for found in _PUBLIC_URL.finditer(index_html)}
    if len(bases) != 1 or b'id="root"' not in index_html:
        raise OhifBuildUnknown("index.html is not the page of an OHIF build")
    return bases.pop()


def app_bundle_of(index_html: bytes) -> str:
    """The file name of the application bundle that the page loads.

    Raises: OhifBuildUnknown.
    """
    names = {found[1].decode("ascii") for found in _APP_BUNDLE.finditer(index_html)}
    if len(names) != 1:
        raise OhifBuildUnknown("index.html of the OHIF build loads no app.bundle.<hash>.js")
    return names.pop()


def is_moved(base: str, root: str) -> bool:
    """Whether a build made for `base` has to be changed to be served at `root`.

    A build made for that root (PUBLIC_URL at build time) is served as it is, whatever its form.

    Raises: OhifBuildUnknown when it is made for a third place.
    """
    if base not in (root, PUBLISHED_BASE):
        raise OhifBuildUnknown(f"the OHIF build is made for {base!r}, but served at {root!r}")
    return base != root


def names_base(name: str) -> bool:
    """Whether files of that name, relative to the build, may name its base."""
    return any(rule.names.match(name) for rule in RULES)


def rebased(name: str, content: bytes, root: str) -> bytes:
    """The content of a file of npm's build as it has to be when served at `root`.

    Raises: OhifBuildUnknown when a place that has to be there is not.
    """
    inserted = rb"\g<0>" + root.removesuffix("/").encode("ascii")
    for rule in RULES:
        if not rule.names.match(name):
            continue
        content, places = rule.found.subn(inserted, content)
        if rule.required and not places:
            raise OhifBuildUnknown(
                f"{name} of the OHIF build does not name its base as @ohif/app 3.13 does, so it "
                f"can't be moved to {root}. Use that version, or a build with PUBLIC_URL={root}"
            )
    return content
