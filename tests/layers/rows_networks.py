"""Cases of the layers of single networks: Keras keeps its own beside these networks."""

from __future__ import annotations

from cases import Case, t

ROWS = [
    Case("layer_scale", lambda L: L.LayerScale(0.5, 3), [t("rows", 4, 3)], keras=False),
    Case("stochastic_depth", lambda L: L.StochasticDepth(0.4), [t("time", 3, mask=True)],
         training=True, random=True, keras=False),
    Case("custom_scale_layer", lambda L: L.CustomScaleLayer(0.2), [t("rows", 3), t("rows", 3)],
         as_list=True, keras=False),
]  # fmt: skip
