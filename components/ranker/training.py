"""Train the DeepFM on shortlists: listwise and pointwise loss, early stopping, calibration."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import structlog
from numpy.typing import NDArray
from scipy.optimize import brentq
from scipy.special import expit

from components.contract.errors import DataError
from components.contract.examples import OUTCOMES, Examples
from components.contract.features import CATEGORICAL
from components.contract.history import NO_HISTORY, History, Latest
from components.contract.ragged import gather
from components.contract.tf import tf
from components.ranker.deepfm import DeepFM, bin_edges
from components.ranker.settings import RankerSettings

log = structlog.get_logger()
_SCORING_ROWS = 65536


@dataclass(frozen=True)
class Trained:
    """A fitted ranker.

    Attributes
    ----------
    members : list of DeepFM
        Their logits are averaged.
    slope, intercept : float
        Platt scaling: probability = sigmoid(slope * logit + intercept).
    figures : dict
        Losses, epochs, examples per second.
    """

    members: list[DeepFM]
    slope: float
    intercept: float
    figures: dict[str, float]


def listwise_loss(logits: Any, row: Any, label: Any, q: float = 0.0) -> Any:
    """Generalised cross-entropy of the softmax over each request's candidates, averaged over requests.

    Cao et al., "Learning to Rank: From Pairwise Approach to Listwise Approach", ICML 2007
    (ListNet, top-one). Each request has exactly one opened page; with its probability p the loss is
    (1 - p**q) / q, by Zhang and Sabuncu, "Generalized Cross Entropy Loss for Training Deep Neural
    Networks with Noisy Labels", NeurIPS 2018.

    Parameters
    ----------
    logits : float32 tensor, shape (N,)
    row : int32 tensor, shape (N,)
        Ascending request numbers 0..B-1.
    label : bool tensor, shape (N,)
    q : float
        0 to 1; 0 for cross-entropy, its limit.
    """
    highest = tf.math.segment_max(logits, row)
    total = tf.math.segment_sum(tf.exp(logits - tf.gather(highest, row)), row)
    losses = tf.math.log(total) + highest - tf.boolean_mask(logits, label)
    return tf.reduce_mean(-tf.math.expm1(-q * losses) / q if q else losses)


def pointwise_loss(logits: Any, row: Any, label: Any) -> Any:
    """Log loss of opened or not, summed over a request's candidates, averaged over requests.

    Beside the listwise loss it pins down each request's level, so that scores are comparable
    between requests (Sheng et al., "Joint Optimization of Ranking and Calibration", KDD 2023).
    """
    losses = tf.nn.sigmoid_cross_entropy_with_logits(tf.cast(label, tf.float32), logits)
    return tf.reduce_sum(losses) / tf.cast(row[-1] + 1, tf.float32)


def outcome_loss(logits: Any, outcome: Any) -> Any:
    """Log loss of an outcome between 0 and 1, averaged over the B requests; NaN adds nothing.

    Parameters
    ----------
    logits, outcome : float32 tensors, shape (B,)
        Of the opened pages.
    """
    known = tf.math.is_finite(outcome)
    losses = tf.nn.sigmoid_cross_entropy_with_logits(tf.where(known, outcome, 0.0), logits)
    return tf.reduce_mean(tf.where(known, losses, 0.0))


class _Batch(NamedTuple):
    """Candidates of B requests: N rows, their latest pages, and what came of the opened, (B, heads)."""

    numeric: Any
    codes: Any
    latest: Latest
    label: Any
    position: Any
    outcome: Any


def _half_opened(sample: NDArray[np.float32], examples: Examples) -> NDArray[np.float32]:
    """Numbers that bins are cut by: of the opened pages, and of as many candidates of a sample.

    Opened pages gather where few candidates are, at the sources' highest scores and first ranks, and
    equally filled bins of candidates alone would put them into one.
    """
    opened = examples.numeric[examples.label]
    others = np.linspace(0, len(sample) - 1, len(opened)).astype(int)
    return np.concatenate([opened, sample[others]])


class _Trainer:
    """One network, its optimiser, and the running mean of its weights, which is what training gives.

    Polyak and Juditsky, "Acceleration of Stochastic Approximation by Averaging", 1992, with the
    exponential mean that has taken the place of theirs. While there are few steps it is the plain mean.
    """

    def __init__(self, examples: Examples, settings: RankerSettings, seed: int):
        self.examples, self.settings = examples, settings
        sample = np.asarray(examples.numeric)[:: max(1, len(examples.row) // 200_000)]
        mean, deviation = sample.mean(axis=0), sample.std(axis=0)
        sizes = [len(examples.values[name]) for name in CATEGORICAL]
        scale = np.where(deviation > 1e-6, deviation, 1.0)
        edges = bin_edges(_half_opened(sample, examples), settings.numeric_bins)
        self.learner, self.net = (DeepFM(sizes, mean, scale, edges, settings, seed) for _ in range(2))
        pages = self.net.history_pages
        self.latest = examples.history.latest(pages)
        self.optimizer = tf.keras.optimizers.Adam(settings.learning_rate)
        self.order = np.random.default_rng(seed)
        self.steps = 0
        signature = _Batch(
            tf.TensorSpec((None, examples.numeric.shape[1]), tf.float32),
            tf.TensorSpec((None, examples.categorical.shape[1]), tf.int32),
            Latest(
                tf.TensorSpec((None,), tf.int32),
                tf.TensorSpec((None, pages), tf.int32),
                tf.TensorSpec((None, pages), tf.float32),
            ),
            tf.TensorSpec((None,), tf.bool),
            tf.TensorSpec((None,), tf.int32),
            tf.TensorSpec((None, len(OUTCOMES)), tf.float32),
        )
        self._step = tf.function(self._train, input_signature=[signature, tf.TensorSpec((), tf.int32)])
        self._loss = tf.function(self._validate, input_signature=[signature])

    def _train(self, batch: _Batch, step: Any) -> Any:
        variables, row = self.learner.trainable_variables, batch.latest.row
        with tf.GradientTape() as tape:
            found = self.learner.logits(batch.numeric, batch.codes, batch.latest, step)
            logits = found["view"] + self.learner.position_logits(batch.position)
            loss = listwise_loss(logits, row, batch.label, self.settings.loss_q)
            total = loss
            if self.settings.pointwise_weight:
                total += self.settings.pointwise_weight * pointwise_loss(logits, row, batch.label)
            for place, name in enumerate(OUTCOMES):
                if name in found:
                    opened = tf.boolean_mask(found[name], batch.label)
                    total += self.settings.head_weight * outcome_loss(opened, batch.outcome[:, place])
            total += self.settings.l2 * tf.add_n([tf.nn.l2_loss(v) for v in self.learner.decayed])
        gradients = [tf.convert_to_tensor(g) for g in tape.gradient(total, variables)]
        self.optimizer.apply_gradients(zip(gradients, variables, strict=True))
        keep = tf.minimum(self.settings.average, 1 - 1 / tf.cast(step, tf.float32))
        for mean, variable in zip(self.net.trainable_variables, variables, strict=True):
            mean.assign(keep * mean + (1 - keep) * variable)
        return loss

    def _validate(self, batch: _Batch) -> Any:
        # What was opened then depended on places too, so without them the most biased epoch would look best.
        logits = self.net(batch.numeric, batch.codes, batch.latest) + self.net.position_logits(batch.position)
        return listwise_loss(logits, batch.latest.row, batch.label, self.settings.loss_q)

    def _batches(
        self, requests: NDArray[np.int64], sample: tuple[np.random.Generator, int] | None
    ) -> Iterator[_Batch]:
        examples, latest, size = self.examples, self.latest, self.settings.batch_requests
        offsets = examples.offsets
        outcome = examples.requests.select(OUTCOMES).to_numpy().astype(np.float32)
        for start in range(0, len(requests), size):
            chosen = requests[start : start + size]
            at, row = gather(offsets, chosen)
            if sample is not None:
                draw, negatives = sample
                kept = examples.label[at] | (draw.random(len(at)) < negatives / np.bincount(row)[row])
                at, row = at[kept], row[kept]
            yield _Batch(
                examples.numeric[at],
                examples.categorical[at],
                Latest(row, latest.page[chosen], latest.age[chosen]),
                examples.label[at],
                examples.position[at].astype(np.int32),
                outcome[chosen],
            )

    def epoch(self, requests: NDArray[np.int64]) -> float:
        """One pass in a new order; the mean listwise loss."""
        losses = []
        order, sample = self.order.permutation(requests), (self.order, self.settings.negatives)
        for batch in self._batches(order, sample):
            self.steps += 1
            losses.append(self._step(batch, self.steps))
        return float(np.mean(losses))

    def loss(self, requests: NDArray[np.int64]) -> float:
        """Mean listwise loss without training."""
        found = [(float(self._loss(batch)), len(batch.outcome)) for batch in self._batches(requests, None)]
        return float(np.average([f[0] for f in found], weights=[f[1] for f in found]))


def train(
    examples: Examples, settings: RankerSettings, on_epoch: Callable[[int, float], None] | None = None
) -> Trained:
    """Fit the ranker.

    The latest ``validation_share`` of the requests chooses the number of epochs and fits the
    calibration; then the network is trained again on all of them for that long.

    Parameters
    ----------
    examples : Examples
    settings : RankerSettings
    on_epoch : callable, optional
        Told the epoch and the validation loss after each; may raise to stop.

    Returns
    -------
    Trained

    Raises
    ------
    DataError
        No request's shortlist holds the page that was opened; or candidates are to attend to
        histories, and the examples hold none.
    """
    tf.keras.utils.set_random_seed(settings.seed)
    tf.config.experimental.enable_op_determinism()
    answered = np.unique(examples.row[examples.label]).astype(np.int64)
    if not len(answered):
        raise DataError(
            f"ranker: none of {len(examples)} shortlists holds the page that was opened; "
            "give a longer log or a larger settings.retrieval.shortlist"
        )
    held = max(1, round(len(answered) * settings.validation_share))
    early, late = (answered[:-held], answered[-held:]) if len(answered) > 1 else (answered, answered)

    trainer = _Trainer(examples, settings, settings.seed)
    best, epochs = np.inf, 0
    weights: list[NDArray[np.float32]] = []
    for epoch in range(1, settings.epochs + 1):
        training_loss = trainer.epoch(early)
        loss = trainer.loss(late)
        log.info("ranker epoch", epoch=epoch, loss=round(training_loss, 4), validation=round(loss, 4))
        if on_epoch:
            on_epoch(epoch, loss)
        if loss < best:
            best, epochs = loss, epoch
            weights = [variable.numpy() for variable in trainer.net.trainable_variables]
        elif epoch - epochs >= settings.patience:
            break
    for variable, value in zip(trainer.net.trainable_variables, weights, strict=True):
        variable.assign(value)
    at = np.isin(examples.row, late)
    numeric, codes, label = examples.numeric[at], examples.categorical[at], examples.label[at]
    history = examples.history.of(at)
    logits = score([trainer.net], numeric, codes, history)
    slope, intercept = platt(logits, label)
    members = [trainer.net]
    if settings.refit:
        members = [_refit(examples, answered, settings, epochs, n) for n in range(settings.members)]
        # The listwise loss leaves the level of the logits free, so each training ends at another; and
        # these requests are in the refit, so only the share of opened pages is taken from them.
        intercept = level(score(members, numeric, codes, history), slope, float(label.mean()))
    figures = {"epochs": epochs, "validation_loss": best, "requests": len(answered)}
    return Trained(members, slope, intercept, figures)


def _refit(
    examples: Examples, requests: NDArray[np.int64], settings: RankerSettings, epochs: int, member: int
) -> DeepFM:
    trainer = _Trainer(examples, settings, settings.seed + 1 + member)
    for epoch in range(1, epochs + 1):
        log.info("ranker refit", member=member, epoch=epoch, loss=round(trainer.epoch(requests), 4))
    return trainer.net


def score(
    members: list[DeepFM],
    numeric: NDArray[np.float32],
    codes: NDArray[np.int32],
    history: History = NO_HISTORY,
) -> NDArray[np.float32]:
    """Mean logits of the members over N candidates, in bounded memory.

    Raises
    ------
    DataError
        Candidates attend to histories, and none are given.
    """
    found = np.zeros(len(numeric), np.float32)
    pages = members[0].history_pages
    latest, size = history.latest(pages), _SCORING_ROWS // max(pages, 1)
    for start in range(0, len(numeric), size):
        part = slice(start, start + size)
        logits = sum(net(numeric[part], codes[part], latest.of(part)).numpy() for net in members)
        found[part] = logits / len(members)
    return found


def level(logits: NDArray[np.float32], slope: float, mean: float) -> float:
    """Intercept with which the probabilities' mean is ``mean``.

    Examples
    --------
    >>> round(level(np.array([7.0, 7.0]), 1.0, 0.5), 4)
    -7.0
    """
    scaled = slope * logits.astype(np.float64)
    low, high = -scaled.max() - 50, -scaled.min() + 50
    return float(brentq(lambda shift: expit(scaled + shift).mean() - mean, low, high))


def platt(logits: NDArray[np.float32], label: NDArray[np.bool_]) -> tuple[float, float]:
    """Slope and intercept that make sigmoid(slope * logit + intercept) a probability.

    Platt, "Probabilistic Outputs for Support Vector Machines", 1999, with his smoothed targets,
    fitted by Newton's method. The slope stays positive, so that the order does not change.
    """
    positives = float(label.sum())
    negatives = len(label) - positives
    target = np.where(label, (positives + 1) / (positives + 2), 1 / (negatives + 2))
    # Newton's steps are bounded, so they start from logits of ordinary size.
    middle, spread = float(logits.mean()), float(logits.std()) or 1.0
    x = np.stack([(logits.astype(np.float64) - middle) / spread, np.ones(len(logits))], axis=1)
    weights = np.array([1.0, 0.0])
    for _ in range(50):
        probability = 1 / (1 + np.exp(-np.clip(x @ weights, -30, 30)))
        gradient = x.T @ (probability - target)
        curvature = (x * (probability * (1 - probability))[:, None]).T @ x + 1e-6 * np.eye(2)
        change = np.linalg.solve(curvature, gradient)
        weights -= np.clip(change, -1, 1)
        if np.abs(change).max() < 1e-8:
            break
    slope = float(max(weights[0] / spread, 1e-3))
    return slope, float(weights[1] - slope * middle)
