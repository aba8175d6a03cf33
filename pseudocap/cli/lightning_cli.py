"""Read a run's settings by LightningCLI, and report its errors as one line."""

from __future__ import annotations

import inspect
import re
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import lightning.pytorch as lightning
from jsonargparse import ArgumentError
from lightning.pytorch.callbacks import Callback, LearningRateMonitor, ProgressBar
from lightning.pytorch.cli import LightningArgumentParser, LightningCLI
from lightning.pytorch.utilities.exceptions import MisconfigurationException

from pseudocap.cli.resuming import checkpoint_of
from pseudocap.cli.train_settings import OUT
from pseudocap.cli.training_progress import TrainingProgress
from pseudocap.errors import ConfigError, nearest
from pseudocap.regimes import networks
from pseudocap.regimes.answering import Answering
from pseudocap.regimes.base import PreTraining
from pseudocap.regimes.checkpointing import AtomicCheckpoints, Checkpoints, KeepCaptioner
from pseudocap.regimes.interruption import ctrl_c_as_usual
from pseudocap.regimes.logs import RunLogger
from pseudocap.regimes.loss_guards import StopOnBadLoss
from pseudocap.regimes.retrieval import Retrieval
from pseudocap.regimes.valor import Valor


class TrainingCLI(LightningCLI):
    """Build model, data and trainer from typed settings. The run's folder `out` gets its config, logs, captions,
    checkpoints and captioners."""

    def __init__(
        self, module: type[PreTraining | Retrieval | Valor | Answering], data: type, *, args: list[str], prog: str
    ) -> None:
        self._monitor = module.monitor
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", message="LightningCLI's args parameter")  # they are the command line's
            super().__init__(
                module,
                data,
                args=args,
                run=False,
                seed_everything_default=0,
                auto_configure_optimizers=False,
                parser_kwargs={"exit_on_error": False, "prog": prog, "description": module.__doc__},
                trainer_defaults={"max_steps": module.steps, "gradient_clip_val": 1.0},
                save_config_kwargs={"overwrite": True},
            )

    def add_arguments_to_parser(self, parser: LightningArgumentParser) -> None:
        parser.add_argument("--out", type=str, default=OUT, help="the run's folder")
        parser.add_argument("--resume", action="store_true", help="go on at the last checkpoint in the run's folder")
        parser.add_argument(
            "--checkpoint_every", type=int, default=500, help="optimiser steps between two checkpoints of the training"
        )
        parser.link_arguments("out", "trainer.default_root_dir")

    @property
    def out(self) -> str:
        return str(self.config.out)

    def instantiate_trainer(self, **kwargs: Any) -> lightning.Trainer:
        if self.config.resume:  # config.yaml stays what the run began with, also where the resume is refused
            self.save_config_kwargs = {"overwrite": True, "config_filename": "config-resumed.yaml"}
        if self.config.trainer.logger is None:
            kwargs["logger"] = RunLogger(self.out)
        callbacks: list[Callback] = [
            StopOnBadLoss(),
            KeepCaptioner(self.out, self._monitor),
            *([] if self.config.trainer.logger is False else [LearningRateMonitor()]),
            Checkpoints(
                dirpath=Path(self.out) / "checkpoints",
                filename="step-{step}",
                auto_insert_metric_name=False,
                every_n_train_steps=self.config.checkpoint_every,
                save_last=True,
            ),
        ]
        kwargs.setdefault("plugins", [*_listed(self.config_init.trainer.plugins), AtomicCheckpoints()])
        given = _listed(self.config_init.trainer.callbacks)
        own_bar = any(isinstance(each, ProgressBar) for each in given)
        if self.config.trainer.enable_progress_bar is not False and not own_bar:
            callbacks.append(TrainingProgress())
            kwargs["enable_progress_bar"] = False  # Lightning's own
        if self.config.trainer.enable_model_summary is None:
            kwargs["enable_model_summary"] = False
        mine = [each for each in callbacks if not any(_same(each, one) for one in given)]
        self.config_init.trainer.callbacks = [*given, *mine]
        with lightnings_errors_as_ours():
            return super().instantiate_trainer(**kwargs)

    def fit(self) -> None:
        checkpoint = checkpoint_of(self.out, resume=self.config.resume)
        with lightnings_errors_as_ours(), ctrl_c_as_usual():
            self.trainer.fit(self.model, datamodule=self.datamodule, ckpt_path=checkpoint)

    def parse_arguments(self, parser: LightningArgumentParser, args: Any) -> None:
        """Parse, and report jsonargparse's complaint as one line that offers the nearest right setting."""
        try:
            super().parse_arguments(parser, args)
        except ArgumentError as error:
            text = " ".join(str(error).split()).removeprefix("error: ")
            wrong = re.search(r"[Oo]ption '([\w.]+)'|--([\w.]+)|attribute '(\w+)'", text)
            offer = nearest(next(filter(None, wrong.groups())), _known(parser)) if wrong else ""
            raise ConfigError(f"{text}{offer}; --print_config prints every setting") from error


@contextmanager
def lightnings_errors_as_ours() -> Iterator[None]:
    """Report what Lightning refuses as an error of ours: no such accelerator, a strategy that is not installed."""
    try:
        yield
    except MisconfigurationException as error:
        raise ConfigError(f"{' '.join(str(error).split())}; --trainer.* sets it") from error


def _listed(given: Any) -> list[Any]:
    """Return one, several or none as the list that the trainer takes."""
    if given is None:
        return []
    return list(given) if isinstance(given, list | tuple) else [given]


def _same(mine: Callback, given: Callback) -> bool:
    """Test whether a callback of the user's does what one of mine would: it then replaces mine."""
    return isinstance(mine, type(given)) or isinstance(given, type(mine))


def _known(parser: LightningArgumentParser) -> set[str]:
    """List every setting by its full name and from each group on, and what a captioner is built with."""
    names = set(parser.get_defaults().keys())
    names |= {name.partition(".")[2] for name in names if "." in name}
    builders = (networks.from_backbones, networks.from_pretrained, networks.retriever_from_backbones)
    for builder in (*builders, networks.valor_from_backbones):
        names |= {builder.__name__, *inspect.signature(builder).parameters}
    return names
