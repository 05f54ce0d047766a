"""Training on many devices: how weights and batches are laid out over a mesh of them."""

from typing import TYPE_CHECKING

from kgraph.lazy import lazy_names

if TYPE_CHECKING:
    from kgraph.distribution.base import Distribution as Distribution
    from kgraph.distribution.current import distribution as distribution
    from kgraph.distribution.current import set_distribution as set_distribution
    from kgraph.distribution.data_parallel import DataParallel as DataParallel
    from kgraph.distribution.fsdp import FSDP as FSDP
    from kgraph.distribution.layout import TensorLayout as TensorLayout
    from kgraph.distribution.layout import distribute_tensor as distribute_tensor
    from kgraph.distribution.layout_map import LayoutMap as LayoutMap
    from kgraph.distribution.mesh import DeviceMesh as DeviceMesh
    from kgraph.distribution.mesh import get_device_count as get_device_count
    from kgraph.distribution.mesh import list_devices as list_devices
    from kgraph.distribution.model_parallel import ModelParallel as ModelParallel
    from kgraph.distribution.plan import Plan as Plan
    from kgraph.distribution.processes import initialize as initialize
else:
    __getattr__, __dir__ = lazy_names(__name__)
