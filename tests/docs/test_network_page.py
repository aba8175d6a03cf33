"""The page about the network holds what it says."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from helpers.decoders import write_decoder
from helpers.hub_server import Hub
from helpers.image_models import VIT, write_timm

PAGE = Path(__file__).resolve().parents[2] / "docs" / "network.md"


def test_the_encoders_example_runs_as_it_stands(hub: Hub, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """On a hub that has both by their names, tiny."""
    write_decoder(tmp_path / "decoder", "llama")
    write_timm(tmp_path / "encoder", **VIT)
    names = {"decoder": "HuggingFaceTB/SmolLM2-135M", "encoder": "timm/vit_base_patch16_clip_224.openai"}
    for which, name in names.items():
        hub.put(name, {path.name: path.read_bytes() for path in (tmp_path / which).iterdir()})
    example = re.findall(r"```python\n(.*?)```", PAGE.read_text().partition("## The encoder")[2], flags=re.DOTALL)[0]
    exec(compile(example, "network.md", "exec"), {"__name__": "page"})
    assert capsys.readouterr().out == "torch.Size([2, 8, 16]) torch.Size([2, 16, 16])\n"
