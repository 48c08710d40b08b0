"""DeepCTR-Torch's DeepFM on the product's examples, to time its training."""

from __future__ import annotations

import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np

from tests.benchmarks.quality.machine import take_turns, threads
from tests.benchmarks.quality.peers.shortlists import Shortlists


def _network(lists: Shortlists, settings: dict[str, Any]) -> Any:
    # Its import asks PyPI for a newer version, through a package that it does not declare.
    sys.modules["deepctr_torch.utils"] = SimpleNamespace(check_version=lambda version: None)  # type: ignore[assignment]
    import torch
    from deepctr_torch.inputs import DenseFeat, SparseFeat
    from deepctr_torch.models import DeepFM

    columns: list[Any] = [
        SparseFeat(name, size, embedding_dim=settings["dimensions"])
        for name, size in zip(lists.names, lists.sizes, strict=True)
    ]
    columns.append(DenseFeat("numeric", lists.numeric.shape[1]))
    l2 = settings["l2"]
    net = DeepFM(
        columns,
        columns,
        dnn_hidden_units=tuple(settings["hidden"]),
        dnn_dropout=settings["dropout"],
        l2_reg_linear=l2,
        l2_reg_embedding=l2,
        l2_reg_dnn=l2,
    )
    net.compile(torch.optim.Adam(net.parameters(), settings["learning_rate"]), "binary_crossentropy")
    return net


def serve_speed(examples: Path, settings: dict[str, Any]) -> None:
    """Take turns: "fit" is the package's own training, "steps" its network on batches made before."""
    import torch

    torch.set_num_threads(threads())
    everything = Shortlists.load(examples)
    # The product trains on requests whose shortlist holds the opened page.
    lists = everything.take(np.unique(everything.row[everything.label])[: settings["requests"]])
    net = _network(lists, settings)
    numbers = (lists.numeric - lists.numeric.mean(axis=0)) / (lists.numeric.std(axis=0) + 1e-6)
    inputs = dict(zip(lists.names, lists.categorical.T.astype(np.float32), strict=True))
    inputs["numeric"] = np.clip(numbers, -5, 5)
    label = lists.label.astype(np.float32)
    size = settings["batch_rows"]
    matrix = np.hstack([column.reshape(len(label), -1) for column in inputs.values()])
    batches = list(
        zip(torch.from_numpy(matrix).split(size), torch.from_numpy(label).split(size), strict=True)
    )

    def fit() -> int:
        net.fit(dict(inputs), label, batch_size=size, epochs=1, verbose=0)
        return len(label)

    def steps() -> int:
        net.train()
        for x, y in batches:
            loss = net.loss_func(net(x).squeeze(-1), y, reduction="sum")
            total = loss + net.get_regularization_loss() + net.aux_loss
            net.optim.zero_grad()
            total.backward()
            net.optim.step()
        return len(label)

    take_turns({"fit": fit, "steps": steps})
