"""The names of `kgraph.distribution`: Keras' arguments, and what the objects mean."""

from __future__ import annotations

import inspect

import jax
import keras
import numpy as np
import pytest
from jax.sharding import NamedSharding, PartitionSpec

import kgraph
from kgraph import distribution as dist
from kgraph.errors import ConfigError, StateError

NAMES = [
    "DataParallel", "DeviceMesh", "LayoutMap", "ModelParallel", "TensorLayout", "distribute_tensor",
    "distribution", "get_device_count", "initialize", "list_devices", "set_distribution",
]  # fmt: skip


def test_names_and_arguments_are_those_of_keras():
    assert sorted(n for n in dir(keras.distribution) if not n.startswith("_")) == sorted(NAMES)
    for name in NAMES:
        ours, theirs = (
            [(p.name, p.kind, p.default) for p in inspect.signature(found).parameters.values()]
            for found in (getattr(dist, name), getattr(keras.distribution, name))
        )
        if name == "ModelParallel":  # Keras takes it among **kwargs
            assert ours.pop()[0] == "device_mesh"
        assert ours == [p for p in theirs if p[1] is not inspect.Parameter.VAR_KEYWORD], name
    for name in ("DataParallel", "ModelParallel"):
        wanted = "device_mesh batch_dim_name data_shard_id num_processes num_model_replicas "
        wanted += "get_data_layout scope get_variable_layout get_tensor_layout"
        assert all(hasattr(getattr(dist, name), n) for n in wanted.split())


def test_devices_and_meshes_are_as_in_keras():
    assert dist.list_devices() == keras.distribution.list_devices()
    assert dist.list_devices("CPU") == dist.list_devices()
    assert dist.get_device_count() == keras.distribution.get_device_count() == 8
    mesh = dist.DeviceMesh((2, 4), ["batch", "model"])
    other = keras.distribution.DeviceMesh((2, 4), ["batch", "model"])
    assert mesh.shape == tuple(other.shape)
    assert list(mesh.axis_names) == list(other.axis_names)
    np.testing.assert_array_equal(mesh.devices, other.devices)
    assert mesh.backend_mesh == other.backend_mesh
    by_object = dist.DeviceMesh((8,), ["all"], jax.devices())
    assert by_object.backend_mesh.devices.tolist() == jax.devices()


@pytest.mark.parametrize(
    ("shape", "names", "devices", "text"),
    [
        ((8,), ("a", "b"), None, "one name of its own for each axis"),
        ((), (), None, "one name of its own for each axis"),
        ((2, 4), ("a", "a"), None, "one name of its own for each axis"),
        ((3,), ("a",), None, r"expected  8 devices[\s\S]*3 places in the shape \(3,\)"),
        ((1,), ("a",), ["cpu:77"], r"no device 'cpu:77'[\s\S]*cpu:0, cpu:1"),
    ],
    ids=["names", "empty", "twice", "size", "device"],
)
def test_a_mesh_that_cannot_be(shape, names, devices, text):
    with pytest.raises(ConfigError, match=text):
        dist.DeviceMesh(shape, names, devices).backend_mesh  # noqa: B018


def test_a_layout_knows_its_axes_and_gets_its_mesh_once():
    mesh = dist.DeviceMesh((2, 4), ("batch", "model"))
    layout = dist.TensorLayout([None, "model"])
    with pytest.raises(ConfigError, match="has no mesh"):
        layout.backend_layout  # noqa: B018
    layout.device_mesh = mesh
    assert layout.backend_layout == NamedSharding(mesh.backend_mesh, PartitionSpec(None, "model"))
    with pytest.raises(ConfigError, match="has a mesh already"):
        layout.device_mesh = mesh
    with pytest.raises(ConfigError, match=r"no axis 'modle'[\s\S]*did you mean 'model'"):
        dist.TensorLayout(["modle"], mesh)
    with pytest.raises(ConfigError, match="an axis of the mesh twice"):
        dist.TensorLayout(["model", "model"], mesh)
    both = dist.TensorLayout([("batch", "model")], mesh)
    assert both.backend_layout.spec[0] == ("batch", "model")


def layout_map(api):
    layouts = api.LayoutMap(api.DeviceMesh((2, 4), ("batch", "model")))
    layouts["dense.*kernel"] = (None, "model")
    layouts["dense.*bias"] = api.TensorLayout(["model"])
    layouts[".*tail/kernel"] = ("model", None)
    return layouts


def test_a_layout_map_matches_whole_paths_as_keras_does():
    ours, theirs = layout_map(dist), layout_map(keras.distribution)
    paths = ["dense/kernel", "dense_1/kernel", "a/dense/kernel", "dense/kernel/more", "dense/bias",
             "dense.*bias", "b/tail/kernel", "tail", ""]  # fmt: skip
    for path in paths:
        mine, other = ours[path], theirs[path]
        assert (mine and mine.axes) == (other and other.axes), path
    assert list(ours) == list(theirs)
    assert len(ours) == 3
    assert ours["dense/bias"].device_mesh is ours.device_mesh
    for layouts, error in ((ours, ConfigError), (theirs, ValueError)):
        with pytest.raises(error, match="dense_tail/kernel"):
            layouts["dense_tail/kernel"]
        with pytest.raises(error):
            layouts["dense.*bias"] = ("model",)
        with pytest.raises(error):
            layouts["other"] = "model"
    with pytest.raises(ConfigError, match="no regular expression"):
        ours["("] = ("model",)
    del ours["dense.*bias"]
    assert ours["dense/bias"] is None


def test_distributions_answer_as_those_of_keras():
    for api in (dist, keras.distribution):
        data = api.DataParallel(devices=api.list_devices())
        assert (data.num_model_replicas, data.batch_dim_name) == (8, "batch")
        assert data.get_data_layout((4, 3, 2)).axes == ("batch", None, None)
        assert data.get_tensor_layout("dense/output") is None
        assert data.auto_shard_dataset
        assert data.device_mesh.shape == (8,)
        both = api.ModelParallel(layout_map=layout_map(api), batch_dim_name="batch")
        assert both.num_model_replicas == 2
        assert both.get_data_layout((4, 3)).axes == ("batch", None)
        assert api.ModelParallel(layout_map=layout_map(api)).batch_dim_name == "batch"
        with pytest.raises(ValueError, match=r"LayoutMap|layout_map"):
            api.ModelParallel()
    with pytest.warns(UserWarning, match="along 'a' only"):  # Keras fails as it warns (3.15.1)
        assert dist.DataParallel(dist.DeviceMesh((4, 2), ("a", "b"))).num_model_replicas == 4
    with pytest.raises(ConfigError, match="no axis 'rows'"):
        dist.ModelParallel(layout_map=layout_map(dist), batch_dim_name="rows")
    with pytest.raises(ConfigError, match="The LayoutMap has no mesh"):
        dist.ModelParallel(layout_map=dist.LayoutMap(None))
    weight = kgraph.layers.Dense(4, name="dense")
    weight.build((None, 4))
    weight.kernel.path = "dense/kernel"
    assert both.get_variable_layout(weight.kernel).axes == (None, "model")


def test_an_array_is_laid_out_in_and_outside_of_jit():
    mesh = dist.DeviceMesh((2, 4), ("batch", "model"))
    layout = dist.TensorLayout(("batch", "model"), mesh)
    array = np.arange(16.0, dtype=np.float32).reshape(4, 4)
    outside = dist.distribute_tensor(array, layout)
    inside = jax.jit(lambda a: dist.distribute_tensor(a + 0, layout))(array)
    for found in (outside, inside):
        assert found.sharding.is_equivalent_to(layout.backend_layout, 2)
        np.testing.assert_array_equal(found, array)


def test_a_distribution_is_in_force_until_it_ends():
    assert dist.distribution() is None
    one, two = (dist.DataParallel(devices=dist.list_devices()[:n]) for n in (1, 2))
    with one.scope():
        with two.scope():
            assert dist.distribution() is two
        assert dist.distribution() is one
    assert dist.distribution() is None
    dist.set_distribution(two)
    assert dist.distribution() is two
    dist.set_distribution(None)
    assert dist.distribution() is None
    with pytest.raises(ConfigError, match="no distribution"):
        dist.set_distribution("two")


def test_processes_join_before_anything_else():
    with pytest.raises(ConfigError, match="num_processes and process_id beside job_addresses"):
        dist.initialize("127.0.0.1:1234")
    with pytest.raises(StateError, match="before anything that uses JAX"):
        dist.initialize("127.0.0.1:1234,127.0.0.1:1235", process_id=0)
