"""Models: the only objects that hold state for users."""

from typing import TYPE_CHECKING

from kgraph.lazy import lazy_names

if TYPE_CHECKING:
    from kgraph.models.clone import clone_model as clone_model
    from kgraph.models.model import Model as Model
    from kgraph.models.sequential import Sequential as Sequential
    from kgraph.saving import load_model as load_model
    from kgraph.saving import model_from_json as model_from_json
    from kgraph.saving import save_model as save_model
else:
    __getattr__, __dir__ = lazy_names(__name__)
