"""Measure what generating a caption's tokens costs: `python -m pseudocap.bench.speed.generation`.

OPT's shapes with random weights and six adapters, after the encoder, greedily or with beams; nothing ends a sentence,
so all write as many tokens. Beside ours stand:

- OPT without adapters, the same weights through transformers' `generate`: the limit. A step of ours reads the
  adapters' weights as well, and the head of the table says how many: so many times as long would be no overhead.
- full attention: the same adapters as open_flamingo runs such, with one attention over every patch of every frame,
  whose keys and values are projected again at every step, and for every beam.
- GIT and BLIP of transformers with decoders as wide and as deep as this OPT: GIT over all patches of all frames, BLIP
  over one picture of 384 pixels, for which it is made. Their images are seen beforehand, as ours are.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from itertools import product
from typing import Any, cast

import torch
from torch import nn
from transformers import BlipTextConfig, BlipTextLMHeadModel, GitConfig, GitForCausalLM
from transformers.modeling_outputs import BaseModelOutput

from pseudocap.bench.speed.attention import CrossAttention
from pseudocap.bench.speed.measure import Timing, parser_of, take_turns, times_as_fast
from pseudocap.bench.speed.shapes import PATCHES, made_up_memory, network, so_many_tokens
from pseudocap.bench.tables import head, row
from pseudocap.model.config import Backbone, PseudoCapConfig
from pseudocap.model.decoders.conditioning import ProjectedMemory
from pseudocap.model.decoders.opt import SHAPES, AdaptedOPT
from pseudocap.model.network import CaptionNetwork

BLIP_TOKENS = 577  # of a picture of 384 pixels
Generate = Callable[[int], object]  # so many tokens


@dataclass(frozen=True, kw_only=True, slots=True)
class Setting:
    shape: str = "opt-350m"
    frames: int = 8
    batch: int = 1
    beams: int = 1
    tokens: int = 20

    def options(self, tokens: int) -> dict[str, Any]:
        return so_many_tokens(tokens, self.beams)


def ours(model: CaptionNetwork, setting: Setting) -> Generate:
    memory = made_up_memory(setting.batch, setting.frames, width=model.decoder.memory_width)
    return lambda tokens: model.generate(memory, **setting.options(tokens))


def plain_opt(model: CaptionNetwork, setting: Setting) -> Generate:
    opt: Any = model.decoder.opt
    begin = torch.full((setting.batch, 1), 2)
    return lambda tokens: opt.generate(begin, attention_mask=torch.ones_like(begin), **setting.options(tokens))


def full_attention(model: CaptionNetwork, setting: Setting) -> Generate:
    """Build our own loop and adapters around the same OPT, with open_flamingo's attention instead of ours."""
    peer = with_full_attention(model)
    features = torch.randn(setting.batch, setting.frames * PATCHES, peer.memory_width).repeat_interleave(
        setting.beams, dim=0
    )
    everywhere = ProjectedMemory(layers={int(layer): cast(Any, features) for layer in peer.adapters})
    begin = torch.full((setting.batch, 1), 2)
    return lambda tokens: peer.generate(
        input_ids=begin, attention_mask=torch.ones_like(begin), memory=everywhere, **setting.options(tokens)
    )


def with_full_attention(model: CaptionNetwork) -> AdaptedOPT:
    """Put open_flamingo's attention into our adapters, over the same OPT's weights."""
    shape, width = model.decoder.config, model.decoder.memory_width
    config = PseudoCapConfig(
        decoder=Backbone(source="opt"),
        encoders={"video": Backbone(source="encoder")},
        adapter_layers=tuple(int(layer) for layer in model.decoder.adapters),
    )
    with torch.device("meta"):
        peer = AdaptedOPT(model.decoder.opt, config, memory_width=width)
    for adapter in peer.adapters.values():
        attention = CrossAttention(width=shape.hidden_size, memory_width=width, heads=shape.num_attention_heads)
        adapter.attention = cast(Any, attention)
        adapter.to_empty(device="cpu")
        for parameter in adapter.parameters():
            nn.init.normal_(parameter, std=0.02)
    return peer.eval()


def git(model: CaptionNetwork, setting: Setting) -> Generate:
    E = model.decoder.memory_width
    eyes = {"hidden_size": E, "num_hidden_layers": 1, "num_attention_heads": 1, "intermediate_size": E}  # never used
    config = GitConfig(**_like(model), vision_config=eyes, num_image_with_embedding=setting.frames)
    peer: Any = GitForCausalLM(config).eval()
    peer.git.image_encoder = Seen(torch.randn(setting.batch * setting.beams, 1 + PATCHES, E))
    pixels = torch.zeros(setting.batch, setting.frames, 3, 1, 1)
    begin = torch.full((setting.batch, 1), config.bos_token_id)
    return lambda tokens: peer.generate(
        input_ids=begin, attention_mask=torch.ones_like(begin), pixel_values=pixels, **setting.options(tokens)
    )


class Seen(nn.Module):
    """Stand in for GIT's image encoder: return its features of one frame."""

    def __init__(self, features_N1E: torch.Tensor) -> None:
        super().__init__()
        self.features = features_N1E

    def forward(self, pixels: torch.Tensor, **_: object) -> BaseModelOutput:
        return BaseModelOutput(last_hidden_state=self.features[: len(pixels)].clone())


def blip(model: CaptionNetwork, setting: Setting) -> Generate:
    config = BlipTextConfig(**_like(model), encoder_hidden_size=model.decoder.memory_width)
    peer: Any = BlipTextLMHeadModel(config).eval()
    features = torch.randn(setting.batch, BLIP_TOKENS, model.decoder.memory_width)
    begin = torch.full((setting.batch, 1), config.bos_token_id)
    return lambda tokens: peer.generate(
        input_ids=begin,
        attention_mask=torch.ones_like(begin),
        encoder_hidden_states=features,
        encoder_attention_mask=torch.ones(features.shape[:2], dtype=torch.long),
        eos_token_id=config.sep_token_id,
        pad_token_id=config.pad_token_id,
        **setting.options(tokens),
    )


AGAINST: dict[str, Callable[[CaptionNetwork, Setting], Generate]] = {
    "OPT without adapters": plain_opt,
    "full attention": full_attention,
    "GIT": git,
    "BLIP": blip,
}


def measure(model: CaptionNetwork, setting: Setting, against: list[str], rounds: int) -> dict[str, Timing]:
    """Time ours and the others in turns, after a warm-up of two tokens: some of them take minutes."""
    ways = {"ours": ours(model, setting)} | {name: AGAINST[name](model, setting) for name in against}
    with torch.inference_mode():
        for generate in ways.values():
            generate(2)
        runs = {name: partial(generate, setting.tokens) for name, generate in ways.items()}
        return take_turns(runs, rounds=rounds, warmups=0)


def build_setting(setting: Setting) -> CaptionNetwork:
    torch.manual_seed(0)
    return network(setting.frames, setting.shape).eval()


def weights_read(model: CaptionNetwork) -> float:
    """Count the weights that a step of ours reads, in those that a step of plain OPT reads. A video's keys and values
    are made once; of positions a row is read; the words' embeddings are the last layer's too, and count once."""

    def count(module: nn.Module, *left_out: str) -> int:
        named = module.named_parameters()
        return sum(each.numel() for name, each in named if not any(part in name for part in left_out))

    plain = count(model.decoder.opt, "embed_positions")
    once = (".key.", ".value.", ".attention.time.norm.", ".attention.space.norm.")
    return (plain + count(model.decoder.adapters, *once)) / plain


def _like(model: CaptionNetwork) -> dict[str, Any]:
    """Build a BERT-like decoder as large as this OPT."""
    shape = model.decoder.config
    return {
        "hidden_size": shape.hidden_size,
        "num_hidden_layers": shape.num_hidden_layers,
        "num_attention_heads": shape.num_attention_heads,
        "intermediate_size": shape.ffn_dim,
    }


def main() -> None:
    parser = parser_of("generation", __doc__, rounds=3)
    parser.add_argument("--shape", choices=SHAPES, default="opt-350m")
    parser.add_argument("--frames", type=int, nargs="+", default=[8])
    parser.add_argument("--batch", type=int, nargs="+", default=[1, 8])
    parser.add_argument("--beams", type=int, nargs="+", default=[1, 4])
    parser.add_argument("--tokens", type=int, default=20)
    parser.add_argument("--against", nargs="+", choices=AGAINST, default=["OPT without adapters", "full attention"])
    parser.add_argument("--json", action="store_true", help="one JSON row a line instead of the table")
    args = parser.parse_args()
    model = build_setting(Setting(shape=args.shape, frames=max(args.frames)))
    weights = weights_read(model)
    if not args.json:
        print(f"{args.shape}, {args.tokens} tokens; a step reads {weights:.3f} times plain OPT's weights\n")
        print(head("frames", "batch", "beams", "against", "ours, s", "theirs, s", "times as fast (rounds)"))
    base = Setting(shape=args.shape, tokens=args.tokens)
    for frames, batch, beams in product(args.frames, args.batch, args.beams):
        setting = replace(base, frames=frames, batch=batch, beams=beams)
        timings = measure(model, setting, args.against, args.rounds)
        for name in args.against:
            mine, theirs = timings["ours"], timings[name]
            found = {"frames": frames, "batch": batch, "beams": beams, "against": name}
            ratio, least, most = times_as_fast(mine, theirs)
            if args.json:
                found |= {"seconds": mine.median, "their_seconds": theirs.median}
                print(json.dumps(found | {"ratio": ratio, "least": least, "most": most}), flush=True)
            else:
                spread = f"{ratio:.2f} ({least:.2f} to {most:.2f})"
                print(row(*found.values(), f"{mine.median:.2f}", f"{theirs.median:.2f}", spread), flush=True)


if __name__ == "__main__":
    main()
