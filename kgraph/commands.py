"""What `python -m kgraph` does with files: summary, plot, convert, check."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

from kgraph.errors import KGraphError
from kgraph.saving.load import load_model
from kgraph.saving.save import save_model
from kgraph.saving.verify import verify_file
from kgraph.saving.weights import save_weights
from kgraph.visualization.plot import plot_model

_WEIGHTS = (".safetensors", ".weights.h5")


def summary(options: argparse.Namespace) -> None:
    """Prints the layers of a saved model."""
    load_model(options.file, compile=False).summary(expand_nested=True)


def plot(options: argparse.Namespace) -> None:
    """Draws a saved model: SVG by default, or by the ending of --out."""
    target = options.out or Path(options.file).with_suffix(".svg")
    model = load_model(options.file, compile=False)
    print(plot_model(model, target, show_shapes=True, show_layer_names=True).path)


def convert(options: argparse.Namespace) -> None:
    """Writes a saved model in another form; one of weights has the weights alone."""
    model = load_model(options.file)
    write = save_weights if options.target.endswith(_WEIGHTS) else save_model
    write(model, options.target, overwrite=options.force)
    print(verify_file(options.target))


def check(options: argparse.Namespace) -> None:
    """Reads a file whole and compares it with its digests."""
    print(verify_file(options.file))


COMMANDS: dict[str, Callable[[argparse.Namespace], None]] = {
    command.__name__: command for command in (summary, plot, convert, check)
}


def main(arguments: Sequence[str]) -> int:
    """Runs one of the commands; returns 0, or 2 with the error on stderr."""
    options = _parser().parse_args(arguments)
    try:
        COMMANDS[options.command](options)
    except (KGraphError, OSError) as error:
        print(error, file=sys.stderr)
        return 2
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m kgraph")
    commands = parser.add_subparsers(dest="command", required=True)
    for name, command in COMMANDS.items():
        one = commands.add_parser(name, help=command.__doc__, description=command.__doc__)
        one.add_argument("file", help=".kgraph, .keras" + (", or weights" * (name == "check")))
        if name == "plot":
            one.add_argument("--out", help="file of the drawing (.svg, .png, .dot)")
        if name == "convert":
            one.add_argument("target", help="such as model.keras, model.kgraph, w.safetensors")
            one.add_argument("--force", action="store_true", help="replace a file that is there")
    return parser
