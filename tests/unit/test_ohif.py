"""OHIF's build served at another root: what is rewritten, cached, refused."""

from __future__ import annotations

import gzip
import json
import os
import re
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from farsight.errors import MethodNotAllowed, NotFound, SettingsError
from farsight.web.content_coding import accepts_gzip
from farsight.web.messages import Request, Response
from farsight.web.ohif import OhifHandler, names_etag
from farsight.web.ohif_assets import OhifAssets
from farsight.web.ohif_build import OhifBuildUnknown
from ohif_dist import ohif_dist, requires_ohif

APP = "app.bundle.0123456789abcdef.js"
WORKER = "136.bundle.fedcba9876543210.js"
CHUNK = "2493.bundle.00112233445566ff.js"
FONT = "a34f9d1faa5f3315.woff2"

INDEX = (
    '<!doctype html><html><head><script>window.PUBLIC_URL="/"</script>'
    '<link rel="manifest" href="/manifest.json"><meta content="/assets/tile.png">'
    '<link href="//elsewhere.example.org/x.css"><script src="/app-config.js"></script>'
    '<script>function f(n){return import(n)}window.PUBLIC_URL="/"</script>'
    f'<script defer src="/{APP}"></script></head><body><div id="root"></div></body></html>'
)
FILES = {
    "index.html": INDEX,
    APP: (
        "window.browserImportFunction('/dicom-microscopy-viewer/v.js');\n"
        '(() => {\n__webpack_require__.p = "/";\n})();\n' + "// filler\n" * 400
    ),
    WORKER: '__webpack_require__.p = "/";\n',
    CHUNK: 'const other = { p: "/" }; const path = "/";\n',
    "app.bundle.css": "@font-face{src:url(/a34f9d1faa5f3315.woff2)} i{src:url(data:a/b,c)}",
    "app-config.js": "window.config = {};",
    FONT: "wOF2....",
    "0ddf166f7a343eda.wasm": "\0asm",
    "manifest.json": '{"icons": [{"src": "/assets/icon.png"}], "start_url": "./index.html"}',
    "assets/browserconfig.xml": '<logo src="/assets/tile.png"/>',
    "assets/manifest.webapp": '{"icons": {"60": "/assets/f.png"}}',
    "assets/favicon.ico": "icon",
    "ohif-logo.svg": "<svg/>",
    "strange.bin": "?",
}


@pytest.fixture
def dist(tmp_path: Path) -> Path:
    directory = tmp_path / "dist"
    for name, text in FILES.items():
        path = directory / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    return directory


@pytest.fixture
def ohif(dist: Path) -> OhifHandler:
    return OhifHandler(dist)


def get(handler: OhifHandler, path: str, **headers: str) -> Response:
    names = {name.replace("_", "-"): value for name, value in headers.items()}
    return handler(Request("GET", path, headers=names))


def text(response: Response) -> str:
    assert isinstance(response.body, bytes)
    body = response.body
    return (gzip.decompress(body) if response.header("Content-Encoding") else body).decode()


class TestRebasing:
    def test_page(self, ohif: OhifHandler) -> None:
        page = text(get(ohif, "/ohif/"))
        assert page.count('window.PUBLIC_URL="/ohif/"') == 2
        assert f'src="/ohif/{APP}"' in page
        assert 'href="/ohif/manifest.json"' in page
        assert 'content="/ohif/assets/tile.png"' in page
        assert 'href="//elsewhere.example.org/x.css"' in page

    @pytest.mark.parametrize("name", [APP, WORKER])
    def test_public_path(self, ohif: OhifHandler, name: str) -> None:
        assert '__webpack_require__.p = "/ohif/";' in text(get(ohif, f"/ohif/{name}"))

    def test_import_by_absolute_path(self, ohif: OhifHandler) -> None:
        script = text(get(ohif, f"/ohif/{APP}"))
        assert "browserImportFunction('/ohif/dicom-microscopy-viewer/v.js')" in script

    def test_styles(self, ohif: OhifHandler) -> None:
        styles = text(get(ohif, "/ohif/app.bundle.css"))
        assert "url(/ohif/a34f9d1faa5f3315.woff2)" in styles
        assert "url(data:a/b,c)" in styles

    @pytest.mark.parametrize(
        ("name", "moved"),
        [
            ("manifest.json", '"/ohif/assets/icon.png"'),
            ("assets/manifest.webapp", '"/ohif/assets/f.png"'),
            ("assets/browserconfig.xml", 'src="/ohif/assets/tile.png"'),
        ],
    )
    def test_icons(self, ohif: OhifHandler, name: str, moved: str) -> None:
        assert moved in text(get(ohif, f"/ohif/{name}"))

    @pytest.mark.parametrize("name", [CHUNK, FONT, "ohif-logo.svg", "strange.bin"])
    def test_the_rest_is_sent_as_it_is(self, ohif: OhifHandler, name: str) -> None:
        assert text(get(ohif, f"/ohif/{name}")) == FILES[name]

    def test_files_stay_as_they_are(self, ohif: OhifHandler, dist: Path) -> None:
        for name in FILES:
            get(ohif, f"/ohif/{name}", accept_encoding="gzip")
        assert {name: (dist / name).read_text(encoding="utf-8") for name in FILES} == FILES

    def test_other_roots(self, dist: Path) -> None:
        ohif = OhifHandler(dist, root="/a/b.c/", dicomweb_root="/pacs/dicom-web/")
        assert f'src="/a/b.c/{APP}"' in text(get(ohif, "/a/b.c/"))
        config = text(get(ohif, "/a/b.c/app-config.js"))
        assert '"routerBasename": "/a/b.c/"' in config
        assert '"dicomwebRoot": "/pacs/dicom-web"' in config

    @pytest.mark.parametrize("storing", [True, False])
    def test_uploads_are_offered_where_they_are_taken(self, dist: Path, storing: bool) -> None:
        ohif = OhifHandler(dist, root="/ohif/", storing=storing)
        config = text(get(ohif, "/ohif/app-config.js"))
        assert f'"storing": {str(storing).lower()}' in config
        assert "dicomUploadEnabled: farsight.storing," in config

    def test_thumbnails_are_asked_of_the_server(self, ohif: OhifHandler) -> None:
        """Both settings: one alone decodes a frame of every series, or asks for no image type."""
        config = text(get(ohif, "/ohif/app-config.js"))
        assert re.findall(r"^ +(thumbnail[A-Za-z]+: '.*'),$", config, re.MULTILINE) == [
            "thumbnailRendering: 'thumbnail'",
            "thumbnailRequestStrategy: 'fetch'",
        ]

    @pytest.mark.parametrize("root", ["ohif/", "/ohif", "/o hif/", '/"/', "/../", "//", "/é/", ""])
    def test_roots_that_need_escaping_are_refused(self, dist: Path, root: str) -> None:
        with pytest.raises(SettingsError, match="root of OHIF"):
            OhifHandler(dist, root=root)


class TestPaths:
    @pytest.mark.parametrize(
        "path",
        ["/ohif/", "/ohif/viewer", "/ohif/viewer/1.2.840.10008", "/ohif/a/b/", "/ohif/assets"],
    )
    def test_routes_of_the_viewer_get_its_page(self, ohif: OhifHandler, path: str) -> None:
        answer = get(ohif, path)
        assert answer.status == 200
        assert answer.header("Content-Type") == "text/html; charset=utf-8"
        assert 'id="root"' in text(answer)

    @pytest.mark.parametrize(
        "path", ["/ohif/missing.js", "/ohif/assets/missing.png", "/ohif/x.wasm", "/other/x"]
    )
    def test_missing_files_are_not_found(self, ohif: OhifHandler, path: str) -> None:
        with pytest.raises(NotFound):
            get(ohif, path)

    def test_root_without_slash_is_the_page_and_mends_its_address(self, ohif: OhifHandler) -> None:
        assert 'id="root"' in text(get(ohif, "/ohif"))
        assert "window.history.replaceState" in text(get(ohif, "/ohif/app-config.js"))

    def test_other_methods(self, ohif: OhifHandler) -> None:
        assert ohif(Request("HEAD", "/ohif/")).status == 200
        with pytest.raises(MethodNotAllowed):
            ohif(Request("POST", "/ohif/"))

    def test_nothing_outside_of_the_build(self, ohif: OhifHandler, dist: Path) -> None:
        secret = dist.parent / "secret.js"
        secret.write_text("secret")
        (dist / "out.js").symlink_to(secret)
        (dist / "folder").symlink_to(dist.parent)
        (dist / "loop.js").symlink_to(dist / "loop.js")
        (dist / "in.js").symlink_to(dist / CHUNK)
        outside = ("out.js", "folder/secret.js", "../secret.js", "assets/../../secret.js")
        odd = (f"/{secret}", "loop.js", "..\\secret.js", "a\0.js", "x" * 5000 + ".js", "\udcff.js")
        for name in (*outside, *odd):
            with pytest.raises(NotFound):
                get(ohif, f"/ohif/{name}")
        assert text(get(ohif, "/ohif/in.js")) == FILES[CHUNK]

    @given(st.lists(st.sampled_from(["..", ".", "", "secret.js", "dist", "assets", "/", "\\"])))
    def test_no_combination_of_segments_leaves_the_build(
        self, tmp_path_factory: pytest.TempPathFactory, segments: list[str]
    ) -> None:
        outer = tmp_path_factory.getbasetemp() / "outer"
        (outer / "dist" / "assets").mkdir(parents=True, exist_ok=True)
        (outer / "secret.js").write_text("secret")
        assert OhifAssets(outer / "dist", "/ohif/").path("/".join(segments)) is None


class TestHeaders:
    @pytest.mark.parametrize(
        ("name", "content_type"),
        [
            (APP, "text/javascript; charset=utf-8"),
            ("app.bundle.css", "text/css; charset=utf-8"),
            ("manifest.json", "application/json"),
            ("ohif-logo.svg", "image/svg+xml"),
            (FONT, "font/woff2"),
            ("0ddf166f7a343eda.wasm", "application/wasm"),
            ("assets/favicon.ico", "image/x-icon"),
            ("strange.bin", "application/octet-stream"),
        ],
    )
    def test_content_types(self, ohif: OhifHandler, name: str, content_type: str) -> None:
        answer = get(ohif, f"/ohif/{name}")
        assert answer.header("Content-Type") == content_type
        assert answer.header("X-Content-Type-Options") == "nosniff"

    @pytest.mark.parametrize("name", [CHUNK, FONT, "0ddf166f7a343eda.wasm"])
    def test_hashed_names_are_kept_for_good(self, ohif: OhifHandler, name: str) -> None:
        assert "immutable" in (get(ohif, f"/ohif/{name}").header("Cache-Control") or "")

    @pytest.mark.parametrize(
        "name", ["", "app-config.js", "app.bundle.css", "manifest.json", APP, WORKER]
    )
    def test_what_we_write_is_asked_for_again(self, ohif: OhifHandler, name: str) -> None:
        answer = get(ohif, f"/ohif/{name}")
        etag = answer.header("ETag") or ""
        assert answer.header("Cache-Control") == "no-cache"
        again = get(ohif, f"/ohif/{name}", if_none_match=f'"other", W/{etag}')
        assert (again.status, again.body, again.header("ETag")) == (304, b"", etag)
        assert get(ohif, f"/ohif/{name}", if_none_match='"other"').status == 200

    def test_compressed_for_clients_that_accept_it(self, ohif: OhifHandler) -> None:
        plain = get(ohif, f"/ohif/{APP}")
        small = get(ohif, f"/ohif/{APP}", accept_encoding="br, gzip;q=0.8")
        assert small.header("Content-Encoding") == "gzip"
        assert plain.header("Content-Encoding") is None
        assert plain.header("Vary") == small.header("Vary") == "Accept-Encoding"
        assert plain.header("ETag") != small.header("ETag")
        assert text(small) == text(plain)
        assert len(small.body) < len(plain.body)  # type: ignore[arg-type]

    def test_small_and_compressed_formats_are_left_alone(self, ohif: OhifHandler) -> None:
        for name in (FONT, "ohif-logo.svg", "assets/favicon.ico"):
            answer = get(ohif, f"/ohif/{name}", accept_encoding="gzip")
            assert answer.header("Content-Encoding") is None

    @pytest.mark.parametrize(
        ("header", "accepted"),
        [
            ("", False),
            ("gzip", True),
            ("GZIP ; q=1.0", True),
            ("deflate, br", False),
            ("gzip;q=0", False),
            ("gzip;q=0.000, *", False),
            ("*;q=0.1", True),
            ("*;q=0", False),
            ("identity;q=0, gzip; q=0.01", True),
        ],
    )
    def test_accept_encoding(self, header: str, accepted: bool) -> None:
        assert accepts_gzip(header) is accepted

    @given(st.text(max_size=40))
    def test_odd_headers_are_only_read(self, header: str) -> None:
        assert accepts_gzip(header) in (True, False)
        assert names_etag(header, '"never in there, as it is longer than forty characters"') is (
            "*" in {item.strip() for item in header.split(",")}
        )


class TestChanges:
    def test_a_new_build_is_seen_though_date_and_size_are_the_same(
        self, ohif: OhifHandler, dist: Path
    ) -> None:
        page = dist / "index.html"
        os.utime(page, (1, 1))
        first = get(ohif, "/ohif/")
        changed = INDEX.replace(APP, "app.bundle.ffffffffffffffff.js")
        (dist / "index.new").write_text(changed)
        os.utime(dist / "index.new", (1, 1))
        (dist / "index.new").rename(page)
        assert page.stat().st_size == len(INDEX)
        second = get(ohif, "/ohif/", if_none_match=first.header("ETag") or "")
        assert second.status == 200
        assert "app.bundle.ffffffffffffffff.js" in text(second)

    def test_memory_is_bounded(self, dist: Path) -> None:
        for number in range(20):
            (dist / f"{number}.bundle.00000000000000{number:02}.js").write_bytes(os.urandom(3000))
        assets = OhifAssets(dist, "/ohif/", max_bytes=10_000)
        for number in range(20):
            name = f"{number}.bundle.00000000000000{number:02}.js"
            assert gzip.decompress(assets.gzipped(name)) == (dist / name).read_bytes()
            assert 3000 < assets.kept_bytes <= 10_000
        for name in ("19.bundle.0000000000000019.js", "0.bundle.0000000000000000.js"):
            assert gzip.decompress(assets.gzipped(name)) == (dist / name).read_bytes()


class TestInstallation:
    def test_not_installed(self, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
        ohif = OhifHandler(tmp_path / "a&b")
        ohif.check()
        assert f"Farsight.Ohif.Directory {tmp_path}/a&b holds no build" in caplog.text
        assert not ohif.installed
        answer = get(ohif, "/ohif/viewer")
        assert answer.status == 404
        assert "npm pack @ohif/app" in text(answer)
        assert "a&amp;b" in text(answer)

    def test_not_configured(self, caplog: pytest.LogCaptureFixture) -> None:
        ohif = OhifHandler(None)
        ohif.check()
        assert not caplog.text
        assert not ohif.installed
        assert "Farsight.Ohif.Directory" in text(get(ohif, "/ohif/"))

    def test_installed_later(self, tmp_path: Path, dist: Path) -> None:
        ohif = OhifHandler(tmp_path / "later")
        assert get(ohif, "/ohif/").status == 404
        dist.rename(tmp_path / "later")
        assert get(ohif, "/ohif/").status == 200

    def test_a_known_build_passes(self, ohif: OhifHandler) -> None:
        ohif.check()

    def test_a_build_made_for_the_root_is_sent_as_it_is(self, dist: Path) -> None:
        page = INDEX.replace('"/', '"/ohif/').replace('"/ohif//', '"//')
        (dist / "index.html").write_text(page)
        (dist / APP).write_text('n.p="/ohif/";')
        ohif = OhifHandler(dist)
        ohif.check()
        assert text(get(ohif, "/ohif/")) == page
        assert text(get(ohif, f"/ohif/{APP}")) == 'n.p="/ohif/";'

    @pytest.mark.parametrize(
        ("name", "content", "message"),
        [
            ("index.html", "<html>something else</html>", r"app\.bundle"),
            ("index.html", INDEX.replace('id="root"', ""), "not the page of an OHIF build"),
            ("index.html", INDEX.replace("PUBLIC_URL", "PUBLIC"), "not the page of an OHIF build"),
            ("index.html", INDEX.replace('PUBLIC_URL="/"', 'PUBLIC_URL="/v/"'), "made for '/v/'"),
            ("index.html", INDEX.replace(APP, "app.bundle.ff.js"), r"lacks app\.bundle\.ff\.js"),
            (APP, 'n.p="/";', "does not name its base"),
        ],
    )
    def test_an_unknown_build_is_refused(
        self, dist: Path, name: str, content: str, message: str
    ) -> None:
        (dist / name).write_text(content)
        with pytest.raises(OhifBuildUnknown, match=message):
            OhifHandler(dist).check()


@requires_ohif
class TestPublishedBuild:
    """The real thing from npm: nothing that is sent may still name "/" as its base."""

    @pytest.fixture
    def published(self) -> Path:
        dist = ohif_dist()
        assert dist is not None
        return dist

    def test_can_be_moved(self, published: Path) -> None:
        OhifHandler(published).check()

    def test_scripts_and_styles_name_only_our_root(self, published: Path) -> None:
        ohif = OhifHandler(published)
        names = [path.name for path in published.iterdir() if path.suffix in (".js", ".css")]
        leftover = re.compile(
            r"""__webpack_require__\.p = "/"|url\(/(?!ohif/)|ImportFunction\('/(?!ohif/)"""
        )
        moved = 0
        for name in names:
            script = text(get(ohif, f"/ohif/{name}"))
            assert leftover.search(script) is None, name
            moved += '__webpack_require__.p = "/ohif/";' in script
        assert moved >= 2, "the application and at least one worker"

    def test_every_file_the_page_names_is_there(self, published: Path) -> None:
        ohif = OhifHandler(published)
        page = text(get(ohif, "/ohif/"))
        paths = re.findall(r'(?:href|src)="(/[^"]*)"', page)
        assert len(paths) > 10
        icons = json.loads(text(get(ohif, "/ohif/manifest.json")))["icons"]
        for path in (*paths, *(icon["src"] for icon in icons)):
            assert path.startswith("/ohif/")
            if (published / path.removeprefix("/ohif/")).exists():
                assert get(ohif, path).status == 200
        for path in paths:
            if path.endswith((".js", ".css")):
                assert get(ohif, path).status == 200
