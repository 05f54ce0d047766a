"""Models as estimators of scikit-learn, by its own checks."""

from __future__ import annotations

import pickle
import warnings

import numpy as np
import pytest
import sklearn
from sklearn.base import clone
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.utils.estimator_checks import estimator_checks_generator

import kgraph
from kgraph.errors import ConfigError, DataError, StateError
from kgraph.wrappers import SKLearnClassifier, SKLearnRegressor, SKLearnTransformer

RNG = np.random.default_rng(0)
X = np.concatenate([RNG.normal(size=(20, 3)) - 3, RNG.normal(size=(20, 3)) + 3])
NAMES = np.repeat(["low", "up"], 20)


def build(X, y, loss="mse", activation=None):
    inputs = kgraph.Input((X.shape[1],))
    outputs = kgraph.layers.Dense(y.shape[1], activation=activation)(inputs)
    model = kgraph.Model(inputs, outputs)
    model.compile(kgraph.optimizers.SGD(0.01), loss)
    return model


CLASSIFIER = {"loss": "categorical_crossentropy", "activation": "softmax"}
QUIET = {"verbose": 0}
# What Keras' own tests expect to fail: fits are not reproducible, and outputs are probabilities.
KNOWN = {
    "check_classifiers_one_label_sample_weights", "check_classifiers_classes",
    "check_classifiers_train", "check_classifier_data_not_an_array", "check_supervised_y_2d",
    "check_fit_idempotent",
}  # fmt: skip
# One of each kind; the others compile for many shapes and take minutes.
CHECKED = {
    "check_do_not_raise_errors_in_init_or_set_param", "check_no_attributes_set_in_init",
    "check_estimator_cloneable", "check_estimator_tags_renamed", "check_mixin_order",
    "check_estimators_unfitted", "check_estimators_fit_returns_self", "check_estimators_pickle",
    "check_dict_unchanged", "check_complex_data", "check_estimators_empty_data_messages",
    "check_dont_overwrite_parameters", "check_regressors_no_decision_function",
    "check_classifiers_regression_target", "check_classifiers_one_label", "check_set_params",
    "check_requires_y_none", "check_fit1d", "check_estimator_sparse_tag", "check_n_features_in",
}  # fmt: skip


@pytest.mark.slow
@pytest.mark.parametrize("kind", [SKLearnClassifier, SKLearnRegressor, SKLearnTransformer])
def test_checks_of_scikit_learn(kind):
    kwargs = CLASSIFIER if kind is SKLearnClassifier else {}
    passed = set()
    for estimator, check in estimator_checks_generator(kind(build, False, kwargs, QUIET)):
        name = check.func.__name__
        if name in CHECKED - KNOWN:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                check(estimator)
            passed.add(name)
    assert len(passed) >= 14


def test_a_classifier_learns_and_keeps_the_names_of_classes():
    options = {"batch_size": 4, **QUIET}
    estimator = SKLearnClassifier(build, model_kwargs=CLASSIFIER, fit_kwargs=options)
    assert estimator.epoch_ == 0
    assert estimator.fit(X, NAMES, epochs=8) is estimator
    assert estimator.score(X, NAMES) == 1.0
    assert (list(estimator.classes_), estimator.epoch_) == (["low", "up"], 8)
    assert estimator.decision_function(X).shape == (40, 2)
    again = pickle.loads(pickle.dumps(estimator))
    np.testing.assert_array_equal(again.decision_function(X), estimator.decision_function(X))
    assert again.history_.history == estimator.history_.history
    copy = clone(estimator)
    assert copy.get_params() == estimator.get_params()
    assert not hasattr(copy, "model_")


@pytest.mark.slow
def test_a_given_model_is_copied_unless_it_is_to_go_on():
    model = build(X, np.zeros((40, 1)))
    start = model.get_weights()
    y = X.sum(1)
    fresh = SKLearnRegressor(model, fit_kwargs=QUIET).fit(X, y)
    assert fresh.predict(X).shape == (40,)
    for own, before in zip(model.get_weights(), start):
        np.testing.assert_array_equal(own, before)
    going = SKLearnRegressor(model, warm_start=True, fit_kwargs=QUIET).fit(X, y)
    assert going.model_ is model
    first = going.history_.history["loss"][0]
    assert going.fit(X, y).history_.history["loss"][0] < first
    assert going.model_ is model


def test_a_transformer_in_a_pipeline():
    pipe = make_pipeline(StandardScaler(), SKLearnTransformer(build, fit_kwargs=QUIET))
    assert pipe.fit_transform(X, X[:, 0]).shape == (40, 1)


def test_arguments_of_fit_are_routed_if_wanted():
    estimator = SKLearnRegressor(build)
    with pytest.raises(ConfigError, match=r"does not route metadata[\s\S]*set_config"):
        estimator.set_fit_request(sample_weight=True)
    with sklearn.config_context(enable_metadata_routing=True):
        requests = estimator.set_fit_request(sample_weight=True).get_metadata_routing()
        assert requests.fit.requests == {"sample_weight": True}


def test_what_they_refuse():
    with pytest.raises(StateError, match=r"needs a compiled model"):
        SKLearnRegressor(lambda X, y: kgraph.Sequential([kgraph.layers.Dense(1)])).fit(X, X[:, 0])
    with pytest.raises(DataError, match=r"binary and multiclass[\s\S]*continuous"):
        SKLearnClassifier(build).fit(X, X[:, 0])
    with pytest.raises(DataError, match="one class"):
        SKLearnClassifier(build).fit(X, np.zeros(40))
    estimator = SKLearnClassifier(lambda X, y: build(X, y[:, :1]), fit_kwargs=QUIET)
    estimator.classes_, estimator.model_ = np.arange(2), build(X, np.zeros((40, 1)))
    estimator.n_features_in_ = 3
    with pytest.raises(DataError, match=r"one output for each class[\s\S]*2 classes"):
        estimator.predict(X)
