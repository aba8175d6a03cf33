"""Name what is in pictures by an image classifier of transformers, to check mined captions against."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from pseudocap.errors import CheckpointError, first_line
from pseudocap.files.sources import find_file, read_json


def require_classifier(source: str) -> None:
    """Raise CheckpointError where a name is no image classifier, by its config.json alone."""
    document = read_json(find_file(source, "config.json"))
    if "ImageClassification" not in str(document.get("architectures")):
        raise CheckpointError(f"{source} is no image classifier of transformers (architectures in its config.json)")


class ImageClassifier:
    """Give the `top` labels of a picture; a label such as "tabby, tabby cat" stands for each of its names, and for the
    last word of each."""

    def __init__(self, source: str, *, top: int = 5, device: str = "cpu") -> None:
        require_classifier(source)
        from transformers import AutoImageProcessor, AutoModelForImageClassification

        try:
            self._processor: Any = AutoImageProcessor.from_pretrained(source)
            self._model: Any = AutoModelForImageClassification.from_pretrained(source).eval().to(device)
        except (OSError, ValueError) as error:
            raise CheckpointError(f"{source} cannot be loaded as an image classifier: {first_line(error)}") from error
        self.name, self._top, self._device = source, top, device

    def words(self, pictures: Sequence[np.ndarray]) -> list[frozenset[str]]:
        import torch

        with torch.inference_mode():
            inputs = self._processor(images=list(pictures), return_tensors="pt").to(self._device)
            logits = self._model(**inputs).logits
        best = logits.topk(min(self._top, logits.shape[1]), dim=1).indices.tolist()
        names = self._model.config.id2label
        return [frozenset(word for number in numbers for word in _words(names[number])) for numbers in best]


def _words(label: str) -> list[str]:
    names = [name.strip().lower() for name in label.split(",")]
    return [*names, *(name.rpartition(" ")[2] for name in names)]
