"""The page of a trace in a real browser: it draws, zooms, moves and points without an error."""

import re
import shutil
import subprocess
from collections.abc import AsyncIterator
from html import unescape
from pathlib import Path

import pytest

from vivace.flow.hooks import observe
from vivace.flow.processor import processor
from vivace.flow.run import current_run
from vivace.metrics.trace import Trace
from vivace.part import Held, Image, Interrupted, Part, Resumed
from vivace.testing import run_virtual
from vivace.testing.script import timeline

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")

pytestmark = [
    pytest.mark.real,
    pytest.mark.skipif(CHROMIUM is None, reason="no chromium on this machine"),
]

# Everything that a hand can do, one after the other; an error ends in the title, which is told.
HANDS = """
window.onerror = (message, _, line) => { document.title = `failed: ${message}, line ${line}`; };
for (let i = 0; i < 30; i++) { zoom(.6, .3); draw(); move(.2); draw(); }
const least = view.to - view.from;
dispatchEvent(new KeyboardEvent("keydown", { key: "0" }));
document.getElementById("theme").click();
draw();
let told = "";
for (const { canvas } of rows) {
  const box = canvas.getBoundingClientRect();
  for (let x = 0; x < box.width; x += 3) for (let y = 4; y < box.height; y += 16) {
    canvas.dispatchEvent(new PointerEvent("pointermove",
      { bubbles: true, clientX: box.left + x, clientY: box.top + y }));
    told += tip.textContent;
  }
}
const seen = ["<b>bold</b>", "so far", "it broke"].map((text) => told.includes(text));
document.title = JSON.stringify([least < 1e5, ...seen]);
"""


@processor
async def talks(stream: AsyncIterator[Part]) -> AsyncIterator[Part]:
    async for part in stream:
        if part.text == "stop":
            for signal in (Held(1), Resumed(1), Interrupted(1, heard="so far")):
                current_run().bus.announce(signal)
        if part.text == "bad":
            raise ValueError("it broke")
        yield part
        yield part.derive(substream="debug")


async def converse() -> None:
    sound = Part.audio(b"\0" * 16_000, words="a word ", role="model", turn=1)
    script = [(0.5, Part("<b>bold</b>")), *[(1.0, sound)] * 5, (1.25, Part("stop"))]
    script += [(2.0, Part(Image(b"123"))), (2.0, Part.call("f", {"a": 1}, id="1"))]
    script += [(2.5, Part.response("f", 1, id="1")), (3.0, Part("bad"))]
    async for _ in talks(timeline(script)):
        pass


def dumped(page: Path) -> str:
    assert CHROMIUM is not None
    options = "--headless --no-sandbox --disable-gpu --window-size=1200,800 --dump-dom".split()
    done = subprocess.run(
        [CHROMIUM, *options, f"--user-data-dir={page.parent / 'profile'}", page.as_uri()],
        capture_output=True,
        text=True,
        timeout=100,
        check=True,
    )
    return done.stdout


def test_the_page_works(tmp_path: Path) -> None:
    """All lanes are there, texts are texts, and nothing that one can do to the page breaks it."""
    kept = Trace()
    with observe(kept), pytest.raises(ValueError, match="it broke"):
        run_virtual(converse)
    page = tmp_path / "page.html"
    page.write_text(kept.html().replace("\n</script>\n</body>", f"{HANDS}</script>\n</body>"))
    dom = dumped(page)
    title = re.search("<title>(.*?)</title>", dom)
    assert title is not None
    assert unescape(title[1]) == "[true,true,true,true]"
    labels = re.findall('class="label[^>]*><b>(.*?)</b>', dom)
    assert labels == ["talks", "turns", "source", "talks"]


def test_a_page_of_nothing_says_so(tmp_path: Path) -> None:
    """A trace that saw no run is a page with a sentence."""
    page = tmp_path / "page.html"
    Trace().write(page)
    assert "No run began while this was watched." in dumped(page)
