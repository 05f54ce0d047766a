"""What would fit, and tables of several forecasts; a formula stands for the TPU's compiler."""

from __future__ import annotations

import math
from dataclasses import replace
from xml.etree import ElementTree

import forecast_models as m
import pytest

from kgraph import distribution as dist
from kgraph.errors import ConfigError
from kgraph.forecast import making
from kgraph.forecast.compiling import Compiled

GIB = 1 << 30
TEXT = "ENTRY %main () -> f32[] {\n}\n"


@pytest.fixture
def asked(monkeypatch):
    """What was compiled: each row of a batch takes 1 GiB, and the state what a test says."""
    seen = []

    def compile_for(where, mesh, traced, *rest):
        rows = traced.arguments[-1].shape[0]
        cut = "fsdp" in mesh
        needed = (seen_state[0] // where.devices if cut else seen_state[0]) + rows // where.devices
        fits = needed < 15.75
        seen.append((where.name, rows, "FSDP" if cut else "DataParallel", fits))
        message = "" if fits else "Ran out of memory on HBM"
        return Compiled(
            TEXT if fits else "", None, 0, 0, 0, needed * GIB, 0, fits, message, 0.1, 0.1
        )

    seen_state = [4]
    monkeypatch.setattr(making, "compile_for", compile_for)
    monkeypatch.setattr(making, "require_compiler", lambda where: None)
    seen.append(seen_state)
    return seen


def forecast_of(rows, **options):
    return m.compiled(m.blocks(6), **options).forecast("v5e:2x4", rows)


def test_each_advice_has_its_own_figure_and_was_tried(asked):
    found = forecast_of(8 * 16)
    assert not found.fits
    del asked[:2]
    advice = found.advice
    rows = {one.what: one.forecast for one in advice.tried}
    assert list(rows) == ["remat", "FSDP", "FSDP and remat", "a larger slice", "largest batch"]
    assert rows["remat"].options.remat == "blocks"
    assert rows["FSDP"].options.layout == "FSDP"
    assert [one.bytes_per_chip.total // GIB for one in rows.values()] == [20, 16, 16, 12, 15]
    assert [one.what for one in advice.fitting] == ["a larger slice", "largest batch"]
    assert rows["a larger slice"].where.name == "v5e:4x4"
    assert rows["largest batch"].options.batch_size == 8 * 11
    tried = {(one.where.name, one.options.batch_size, one.options.layout, one.fits)
             for one in rows.values()}  # fmt: skip
    assert tried <= set(asked)
    assert found.advice is advice, "compiled once"
    table = str(advice).splitlines()
    assert table[1].split()[:3] == ["change", "topology", "batch"]
    (line,) = [line for line in table if line.startswith("largest batch")]
    assert line.split()[2:] == ["v5e:2x4", "88", "DataParallel", "15", "GiB", "yes"]


def test_a_compiler_that_does_not_say_what_is_needed_gives_no_number(asked):
    found = forecast_of(8 * 16)
    assert "does NOT fit: needs about 20 GiB of 15.75 GiB on each" in str(found)
    silent = replace(found, compiled=replace(found.compiled, temporary=0))
    assert "does NOT fit: needs more than 15.75 GiB on each" in str(silent)


def test_a_step_that_fits_is_told_its_largest_batch(asked):
    (largest,) = [one for one in forecast_of(16).advice.tried if one.what == "largest batch"]
    assert largest.forecast.options.batch_size == 88


def test_what_cannot_be_tried_is_said(asked):
    asked[0][0] = 400
    lines = str(forecast_of(64, stack=False).advice).splitlines()
    assert "not tried: largest batch: a batch of 8 rows does not fit either" in lines
    assert any(line.startswith("not tried: remat: ") for line in lines)
    two = dist.FSDP(dist.DeviceMesh((2, 4), ("data", "fsdp"), dist.list_devices("v5e:2x4")))
    advice = forecast_of(64, distribution=two).advice
    assert [what for what, _ in advice.refused] == ["a larger slice", "largest batch"]
    assert "not tried: a larger slice: " in str(advice)


def test_a_table_compares_slices_batches_and_layouts(asked):
    found = forecast_of(64)
    table = found.compare([{"topology": "v5e:4x4"}, {"batch_size": 128},
                           {"distribution": dist.FSDP()}, {"remat": "blocks"}])  # fmt: skip
    assert [(where, rows, layout) for where, rows, layout, _ in asked[1:]] == [
        ("v5e:2x4", 64, "DataParallel"), ("v5e:4x4", 64, "DataParallel"),
        ("v5e:2x4", 128, "DataParallel"), ("v5e:2x4", 64, "FSDP"),
        ("v5e:2x4", 64, "DataParallel"),
    ]  # fmt: skip
    lines = str(table).splitlines()
    assert [" NO" in line for line in lines[2:]] == [False, False, True, False, False]
    assert "blocks" in lines[-1]
    assert math.isclose(table.forecasts[3].bytes_per_chip.total / GIB, 8)
    with pytest.raises(ConfigError, match=r"topology, batch_size[\s\S]*topologi$"):
        found.compare([{"topologi": "v5e:4x4"}])
    for wrong in ({"batch_size": 128}, ["v5e:4x4"]):
        with pytest.raises(ConfigError, match=r"a list of forecasts and of options"):
            found.compare(wrong)


def words(text):
    return "".join(text.split())


@pytest.mark.parametrize("rows", [16, 8 * 16])
def test_notebooks_show_what_is_printed(asked, rows):
    found = forecast_of(rows)
    for shown in (found, found.compare([found]), found.advice):
        html = shown._repr_html_()
        page = ElementTree.fromstring(f"<div>{html}</div>")
        assert words("".join(page.itertext())) == words(repr(shown))
        assert "color" not in html, "not that of the page, light or dark"
