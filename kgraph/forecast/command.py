"""`python -m kgraph forecast script.py:model`: forecasts from a shell."""

from __future__ import annotations

import argparse
import inspect
import runpy
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from kgraph.distribution.data_parallel import DataParallel
from kgraph.distribution.fsdp import FSDP
from kgraph.distribution.mesh import DeviceMesh, list_devices
from kgraph.errors import ConfigError, KGraphError

LAYOUTS = {"data": DataParallel, "fsdp": FSDP}


def main(arguments: Sequence[str]) -> int:
    """Prints a forecast; returns 0 if the step fits, 1 if not, 2 if it could not be made."""
    options = _parser().parse_args(arguments)
    try:
        model = _model(options.model)
        given: dict[str, Any] = {"what": options.what}
        if options.layout:
            names = list_devices(options.topology)
            mesh = DeviceMesh((len(names),), (options.layout,), names)
            given["distribution"] = LAYOUTS[options.layout](mesh)
        if options.remat:
            given["remat"] = options.remat
        if options.size:
            given["sizes"] = dict(map(_size, options.size))
        forecast = model.forecast(options.topology, options.batch, **given)
        print(forecast)
        if options.advice:
            print(forecast.advice)
        if options.save:
            forecast.save_executable(options.save)
    except (KGraphError, OSError) as error:
        print(error, file=sys.stderr)
        return 2
    return 0 if forecast.fits else 1


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m kgraph forecast",
        description="Compiles a model's step for devices that are not here, and says what it needs "
        'and takes. For TPUs it needs pip install "kgraph-jax[tpu]".',
    )
    parser.add_argument("model", help="script.py:name of a model, or of a function for one")
    parser.add_argument("--topology", required=True, help='such as "v5e:2x4", or "cpu:8"')
    parser.add_argument("--batch", type=int, default=32, help="rows of all devices (default 32)")
    parser.add_argument("--what", choices=("train", "predict"), default="train")
    parser.add_argument("--layout", choices=sorted(LAYOUTS), help="what is cut over the devices")
    parser.add_argument("--remat", help='what is computed again, such as "blocks"')
    parser.add_argument(
        "--size", action="append", metavar="NAME=NUMBER", help="an unknown size, such as time=512"
    )
    parser.add_argument("--advice", action="store_true", help="also try what would fit")
    parser.add_argument("--save", metavar="FILE", help="keep the compiled step")
    return parser


def _model(place: str) -> Any:
    """Returns the model of `script.py:name`; the script runs, but not as `__main__`."""
    path, _, name = place.rpartition(":")
    if not path or not Path(path).is_file():
        raise ConfigError(
            f"There is no script for {place!r}", expected="script.py:name of the model"
        )
    sys.path.insert(0, str(Path(path).resolve().parent))  # as `python script.py` does
    names = runpy.run_path(path)
    found = names.get(name)
    if isinstance(found, type) or (callable(found) and not hasattr(found, "forecast")):
        found = _called(found, place)
    if not hasattr(found, "forecast"):
        raise ConfigError(
            f"{name!r} in {path!r} is no model", expected="a model, or a function that returns one",
            received=repr(found),
        )  # fmt: skip
    return found


def _called(function: Callable[[], Any], place: str) -> Any:
    try:
        inspect.signature(function).bind()
    except TypeError as error:
        raise ConfigError(
            f"{place!r} cannot be called without arguments: {error}",
            expected="a model, or a function without arguments that returns one",
        ) from error
    return function()


def _size(text: str) -> tuple[str, int]:
    name, _, number = text.partition("=")
    try:
        return name, int(number)
    except ValueError as error:
        raise ConfigError(f"{text!r} is no size", expected="NAME=NUMBER") from error
