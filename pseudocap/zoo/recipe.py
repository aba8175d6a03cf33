"""Set how large the zoo is, and how long each part of it learns: the size that is shipped, and one to try it."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import Any

from pseudocap.files.sources import SMOLLM2
from pseudocap.regimes.plan import TrainingPlan
from pseudocap.toyworld.corpora import Scale
from pseudocap.zoo.ast import ASTRecipe
from pseudocap.zoo.blip import TeacherRecipe
from pseudocap.zoo.opt import OPTRecipe, ToyText
from pseudocap.zoo.timesformer import Lessons, TimeSformerRecipe
from pseudocap.zoo.train_loop import Course
from pseudocap.zoo.vit import ViTRecipe


@dataclass(frozen=True, kw_only=True, slots=True)
class TrainingRecipe:
    """Set one training: its length, and how many photographs or clips each step has."""

    steps: int
    lr: float
    batch: int
    warmup: int = 50

    def words(self) -> tuple[str, ...]:
        return (
            *("--trainer.max_steps", str(self.steps), "--model.optimisation.lr", str(self.lr)),
            *("--model.optimisation.warmup_steps", str(self.warmup), "--data.batch_size", str(self.batch)),
        )


@dataclass(frozen=True, kw_only=True, slots=True)
class SearchRecipe:
    """Set a retriever's towers, and their training."""

    training: TrainingRecipe
    beside: tuple[int, ...] = ()  # layers of the language model that are read beside its last
    blocks: int | None = None  # of a frame's patches, each way
    dim: int = 256
    width: int = 256
    layers: int = 1  # of each tower
    dropout: float = 0.3
    mask: float = 0.1
    weight_decay: float = 0.1

    @property
    def towers(self) -> dict[str, Any]:
        """Return the towers as fields of RetrieverConfig."""
        return {
            "dim": self.dim,
            "width": self.width,
            "text_layers": self.layers,
            "media_layers": self.layers,
            "dropout": self.dropout,
            "text_beside": self.beside,
            "space_grid": self.blocks,
            "means": True,
        }

    def words(self) -> tuple[str, ...]:
        towers = [(f"--model.model.init_args.{name}", json.dumps(value)) for name, value in self.towers.items()]
        return (
            *(word for pair in towers for word in pair),
            *(*self.training.words(), "--model.contrast.mask", str(self.mask)),
            *("--model.optimisation.weight_decay", str(self.weight_decay), "--model.optimisation.beta2", "0.98"),
        )


@dataclass(frozen=True, kw_only=True, slots=True)
class HearsRecipe:
    """Set the fine-tuning of a captioner that hears, for each seed: on captions, without sound too, or on questions."""

    seeds: tuple[int, ...] = (0, 1, 2)
    lr: float = 1e-3
    batch: int = 32
    epochs: int = 8
    groups: str = "av=0.8,a=0.2"  # films without sound teach sight alone


@dataclass(frozen=True, kw_only=True, slots=True)
class ValorRecipe:
    """Set the training of toy-valor; `asking` is the share of its steps that learn answers."""

    steps: int = 1000
    batch: int = 32
    lr: float = 1.5e-3
    warmup: int = 100
    asking: float = 0.3


@dataclass(frozen=True, kw_only=True, slots=True)
class ZooRecipe:
    """Hold everything that the weights depend on, the code apart. `seed` draws the regimes' world and all learned from
    it; the backbones and the teacher have the world of `seed + 1`, so that both never see the same."""

    scale: Scale = "small"
    size: int = 64
    seed: int = 0
    text: ToyText = field(default_factory=ToyText)
    opt: OPTRecipe = field(default_factory=OPTRecipe)
    vit: ViTRecipe = field(default_factory=ViTRecipe)
    timesformer: TimeSformerRecipe = field(default_factory=TimeSformerRecipe)
    teacher: TeacherRecipe = field(default_factory=TeacherRecipe)
    ast: ASTRecipe = field(default_factory=ASTRecipe)
    regime: TrainingPlan = field(default_factory=TrainingPlan)
    hears: HearsRecipe = HearsRecipe()
    valor: ValorRecipe = ValorRecipe()
    answers: HearsRecipe = HearsRecipe(batch=64, epochs=5, groups="av=0.6,v=0.2,a=0.2")
    search: SearchRecipe = SearchRecipe(
        training=TrainingRecipe(steps=600, lr=1e-3, batch=64), beside=(0, 3), dim=128, width=128, dropout=0.2
    )


FULL_RECIPE = ZooRecipe()
SMOKE_RECIPE = ZooRecipe(
    scale="tiny",
    text=ToyText(films=60, talks=2),
    opt=OPTRecipe(vocabulary=500, width=32, layers=4, heads=2, course=Course(steps=30, lr=2e-3)),
    vit=ViTRecipe(width=32, depth=2, heads=2, stills=80, batch=8, course=Course(steps=10, lr=2e-3)),
    timesformer=TimeSformerRecipe(lessons=(Lessons(frames=2, batch=4, steps=4), Lessons(frames=4, batch=4, steps=4))),
    teacher=TeacherRecipe(layers=2, heads=2, stills=80, batch=8, course=Course(steps=20, lr=2e-3)),
    ast=ASTRecipe(width=16, depth=2, heads=2, batch=4, held_out=3, course=Course(steps=4, lr=2e-3)),
    regime=TrainingPlan(steps=4, longer=2, batch=2, warmup=2, tuning_batch=4, tuning_epochs=2),
    hears=HearsRecipe(seeds=(0,), batch=2, epochs=1),
    valor=ValorRecipe(steps=2, batch=2, warmup=1),
    answers=HearsRecipe(seeds=(0,), batch=8, epochs=1),
    search=SearchRecipe(training=TrainingRecipe(steps=2, lr=1e-3, batch=4, warmup=1), beside=(0,), dim=8, width=16),
)


@dataclass(frozen=True, kw_only=True, slots=True)
class AdapterRecipe:
    """Set the frozen language model, the layers that new adapters stand before, and how wide they attend."""

    layers: tuple[int, ...]
    decoder: str = "decoder"  # the stage
    revision: str | None = None
    width: int | None = None

    def words(self, command: str) -> tuple[str, ...]:
        options = {"decoder_revision": self.revision, "adapter_width": self.width}
        chosen = [(f"{command}.{name}", str(value)) for name, value in options.items() if value is not None]
        layers = (f"{command}.adapter_layers", json.dumps(self.layers), f"{command}.gate_init", "1.0")
        return (*layers, *(word for pair in chosen for word in pair))


@dataclass(frozen=True, kw_only=True, slots=True)
class RealRecipe:
    """Hold everything that the captioners of real pictures depend on beside the data, the code apart."""

    seed: int = 0
    weights: str = ""  # of the encoder's network: a package's, unless an encoder is named
    pictures: int = 15  # every so many-th is looked at to standardise the encoder
    size: int = 288
    adapters: AdapterRecipe = AdapterRecipe(layers=(2, 4, 6, 7))  # six would not fit what may be shipped
    few: AdapterRecipe = AdapterRecipe(layers=(4, 6), width=64)  # of the captioner of clips alone, for the same reason
    large: AdapterRecipe | None = AdapterRecipe(  # between the same encoder and SmolLM2-135M, narrow, to fit too
        decoder=SMOLLM2,
        revision="ab810cf68114990406fdf996510dd3d3c6adbdf5",
        layers=(12, 17, 22, 27),
        width=128,
    )
    opt: OPTRecipe = field(
        default_factory=lambda: OPTRecipe(
            vocabulary=6000,
            width=256,
            layers=8,
            heads=8,
            batch=128,
            dropout=0.1,
            bfloat16=True,
            course=Course(steps=2200, lr=2e-3, weight_decay=0.1),
        )
    )
    photographs: TrainingRecipe = TrainingRecipe(steps=1000, lr=2e-3, batch=40)
    critical: TrainingRecipe = TrainingRecipe(steps=400, lr=5e-4, batch=24, warmup=20)
    longer: TrainingRecipe = TrainingRecipe(steps=600, lr=5e-4, batch=24, warmup=20)
    large_critical: TrainingRecipe = TrainingRecipe(steps=300, lr=5e-4, batch=24, warmup=10)
    video: TrainingRecipe = TrainingRecipe(steps=100, lr=1e-3, batch=24)
    mixed: TrainingRecipe = TrainingRecipe(steps=200, lr=5e-4, batch=40)
    mixed_critical: TrainingRecipe = TrainingRecipe(steps=300, lr=5e-4, batch=24, warmup=20)
    search: SearchRecipe = SearchRecipe(
        training=TrainingRecipe(steps=1600, lr=1e-3, batch=128), beside=(0, 4), blocks=3
    )


_A_MOMENT = TrainingRecipe(steps=2, lr=1e-3, batch=2, warmup=1)
REAL_RECIPE = RealRecipe()
REAL_SMOKE_RECIPE = RealRecipe(
    weights="pseudocap://efficientnet-lite0",
    pictures=1,
    adapters=AdapterRecipe(layers=(1,)),
    few=AdapterRecipe(layers=(1,), width=16),
    large=None,
    opt=OPTRecipe(vocabulary=300, width=32, layers=2, heads=2, batch=8, course=Course(steps=4, lr=2e-3)),
    photographs=_A_MOMENT,
    critical=_A_MOMENT,
    longer=_A_MOMENT,
    video=_A_MOMENT,
    mixed=_A_MOMENT,
    mixed_critical=_A_MOMENT,
    search=SearchRecipe(training=_A_MOMENT, beside=(0,), blocks=3, dim=8, width=16),
)
