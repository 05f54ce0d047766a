"""Small data sets: `digits` is part of the package, the others are downloaded once."""

from typing import TYPE_CHECKING

from kgraph.lazy import lazy_names

if TYPE_CHECKING:
    from kgraph.datasets import boston_housing as boston_housing
    from kgraph.datasets import california_housing as california_housing
    from kgraph.datasets import cifar10 as cifar10
    from kgraph.datasets import cifar100 as cifar100
    from kgraph.datasets import digits as digits
    from kgraph.datasets import fashion_mnist as fashion_mnist
    from kgraph.datasets import imdb as imdb
    from kgraph.datasets import mnist as mnist
    from kgraph.datasets import reuters as reuters
else:
    __getattr__, __dir__ = lazy_names(__name__)
