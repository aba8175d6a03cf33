"""`pseudocap demo`: a tiny captioner learns, from nothing, to say which way a square moves.

An honest smaller job than the one to come: no weights are shipped yet, so the frozen backbones here are random. What
runs is the real thing all the same: the encoder, the pooled memory, the adapters, the loss, generation, and a
checkpoint that is saved and loaded again.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from collections.abc import Callable
from pathlib import Path


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--steps", type=int, default=300, help="optimiser steps (default 300)")
    parser.add_argument("--seed", type=int, default=0, help="seed of the films, the weights and the batches")
    parser.add_argument("--out", type=Path, help="keep the backbones and the checkpoint in this directory")
    parser.add_argument("--json", action="store_true", help="print the result as JSON")


def run(args: argparse.Namespace) -> int:
    from pseudocap.errors import ConfigError

    if args.steps < 1:
        raise ConfigError(f"--steps must be at least 1, not {args.steps}")
    say: Callable[[str], None] = (lambda text: None) if args.json else print
    with tempfile.TemporaryDirectory() as scratch:
        result = teach(args.out or Path(scratch), steps=args.steps, seed=args.seed, say=say)
    if args.json:
        print(json.dumps(result))
    return 0


def teach(folder: Path, *, steps: int, seed: int, say: Callable[[str], None]) -> dict[str, object]:
    import torch
    import transformers

    from pseudocap.captioner import PseudoCap
    from pseudocap.zoo import squares
    from pseudocap.zoo.tiny import write_opt, write_timesformer

    transformers.utils.logging.disable_progress_bar()
    say("Frozen backbones: a random TimeSformer (2 layers) and a random OPT (4 layers), written to disk and read back.")
    write_opt(folder / "opt", text=squares.captions(), seed=seed, hidden_size=64, num_hidden_layers=4, num_attention_heads=4, ffn_dim=128)
    write_timesformer(folder / "timesformer", seed=seed, image_size=squares.SIZE, num_frames=squares.FRAMES, hidden_size=64, num_attention_heads=4, intermediate_size=128)
    model = PseudoCap.from_backbones(decoder=folder / "opt", encoder=folder / "timesformer", seed=seed, device="cpu")
    counts = model.parameter_counts()
    say(f"Learning: {counts.trainable:,} of {counts.total:,} parameters, in adapters before layers {model.config.adapter_layers}.")

    # Pool first: every film is watched once, and from then on it is T + S vectors.
    films, told = squares.draw_films(16, seed=seed)
    memory, tokens = model.encode((films - 0.45) / 0.225), model.tokenize(told)
    learned = [parameter for parameter in model.parameters() if parameter.requires_grad]
    optimiser = torch.optim.AdamW(learned, lr=2e-3)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, max_lr=2e-3, total_steps=steps)
    batches = torch.Generator().manual_seed(seed)
    started = time.perf_counter()
    model.train()
    for step in range(steps):
        rows = torch.randint(0, len(told), (48,), generator=batches)
        loss = model(tokens.input_ids[rows], memory[rows], attention_mask=tokens.attention_mask[rows], labels=tokens.labels[rows]).loss
        optimiser.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(learned, 1.0)
        optimiser.step()
        schedule.step()
        if step in (0, steps - 1) or (step + 1) % 100 == 0:
            say(f"  step {step + 1:4d}  loss {loss.item():.3f}")
    seconds = time.perf_counter() - started

    model.save_pretrained(folder / "checkpoint")
    model = PseudoCap.from_pretrained(folder / "checkpoint", device="cpu")
    films, told = squares.draw_films(4, seed=seed + 1)
    frames = (films - 0.45) / 0.225
    captions = model.decode(model.generate(model.encode(frames), max_new_tokens=12))
    reversed_captions = model.decode(model.generate(model.encode(frames.flip(1)), max_new_tokens=12))
    right = sum(said == truth for said, truth in zip(captions, told, strict=True))
    say(f"\n{'truth':<34}{'caption':<34}caption of the reversed film")
    for truth, said, backwards in list(zip(told, captions, reversed_captions, strict=True))[: len(squares.captions())]:
        say(f"{truth:<34}{said:<34}{backwards}")
    say(f"\n{right} of {len(told)} captions of unseen films are right, after {steps} steps in {seconds:.0f} s.")
    say("The backbones are random, so this shows that the parts work together, and nothing about real video.")
    return {"right": right, "films": len(told), "steps": steps, "seconds": round(seconds, 1), "loss": loss.item()}
