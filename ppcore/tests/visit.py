"""How does a test use the drawing page? In a window of a real browser."""

import shutil

import numpy as np
import pytest

from ppcore.drawing.page import BRUSH
from ppcore.masks.make import read_mask
from ppcore.tests.test_answer import H, W

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
needs_browser = pytest.mark.skipif(not CHROMIUM, reason="needs the system's own browser: apt-get install chromium")
WAY = [(0.15, 0.3), (0.5, 0.7), (0.8, 0.35)]  # of a stroke, as shares of the surface's width and height
TIMER = """() => {  // from letting go of the pen to the first new picture
  window.times = [];
  let since = null, before = null;
  const source = () => document.querySelector("#shown img")?.src;
  addEventListener("pointerup", (event) => {
    if (event.target.tagName === "CANVAS") since = performance.now(), before = source();
  }, true);
  new MutationObserver(() => {
    if (since !== null && source() && source() !== before) window.times.push(performance.now() - since), since = null;
  }).observe(document.querySelector("#shown"), {subtree: true, childList: true, attributes: true});
}"""


class Visit:
    """A visit to the page in a window of its own. outside: what it asked of other machines. errors: its scripts'."""

    def __init__(self, browser, server, width: int = 1280, height: int = 900, **how) -> None:
        self.address, self.drawings, self.server = server
        self.page = browser.new_context(viewport={"width": width, "height": height}, **how).new_page()
        self.outside, self.errors = [], []
        self.page.on("request", lambda request: self.outside.append(request.url)
                     if not request.url.startswith((self.address, "data:", "blob:")) else None)
        self.page.on("pageerror", lambda error: self.errors.append(str(error)))
        self.page.goto(self.address)
        self.page.wait_for_selector("[data-is=undo]:disabled", state="attached")  # the surface's script has run
        seen: list = []
        while len(seen) < 4 or seen[-4:] != [seen[-1]] * 4:  # a loaded machine lays the page out late, and all moves
            self.page.wait_for_timeout(100)
            seen.append(self.page.locator("canvas").bounding_box())
        self.page.evaluate(TIMER)

    def place(self, x: float, y: float) -> tuple[float, float]:
        """Of the window, for a share of the surface; whole px, as a mouse has them."""
        box = self.page.locator("canvas").bounding_box()
        return round(box["x"] + x * box["width"]), round(box["y"] + y * box["height"])

    def expected(self, way: list, brush: float = BRUSH) -> np.ndarray:
        """The pixels whose centre lies within half a brush of the way."""
        box = self.page.locator("canvas").bounding_box()
        points = (np.array([self.place(*place) for place in way]) - (box["x"], box["y"])) * W / box["width"]
        centres = np.stack(np.meshgrid(np.arange(W) + 0.5, np.arange(H) + 0.5), axis=-1)
        mask = np.zeros((H, W), bool)
        for a, b in zip(points[:-1], points[1:]):
            t = np.clip((centres - a) @ (b - a) / ((b - a) @ (b - a)), 0, 1)
            mask |= np.linalg.norm(centres - a - t[..., None] * (b - a), axis=-1) <= brush / 2
        return mask.astype(np.uint8)

    def answered(self, action) -> None:
        """Do something, and wait until its answer is whole. A new answer takes the mark away."""
        self.page.evaluate("() => document.querySelector('#shown .answers, #shown .note').dataset.old = 1")
        action()
        self.page.wait_for_function("() => !document.querySelector('#shown [data-old], #shown .waiting')")

    def mouse(self, way: list) -> None:
        self.page.locator("canvas").scroll_into_view_if_needed()

        def draw() -> None:
            self.page.mouse.move(*self.place(*way[0]))
            self.page.mouse.down()
            for place in way[1:]:
                self.page.mouse.move(*self.place(*place))
            self.page.mouse.up()

        self.answered(draw)

    def finger(self, way: list) -> None:
        session = self.page.context.new_cdp_session(self.page)

        def draw() -> None:
            for n, place in enumerate(way):
                x, y = self.place(*place)
                session.send("Input.dispatchTouchEvent", {"type": "touchMove" if n else "touchStart",
                                                          "touchPoints": [{"x": x, "y": y}]})
                self.page.evaluate("() => new Promise(requestAnimationFrame)")  # one touch a frame
            session.send("Input.dispatchTouchEvent", {"type": "touchEnd", "touchPoints": []})

        self.answered(draw)

    def press(self, name: str) -> None:
        self.page.get_by_role("button", name=name, exact=True).click()

    def said(self) -> str:
        return self.page.locator("#shown").inner_text()

    def save(self, name: str) -> str:
        """What the page says to a name."""
        self.page.evaluate("() => document.querySelector('#stored .note')?.replaceChildren()")
        self.page.get_by_placeholder("name of the drawing").fill(name)
        self.press("Save")
        self.page.wait_for_function("() => document.querySelector('#stored .note')?.innerText")
        return self.page.locator("#stored").inner_text()

    def upload(self, file) -> None:
        """Hand in a file (a path, or Playwright's payload of name, mimeType, buffer), and wait for its answer."""
        self.answered(lambda: self.page.set_input_files("input[type=file]", file))

    def refused(self, file, words: str) -> None:
        """Hand in a file, and wait for words of refusal, which are then closed."""
        self.page.set_input_files("input[type=file]", file)
        self.page.locator(".toast-body", has_text=words).wait_for()
        for close in self.page.locator(".toast-close").all():
            close.click()
        self.page.wait_for_function("() => !document.querySelector('.toast-body')")

    def drawn(self, name: str) -> np.ndarray:
        """The mask that the model was given, as stored under a new name."""
        assert "Saved in" in self.save(name)
        return read_mask(self.drawings / name / "coarse.png")
