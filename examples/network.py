"""The network in a minute: build it, watch two clips, learn one step, generate, save, load.

For real backbones, drop the two `write_` lines and name repos or directories:
decoder="facebook/opt-1.3b", encoder="facebook/timesformer-base-finetuned-k400".
"""

from __future__ import annotations

import tempfile
from pathlib import Path

import torch

from pseudocap import PseudoCap
from pseudocap.zoo.tiny import write_opt, write_timesformer

with tempfile.TemporaryDirectory() as scratch:
    folder = Path(scratch)
    write_opt(folder / "opt", num_hidden_layers=4)
    write_timesformer(folder / "timesformer")

    model = PseudoCap.from_backbones(decoder=folder / "opt", encoder=folder / "timesformer")
    print(model.parameter_counts())

    # Two clips of different lengths share a batch: the mask says which frames are real.
    size = model.config.preprocess.size
    frames, mask = torch.randn(2, 6, 3, size, size), torch.ones(2, 6, dtype=torch.bool)
    mask[1, 4:] = False
    memory = model.encode(frames, mask)
    print(f"memory: time {list(memory.time.shape)}, space {list(memory.space.shape)}")

    tokens = model.tokenize(["a red square moves", "two dogs play"])
    optimiser = torch.optim.AdamW([p for p in model.parameters() if p.requires_grad], lr=1e-3)
    loss = model(tokens.input_ids, memory, attention_mask=tokens.attention_mask, labels=tokens.labels).loss
    loss.backward()
    optimiser.step()
    print(f"loss {loss.item():.3f}")

    print(model.decode(model.generate(memory, num_beams=3, max_new_tokens=8)))
    model.save_pretrained(folder / "checkpoint")
    again = PseudoCap.from_pretrained(folder / "checkpoint")
    assert torch.equal(again.generate(memory), model.generate(memory))
    print("saved, loaded, the same captions")
