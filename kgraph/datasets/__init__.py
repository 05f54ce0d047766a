"""Small data sets: `digits` is part of the package, the others are downloaded once."""

from kgraph.datasets import cifar10, cifar100, digits, fashion_mnist, mnist

__all__ = ["cifar10", "cifar100", "digits", "fashion_mnist", "mnist"]
