"""Cases of the core layers."""

from __future__ import annotations

from cases import Case, t

ROWS = [
    Case("dense relu", lambda L: L.Dense(4, activation="relu"), [t(3)]),
    Case(
        "dense sequence",
        lambda L: L.Dense(4, "tanh", kernel_regularizer="l2", activity_regularizer="l1"),
        [t("time", 3, mask=True)],
    ),
    Case("dense without bias", lambda L: L.Dense(4, use_bias=False), [t("columns", "rows", 3)]),
    Case("activation", lambda L: L.Activation("gelu"), [t("time", 3, mask=True)]),
    Case("identity", lambda L: L.Identity(), [t("time", 3, mask=True)]),
    Case("masking", lambda L: L.Masking(), [t("time", 1, kind="float32 2")]),
    Case("masking value", lambda L: L.Masking(2.0), [t("time", 1, kind="float32 3", mask=True)]),
    Case("embedding", lambda L: L.Embedding(7, 4), [t("time", kind="int32 7")]),
    Case(
        "embedding of floats",
        lambda L: L.Embedding(7, 4, mask_zero=True),
        [t("time", kind="float32 7")],
    ),
    Case(
        "embedding mask",
        lambda L: L.Embedding(7, 4, mask_zero=True, embeddings_regularizer="l2"),
        [t("time", 2, kind="int32 7")],
    ),
    Case(
        "reversible_embedding",
        lambda L: L.ReversibleEmbedding(7, 4, tie_weights=False),
        [t("time", kind="int32 7")],
    ),
    Case(
        "reversible_embedding reverse",
        lambda L: L.ReversibleEmbedding(7, 4, logit_soft_cap=2.0, embeddings_regularizer="l2"),
        [t("time", 4)],
        kwargs={"reverse": True},
    ),
    Case(
        "reversible_embedding reverse untied",
        lambda L: L.ReversibleEmbedding(7, 4, tie_weights=False),
        [t("time", 4)],
        kwargs={"reverse": True},
    ),
    Case(
        "einsum_dense",
        lambda L: L.EinsumDense("ab,bc->ac", 4, "relu", "c", bias_regularizer="l1"),
        [t(3)],
    ),
    Case(
        "einsum_dense heads",
        lambda L: L.EinsumDense(
            "abc,cde->abde", (None, 2, 3), bias_axes="e", activity_regularizer="l2"
        ),
        [t("time", 5)],
    ),
    Case(
        "einsum_dense two axes summed",
        lambda L: L.EinsumDense("abcd,cde->abe", (None, 3), bias_axes="be"),
        [t(2, 3, 4)],
        reason="a bias along axis b needs its size, which Keras takes from output_shape alone",
        keras=False,
    ),
    Case(
        "einsum_dense along a middle axis",
        lambda L: L.EinsumDense(
            "abc,bd->adc", (4, None), bias_axes="d", kernel_constraint="non_neg"
        ),
        [t(3, "columns")],
    ),
    Case(
        "einsum_dense left ellipsis",
        lambda L: L.EinsumDense("...x,xy->...y", 4, bias_axes="y", kernel_regularizer="l2"),
        [t("rows", "time", 3)],
    ),
    Case(
        "einsum_dense right ellipsis",
        lambda L: L.EinsumDense("ab...,bc->ac...", 4, bias_axes="c"),
        [t(3, "rows", 2)],
    ),
]
