"""Models: the only objects that hold state for users."""

from kgraph.models.clone import clone_model
from kgraph.models.model import Model
from kgraph.models.sequential import Sequential
from kgraph.saving import load_model, model_from_json, save_model

__all__ = ["Model", "Sequential", "clone_model", "load_model", "model_from_json", "save_model"]
