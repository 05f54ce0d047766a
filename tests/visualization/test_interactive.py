"""The page of a drawing: a file that folds, unfolds, searches and tells facts, in Chromium too."""

import json
import re
import shutil
import subprocess
from html import unescape

import pytest
from test_folding import transformer

import kgraph as keras
from kgraph import layers
from kgraph.utils import plot_model

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")


def page_of(model, tmp_path, **options) -> str:
    return plot_model(model, tmp_path / "model.html", **options).path.read_text()


def test_a_page_has_every_state_and_needs_no_network(tmp_path):
    page = page_of(transformer(8), tmp_path)
    assert re.findall(r'<div data-view="(\w+)">', page) == ["folded", "0", "all"]
    assert not re.search(r"(src|href)=|https?://(?!www\.w3\.org/2000/svg)|@import|fetch\(", page)
    folded, opened, whole = (part.count("data-names=") for part in page.split("<div data-view")[1:])
    assert (folded, opened, whole) == (5, 60, 60)
    (facts,) = re.findall(r'data-facts="(dense_16 [^"]+)"', page)[:1]
    assert unescape(facts).splitlines()[:3] == [
        "dense_16 (Dense)", "output: (None, 3)", "27 parameters",
    ]  # fmt: skip
    assert re.search(r"FLOP forward, .* backward, .*B of activations", facts)


def test_a_small_page_has_nothing_to_fold(tmp_path):
    x = keras.Input((None, 3), name="<b>")  # a size that is not known: no costs
    page = page_of(keras.Model(x, layers.Dense(2)(x)), tmp_path)
    assert page.count("<svg") == 1
    assert "unfold all" not in page
    assert "<b>&lt;" not in page
    assert "FLOP" not in page


def test_a_notebook_shows_the_page_in_a_frame_of_its_own(tmp_path):
    plot = plot_model(transformer(1), tmp_path / "model.html")
    frame = plot._repr_html_()
    assert re.match(r'<iframe srcdoc="[^"]+" sandbox="allow-scripts" style=', frame)
    assert unescape(re.search(r'srcdoc="([^"]+)"', frame)[1]) == plot.path.read_text()
    assert plot_model(transformer(1), tmp_path / "model.svg")._repr_html_() is None


SCRIPT = """<script>
const shown = () => boxes().length, click = what => document.querySelector(what).dispatchEvent(
  new MouseEvent("click", {bubbles: true})), told = [shown()];
click("main > div.shown g[data-fold]"); told.push(shown());
search.value = "embedding"; find(); told.push(count.textContent);
told.push(document.querySelectorAll("main > div.shown g.dim").length);
boxes()[0].dispatchEvent(new MouseEvent("mouseover", {bubbles: true}));
told.push(facts.textContent);
search.value = ""; find(); click("main > div.shown g[data-in]"); told.push(shown());
click("button[data-view=all]"); told.push(shown());
click("button[data-view=folded]"); told.push(shown());
document.title = JSON.stringify(told);
</script></body>"""


@pytest.mark.slow
@pytest.mark.skipif(CHROMIUM is None, reason="Chromium is not installed")
def test_blocks_unfold_and_layers_are_found_in_chromium(tmp_path):
    page = page_of(transformer(8), tmp_path).replace("</body>", SCRIPT)
    (tmp_path / "model.html").write_text(page)
    command = [CHROMIUM, "--headless", "--no-sandbox", "--disable-gpu", "--dump-dom"]
    run = subprocess.run(
        [*command, f"file://{tmp_path}/model.html"], capture_output=True, text=True, timeout=120
    )
    told = json.loads(unescape(re.search("<title>(.*?)</title>", run.stdout, re.DOTALL)[1]))
    facts = "input_layer (InputLayer)\noutput: (None, 16)"
    assert told[:4] == [5, 60, "1 found", 59]
    assert told[4].startswith(facts)
    assert told[5:] == [5, 60, 5]
