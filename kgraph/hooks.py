"""What becomes of each method that a program written for Keras may override.

The table has every public name of Keras' base classes: those that are honoured, those that are no
hooks, and those that are refused where they would have had to be called. Nothing that a class
overrides is ignored in silence; `tests/test_hooks.py` compares the table with Keras.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from kgraph.declared import is_own
from kgraph.errors import ConfigError
from kgraph.source import Source


@dataclass(frozen=True)
class Hooks:
    """The names of one base class of Keras; those of its bases have a table of their own.

    Fields:
        honoured: an override is called where Keras calls it.
        no_hook: for their callers alone: nothing in Keras or kgraph calls or reads them unasked,
            or what it does with them cannot be seen from outside.
        refused: an override raises where the object is put to use; with what to write instead.
        refused_by_save: the same, where the object is saved or its weights are loaded.
    """

    honoured: str = ""
    no_hook: str = ""
    refused: dict[str, str] = field(default_factory=dict)
    refused_by_save: dict[str, str] = field(default_factory=dict)


_FUNCTIONS = "override train_step, test_step or predict_step: that is what the function runs"
_ASSIGNS = "update_step(self, gradient, variable, learning_rate), which assigns itself"

HOOKS: dict[str, Hooks] = {
    "Model": Hooks(
        honoured="compile compile_from_config compute_loss compute_loss_and_updates "
        "compute_metrics evaluate get_compile_config get_metrics_result metrics reset_metrics "
        "predict_step stateless_compute_loss test_step train_step",
        no_hook="export fit get_layer get_quantization_layer_structure get_state_tree "
        "jit_compile layers load_weights metrics_names predict predict_on_batch run_eagerly save "
        "save_weights set_state_tree summary test_on_batch to_json "
        "train_on_batch",
        refused={
            "jax_state_sync": "model.assign(variables) brings weights back",
            "make_predict_function": _FUNCTIONS,
            "make_test_function": _FUNCTIONS,
            "make_train_function": _FUNCTIONS,
        },
    ),
    "Sequential": Hooks(no_hook="add input_shape inputs output_shape outputs pop"),
    "Layer": Hooks(
        honoured="__call__ add_loss add_weight build build_from_config call compute_mask "
        "compute_output_shape compute_output_spec from_config get_build_config get_config "
        "load_assets load_own_variables save_assets save_own_variables",
        # What comes with `quantize` is asked for by nobody, since there is no `quantize`.
        no_hook="add_metric add_variable compute_dtype count_params dtype dtype_policy get_weights "
        "input input_dtype input_spec losses metrics metrics_variables non_trainable_variables "
        "non_trainable_weights output path quantization_mode quantize quantized_build "
        "quantized_call set_weights stateless_call supports_masking trainable "
        "trainable_variables trainable_weights variable_dtype variables weights",
        refused={
            "rematerialized_call": "compile(remat=[names of layers])",
            "symbolic_call": "call(self, inputs): shapes are inferred from it",
        },
    ),
    "Loss": Hooks(honoured="__call__ call dtype from_config get_config"),
    "Metric": Hooks(
        honoured="add_variable add_weight dtype from_config get_config reset_state result "
        "update_state",
        no_hook="__call__ stateless_reset_state stateless_result stateless_update_state variables",
    ),
    "Optimizer": Hooks(
        honoured="apply build exclude_from_weight_decay from_config get_config scale_loss "
        "update_step",
        no_hook="add_optimizer_variables add_variable add_variable_from_reference "
        "apply_gradients set_weights stateless_apply variables",
        refused={
            "assign": _ASSIGNS,
            "assign_add": _ASSIGNS,
            "assign_sub": _ASSIGNS,
            "finalize_variable_values": "finalize(self, params, state)",
            "iterations": "the count in the transformation's state",
            "learning_rate": "a LearningRateSchedule, or a function of the number of updates",
        },
        refused_by_save={
            "load_own_variables": "keep the numbers in the transformation's state",
            "save_own_variables": "keep the numbers in the transformation's state",
        },
    ),
    "LearningRateSchedule": Hooks(honoured="__call__ from_config get_config"),
    "Regularizer": Hooks(honoured="__call__ from_config get_config"),
    "Constraint": Hooks(honoured="__call__ from_config get_config"),
    "Initializer": Hooks(honoured="__call__ from_config get_config", no_hook="clone"),
    "Callback": Hooks(
        honoured="model on_batch_begin on_batch_end on_epoch_begin on_epoch_end "
        "on_predict_batch_begin on_predict_batch_end on_predict_begin on_predict_end "
        "on_test_batch_begin on_test_batch_end on_test_begin on_test_end on_train_batch_begin "
        "on_train_batch_end on_train_begin on_train_end set_model set_params"
    ),
    "PyDataset": Hooks(
        honoured="__getitem__ num_batches on_epoch_begin on_epoch_end",
        no_hook="max_queue_size use_multiprocessing workers",
    ),
}


STEP_HOOKS = (
    "train_step", "test_step", "compute_metrics", "get_metrics_result", "reset_metrics",
    "compute_loss_and_updates", "stateless_compute_loss",
)  # fmt: skip
"""A model whose class overrides one of these is trained and evaluated by its steps."""


def is_overridden(thing: object, name: str) -> bool:
    """Tells whether the user's class, and none of kgraph's, says what a name is."""
    return next((not is_own(cls) for cls in type(thing).__mro__ if name in vars(cls)), False)


def refuse_overrides(thing: object, *bases: str) -> None:
    """Raises ConfigError if the class of an object overrides what kgraph would not call.

    Args:
        thing: the object that is put to use.
        bases: the tables that its class falls under.
    """
    _refuse(thing, {name: said for base in bases for name, said in HOOKS[base].refused.items()})


def refuse_saving_overrides(thing: object, base: str) -> None:
    """The same of an object that is saved, or whose weights are loaded."""
    _refuse(thing, HOOKS[base].refused_by_save)


def _refuse(thing: object, refused: dict[str, str]) -> None:
    for cls in type(thing).__mro__:
        if is_own(cls):
            continue
        for name in vars(cls).keys() & refused.keys():
            raise ConfigError(
                f"{cls.__name__} overrides {name}, which kgraph does not call",
                at=_place(vars(cls)[name]),
                received=f"an object of the class {type(thing).__name__}",
                hint=refused[name],
            )


def place_of(thing: object, name: str) -> Source | None:
    """Returns the line where the user's class defines a method; None if it does not."""
    if not is_overridden(thing, name):
        return None
    return _place(next(vars(cls)[name] for cls in type(thing).__mro__ if name in vars(cls)))


def _place(item: object) -> Source | None:
    """Returns the line where a method or property is defined, if it is known."""
    function = getattr(item, "fget", None) or getattr(item, "__func__", item)
    code = getattr(function, "__code__", None)
    return None if code is None else Source(code.co_filename, code.co_firstlineno)
