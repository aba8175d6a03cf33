"""The schedule and what a resumed run takes over, against PyTorch's own optimiser."""

from __future__ import annotations

import math
from dataclasses import asdict, replace

import pytest
import torch

from pseudocap.errors import ConfigError
from pseudocap.regimes.optimisation import Optimisation, use_settings

SETTINGS = Optimisation(lr=0.5, warmup_steps=4, final_share=0.1, weight_decay=0.01)


def test_the_rate_rises_in_a_line_falls_in_a_cosine_and_stays_at_its_end() -> None:
    shares = [SETTINGS.share(step, 14) for step in range(20)]
    assert shares[:5] == pytest.approx([0.25, 0.5, 0.75, 1.0, 1.0])
    assert shares[9] == pytest.approx((1 + 0.1) / 2)  # half-way
    assert shares[4:15] == sorted(shares[4:15], reverse=True)
    assert shares[14:] == pytest.approx([0.1] * 6)
    assert Optimisation(warmup_steps=0).share(0, 1) == 1.0


@pytest.mark.parametrize(
    ("field", "value"),
    [("lr", 0.0), ("lr", math.inf), ("beta2", 1.0), ("eps", -1e-9), ("warmup_steps", -1), ("final_share", 1.5)],
)
def test_a_setting_that_cannot_be_is_refused_by_name(field: str, value: float) -> None:
    with pytest.raises(ConfigError, match=rf"^optimisation\.{field} must be"):
        replace(SETTINGS, **{field: value})


def test_the_defaults_are_the_papers_adam_with_a_short_warm_up() -> None:
    """A run without a config has these, so a change of one is a change of everybody's runs."""
    adam = {"lr": 1e-3, "beta1": 0.9, "beta2": 0.999, "eps": 1e-8, "weight_decay": 0.0, "method": "adamw"}
    schedule = {"warmup_steps": 100, "warmup_share": None, "decay": "cosine", "final_share": 0.0}
    assert asdict(Optimisation()) == {**adam, **schedule}


def checkpoint(settings: Optimisation, steps: int) -> dict[str, list[dict[str, object]]]:
    weight, bias = (torch.nn.Parameter(torch.ones(shape)) for shape in ((2, 2), (2,)))
    groups = [{"params": [weight], "weight_decay": settings.weight_decay}, {"params": [bias], "weight_decay": 0.0}]
    optimiser = torch.optim.AdamW(groups, lr=settings.lr, betas=(settings.beta1, settings.beta2), eps=settings.eps)
    schedule = torch.optim.lr_scheduler.LambdaLR(optimiser, lambda step: settings.share(step, 14))
    for _ in range(steps):
        (weight.sum() + bias.sum()).backward()
        optimiser.step()
        schedule.step()
    return {"optimizer_states": [optimiser.state_dict()], "lr_schedulers": [schedule.state_dict()]}


def test_settings_that_changed_are_those_of_a_run_that_always_had_them() -> None:
    changed = replace(SETTINGS, lr=0.2, beta2=0.95, weight_decay=0.3)
    taken, always = checkpoint(SETTINGS, steps=7), checkpoint(changed, steps=7)
    use_settings(taken, changed)
    for mine, theirs in zip(taken["optimizer_states"], always["optimizer_states"], strict=True):
        for group, wanted in zip(mine["param_groups"], theirs["param_groups"], strict=True):  # type: ignore[call-overload]
            assert group.pop("lr") == pytest.approx(wanted.pop("lr"))
            assert group == wanted
    assert taken["lr_schedulers"][0]["base_lrs"] == always["lr_schedulers"][0]["base_lrs"]


def test_settings_that_did_not_change_leave_a_checkpoint_as_it_is() -> None:
    taken = checkpoint(SETTINGS, steps=7)
    use_settings(taken, SETTINGS)
    assert repr(taken) == repr(checkpoint(SETTINGS, steps=7))
