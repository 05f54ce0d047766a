"""The table of README.md against Keras, Flax NNX and Equinox: each cell is tried.

kgraph's column names the tests that hold it; what is said of the others is in comparison_cells.
"""

from __future__ import annotations

import re
from pathlib import Path

import comparison_cells as cells
import jax
import jax.numpy as jnp
import pytest
from counting import compilations

import kgraph

ROOT = Path(__file__).parents[1]


def table() -> dict[str, list[str]]:
    """README's rows: what is claimed, and the cells of the four."""
    text = (ROOT / "README.md").read_text().split("## What it does that others don't")[1]
    rows = re.findall(r"^\| ([^|]{4,}) \|(.*)\|$", text.split("\n## ")[0], re.M)
    return {claim: [cell.strip() for cell in cells.split("|")] for claim, cells in rows}


HELD = {
    "A wrong shape fails when": "sizes_that_differ_fail_at_build_with_the_users_lines",
    "Unknown sizes are exact": "unknown_sizes_keep_their_names",
    "The model is immutable data": "another_process_with_another_hash_seed_gets_the_same_hash",
    "`init` and `apply`": "apply_has_the_jaxpr_of_code_written_by_hand",
    "Weights of a whole model": "all_weights_are_made_without_compiling",
    "Names belong to the model": "running_a_cell_again_gives_the_same_names",
    "Initial values and dropout": "values_follow_paths_and_not_the_order_of_requests",
    "Any optax transformation": "fit_equals_program_and_optax_by_hand",
    "Many training steps": "the_size_of_blocks_changes_nothing",
    "A killed training": "a_training_goes_on_bit_for_bit_from_a_checkpoint",
    "Repeated blocks": "stacked_blocks_compute_what_they_compute_one_by_one",
    "The last product": "by_default_large_losses_are_in_pieces_and_small_programs_stay",
    "BatchNormalization is folded": "a_normalisation_becomes_part_of_the_layer_before",
    "A report": "the_report_says_what_made_an_executable_new",
    "`check_finite` names": "check_finite_names_the_row",
    "Ctrl-C during `fit`": "ctrl_c_at_any_time_leaves_the_weights_of_a_finished_step",
    "Out-of-range labels": "bad_labels_in_a_late_batch_are_refused_with_their_place",
    "A layer's config is recorded": "a_custom_layer_needs_no_get_config",
    "Graphs are drawn": "without_graphviz_a_png_is_drawn_by_resvg",
}

OTHERS = {
    "A wrong shape fails when": (
        cells.keras_names_the_layer_that_a_shape_does_not_fit,
        cells.nnx_names_no_line_of_a_wrong_shape,
        cells.equinox_names_no_line_of_a_wrong_shape,
    ),
    "Unknown sizes are exact": (
        cells.keras_says_none_for_what_is_unknown,
        cells.nnx_has_no_graph_of_symbols,
        cells.equinox_has_no_graph_of_symbols,
    ),
    "The model is immutable data": (
        cells.keras_compares_models_by_identity,
        cells.nnx_compares_graphdefs,
        cells.equinox_cannot_hash_a_model_with_arrays,
    ),
    "`init` and `apply`": (
        cells.keras_takes_lists_of_variables,
        cells.nnx_is_a_function_of_a_tree_after_split,
        cells.equinox_is_the_tree,
    ),
    "Weights of a whole model": (
        cells.keras_compiles_to_make_weights,
        cells.nnx_compiles_to_make_weights,
        cells.equinox_compiles_to_make_weights,
    ),
    "Names belong to the model": (
        cells.keras_counts_names_in_the_process,
        cells.nnx_names_weights_by_attributes,
        cells.equinox_names_weights_by_attributes,
    ),
    "Initial values and dropout": (
        cells.keras_draws_in_the_order_of_construction,
        cells.nnx_draws_in_the_order_of_construction,
        cells.equinox_takes_keys,
    ),
    "Any optax transformation": (
        cells.keras_refuses_optax,
        cells.nnx_has_no_fit,
        cells.equinox_has_no_fit,
    ),
    "Many training steps": (
        cells.keras_runs_one_step_a_dispatch_unless_told,
        cells.nnx_has_no_fit,
        cells.equinox_has_no_fit,
    ),
    "A killed training": (
        cells.keras_backs_up_at_epochs,
        cells.nnx_has_no_fit,
        cells.equinox_has_no_fit,
    ),
    "Repeated blocks": (
        cells.keras_program_grows_with_depth,
        cells.nnx_scans_by_hand,
        cells.equinox_scans_by_hand,
    ),
    "The last product": (
        cells.keras_has_the_logits,
        cells.logits_of_a_layer_called_by_hand_exist,
        cells.logits_of_a_layer_called_by_hand_exist,
    ),
    "BatchNormalization is folded": (
        cells.keras_normalizes_when_it_predicts,
        cells.nnx_normalizes_when_it_predicts,
        cells.equinox_has_no_fit,
    ),
    "A report": (
        cells.keras_reports_no_compilations,
        cells.nnx_has_no_fit,
        cells.equinox_has_no_fit,
    ),
    "`check_finite` names": (
        cells.keras_stops_at_nan,
        cells.nnx_has_no_fit,
        cells.equinox_has_no_fit,
    ),
    "Ctrl-C during `fit`": (
        cells.keras_interrupted_in_a_step_has_deleted_buffers,
        cells.nnx_has_no_fit,
        cells.equinox_has_no_fit,
    ),
    "Out-of-range labels": (
        cells.keras_takes_labels_and_ids_out_of_range,
        cells.nnx_takes_ids_out_of_range,
        cells.equinox_takes_ids_out_of_range,
    ),
    "A layer's config is recorded": (
        cells.keras_records_simple_arguments,
        cells.nnx_has_no_configs,
        cells.equinox_has_no_configs,
    ),
    "Graphs are drawn": (
        cells.keras_needs_graphviz,
        cells.nnx_draws_no_graph,
        cells.equinox_draws_no_graph,
    ),
}

CELLS = sorted({check for row in OTHERS.values() for check in row}, key=lambda c: c.__name__)


def test_each_row_is_tried():
    starts = list(HELD)
    assert starts == list(OTHERS)
    claims = list(table())
    assert len(claims) == len(starts)
    assert [claim for claim, start in zip(claims, starts) if not claim.startswith(start)] == []


def test_what_kgraph_claims_is_held_by_a_test():
    there = set()
    for path in (ROOT / "tests").rglob("test_*.py"):
        there.update(re.findall(r"^def test_(\w+)", path.read_text(), re.M))
    assert set(HELD.values()) - there == set()


@pytest.mark.usefixtures("relaxed")
def test_apply_has_the_jaxpr_of_code_written_by_hand():
    inputs = kgraph.Input((8,))
    program = kgraph.lower(kgraph.Model(inputs, kgraph.layers.Dense(4, "relu", name="d")(inputs)))
    variables = program.init(jax.random.key(0))

    def by_hand(params, x):
        return jax.nn.relu(x @ params["kernel"] + params["bias"])

    x = jnp.ones((2, 8))
    ours = jax.make_jaxpr(lambda v, x: program.apply(v, x, training=False)[0])(variables, x)
    wanted = jax.make_jaxpr(by_hand)(variables["params"]["d"], x)
    assert [e.primitive.name for e in ours.eqns] == [e.primitive.name for e in wanted.eqns]


def test_all_weights_are_made_without_compiling():
    inputs = kgraph.Input((67,))
    h = kgraph.layers.Dense(61)(inputs)
    model = kgraph.Model(inputs, kgraph.layers.BatchNormalization()(h))
    assert compilations(model.get_weights) == 0


@pytest.mark.usefixtures("relaxed")
@pytest.mark.parametrize("cell", CELLS, ids=lambda cell: cell.__name__)
def test_a_cell_of_another_library_is_true(cell):
    cell()
