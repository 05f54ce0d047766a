"""Reading compiled texts: loops, products, bytes, exchanges, and the layers that they belong to."""

from __future__ import annotations

import gzip
import re
from collections import Counter
from pathlib import Path
from typing import Any

import forecast_models as m
import pytest

import kgraph
from kgraph import layers as L
from kgraph.distribution.chips import CHIPS
from kgraph.errors import ConfigError
from kgraph.forecast.collectives import find_collectives
from kgraph.forecast.hlo import read_module
from kgraph.forecast.profile import OUTSIDE, _Names, profile
from kgraph.forecast.work import bytes_of, flops_of

VERSIONS = ("0.7", "0.10", "0.12")


@pytest.fixture(params=VERSIONS)
def stacked(request) -> str:
    """A step of `blocks()`, 64 rows, FSDP, stacked and recomputed, as the TPU's compiler wrote it.

    Of jax 0.7.2 with libtpu 0.0.23, jax 0.10.2 with 0.0.42 and jax 0.12.0 with 0.0.50.
    """
    file = Path(__file__).with_name(f"blocks_jax_{request.param}.txt.gz")
    return gzip.decompress(file.read_bytes()).decode()


LOOP = """HloModule loop, is_scheduled=true

%body (state: (u32[], bf16[4,8]{1,0:T(8,128)})) -> (u32[], bf16[4,8]) {
  %two = u32[]{:T(128)} constant(2)
  %state = (u32[]{:T(128)}, bf16[4,8]{1,0:T(8,128)}) parameter(0)
  %count = u32[]{:T(128)} get-tuple-element(%state), index=0
  %x = bf16[4,8]{1,0:T(8,128)} get-tuple-element(%state), index=1
  %next = u32[]{:T(128)} add(%count, %two)
  %y = bf16[4,8]{1,0:T(8,128)} fusion(%x), kind=kLoop, calls=%inside, metadata={op_name="jit(f)/a/mul"}, backend_config={"window_config":{"estimated_cycles":"10"}}
  ROOT %both = (u32[]{:T(128)}, bf16[4,8]{1,0:T(8,128)}) tuple(%next, %y)
}

%cond (state.1: (u32[], bf16[4,8]{1,0:T(8,128)})) -> pred[] {
  %limit = u32[]{:T(128)} constant(7)
  %state.1 = (u32[]{:T(128)}, bf16[4,8]{1,0:T(8,128)}) parameter(0)
  %count.1 = u32[]{:T(128)} get-tuple-element(%state.1), index=0
  ROOT %less = pred[]{:T(512)} compare(%count.1, %limit), direction=LT
}

%inside (p: bf16[4,8]) -> bf16[4,8] {
  %p = bf16[4,8]{1,0:T(8,128)} parameter(0)
  ROOT %m = bf16[4,8]{1,0:T(8,128)} multiply(%p, %p)
}

ENTRY %main (arg: bf16[4,8], w: bf16[8,16]) -> bf16[4,16] {
  %arg = bf16[4,8]{1,0:T(8,128)} parameter(0)
  %w = bf16[8,16]{1,0:T(8,128)} parameter(1)
  %one = u32[]{:T(128)} constant(1)
  %start = u32[]{:T(128)} copy(%one)
  %first = (u32[]{:T(128)}, bf16[4,8]{1,0:T(8,128)}) tuple(%start, %arg)
  %loop = (u32[]{:T(128)}, bf16[4,8]{1,0:T(8,128)}) while(%first), condition=%cond, body=%body
  %out = bf16[4,8]{1,0:T(8,128)} get-tuple-element(%loop), index=1
  ROOT %z = bf16[4,16]{1,0:T(8,128)S(1)} convolution(%out, %w), dim_labels=bf_io->bf, metadata={op_name="jit(f)/transpose(jvp(b))/dot_general"}, backend_config={"window_config":{"estimated_cycles":"100"}}
}
"""  # noqa: E501


def named(module, name):
    return module.by_name[module.home[name]][name]


def test_a_loop_runs_from_its_start_to_its_limit_by_its_step():
    module = read_module(LOOP)
    assert module.trips(named(module, "loop")) == 3  # 1, 3, 5
    times = {instruction.name: n for instruction, n in module.executed()}
    assert (times["y"], times["less"], times["z"]) == (3, 4, 1)
    known = LOOP.replace("body=%body", 'body=%body, backend_config={"known_trip_count":{"n":"5"}}')
    assert {i.name: n for i, n in read_module(known).executed()}["y"] == 5


def test_products_and_bytes_are_counted_by_shapes():
    module = read_module(LOOP)
    assert flops_of(module, named(module, "z")) == 2 * 4 * 8 * 16
    assert bytes_of(module, named(module, "z")) == 2 * (4 * 8 + 8 * 16)  # the result stays near
    assert bytes_of(module, named(module, "y")) == 2 * 2 * 4 * 8
    dot = LOOP.replace("convolution(%out, %w), dim_labels=bf_io->bf", "dot(%out, %w), "
                       "lhs_contracting_dims={1}, rhs_contracting_dims={0}")  # fmt: skip
    module = read_module(dot)
    assert flops_of(module, named(module, "z")) == 2 * 4 * 8 * 16


@pytest.mark.parametrize(
    ("kernel", "window", "pairs"),
    [
        ("f32[3,8,16]", "size=3", 3 * 6),
        ("f32[3,8,16]", "size=3 pad=1_1", 3 * 8 - 2),  # the padding meets nothing
        ("f32[3,8,16]", "size=3 stride=2", 3 * 3),
        ("f32[3,8,16]", "size=3 pad=2_2 lhs_dilate=2", 24),  # every second place is a hole
        ("f32[3,8,16]", "size=3 rhs_dilate=2", 3 * 4),
    ],
)
def test_a_convolution_counts_products_with_the_input_alone(kernel, window, pairs):
    out = {"size=3": 6, "size=3 pad=1_1": 8, "size=3 stride=2": 3, "size=3 rhs_dilate=2": 4}
    size = out.get(window, 17)
    text = f"""HloModule c

ENTRY %main (x: f32[2,8,8], k: {kernel}) -> f32[2,{size},16] {{
  %x = f32[2,8,8]{{2,1,0}} parameter(0)
  %k = {kernel}{{2,1,0}} parameter(1)
  ROOT %c = f32[2,{size},16]{{2,1,0}} convolution(%x, %k), window={{{window}}}, dim_labels=b0f_0io->b0f
}}
"""  # noqa: E501
    module = read_module(text)
    assert flops_of(module, named(module, "c")) == 2 * 2 * 8 * 16 * pairs


def graph_of(model):
    return kgraph.lower(model, stack=True, remat="blocks").graph


def test_cycles_belong_to_layers_and_loops_count_as_often_as_they_run(stacked):
    found = profile(read_module(stacked), graph_of(m.blocks()), CHIPS["v5e"])
    once = sum(map(int, re.findall(r'estimated_cycles":"(\d+)"', stacked)))
    assert once < found.cycles < 2 * once
    rows = {row.label: row for row in found.layers}
    assert list(rows) == ["up0 ... up1", "down0 ... down1", "up0/x2", "head", OUTSIDE]
    assert sum(row.cycles for row in found.layers) == found.cycles
    assert sum(row.share for row in found.layers) == pytest.approx(1)
    assert rows["up0 ... up1"].recomputed > 0
    assert rows["head"].forward > 0 < rows["head"].backward
    # 8 rows on each chip, of each block: two products forward and up's once more, four backward.
    products, head = 2 * 8 * m.WIDTH * 2 * m.WIDTH, 2 * 8 * m.WIDTH * m.CLASSES
    assert rows["head"].flops == 3 * head
    assert found.flops == 2 * 7 * products + 3 * head


def test_what_is_computed_is_no_name_of_a_layer():
    x = kgraph.Input((4,))
    graph = kgraph.lower(kgraph.Model(x, L.Add()([x, L.Dense(4)(x)]))).graph
    names = _Names(graph)
    assert names.of("jit(f)/call_exported/jit(train_step)/add") == (OUTSIDE, "forward")
    assert names.of("jit(f)/jit(train_step)/transpose(jvp(add))/add") == ("add", "backward")
    assert names.of("jit(train_step)/jvp(anything)/new/dense/dot") == ("dense", "forward")


def test_weights_move_along_the_axis_of_the_mesh(stacked):
    found = find_collectives(read_module(stacked), {"fsdp": 8})
    kinds = Counter()
    for one in found:
        assert one.axes == ("fsdp",)
        kinds[one.kind] += one.times
    assert kinds.pop("all-reduce") <= 3  # biases and the loss: at once, or block by block
    assert kinds == {"all-gather": 9, "reduce-scatter": 3}
    width = m.WIDTH
    sizes = {shape for one in found if one.kind == "all-gather" for shape in one.shapes}
    assert sizes <= {(width, m.CLASSES), (1, width, 2 * width), (1, 2 * width, width)}


@pytest.mark.parametrize(
    ("groups", "axes"),
    [
        ("replica_groups={{0,1,2,3},{4,5,6,7}}", ("b",)),
        ("replica_groups={{0,4},{1,5},{2,6},{3,7}}", ("a",)),
        ("replica_groups=[1,8]<=[8]", ("a", "b")),
        ("replica_groups=[4,2]<=[2,4]T(1,0)", ("a",)),
        ("replica_groups=mesh['axis_0'=2,'axis_1'=4] {'axis_1'}", ("b",)),
        ("source_target_pairs={{0,4},{4,0}}", ("a",)),
        ("replica_groups={}", ("a", "b")),
    ],
)
def test_axes_are_those_along_which_a_group_differs(groups, axes):
    text = f"""HloModule c

ENTRY %main (x: f32[8]) -> f32[8] {{
  %x = f32[8]{{0}} parameter(0)
  ROOT %c = f32[8]{{0}} all-reduce(%x), channel_id=1, {groups}, to_apply=%sum
}}
"""
    (found,) = find_collectives(read_module(text), {"a": 2, "b": 4})
    assert (found.axes, found.bytes, found.times) == (axes, 32, 1)


def test_a_kernel_takes_what_it_states_and_is_named_if_it_states_nothing():
    cost = '{"cost_estimate":{"flops":"1970000","transcendentals":"0","bytes_accessed":"0"}}'
    text = f"""HloModule k

ENTRY %main (x: f32[8]) -> f32[8] {{
  %x = f32[8]{{0}} parameter(0)
  %k = f32[8]{{0}} custom-call(%x), custom_call_target="tpu_custom_call", metadata={{op_name="jit(f)/a/mine"}}, backend_config={cost}
  ROOT %l = f32[8]{{0}} custom-call(%k), custom_call_target="tpu_custom_call", metadata={{op_name="jit(f)/a/silent"}}
}}
"""  # noqa: E501
    found = profile(read_module(text), graph_of(m.blocks()), CHIPS["v5e"])
    clock = CHIPS["v5e"].clock
    assert found.kernel_cycles == found.cycles == round(clock * 1970000 / 197e12)
    assert found.unknown == {"kernel silent": 1}


@pytest.mark.parametrize(
    ("kernel", "mask", "share"),
    [
        ("fwd_residuals", "s8[1,2,2]", 2 * 0.5),
        ("dq_no_residuals", "s8[1,4,1]", 3 * 0.25),  # a window: one block of keys for each of four
        ("dkv_no_residuals", None, 4),
    ],
)
def test_attention_by_a_kernel_counts_by_its_shapes(kernel, mask, share):
    before = "" if mask is None else f"  %m = {mask}{{2,1,0}} parameter(2)\n"
    given = "%q, %q, %q" if mask is None else "%m, %m, %q, %q, %q"
    text = f"""HloModule k

ENTRY %main (q: bf16[2,3,1024,128]) -> bf16[2,3,1024,128] {{
  %q = bf16[2,3,1024,128]{{3,2,1,0}} parameter(0)
{before}  ROOT %k = bf16[2,3,1024,128]{{3,2,1,0}} custom-call({given}), custom_call_target="tpu_custom_call", metadata={{op_name="jit(f)/head/splash_mha_{kernel}/pallas_call"}}
}}
"""  # noqa: E501
    found = profile(read_module(text), graph_of(m.blocks()), CHIPS["v5e"])
    assert found.flops == 2 * 2 * 3 * 1024 * 1024 * 128 * share
    assert found.kernel_cycles == found.cycles == round(CHIPS["v5e"].clock * found.flops / 197e12)
    assert not found.unknown
    assert found.layers[0].names == ("head",)


class Times:
    """Stands for a forecast."""

    step_seconds = 3e-3

    def seconds_of(self, name):
        return {"up0": 2e-3, "head": 5e-4}.get(name)


def test_summaries_and_drawings_show_the_time_of_each_layer(tmp_path):
    model, shown = m.blocks(), []
    model.summary(print_fn=shown.append, forecast=Times())
    (line,) = [line for line in shown[0].splitlines() if line.startswith("up0")]
    assert line.split()[-1] == "ms"
    assert "2 ms" in line
    assert "In a step" in shown[0]
    model.plot(str(tmp_path / "model.svg"), forecast=Times())
    drawn = (tmp_path / "model.svg").read_text()
    assert "2 ms" in drawn
    assert "#b91c1c" in drawn  # the longest is the hottest
    with pytest.raises(ConfigError, match=r"model\.forecast returns"):
        model.plot(str(tmp_path / "model.svg"), forecast=3)
    with pytest.raises(ConfigError, match=r"model\.forecast returns"):
        model.summary(forecast="v5e:2x4")
    other: Any = kgraph.Sequential([kgraph.Input((2,)), L.Dense(1, name="other")])
    for show in (other.summary, other.plot):
        with pytest.raises(ConfigError, match=r"of the same model[\s\S]*other"):
            show(forecast=Times())
