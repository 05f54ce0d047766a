"""Cases of IntegerLookup in traced code.

Keras' layer needs TensorFlow, which the tests do without: `test_text.py` compares these numbers
with plain Python, and `test_text_against_keras.py` with Keras where TensorFlow is installed.
"""

from __future__ import annotations

from cases import Case, t

KEPT = {"keras": False, "gradients": False, "reason": "Keras needs TensorFlow; integers in"}
VALUES = [4, 0, 6]

ROWS = [
    Case(
        "integer lookup",
        lambda L: L.IntegerLookup(vocabulary=VALUES, mask_token=1, num_oov_indices=2),
        [t("time", kind="int32 7")],
        **KEPT,
    ),
    Case(
        "integer lookup one hot",
        lambda L: L.IntegerLookup(vocabulary=VALUES, output_mode="one_hot"),
        [t("time", kind="float32 7")],
        **KEPT,
    ),
    Case(
        "integer lookup counts",
        lambda L: L.IntegerLookup(
            max_tokens=9, vocabulary=VALUES, mask_token=1, output_mode="tf_idf",
            idf_weights=[0.5, 1.5, 0.25], pad_to_max_tokens=True,
        ),
        [t("time", kind="int32 7")],
        **KEPT,
    ),
    Case(
        "integer lookup inverted",
        lambda L: L.IntegerLookup(vocabulary=VALUES, invert=True),
        [t("time", kind="int32 7")],
        **KEPT,
    ),
]  # fmt: skip
