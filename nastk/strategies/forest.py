"""A random forest as an ensemble: scikit-learn's, which is imported when it is used."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nastk.core.extras import needed


def require_forest() -> Any:
    """The class of forests. Raises :class:`BrokenPlugin` when scikit-learn is not installed."""
    return needed("sklearn.ensemble", "predictor", "The strategy 'predictor'").RandomForestRegressor


def forest(
    x_NF: NDArray[Any], y_N: Sequence[float], queries_MF: NDArray[Any], trees: int, seed: int
) -> tuple[list[float], list[float]]:
    """Fit to ``(N, F)`` features; mean and standard deviation over the trees for each of ``(M, F)`` queries.

    Every tree is grown to the end on a bootstrap sample (Breiman, Machine Learning 2001). A function of its arguments.
    """
    model = require_forest()(trees, random_state=seed).fit(x_NF, y_N)
    predicted_TM = np.stack([tree.predict(queries_MF, check_input=False) for tree in model.estimators_])
    return predicted_TM.mean(0).tolist(), predicted_TM.std(0).tolist()
