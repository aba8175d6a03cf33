"""Set how large the zoo is, and how long each part of it learns: the size that is shipped, and one to try it."""

from __future__ import annotations

from dataclasses import dataclass, field

from pseudocap.regimes.plan import TrainingPlan
from pseudocap.toyworld.corpora import Scale
from pseudocap.zoo.blip import TeacherRecipe
from pseudocap.zoo.opt import OPTRecipe, ToyText
from pseudocap.zoo.timesformer import Lessons, TimeSformerRecipe
from pseudocap.zoo.train_loop import Course
from pseudocap.zoo.vit import ViTRecipe


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
    regime: TrainingPlan = field(default_factory=TrainingPlan)


FULL_RECIPE = ZooRecipe()
SMOKE_RECIPE = ZooRecipe(
    scale="tiny",
    text=ToyText(films=60, talks=2),
    opt=OPTRecipe(vocabulary=500, width=32, layers=4, heads=2, course=Course(steps=30, lr=2e-3)),
    vit=ViTRecipe(width=32, depth=2, heads=2, stills=80, batch=8, course=Course(steps=10, lr=2e-3)),
    timesformer=TimeSformerRecipe(lessons=(Lessons(frames=2, batch=4, steps=4), Lessons(frames=4, batch=4, steps=4))),
    teacher=TeacherRecipe(layers=2, heads=2, stills=80, batch=8, course=Course(steps=20, lr=2e-3)),
    regime=TrainingPlan(steps=4, longer=2, batch=2, warmup=2, tuning_batch=4, tuning_epochs=2),
)
