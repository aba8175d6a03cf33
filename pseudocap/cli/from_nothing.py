"""Teach a tiny captioner which way a square moves: `pseudocap demo --from-nothing`.

A check of the complete network that needs no weights: the frozen backbones here are random. What runs is the real thing
all the same: the encoder, the pooled memory, the adapters, the loss, generation, and a checkpoint that is saved and
loaded again.
"""

from __future__ import annotations

import json
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from pseudocap.cli.quiet import quieten
from pseudocap.errors import ConfigError

if TYPE_CHECKING:
    from pseudocap.captioner import PseudoCap


def teach_and_examine(*, steps: int, seed: int, out: Path | None, as_json: bool) -> int:
    """Build, teach, save and examine the captioner; `out` keeps the backbones and the checkpoint in a directory."""
    if steps < 1:
        raise ConfigError(f"--steps must be at least 1, not {steps}")
    if not 0 <= seed < 2**62:
        raise ConfigError(f"--seed must be from 0 to 2**62, not {seed}")
    if out is not None and out.exists() and (out.is_file() or any(out.iterdir())):
        raise ConfigError(f"--out {out} holds something already; name a new or empty directory")
    log: Callable[[str], None] = (lambda text: None) if as_json else print
    with tempfile.TemporaryDirectory() as scratch:
        folder = out or Path(scratch)
        model = build_tiny(folder, seed=seed, log=log)
        seconds = teach(model, steps=steps, seed=seed, log=log)
        model.save_pretrained(folder / "checkpoint")
        log("Saved, and loaded again from disk.")
        right, films = examine_squares(folder / "checkpoint", seed=seed + 1, log=log)
    log(f"\n{right} of {films} captions of unseen films are right, after {steps} steps in {seconds:.0f} s.")
    log("The backbones are random, so this shows that the parts work together, and nothing about real video.")
    if as_json:
        print(json.dumps({"right": right, "films": films, "steps": steps, "seconds": round(seconds, 1)}))
    return 0


def build_tiny(folder: Path, *, seed: int, log: Callable[[str], None]) -> PseudoCap:
    from pseudocap.captioner import PseudoCap
    from pseudocap.zoo import squares
    from pseudocap.zoo.tiny import write_opt, write_timesformer

    quieten()
    log("Frozen backbones: a random TimeSformer and a random OPT, written to disk and read back.")
    sizes = {"hidden_size": 64, "num_attention_heads": 4}
    write_opt(folder / "opt", text=squares.captions(), seed=seed, num_hidden_layers=4, ffn_dim=128, **sizes)
    film = {"image_size": squares.SIZE, "num_frames": squares.FRAMES}
    write_timesformer(folder / "timesformer", seed=seed, intermediate_size=128, **film, **sizes)
    model = PseudoCap.from_backbones(decoder=folder / "opt", encoder=folder / "timesformer", seed=seed, device="cpu")
    counts, (layer,) = model.parameter_counts(), model.config.adapter_layers
    learning = f"{counts.trainable:,} of {counts.total:,} parameters, in an adapter before layer {layer} of 4"
    log(f"Learning: {learning}.")
    return model


def teach(model: PseudoCap, *, steps: int, seed: int, log: Callable[[str], None]) -> float:
    """Train the captioner; return the seconds that it took."""
    import torch

    from pseudocap.zoo import squares

    torch.set_num_threads(1)  # tiny tensors: a second thread only waits for the first
    # Pool first: every film is encoded once, and from then on it is T + S vectors.
    films, texts = squares.draw_films(16, seed=seed)
    memory, tokens = model.encode(films), model.tokenize(texts)
    learned = [parameter for parameter in model.parameters() if parameter.requires_grad]
    optimiser = torch.optim.AdamW(learned, lr=2e-3)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, max_lr=2e-3, total_steps=steps)
    batches = torch.Generator().manual_seed(seed)
    started = time.perf_counter()
    model.train()
    for step in range(1, steps + 1):
        rows = torch.randint(0, len(texts), (48,), generator=batches)
        ids, mask, labels = tokens.input_ids[rows], tokens.attention_mask[rows], tokens.labels[rows]
        loss = model(ids, memory[rows], attention_mask=mask, labels=labels).loss
        optimiser.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(learned, 1.0)
        optimiser.step()
        schedule.step()
        if step % 100 == 0 or step in (1, steps):
            log(f"  step {step:4d}  loss {loss.item():.3f}")
    return time.perf_counter() - started


def examine_squares(checkpoint: Path, *, seed: int, log: Callable[[str], None]) -> tuple[int, int]:
    """Return the right captions and all films, by the checkpoint as loaded again, on films it has not seen."""
    from pseudocap.captioner import PseudoCap
    from pseudocap.zoo import squares

    model = PseudoCap.from_pretrained(checkpoint, device="cpu")
    films, texts = squares.draw_films(4, seed=seed)
    forwards, backwards = (
        model.decode(model.generate(model.encode(frames), max_new_tokens=12)) for frames in (films, films.flip(1))
    )
    log(f"\n{'truth':<34}{'caption':<34}caption of the film run backwards")
    for truth, caption, reverse in list(zip(texts, forwards, backwards, strict=True))[: len(squares.captions())]:
        log(f"{truth:<34}{caption:<34}{reverse}")
    return sum(caption == truth for caption, truth in zip(forwards, texts, strict=True)), len(texts)
