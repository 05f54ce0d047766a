"""The format of `.kgraph` files and folders: manifest, JSON and arrays, each with its digest."""
