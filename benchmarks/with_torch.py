"""PyTorch as a contender, in a process of its own: its threads and XLA's slow each other down.

`python -m benchmarks.with_torch CASE` answers each line on stdin with one run of the case.
"""

from __future__ import annotations

import importlib.util
import subprocess
import sys
from collections.abc import Callable
from typing import Any

import numpy as np

from benchmarks import networks


def contender(case: str) -> Callable[[], object] | None:
    """Returns what runs a case once, or None where PyTorch cannot be imported."""
    if importlib.util.find_spec("torch") is None:
        print("without PyTorch, which cannot be imported here", file=sys.stderr)
        return None
    pipe = subprocess.PIPE
    command = [sys.executable, "-m", "benchmarks.with_torch", case]
    worker = subprocess.Popen(command, stdin=pipe, stdout=pipe, text=True)
    assert worker.stdin is not None
    assert worker.stdout is not None
    asks, answers = worker.stdin, worker.stdout

    def run() -> object:
        print(file=asks, flush=True)
        if not answers.readline():
            raise RuntimeError(f"the PyTorch process for {case!r} has ended")
        return None

    return run


def layer(name: str, shape: tuple[int, ...]) -> Callable[[], object]:
    """Returns forward and backward of a layer, by weights and input."""
    import torch
    from torch import nn

    features = shape[-1]
    rnn: Any = {
        "LSTM(256)": lambda: nn.LSTM(features, 256, batch_first=True),
        "GRU(256)": lambda: nn.GRU(features, 256, batch_first=True),
        "Bidirectional(LSTM(128))": lambda: nn.LSTM(
            features, 128, batch_first=True, bidirectional=True
        ),
        "2 x LSTM(128)": lambda: nn.LSTM(features, 128, num_layers=2, batch_first=True),
    }[name]()
    x = torch.from_numpy(np.random.default_rng(0).normal(size=shape).astype(np.float32))
    x.requires_grad_()

    def run() -> None:
        rnn.zero_grad()
        x.grad = None
        rnn(x)[0].square().sum().backward()

    return run


def ticket(batch: int, steps: int) -> Callable[[], object]:
    """Returns some training steps of the guide's ticket model, as one writes them in PyTorch."""
    import torch
    from torch import nn
    from torch.nn import functional

    class Ticket(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.titles, self.bodies = nn.Embedding(10000, 64), nn.Embedding(10000, 64)
            self.title = nn.LSTM(64, 128, batch_first=True)
            self.body = nn.LSTM(64, 32, batch_first=True)
            self.priority, self.department = nn.Linear(172, 1), nn.Linear(172, 4)

        def forward(self, title: Any, body: Any, tags: Any) -> tuple[Any, Any]:
            a = self.title(self.titles(title))[0][:, -1]
            b = self.body(self.bodies(body))[0][:, -1]
            x = torch.cat([a, b, tags], dim=1)
            return self.priority(x), self.department(x)

    inputs, targets = networks.data("ticket", batch * steps)
    arrays = [torch.from_numpy(a) for a in (*inputs.values(), *targets.values())]
    data = list(zip(*(a.split(batch) for a in arrays)))
    model = Ticket()
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-3, eps=1e-7)

    def run() -> None:
        for title, body, tags, urgent, office in data:
            optimizer.zero_grad()
            priority, department = model(title, body, tags)
            loss = functional.binary_cross_entropy_with_logits(priority, urgent)
            loss = loss + 0.2 * functional.cross_entropy(department, office)
            loss.backward()
            optimizer.step()

    return run


def main() -> None:
    from benchmarks import recurrent

    case = sys.argv[1]
    if case == "ticket":
        run = ticket(recurrent.BATCH, recurrent.STEPS)
    else:
        run = layer(case, recurrent.SHAPE)
    for _ in sys.stdin:
        run()
        print("done", flush=True)


if __name__ == "__main__":
    main()
