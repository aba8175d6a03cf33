"""How large the zoo is, and how long each part of it learns. Two sizes: the one that is shipped, and one to try it."""

from __future__ import annotations

from dataclasses import dataclass, field

from pseudocap.regimes.plan import TrainingPlan
from pseudocap.toyworld.corpora import Scale
from pseudocap.zoo.blip import TeacherRecipe
from pseudocap.zoo.opt import WriterRecipe
from pseudocap.zoo.timesformer import Lessons, WatcherRecipe
from pseudocap.zoo.train_loop import Course
from pseudocap.zoo.vit import EyeRecipe


@dataclass(frozen=True, kw_only=True, slots=True)
class ZooRecipe:
    """Everything that the weights depend on, the code apart. `seed` draws the regimes' world and everything learned
    from it; the backbones and the teacher have the world of `seed + 1`, so that nothing is shown to both."""

    scale: Scale = "small"
    size: int = 64
    seed: int = 0
    writer: WriterRecipe = field(default_factory=WriterRecipe)
    eye: EyeRecipe = field(default_factory=EyeRecipe)
    watcher: WatcherRecipe = field(default_factory=WatcherRecipe)
    teacher: TeacherRecipe = field(default_factory=TeacherRecipe)
    regime: TrainingPlan = field(default_factory=TrainingPlan)


FULL_RECIPE = ZooRecipe()
SMOKE_RECIPE = ZooRecipe(
    scale="tiny",
    writer=WriterRecipe(
        films=60, talks=2, vocabulary=500, width=32, layers=4, heads=2, course=Course(steps=30, lr=2e-3)
    ),
    eye=EyeRecipe(width=32, depth=2, heads=2, stills=80, batch=8, course=Course(steps=10, lr=2e-3)),
    watcher=WatcherRecipe(lessons=(Lessons(frames=2, batch=4, steps=4), Lessons(frames=4, batch=4, steps=4))),
    teacher=TeacherRecipe(layers=2, heads=2, stills=80, batch=8, course=Course(steps=20, lr=2e-3)),
    regime=TrainingPlan(steps=4, longer=2, batch=2, warmup=2, tuning_batch=4, tuning_epochs=2),
)
