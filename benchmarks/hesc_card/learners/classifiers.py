"""scikit-learn's classifiers on the digits: their settings are chosen by cross-validation on the training half."""

from __future__ import annotations

import warnings
from typing import Any

from benchmarks.hesc_card.sources.digits import augmented, digits

MODELS = ("svc", "logistic", "3-nn", "svc-augmented")


def classify(name: str, seed: int, copies: int) -> tuple[dict[str, Any], dict[str, Any]]:
    """Train and test one of `MODELS`; scores of the 899 pictures, and its settings. The augmented one sees the drawn
    pictures of the networks."""
    from sklearn.linear_model import LogisticRegression
    from sklearn.model_selection import GridSearchCV
    from sklearn.neighbors import KNeighborsClassifier
    from sklearn.svm import SVC

    (pictures, labels), (asked, wanted) = digits()
    flat = pictures.reshape(len(pictures), -1) / 240.0
    search: dict[str, tuple[Any, dict[str, list[Any]]]] = {
        "svc": (SVC(), {"C": [1.0, 10.0, 100.0], "gamma": ["scale", 0.05, 0.1, 0.25, 0.5]}),
        "logistic": (LogisticRegression(max_iter=2_000), {"C": [0.1, 1.0, 10.0]}),
        "3-nn": (KNeighborsClassifier(3), {}),
    }
    model, choices = search[name.removesuffix("-augmented")]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # remarks on convergence and on future defaults
        chosen = GridSearchCV(model, choices, cv=5).fit(flat, labels).best_estimator_
        if name.endswith("-augmented"):
            pictures, labels = augmented(pictures, labels, copies, seed)
            chosen = chosen.fit(pictures.reshape(len(pictures), -1) / 240.0, labels)
    right = float(chosen.score(asked.reshape(len(asked), -1) / 240.0, wanted))
    settings = {key: chosen.get_params()[key] for key in choices}
    return {"mean": round(right, 4), "rows": len(asked), "groups": {"pictures": round(right, 4)}}, settings
