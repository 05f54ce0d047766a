"""Cases of the recurrent layers."""

from __future__ import annotations

from typing import Any

from cases import Case, t

X = t("time", 3)
MASKED = t("time", 3, mask=True)
WRAPPED = "the wrapped layer has a dtype of its own"


def _plain(name: str) -> list[Case]:
    """Returns the cases that each of SimpleRNN, GRU and LSTM has."""

    def layer(**options: Any) -> Any:
        return lambda L: getattr(L, name)(4, **options)

    key = name.lower()
    everything = {"return_sequences": True, "return_state": True}
    return [
        Case(f"{key}", layer(), [X]),
        Case(f"{key} sequences and states", layer(**everything), [X]),
        Case(f"{key} masked", layer(), [MASKED]),
        Case(f"{key} masked sequences", layer(**everything), [MASKED]),
        Case(f"{key} backwards masked", layer(go_backwards=True, **everything), [MASKED]),
        Case(f"{key} unrolled masked", layer(unroll=True, **everything), [t(4, 3, mask=True)]),
        Case(
            f"{key} penalties without bias",
            layer(kernel_regularizer="l2", recurrent_regularizer="l1", use_bias=False),
            [X],
        ),
        Case(
            f"{key} dropout",
            layer(dropout=0.2, recurrent_dropout=0.5, return_sequences=True),
            [X],
            training=True,
            random=True,
        ),
    ]


def _both_ways(merge_mode: str | None) -> Case:
    return Case(
        f"bidirectional {merge_mode}",
        lambda L: L.Bidirectional(
            L.LSTM(4, return_sequences=True, return_state=True), merge_mode=merge_mode
        ),
        [MASKED],
    )


ROWS = [
    *_plain("SimpleRNN"),
    *_plain("GRU"),
    *_plain("LSTM"),
    Case("gru reset before", lambda L: L.GRU(4, reset_after=False), [MASKED]),
    Case(
        "gru reset before recurrent dropout",
        lambda L: L.GRU(4, reset_after=False, recurrent_dropout=0.4),
        [X],
        training=True,
        random=True,
    ),
    Case("gru initial state", lambda L: L.GRU(4), [X, t(4)], keywords=["initial_state"]),
    Case(
        "simple_rnn initial state",
        lambda L: L.SimpleRNN(4, return_sequences=True),
        [X, t(4)],
        keywords=["initial_state"],
    ),
    Case("lstm activity", lambda L: L.LSTM(4, activity_regularizer="l2"), [X]),
    Case("gru activity", lambda L: L.GRU(4, activity_regularizer="l2"), [X]),
    Case("lstm without unit forget bias", lambda L: L.LSTM(4, unit_forget_bias=False), [X]),
    Case("lstm cell", lambda L: L.RNN(L.LSTMCell(4), return_state=True), [MASKED]),
    Case("gru cell", lambda L: L.RNN(L.GRUCell(4, reset_after=False)), [X]),
    Case(
        "rnn zero output for mask",
        lambda L: L.RNN(L.SimpleRNNCell(4), return_sequences=True, zero_output_for_mask=True),
        [MASKED],
    ),
    Case(
        "rnn zero last output for mask",
        lambda L: L.RNN(L.GRUCell(4), zero_output_for_mask=True, go_backwards=True),
        [MASKED],
    ),
    Case(
        "stacked cells",
        lambda L: L.RNN([L.LSTMCell(4), L.GRUCell(5), L.SimpleRNNCell(2)], return_state=True),
        [X],
    ),
    Case(
        "stacked cells masked",
        lambda L: L.RNN(L.StackedRNNCells([L.LSTMCell(4), L.LSTMCell(3)]), return_sequences=True),
        [MASKED],
    ),
    Case(
        "stacked cells dropout",
        lambda L: L.RNN([L.GRUCell(4, dropout=0.5), L.GRUCell(3, recurrent_dropout=0.5)]),
        [X],
        training=True,
        random=True,
    ),
    *[_both_ways(mode) for mode in ("concat", "sum", "ave", "mul", None)],
    Case(
        "bidirectional gru",
        lambda L: L.Bidirectional(L.GRU(4, return_sequences=True)),
        [X],
    ),
    Case(
        "bidirectional two layers",
        lambda L: L.Bidirectional(
            L.LSTM(4, return_sequences=True),
            backward_layer=L.LSTM(4, activation="relu", return_sequences=True, go_backwards=True),
        ),
        [X],
    ),
    Case("bidirectional cell", lambda L: L.Bidirectional(L.RNN(L.LSTMCell(4))), [MASKED]),
    Case(
        "time_distributed dense",
        lambda L: L.TimeDistributed(L.Dense(4, "tanh")),
        [MASKED],
        bfloat16=False,
        reason=WRAPPED,
    ),
    Case(
        "time_distributed lstm",
        lambda L: L.TimeDistributed(L.LSTM(4, return_sequences=True)),
        [t("time", "words", 3)],
        bfloat16=False,
        reason=WRAPPED,
    ),
    Case("conv_lstm1d", lambda L: L.ConvLSTM1D(4, 3), [t("time", 6, 2)]),
    Case(
        "conv_lstm2d",
        lambda L: L.ConvLSTM2D(2, (3, 2), padding="same", return_sequences=True, return_state=True),
        [t("time", 5, 4, 3)],
    ),
    Case(
        "conv_lstm2d strides masked",
        lambda L: L.ConvLSTM2D(2, 2, strides=2, return_sequences=True),
        [t("time", 5, 4, 3, mask=True)],
        keras=False,
        reason="Keras cannot run it: its mask does not broadcast to images",
    ),
    Case(
        "conv_lstm2d channels first",
        lambda L: L.ConvLSTM2D(2, 2, data_format="channels_first", use_bias=True),
        [t(3, 3, 5, 4)],
    ),
    Case("conv_lstm2d dilation", lambda L: L.ConvLSTM2D(2, 2, dilation_rate=2), [t(3, 5, 4, 3)]),
    Case(
        "conv_lstm2d dropout",
        lambda L: L.ConvLSTM2D(2, 2, dropout=0.4, recurrent_dropout=0.4),
        [t(3, 5, 4, 3)],
        training=True,
        random=True,
    ),
    Case("conv_lstm3d", lambda L: L.ConvLSTM3D(2, 2, use_bias=False), [t(3, 4, 3, 3, 2)]),
]
