"""Process-wide settings: defaults of layers, the seed, limits of runs, and where text goes."""

from kgraph.config.attention import (
    disable_flash_attention,
    enable_flash_attention,
    is_flash_attention_enabled,
)
from kgraph.config.defaults import (
    epsilon,
    floatx,
    image_data_format,
    set_epsilon,
    set_floatx,
    set_image_data_format,
)
from kgraph.config.fixed import (
    backend,
    disable_traceback_filtering,
    enable_traceback_filtering,
    is_nnx_enabled,
    is_traceback_filtering_enabled,
    set_backend,
)
from kgraph.config.limits import (
    max_epochs,
    max_steps_per_epoch,
    set_max_epochs,
    set_max_steps_per_epoch,
    within_limit,
)
from kgraph.config.policies import DTypePolicy, dtype_policy, set_dtype_policy
from kgraph.config.seeds import next_seed, set_random_seed
from kgraph.config.settings import _settings as _settings
from kgraph.config.streams import (
    disable_interactive_logging,
    enable_interactive_logging,
    is_interactive_logging_enabled,
    output,
)

__all__ = [
    "DTypePolicy",
    "backend",
    "disable_flash_attention",
    "disable_interactive_logging",
    "disable_traceback_filtering",
    "dtype_policy",
    "enable_flash_attention",
    "enable_interactive_logging",
    "enable_traceback_filtering",
    "epsilon",
    "floatx",
    "image_data_format",
    "is_flash_attention_enabled",
    "is_interactive_logging_enabled",
    "is_nnx_enabled",
    "is_traceback_filtering_enabled",
    "max_epochs",
    "max_steps_per_epoch",
    "next_seed",
    "output",
    "set_backend",
    "set_dtype_policy",
    "set_epsilon",
    "set_floatx",
    "set_image_data_format",
    "set_max_epochs",
    "set_max_steps_per_epoch",
    "set_random_seed",
    "within_limit",
]
