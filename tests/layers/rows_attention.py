"""Cases of the attention layers."""

from __future__ import annotations

from typing import Any

from cases import Case, t

QUERY = t("target", 6)
VALUE = t("source", 5)
MASKED_QUERY = t("target", 6, mask=True)
MASKED_VALUE = t("source", 5, mask=True)
PAIRS = t("target", "source", kind="bool")
SCORES = {"return_attention_scores": True}
KEY_BIAS: dict[str, Any] = {
    "gradient_tolerance": 5e-3,
    "reason": "softmax ignores the bias of the key, so the gradient by it is rounding alone",
}

EMPTY_ROWS: Any = {
    "keras": False,
    "reason": "a query that may see nothing gives 0; in Keras the mean of all values, or NaN",
}

ROWS = [
    Case("multi_head_attention", lambda L: L.MultiHeadAttention(2, 3), [QUERY, VALUE], **KEY_BIAS),
    Case(
        "multi_head_attention key",
        lambda L: L.MultiHeadAttention(2, 3, value_dim=4, output_shape=7, use_bias=False),
        [QUERY, VALUE, t("source", 4)],
        kwargs=SCORES,
    ),
    Case(
        "multi_head_attention itself causal",
        lambda L: L.MultiHeadAttention(2, 3, use_bias=False),
        [QUERY, QUERY],
        kwargs={"use_causal_mask": True},
    ),
    Case(
        "multi_head_attention causal scores",
        lambda L: L.MultiHeadAttention(2, 3, use_bias=False, kernel_regularizer="l2"),
        [QUERY, t("target", 5)],
        kwargs={"use_causal_mask": True, **SCORES},
    ),
    Case(
        "multi_head_attention masks",
        lambda L: L.MultiHeadAttention(2, 3, use_bias=False),
        [MASKED_QUERY, MASKED_VALUE],
        **EMPTY_ROWS,
    ),
    Case(
        "multi_head_attention masks of all three and scores",
        lambda L: L.MultiHeadAttention(2, 3, use_bias=False),
        [MASKED_QUERY, MASKED_VALUE, t("source", 4, mask=True), PAIRS],
        keywords=["attention_mask"],
        kwargs=SCORES,
    ),
    Case(
        "multi_head_attention masks causal",
        lambda L: L.MultiHeadAttention(2, 3, use_bias=False),
        [QUERY, VALUE, t("target", "source", kind="bool")],
        keywords=["attention_mask"],
        kwargs={"use_causal_mask": True},
        **EMPTY_ROWS,
    ),
    Case(
        "multi_head_attention two axes",
        lambda L: L.MultiHeadAttention(2, 3, output_shape=(2, 4), use_bias=False),
        [t("rows", "columns", 6), t("rows", "columns", 5)],
        kwargs=SCORES,
    ),
    Case(
        "multi_head_attention over axis 2",
        lambda L: L.MultiHeadAttention(2, 3, attention_axes=2, use_bias=False),
        [t("rows", "target", 6), t("rows", "source", 5)],
    ),
    Case(
        "multi_head_attention window gate",
        lambda L: L.MultiHeadAttention(2, 3, sliding_window=2, use_gate=True, use_bias=False),
        [MASKED_QUERY, t("target", 5)],
        **EMPTY_ROWS,
    ),
    Case(
        "multi_head_attention dropout",
        lambda L: L.MultiHeadAttention(2, 3, dropout=0.4, use_bias=False),
        [MASKED_QUERY, MASKED_VALUE],
        training=True,
        random=True,
    ),
    Case(
        "group_query_attention",
        lambda L: L.GroupQueryAttention(3, 4, 2),
        [QUERY, VALUE],
        **KEY_BIAS,
    ),
    Case(
        "group_query_attention scores",
        lambda L: L.GroupQueryAttention(3, 4, 1, use_bias=False),
        [QUERY, MASKED_VALUE],
        kwargs=SCORES,
    ),
    Case("attention", lambda L: L.Attention(), [QUERY, t("source", 6)], as_list=True),
    Case(
        "attention key scale causal",
        lambda L: L.Attention(use_scale=True),
        [QUERY, t("source", 4), t("source", 6)],
        as_list=True,
        kwargs={"use_causal_mask": True, **SCORES},
    ),
    Case(
        "attention masks",
        lambda L: L.Attention(score_mode="concat", use_scale=True),
        [MASKED_QUERY, t("source", 6, mask=True)],
        as_list=True,
    ),
    Case(
        "attention dropout",
        lambda L: L.Attention(dropout=0.4, seed=3),
        [QUERY, t("source", 6)],
        as_list=True,
        training=True,
        random=True,
    ),
    Case(
        "additive_attention",
        lambda L: L.AdditiveAttention(),
        [MASKED_QUERY, t("source", 6, mask=True)],
        as_list=True,
    ),
    Case(
        "additive_attention without scale",
        lambda L: L.AdditiveAttention(use_scale=False),
        [QUERY, t("source", 6)],
        as_list=True,
    ),
]
