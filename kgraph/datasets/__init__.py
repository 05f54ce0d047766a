"""Small data sets: `digits` is part of the package, the others are downloaded once."""

from typing import TYPE_CHECKING

from kgraph.late import late_names

if TYPE_CHECKING:
    from kgraph.datasets import cifar10 as cifar10
    from kgraph.datasets import cifar100 as cifar100
    from kgraph.datasets import digits as digits
    from kgraph.datasets import fashion_mnist as fashion_mnist
    from kgraph.datasets import mnist as mnist
else:
    __getattr__, __dir__, __all__ = late_names(__name__, {
        "cifar10": "",
        "cifar100": "",
        "digits": "",
        "fashion_mnist": "",
        "mnist": "",
    })  # fmt: skip
