"""Which runtime ranks: NumPy over the exported weights, or TensorFlow over the release's SavedModel.

TensorFlow scores on a GPU where it finds one. It pays for a ranker far larger than the shipped one, whose
arithmetic takes less time than the call into TensorFlow (docs/adr/0007-scoring-without-tensorflow.md).
"""

from __future__ import annotations

from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from components.contract.errors import ReleaseError, WaymarkError
from components.contract.history import Latest
from components.contract.ranking import Ranker

Runtime = Literal["numpy", "tensorflow"]


def load_ranker(path: Path | str, runtime: Runtime = "numpy") -> Ranker:
    """Load a release's ranker.

    Parameters
    ----------
    path : Path or str
        The release's part ``ranker``.
    runtime : {"numpy", "tensorflow"}

    Raises
    ------
    ReleaseError
        See :class:`Ranker`; or there is no SavedModel that TensorFlow can load.
    WaymarkError
        TensorFlow is not installed.
    """
    return Ranker(path) if runtime == "numpy" else SavedModelRanker(path)


class SavedModelRanker(Ranker):
    """The same scores, within rounding, from ``saved_model/``.

    Parameters
    ----------
    path : Path or str
        Folder with ``saved_model/`` beside what :class:`Ranker` takes.

    Raises
    ------
    ReleaseError
        See :func:`load_ranker`.
    WaymarkError
        TensorFlow is not installed.
    """

    def __init__(self, path: Path | str):
        super().__init__(path)
        try:
            from components.contract.tf import tf
        except ImportError as error:
            raise WaymarkError(
                "WAYMARK_RANKER=tensorflow: TensorFlow is not installed here; take the image serving-gpu, "
                "or leave the variable out"
            ) from error
        self._constant = tf.constant
        try:
            # Kept: the signature holds its variables by weak references.
            self._model = tf.saved_model.load(str(Path(path) / "saved_model"))
            self._score = self._model.signatures["score"]
        except (OSError, KeyError) as error:
            raise ReleaseError(f"{path}: no SavedModel with the signature score: {error}") from error

    def probability(
        self, numeric: NDArray[np.float32], codes: NDArray[np.int32], latest: Latest | None = None
    ) -> NDArray[np.float32]:
        """Probability that each of N candidates is opened.

        Parameters
        ----------
        numeric : array of float32, shape (N, len(NUMERIC))
        codes : array of int32, shape (N, len(CATEGORICAL))
            The ranker's own.
        latest : Latest, optional
            In the ranker's own codes; needed where it looks at histories.
        """
        given = {"numeric": numeric, "codes": codes}
        if latest is not None:
            given |= {f"history_{name}": part for name, part in latest._asdict().items()}
        answer = self._score(**{name: self._constant(part) for name, part in given.items()})
        found: NDArray[np.float32] = answer["score"].numpy()
        return found
