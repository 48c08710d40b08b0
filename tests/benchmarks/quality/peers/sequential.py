"""SASRec and BERT4Rec as RecTools has them."""

from __future__ import annotations

import logging
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tests.benchmarks.quality.stages import Scorer, Stage, quality

log = logging.getLogger(__name__)

# RecTools' defaults are for longer histories: sessions of 100, three epochs, 15 % masked. The paper
# of BERT4Rec masks more where histories are short (Sun et al., CIKM 2019: 60 % on Beauty).
_EXTRA: dict[str, dict[str, Any]] = {"sasrec": {}, "bert4rec": {"mask_prob": 0.5}}
_COMMON: dict[str, Any] = {
    "n_factors": 128,
    "n_blocks": 2,
    "n_heads": 2,
    "session_max_len": 50,
    "dropout_rate": 0.2,
    "lr": 1e-3,
    "batch_size": 128,
}
_EPOCHS, _PATIENCE, _VALIDATION = 150, 8, 1500


def _scorer(model: Any) -> Scorer:
    """Score with a RecTools model on histories that it was not fitted on."""
    import torch

    preparator, net = model.data_preparator, model.torch_model
    known_pages = preparator.get_known_item_ids().astype(np.int64)
    inner_known = preparator.get_known_items_sorted_internal_ids()

    def score(part: Stage) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
        inner = np.zeros(part.pages + 1, np.int64)
        inner[known_pages] = inner_known
        # Oldest first; 0, which also is what -1 looks up, stands for pages that the model lacks.
        sessions = [[page for page in row if page] for row in inner[part.history[:, ::-1]].tolist()]
        known = np.array([bool(session) for session in sessions])
        found = np.full((len(part), part.pages), -np.inf, np.float32)
        if not known.any():
            return found, known
        batch = preparator._collate_fn_recommend([(session, [], {}) for session in sessions if session])
        training = net.training
        net.eval()
        with torch.inference_mode():
            items = net.item_model.get_all_embeddings()
            last = net.encode_sessions(batch, items)[:, -1]
            logits = net.similarity_module(last, items).numpy()
        net.train(training)
        found[np.ix_(known, known_pages)] = logits[:, inner_known]
        return found, known

    return score


def _fitted(
    name: str, settings: dict[str, Any], stage: Stage, epochs: int, judged: Stage | None = None
) -> tuple[Any, list[float]]:
    """Fit; with ``judged``, measure NDCG@10 on it after each epoch and stop when it stays behind."""
    import pandas as pd
    from pytorch_lightning import Callback, Trainer, seed_everything
    from rectools import Columns
    from rectools.dataset import Dataset
    from rectools.models import BERT4RecModel, SASRecModel

    seed_everything(7)
    curve: list[float] = []
    holder: list[Any] = []

    class Judge(Callback):
        def on_train_epoch_end(self, trainer: Any, pl_module: Any) -> None:
            if judged is not None:
                curve.append(quality(judged, _scorer(holder[0])))
                log.info("%s epoch %d: NDCG@10 %.4f", name, len(curve), curve[-1])
                trainer.should_stop = len(curve) - 1 - int(np.argmax(curve)) >= _PATIENCE

    def trainer() -> Trainer:
        return Trainer(
            max_epochs=epochs,
            callbacks=[Judge()],
            accelerator="cpu",
            logger=False,
            enable_checkpointing=False,
            enable_progress_bar=False,
            enable_model_summary=False,
        )

    model = {"sasrec": SASRecModel, "bert4rec": BERT4RecModel}[name](
        **settings, epochs=epochs, get_trainer_func=trainer
    )
    holder.append(model)
    table = pd.DataFrame(
        {
            Columns.User: stage.user,
            Columns.Item: stage.page,
            Columns.Weight: 1.0,
            Columns.Datetime: pd.to_datetime(stage.time, unit="s"),
        }
    )
    model.fit(Dataset.construct(table))
    return model, curve


def fit(name: str, training: Stage, holdout: Stage) -> tuple[Scorer, dict[str, Any]]:
    """Choose the number of epochs on the training stage, then fit for the holdout."""
    settings = {**_COMMON, **_EXTRA[name]}
    _, curve = _fitted(name, settings, training, _EPOCHS, training.thin(_VALIDATION))
    epochs = int(np.argmax(curve)) + 1
    model, _ = _fitted(name, settings, holdout, epochs)
    return _scorer(model), {**settings, "epochs": epochs}
