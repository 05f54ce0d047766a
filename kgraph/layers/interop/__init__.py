"""Layers around modules of other libraries."""

__all__: list[str] = []
