"""Loggers of others, each with its real package, offline: MLflow's callback and W&B's."""

from __future__ import annotations

import numpy as np
import pytest

import kgraph as keras

X = np.ones((64, 3), np.float32)


@pytest.fixture
def model(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    model = keras.Sequential([keras.Input((3,)), keras.layers.Dense(1, kernel_initializer="zeros")])
    model.compile(keras.optimizers.Adam(0.01), "mse", metrics=["mae"])
    return model


def fit(model, *callbacks):
    options = {"batch_size": 16, "epochs": 2, "verbose": 0, "validation_split": 0.25}
    return model.fit(X, X[:, :1], callbacks=list(callbacks), **options).history


def test_a_learning_rate_is_known_for_a_variable(model):
    rate = model.optimizer.learning_rate
    assert (rate.shape, rate.ndim, rate.dtype) == ((), 0, "float32")
    assert rate.numpy().item() == pytest.approx(0.01)


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning")
def test_mlflow_logs_losses_options_and_the_summary(model, monkeypatch):
    pytest.importorskip("pandas")  # which MLflow's module for Keras imports
    mlflow = pytest.importorskip("mlflow")
    from mlflow.keras import MlflowCallback

    monkeypatch.setenv("MLFLOW_ALLOW_FILE_STORE", "true")  # the small mlflow-skinny has no other
    mlflow.set_tracking_uri("file:./runs")
    with mlflow.start_run() as run:
        history = fit(model, MlflowCallback())
    mlflow.flush_async_logging()
    told = mlflow.get_run(run.info.run_id).data
    for name, values in history.items():
        assert told.metrics[name] == pytest.approx(values[-1], rel=1e-6)
    assert float(told.params["optimizer_learning_rate"]) == pytest.approx(0.01)
    assert "dense" in mlflow.artifacts.load_text(f"runs:/{run.info.run_id}/model_summary.txt")


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
def test_wandb_logs_losses_and_the_rate_and_keeps_the_model(model, tmp_path, monkeypatch):
    pytest.importorskip("tensorflow")  # which W&B's module for Keras imports
    wandb = pytest.importorskip("wandb")
    monkeypatch.setenv("WANDB_MODE", "offline")
    monkeypatch.setenv("WANDB_SILENT", "true")
    from wandb.integration.keras import WandbMetricsLogger, WandbModelCheckpoint

    with wandb.init(project="p", dir=tmp_path) as run:
        history = fit(model, WandbMetricsLogger(), WandbModelCheckpoint("m.keras"))
        told = dict(run.summary)
    for name, values in history.items():
        assert told[f"epoch/{name}"] == pytest.approx(values[-1])
    assert told["epoch/learning_rate"] == pytest.approx(0.01)
    loaded = keras.saving.load_model(tmp_path / "m.keras")
    np.testing.assert_array_equal(loaded.predict(X, verbose=0), model.predict(X, verbose=0))
