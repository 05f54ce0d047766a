"""`python -m kgraph` trains a small residual network on digits, and has commands for files."""

from __future__ import annotations

import argparse
import sys
import time
from pathlib import Path

import numpy as np

import kgraph as keras
from kgraph import commands
from kgraph.forecast import command


def build_model() -> keras.Model:
    """Returns a convolutional network with a residual connection for 8 x 8 images of digits."""
    layers = keras.layers
    inputs = keras.Input((8, 8, 1), name="image")
    x = layers.Conv2D(32, 3, padding="same", activation="relu")(inputs)
    block = layers.Conv2D(32, 3, padding="same", activation="relu")(x)
    block = layers.Conv2D(32, 3, padding="same", activation="relu")(block)
    x = layers.add([x, block])
    x = layers.MaxPooling2D()(x)
    x = layers.Conv2D(64, 3, padding="same", activation="relu")(x)
    x = layers.Flatten()(x)
    x = layers.Dropout(0.3)(x)
    outputs = layers.Dense(10, activation="softmax", name="digit")(x)
    return keras.Model(inputs, outputs, name="digits_resnet")


def main(arguments: list[str] | None = None) -> int:
    """Runs a command, by default the demo: train, draw, save, load. Returns 0 if it worked."""
    arguments = sys.argv[1:] if arguments is None else arguments
    if arguments[:1] == ["forecast"]:
        return command.main(arguments[1:])
    if arguments and arguments[0] in commands.COMMANDS:
        return commands.main(arguments)
    arguments = arguments[1:] if arguments[:1] == ["demo"] else arguments
    parser = argparse.ArgumentParser(
        prog="python -m kgraph",
        description="Trains a small residual network on 1,797 real digits that ship with kgraph. "
        f"Other commands, each with --help: forecast, {', '.join(commands.COMMANDS)}.",
    )
    parser.add_argument("--epochs", type=int, default=12, help="passes over the data (default 12)")
    parser.add_argument("--out", default="kgraph_demo", help="folder for model and drawing")
    options = parser.parse_args(arguments)
    if options.epochs < 1:
        parser.error("--epochs is at least 1")
    folder = Path(options.out)
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        parser.error(f"--out {options.out} cannot be a folder: {error.strerror}")

    start = time.perf_counter()
    keras.utils.set_random_seed(0)
    (x_train, y_train), (x_test, y_test) = keras.datasets.digits.load_data()
    x_train, x_test = (x[..., None].astype("float32") / 16 for x in (x_train, x_test))
    model = build_model()
    model.summary()
    model.compile("adam", "sparse_categorical_crossentropy", metrics=["accuracy"])
    model.fit(x_train, y_train, batch_size=64, epochs=options.epochs, validation_split=0.1)
    loss, accuracy = model.evaluate(x_test, y_test, verbose=0)
    print(f"test loss {loss:.4f}, test accuracy {accuracy:.4f} on {len(x_test)} unseen digits")

    drawing = keras.utils.plot_model(model, folder / "digits_resnet.svg", show_shapes=True)
    print(f"drawn:  {drawing.path}")
    path = folder / "digits_resnet.kgraph"
    model.save(path)
    loaded = keras.models.load_model(path)
    same = np.array_equal(model.predict(x_test, verbose=0), loaded.predict(x_test, verbose=0))
    print(f"saved:  {path} ({path.stat().st_size:,} bytes)")
    print(f"loaded: predictions of the loaded model are {'identical' if same else 'DIFFERENT'}")
    print(f"done in {time.perf_counter() - start:.1f} s")
    return 0 if same else 1


if __name__ == "__main__":
    sys.exit(main())
