"""The rules of callbacks against the live Keras ones: both see the same replayed logs."""

from __future__ import annotations

import inspect
import math

import keras
import pytest
from callback_stand_in import StandInModel, replay
from hypothesis import given, settings
from hypothesis import strategies as st

from kgraph.errors import ConfigError
from kgraph.training import callbacks as ours

theirs = keras.callbacks

# Multiples of 1/4 and deltas of 1/8: exact in float32, in which Keras compares.
values = st.lists(
    st.one_of(st.none(), st.integers(-6, 6).map(lambda n: n / 4)), min_size=1, max_size=12
)
deltas = st.sampled_from([0, 0.125, 0.25, -0.25])
modes = st.sampled_from(["min", "max", "auto"])


def as_logs(series: list[float | None]) -> list[dict[str, float]]:
    return [{"loss": 1.0} if v is None else {"loss": 1.0, "val_loss": v} for v in series]


def both(make, logs, **options):
    return tuple(
        replay(library.CallbackList, make(library), logs, **options) for library in (ours, theirs)
    )


@settings(max_examples=150, deadline=None)
@given(
    values,
    st.fixed_dictionaries(
        {
            "patience": st.integers(0, 3),
            "min_delta": deltas,
            "mode": modes,
            "baseline": st.sampled_from([None, 0.0, 1.0]),
            "restore_best_weights": st.booleans(),
            "start_from_epoch": st.integers(0, 3),
        }
    ),
)
def test_early_stopping_stops_and_restores_as_keras_does(series, options):
    made = {}

    def make(library):
        made[library] = library.EarlyStopping(**options)
        return [made[library]]

    (model, run, _), (other, other_run, _) = both(make, as_logs(series))
    assert run == other_run
    assert model.weight == other.weight
    for name in ("stopped_epoch", "best_epoch", "wait", "best"):
        assert getattr(made[ours], name) == getattr(made[theirs], name), name


@settings(max_examples=150, deadline=None)
@given(
    values,
    st.fixed_dictionaries(
        {
            "factor": st.sampled_from([0.5, 0.25]),
            "patience": st.integers(0, 3),
            "min_delta": deltas,
            "mode": modes,
            "cooldown": st.integers(0, 2),
            "min_lr": st.sampled_from([0.0, 0.0625, 0.25]),
        }
    ),
)
def test_reduce_lr_on_plateau_sets_the_rates_that_keras_sets(series, options):
    def make(library):
        return [
            library.ReduceLROnPlateau(**options),
            history.setdefault(library, library.History()),
        ]

    history = {}
    (model, _, rates), (other, _, other_rates) = both(make, as_logs(series))
    assert rates == other_rates
    assert model.optimizer.learning_rate == other.optimizer.learning_rate
    assert history[ours].history == history[theirs].history


@pytest.mark.parametrize(
    "schedule", [lambda epoch, rate: rate * 0.5 if epoch else rate, lambda epoch: 0.5 / (epoch + 1)]
)
def test_learning_rate_scheduler_sets_the_rates_that_keras_sets(schedule):
    def make(library):
        return [
            library.LearningRateScheduler(schedule),
            history.setdefault(library, library.History()),
        ]

    history = {}
    (_, _, rates), (_, _, other_rates) = both(make, as_logs([1.0] * 4))
    assert rates == other_rates
    assert len(set(rates)) > 1
    assert history[ours].history == history[theirs].history


@settings(max_examples=100, deadline=None)
@given(
    values,
    st.fixed_dictionaries(
        {
            "save_best_only": st.booleans(),
            "save_weights_only": st.booleans(),
            "mode": st.sampled_from(["min", "max"]),
            "save_freq": st.sampled_from(["epoch", 1, 2, 4, 7]),
            "initial_value_threshold": st.sampled_from([None, 0.5]),
        }
    ),
)
def test_model_checkpoint_saves_what_keras_saves(tmp_path_factory, series, options):
    suffix = "weights.h5" if options["save_weights_only"] else "keras"
    where = str(tmp_path_factory.mktemp("saved") / "{epoch:02d}-{loss:.2f}.")

    def make(library):
        made = library.ModelCheckpoint(
            where + (suffix if library is theirs else "kgraph"), **options
        )
        if library is theirs:  # Keras finds it out at the end of an epoch, too late for batches
            made._set_monitor_op()
        return [made]

    (model, _, _), (other, _, _) = both(make, as_logs(series))
    ours_saved = [(what, path.removesuffix("kgraph")) for what, path in model.saved]
    assert ours_saved == [(what, path.removesuffix(suffix)) for what, path in other.saved]


@pytest.mark.parametrize("bad", [math.nan, math.inf])
def test_terminate_on_nan_stops_in_the_same_epoch_as_keras(bad, capsys):
    def make(library):
        return [library.TerminateOnNaN(), history.setdefault(library, library.History())]

    history = {}
    both(make, [{"loss": 1.0}, {"loss": bad}, {"loss": 1.0}])
    assert history[ours].epoch == history[theirs].epoch == [0, 1]
    assert f"Batch 0: the loss is {bad}" in capsys.readouterr().out


@settings(max_examples=60, deadline=None)
@given(st.lists(values, min_size=1, max_size=2), st.booleans(), st.sampled_from([",", ";"]))
def test_csv_logger_writes_the_bytes_that_keras_writes(tmp_path_factory, runs, append, separator):
    folder = tmp_path_factory.mktemp("csv")
    for series in runs:

        def make(library):
            name = folder / library.__name__
            return [library.CSVLogger(name, separator=separator, append=append)]

        both(make, [{"loss": v or 0.1, **logs} for v, logs in zip(series, as_logs(series))])
    written = (folder / ours.__name__).read_bytes()
    assert written == (folder / theirs.__name__).read_bytes()
    assert written.startswith(b"epoch" + separator.encode())


def test_every_public_name_of_keras_is_here():
    theirs_only = {name for name in dir(theirs) if not name.startswith("_")} - set(ours.__all__)
    assert theirs_only <= {"BackupAndRestore", "OrbaxCheckpoint"}  # fit(checkpoint=...) does both


@pytest.mark.parametrize(
    "name",
    [
        "CSVLogger",
        "EarlyStopping",
        "History",
        "LambdaCallback",
        "LearningRateScheduler",
        "ModelCheckpoint",
        "ProgbarLogger",
        "ReduceLROnPlateau",
        "RemoteMonitor",
        "SwapEMAWeights",
        "TensorBoard",
        "TerminateOnNaN",
    ],
)
def test_the_defaults_are_those_of_keras(name):
    mine, other = (
        {
            p.name: p.default
            for p in inspect.signature(getattr(library, name)).parameters.values()
            if p.kind is not p.VAR_KEYWORD
        }
        for library in (ours, theirs)
    )
    assert list(mine.items()) == list(other.items())


# --- where we differ, or say more -----------------------------------------------------------------


def test_a_nan_is_never_the_best_epoch():
    """Keras takes a NaN in the first epoch as the best, and restores its weights."""
    stopper = ours.EarlyStopping(patience=5, restore_best_weights=True)
    model, run, _ = replay(ours.CallbackList, [stopper], as_logs([math.nan, 2.0, 1.0, 3.0]))
    assert (model.weight, stopper.best, len(run)) == (2.0, 1.0, 4)
    _, run, _ = replay(ours.CallbackList, [ours.EarlyStopping()], as_logs([math.nan, 2.0, 1.0]))
    assert len(run) == 3
    checkpoint = ours.ModelCheckpoint("{epoch}.kgraph", save_best_only=True)
    model, _, _ = replay(ours.CallbackList, [checkpoint], as_logs([math.nan, 2.0]))
    assert model.saved == [("model", "2.kgraph")]


@pytest.mark.parametrize(
    ("key", "stops"), [("val_accuracy", [0, 1]), ("mae", [0, 1, 2, 3]), ("accuracy", [0, 1])]
)
def test_auto_takes_the_direction_of_the_metric(key, stops):
    falling = [{key: -float(n)} for n in range(4)]
    _, run, _ = replay(ours.CallbackList, [ours.EarlyStopping(key)], falling)
    assert run == stops


def test_a_name_without_a_direction_asks_for_a_mode_before_training():
    told = ours.CallbackList(ours.EarlyStopping("val_score"), StandInModel())
    with pytest.raises(ConfigError, match=r"'val_score' should rise or fall[\s\S]*mode='min'"):
        told.on_train_begin()
    told = ours.CallbackList(ours.EarlyStopping("val_score", mode="max"), StandInModel())
    told.on_train_begin()


def test_a_missing_key_is_reported_once_per_training_with_those_there_are():
    callback = ours.EarlyStopping("val_accurracy", mode="max")
    told = ours.CallbackList(callback, StandInModel())
    for _ in range(2):
        told.on_train_begin()
        logs = {"accuracy": 0.5, "loss": 1.0, "val_accuracy": 0.5}
        with pytest.warns(UserWarning, match="did you mean 'val_accuracy'") as caught:
            told.on_epoch_end(0, logs)
        told.on_epoch_end(1, logs)  # a second warning would be an error
        text = str(caught[0].message)
        assert "EarlyStopping monitors 'val_accurracy'" in text
        assert "accuracy, loss, val_accuracy" in text
    assert not callback.model.stop_training


def test_a_missing_validation_key_says_how_to_get_one():
    told = ours.CallbackList(ours.ReduceLROnPlateau(), StandInModel())
    told.on_train_begin()
    with pytest.warns(UserWarning, match="pass validation_data to fit"):
        told.on_epoch_end(0, {"loss": 1.0})


@pytest.mark.parametrize(
    ("make", "text"),
    [
        (lambda: ours.EarlyStopping(mode="maximum"), "EarlyStopping does not know .* `mode`"),
        (lambda: ours.ReduceLROnPlateau(factor=1.0), "factor that reduces"),
        (lambda: ours.ModelCheckpoint("m.h5"), r"'\.h5'[\s\S]*try +save as 'm\.kgraph'"),
        (lambda: ours.ModelCheckpoint("m.kgraph", save_freq="batch"), "save_freq"),
        (lambda: ours.ModelCheckpoint("m.kgraph", save_freq=0), "save_freq"),
        (lambda: ours.LambdaCallback(on_epoch_stop=print), "on_epoch_stop[\\s\\S]*on_epoch_end"),
        (lambda: ours.LambdaCallback(on_epoch_end=3), "needs a function as on_epoch_end"),
    ],
)
def test_a_wrong_option_is_refused_when_the_callback_is_made(make, text):
    with pytest.raises(ConfigError, match=text):
        make()


def test_a_schedule_and_a_callback_do_not_both_set_the_rate():
    from kgraph.optimizers.schedules import ExponentialDecay

    model = StandInModel(learning_rate=ExponentialDecay(0.1, 10, 0.5))
    plateau = ours.CallbackList(ours.ReduceLROnPlateau(), model)
    with pytest.raises(ConfigError, match=r"ReduceLROnPlateau cannot set a .* follows a schedule"):
        plateau.on_train_begin()
    scheduler = ours.CallbackList(ours.LearningRateScheduler(lambda epoch: 0.1), model)
    with pytest.raises(ConfigError, match="compile with a number"):
        scheduler.on_epoch_begin(0)


def test_a_rate_that_is_no_number_is_refused_and_an_error_of_the_function_is_not_hidden():
    def broken(epoch, rate):
        raise TypeError("mine")

    told = ours.CallbackList(ours.LearningRateScheduler(lambda epoch: "fast"), StandInModel())
    with pytest.raises(ConfigError, match=r"return a number[\s\S]*'fast' \(str\)"):
        told.on_epoch_begin(0)
    with pytest.raises(TypeError, match="mine"):
        ours.CallbackList(ours.LearningRateScheduler(broken), StandInModel()).on_epoch_begin(0)


def test_a_file_name_with_an_unknown_field_lists_the_known(tmp_path):
    told = ours.CallbackList(
        ours.ModelCheckpoint(tmp_path / "{epoch}-{val_los:.2f}.kgraph"), StandInModel()
    )
    with pytest.raises(ConfigError, match=r"epoch, loss, val_loss[\s\S]*did you mean 'val_loss'"):
        told.on_epoch_end(0, {"loss": 1.0, "val_loss": 2.0})


def test_verbose_callbacks_say_what_they_do(capsys, tmp_path):
    callbacks = [
        ours.EarlyStopping(verbose=1, patience=2, restore_best_weights=True),
        ours.ReduceLROnPlateau(verbose=1, patience=1),
        ours.ModelCheckpoint(tmp_path / "m.kgraph", verbose=1, save_best_only=True),
    ]
    replay(ours.CallbackList, callbacks, as_logs([1.0, 2.0, 3.0, 4.0]))
    out = capsys.readouterr().out
    assert "Epoch 3: early stopping\nRestoring the weights of the best epoch, 1\n" in out
    assert "Epoch 2: ReduceLROnPlateau sets learning_rate to 0.05" in out
    assert f"Epoch 1: val_loss improved from None to 1.00000, saving to {tmp_path}" in out
    assert "Epoch 2: val_loss did not improve from 1.00000" in out
