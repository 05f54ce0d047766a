"""Measurements of kgraph against hand-written JAX and Keras: `python -m benchmarks`."""
