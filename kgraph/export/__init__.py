"""Trained models as functions in a file, to be run without the code that built them.

`model.export("m.stablehlo")` writes what the model computes at inference: StableHLO by
`jax.export`, for CPU, CUDA and TPU, with unknown sizes still unknown, and the weights. `load` gives
a function back that needs JAX and this package, but no layer, no class of yours and no graph.

How long such a file lasts. JAX promises to run an export with any JAX of the next six months, and
with versions up to three weeks older than the one that wrote it. Versions of the calling convention
come and go in the same windows; jax 0.7.2 to 0.10.2 write version 10, and read 9 and 10. A file
notes both. In practice files live longer (0.10.2 runs those of 0.7.2), but nobody promises it: an
export is for delivery. Keep the model with `model.save`, and export it again when JAX moves on.

An export is a program. Its bytes are compared with their digests, which finds damage and no malice:
run only files from people whose code you would run. (`load_model`, by contrast, runs no code.)

Writing and reading need the package `flatbuffers`: `pip install kgraph-jax[export]`.
"""

from typing import TYPE_CHECKING

from kgraph.lazy import lazy_names

if TYPE_CHECKING:
    from kgraph.export.exported_model import ExportedModel as ExportedModel
    from kgraph.export.exported_model import load as load
    from kgraph.export.exporting import export as export
    from kgraph.export.signature import TensorInfo as TensorInfo
else:
    __getattr__, __dir__ = lazy_names(__name__)
