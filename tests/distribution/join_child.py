"""One of several processes that find each other by their environment. Prints what all have said."""

from __future__ import annotations

import os

from kgraph import distribution, utils
from kgraph.distribution.coordination import gather
from kgraph.layers.base.first_keys import root_key


def main() -> None:
    utils.set_random_seed(int(os.environ["SEED"]))
    distribution.initialize()
    mesh = distribution.DataParallel().device_mesh
    print(gather("the test", os.environ["SEED"]), mesh.shape, root_key().tolist())


if __name__ == "__main__":
    main()
