"""Silence what the libraries print in every run and no user can act upon, for all verbs; what matters stays."""

from __future__ import annotations

import logging
import warnings

WARNINGS = (
    r".*isinstance\(treespec, LeafSpec\)",
    r"Found \d+ module\(s\) in eval mode",  # the frozen ones, which must be
    r"Total length of `list` across ranks is zero",
    r"The number of training batches .* is smaller than the logging interval",
    r".* is a toy: it was trained on drawn films",  # verbs print it themselves, beside the captions
    r"Checkpoint directory .* exists and is not empty",  # of a run that is gone on with
)
MESSAGES = (
    *("GPU available:", "TPU available:", "HPU available:", "LOCAL_RANK:", "💡 Tip:"),
    *("Seed set to", "`Trainer.fit` stopped:", "Loading `train_dataloader` to estimate"),
    *("Restoring states from", "Restored all states", "\nDetected KeyboardInterrupt"),
    *("Using bfloat16 Automatic", "Using 16bit Automatic", "You are using a CUDA device"),
)
LOGGERS = (
    "lightning.pytorch.utilities.rank_zero",
    "lightning.fabric.utilities.rank_zero",
    "lightning.fabric.utilities.seed",
)


def quieten(*, many_trainings: bool = False) -> None:
    """Silence the libraries before a verb loads networks or trains. Bars of downloads, which may take minutes, stay.
    Of many trainings that are made on the way to something else, only warnings stay."""
    import transformers
    from huggingface_hub.utils import are_progress_bars_disabled, enable_progress_bars

    for message in WARNINGS:
        warnings.filterwarnings("ignore", message=message)
    for name in LOGGERS:
        logging.getLogger(name).addFilter(_matters)
    if many_trainings:
        logging.getLogger("lightning.pytorch").setLevel(logging.WARNING)
    unwanted = are_progress_bars_disabled()
    transformers.utils.logging.disable_progress_bar()  # "Writing model shards", and what the libraries load
    if not unwanted:
        enable_progress_bars()


def _matters(record: logging.LogRecord) -> bool:
    return not record.getMessage().startswith(MESSAGES)
