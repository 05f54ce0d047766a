"""Networks from the literature, as functional models with random weights."""

from typing import TYPE_CHECKING

from kgraph.late import late_names

if TYPE_CHECKING:
    from kgraph.applications.vgg import VGG16 as VGG16
    from kgraph.applications.vgg import VGG19 as VGG19
else:
    __getattr__, __dir__, __all__ = late_names(__name__, {
        "vgg": "VGG16 VGG19",
    })  # fmt: skip
