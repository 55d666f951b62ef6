"""OHIF as its user sees it: the study list's rows, what the viewport says and what it shows."""

from __future__ import annotations

import base64
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from urllib.parse import urlencode

import numpy as np
from playwright.sync_api import BrowserContext, Locator, Page, expect

#: Chromium in a container without a graphics card: WebGL by software, no calls home.
CHROMIUM_FLAGS = (
    "--no-sandbox",
    "--use-gl=angle",
    "--use-angle=swiftshader",
    "--enable-unsafe-swiftshader",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)
#: Milliseconds until something must have appeared: software rendering on a busy machine is slow.
PATIENCE_MS = 60_000

#: Requests that were under way when the page was left.
ALLOWED = ("net::ERR_ABORTED",)
#: Chromium drops its connections, loopback too, when the machine gains or loses a network (a
#: container starting beside us); OHIF asks again for the images it still needs.
ALLOWED_AFTER_NETWORK_CHANGE = ("net::ERR_NETWORK_CHANGED", "TypeError: Failed to fetch")

_WITHOUT_TOUR = "window.localStorage?.setItem('shownTours', JSON.stringify(['basicViewerTour']))"
_POSITION = re.compile(r"(?:I:\s*(\d+)\s*\(\s*)?\b(\d+)/(\d+)\b")
_WINDOW = re.compile(r"W:\s*(-?[\d.]+)\s*L:\s*(-?[\d.]+)")
#: The canvas at the centre of every pixel of an image that is shown whole and centred.
_SAMPLED = """(canvas, [rows, columns]) => {
  const {width, height} = canvas;
  const rgba = canvas.getContext('2d').getImageData(0, 0, width, height).data;
  const scale = Math.min(height / rows, width / columns);
  const left = (width - columns * scale) / 2, top = (height - rows * scale) / 2;
  const grey = new Array(rows * columns);
  for (let row = 0; row < rows; row++)
    for (let column = 0; column < columns; column++) {
      const x = Math.floor(left + (column + 0.5) * scale);
      const y = Math.floor(top + (row + 0.5) * scale);
      grey[row * columns + column] = String.fromCharCode(rgba[4 * (y * width + x)]);
    }
  return btoa(grey.join(''));
}"""

_WIDTHS = "images => images.map(image => image.naturalWidth)"
_LOADED = "images => images.map(image => image.complete && image.naturalWidth > 0)"
_SIZE = "image => [image.naturalHeight, image.naturalWidth]"
_GREYS = """image => {
  const canvas = new OffscreenCanvas(image.naturalWidth, image.naturalHeight);
  const context = canvas.getContext('2d');
  context.drawImage(image, 0, 0);
  const rgba = context.getImageData(0, 0, canvas.width, canvas.height).data;
  return Array.from({length: canvas.width * canvas.height}, (_, at) => rgba[4 * at]);
}"""


@dataclass(frozen=True, slots=True)
class StudyRow:
    """One line of the study list, as text."""

    patient: str
    date: str
    modalities: str
    description: str
    instances: str


@dataclass(frozen=True, slots=True)
class Position:
    """What the viewport's overlay says: "I:200 (1/200)" shows InstanceNumber 200, first of 200."""

    instance_number: int | None
    index: int
    count: int


@dataclass(slots=True)
class Troubles:
    """What went wrong in a page, whether its user noticed or not."""

    expected: tuple[str, ...] = ()
    seen: list[str] = field(default_factory=list)

    def watch(self, page: Page) -> None:
        page.on("console", lambda message: self._note(message.type == "error", message.text))
        page.on("pageerror", lambda error: self._note(True, f"uncaught: {error}"))
        page.on(
            "response",
            lambda answer: self._note(answer.status >= 400, f"{answer.status} {answer.url}"),
        )
        page.on(
            "requestfailed",
            lambda request: self._note(True, f"{request.failure} {request.url}"),
        )

    def _note(self, bad: bool, text: str) -> None:
        if bad:
            self.seen.append(text)

    @property
    def unexplained(self) -> list[str]:
        """What nothing in the list of allowed troubles accounts for."""
        allowed = [*ALLOWED, *self.expected]
        if any("ERR_NETWORK_CHANGED" in text for text in self.seen):
            allowed += ALLOWED_AFTER_NETWORK_CHANGE
        return [text for text in self.seen if not any(some in text for some in allowed)]


class Viewer:
    """One page with OHIF in it, served at `door` ("http://127.0.0.1:8042")."""

    def __init__(self, page: Page, door: str) -> None:
        self.page = page
        self.door = door

    def open_list(self) -> None:
        self.page.goto(f"{self.door}/ohif/")
        expect(self._row("").first).to_be_visible()

    def open_study(self, study_instance_uid: str) -> None:
        """By its address, as a link from a report would."""
        query = urlencode({"StudyInstanceUIDs": study_instance_uid})
        self.page.goto(f"{self.door}/ohif/viewer?{query}")

    def open_from_list(self, patient: str) -> None:
        self._row(patient).dblclick()

    def select_in_list(self, patient: str) -> None:
        """A click on its line, which shows what is in the study beside the list."""
        self._row(patient).click()

    def widths(self, images: Locator) -> list[int]:
        """Pixels of what each has loaded; 0 where nothing has come yet."""
        return [int(width) for width in images.evaluate_all(_WIDTHS)]

    def rows(self) -> list[StudyRow]:
        cells = self._row("").evaluate_all(
            "rows => rows.map(row => [...row.cells].map(cell => cell.innerText.trim()))"
        )
        return [StudyRow(*line[:5]) for line in cells]

    def _row(self, text: str) -> Locator:
        """Lines of the list; the line of filters is no study, it has no date."""
        dated = self.page.locator("tbody tr").filter(
            has_text=re.compile(r"\d\d-[A-Z][a-z]{2}-\d{4}")
        )
        return dated.filter(has_text=text) if text else dated

    def thumbnails(self) -> Locator:
        """One per series of the open study: modality, description, number, images."""
        return self.page.locator('[data-cy="study-browser-thumbnail"]')

    def pictures(self) -> list[np.ndarray]:
        """What the thumbnails show, rows by columns of grey levels 0 to 255, once all have one."""
        images = self.thumbnails().locator("img")
        expect(images).to_have_count(self.thumbnails().count())
        self.wait_until("every picture has come", lambda: all(images.evaluate_all(_LOADED)))
        return [
            np.array(image.evaluate(_GREYS), np.uint8).reshape(image.evaluate(_SIZE))
            for image in images.all()
        ]

    @property
    def _overlays(self) -> Locator:
        return self.page.locator('[data-cy^="viewport-overlay"]')

    def wait_for_position(self, index: int, count: int) -> Position:
        """Until the overlay says so; then what it says."""
        found: list[Position] = []

        def there() -> bool:
            found[:] = [at for at in (self.position(),) if at is not None]
            return bool(found) and (found[0].index, found[0].count) == (index, count)

        self.wait_until(f"the overlay says {index}/{count}", there)
        return found[0]

    def position(self) -> Position | None:
        """What the overlay says now; it says nothing while it is drawn anew."""
        found = _POSITION.search(" ".join(self._overlays.all_inner_texts()))
        if found is None:
            return None
        number, index, shown = found.groups()
        return Position(int(number) if number else None, int(index), int(shown))

    def window(self) -> tuple[float, float] | None:
        """Window width and level the overlay shows; None while it is drawn anew."""
        found = _WINDOW.search(" ".join(self._overlays.all_inner_texts()))
        return (float(found[1]), float(found[2])) if found else None

    def image(self, rows: int, columns: int) -> np.ndarray:
        """The grey levels, 0 to 255, of an image of that size, read back from the canvas."""
        canvas = self.page.locator("canvas.cornerstone-canvas").first
        encoded = canvas.evaluate(_SAMPLED, [rows, columns])
        return np.frombuffer(base64.b64decode(encoded), np.uint8).reshape(rows, columns)

    def press(self, key: str) -> None:
        self.page.keyboard.press(key)

    def wait_until(self, condition: str, holds: Callable[[], bool]) -> None:
        """Poll a condition that only Python can judge until it holds."""
        waited_ms = 0
        while not holds():
            assert waited_ms < PATIENCE_MS, f"still not so: {condition}"
            self.page.wait_for_timeout(100)
            waited_ms += 100


@contextmanager
def opened(context: BrowserContext, door: str, expected: tuple[str, ...] = ()) -> Iterator[Viewer]:
    """A fresh page; leaving it fails when anything but the `expected` went wrong in it."""
    troubles = Troubles(expected)
    page = context.new_page()
    page.set_default_timeout(PATIENCE_MS)
    page.add_init_script(_WITHOUT_TOUR)
    troubles.watch(page)
    yield Viewer(page, door)
    page.close()
    assert not troubles.unexplained, "in the page: " + "; ".join(troubles.unexplained)
