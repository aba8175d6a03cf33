"""Measure fewer bits on a CPU: `python -m pseudocap.bench.speed.small_machines kernels | captions | quality N`.

`kernels`: one linear layer in every form that torch has a kernel for, beside float32. `captions`: a complete captioner
of a published OPT's and TimeSformer-B's shapes with random weights, in each precision, in turns. `quality`: how many
greedy captions of a captioner's toy test films change, and what CIDEr-D they cost.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import cast

import torch
from torch import nn

from pseudocap.bench.speed.measure import Timing, parser_of, take_turns
from pseudocap.bench.speed.shapes import build_on_meta, made_up_memory, published, so_many_tokens
from pseudocap.bench.tables import head
from pseudocap.model.encoders.timesformer import TimeSformer, TimeSformerConfig
from pseudocap.model.network import ADAPTERS, CaptionNetwork
from pseudocap.model.precision import FULL_PRECISION, BFloat16Linear, Float16Linear, Int4Linear, Int8Linear
from pseudocap.types import PRECISIONS

TOKENS = 20
OPTIONS = so_many_tokens(TOKENS)
# Inputs and outputs of OPT-1.3B's layers and of TimeSformer-B's, and how many rows go through them at once.
LAYERS = {"OPT-1.3B, up": (2048, 8192), "OPT-1.3B, words": (2048, 50272), "TimeSformer-B, up": (768, 3072)}
ROWS = {"OPT-1.3B, up": (1, 8, 32), "OPT-1.3B, words": (1, 8), "TimeSformer-B, up": (1568,)}


def made_up_network(decoder: str, *, frames: int = 8, adapters: torch.dtype = torch.float32) -> CaptionNetwork:
    """Make a captioner of a published shape, its adapters as stored in a type. Its weights repeat a block of random
    ones: drawing a billion takes a minute."""
    model = build_on_meta(decoder, TimeSformerConfig(num_frames=frames), published(decoder)).to_empty(device="cpu")
    model.decoder.opt.tie_weights()
    block = torch.randn(2**16 - 1, generator=torch.Generator().manual_seed(0)) * 0.02
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if parameter.dim() == 1:
                parameter.fill_(float("norm" in name and name.endswith("weight")))
                continue
            flat, numbers = parameter.view(-1), block.to(adapters) if name.startswith(ADAPTERS) else block
            for first in range(0, len(flat), len(block)):
                part = flat[first : first + len(block)]
                part.copy_(numbers[: len(part)])
    return model.eval()


def in_precision(model: CaptionNetwork, decoder: str, precision: str) -> CaptionNetwork:
    """Return a second captioner of the same weights, in fewer bits; what stays in float32 the two share."""
    if precision == FULL_PRECISION:
        return model
    twin = build_on_meta(decoder, cast(TimeSformer, model.encoder).config, published(decoder))
    for own, theirs in zip(twin.modules(), model.modules(), strict=True):
        own._parameters, own._buffers = dict(theirs._parameters), dict(theirs._buffers)
    twin.set_precision(precision)
    return twin.eval()


def generating(decoder: str, precisions: tuple[str, ...], *, batch: int, rounds: int) -> dict[str, Timing]:
    """Generate 20 greedy tokens after the encoder."""
    model, memory = made_up_network(decoder), made_up_memory(batch, 8)
    models = {precision: in_precision(model, decoder, precision) for precision in precisions}
    runs = {precision: partial(each.generate, memory, **OPTIONS) for precision, each in models.items()}
    return take_turns(runs, rounds=rounds)


def eager_int8(layer: nn.Linear) -> Callable[[torch.Tensor], torch.Tensor]:
    """Run what torch.ao's dynamic quantisation does, deprecated: one range for all rows."""
    weight = layer.weight.detach()
    scales = (weight.abs().amax(dim=1) / 127).double()
    eight = torch.quantize_per_channel(weight, scales, torch.zeros(len(weight), dtype=torch.int64), 0, torch.qint8)
    packed = torch.ops.quantized.linear_prepack(eight, layer.bias.detach())
    return lambda x: torch.ops.quantized.linear_dynamic(x, packed, reduce_range=True)


def weight_only_int8(layer: nn.Linear, dtype: torch.dtype) -> Callable[[torch.Tensor], torch.Tensor]:
    weight = layer.weight.detach()
    scales = weight.abs().amax(dim=1) / 127
    eight, scales = (weight / scales[:, None]).round().to(torch.int8), scales.to(dtype)
    return lambda x: torch.ops.aten._weight_int8pack_mm(x.to(dtype), eight, scales).float()


def kernels(rounds: int) -> None:
    print(head("layer", "rows", "float32, ms", *FORMS))
    for name, (inputs, outputs) in LAYERS.items():
        # Several layers, so that the caches hold none of them when its turn comes.
        layers = [nn.Linear(inputs, outputs).requires_grad_(False) for _ in range(3)]
        forms = {form: [make(layer) for layer in layers] for form, make in FORMS.items()}
        for rows in ROWS[name]:
            x = torch.randn(rows, inputs)
            alternatives: dict[str, Sequence[Callable[[torch.Tensor], torch.Tensor]]] = {"float32": layers, **forms}
            runs = {form: partial(_through, each, x) for form, each in alternatives.items()}
            with torch.inference_mode():
                timings = take_turns(runs, rounds=rounds)
            full = timings["float32"].median
            ratios = " | ".join(f"{full / timings[form].median:.2f}" for form in FORMS)
            print(f"| {name} | {rows} | {full / len(layers) * 1000:.2f} | {ratios} |", flush=True)


def _through(layers: Sequence[Callable[[torch.Tensor], torch.Tensor]], x: torch.Tensor) -> None:
    for layer in layers:
        layer(x)


FORMS: dict[str, Callable[[nn.Linear], Callable[[torch.Tensor], torch.Tensor]]] = {
    "bfloat16": BFloat16Linear,
    "float16": Float16Linear,
    "int8": Int8Linear,
    "int8 of torch.ao": eager_int8,
    "int8, weights only": lambda layer: weight_only_int8(layer, torch.float32),
    "int8, weights only, bfloat16 inputs": lambda layer: weight_only_int8(layer, torch.bfloat16),
    "int4, bfloat16 inputs": Int4Linear,
}


def caption_precisions(
    decoder: str, rounds: int, batches: Sequence[int], precisions: Sequence[str], adapters: torch.dtype
) -> None:
    """Time encoding a clip of 8 frames, writing 20 greedy tokens of one caption and of several, and both together."""
    model = made_up_network(decoder, adapters=adapters)
    models = {precision: in_precision(model, decoder, precision) for precision in precisions}
    clip = torch.randn(1, 8, 3, 224, 224)
    encoding = take_turns({name: partial(each.encode, clip) for name, each in models.items()}, rounds=rounds)
    columns = (
        *("captions at once", "precision", "watching each, s"),
        *("writing, s", "together, s", "times float32", "writing alone"),
    )
    print(head(*columns), flush=True)
    for batch in batches:
        memory = made_up_memory(batch, 8)
        writing = take_turns(
            {name: partial(each.generate, memory, **OPTIONS) for name, each in models.items()}, rounds=rounds
        )
        total = {name: batch * encoding[name].median + writing[name].median for name in models}
        for name in models:
            apart = f"{encoding[name].median:.2f} | {writing[name].median:.2f} | {total[name]:.2f}"
            alone = writing[FULL_PRECISION].median / writing[name].median
            ratios = f"{total[FULL_PRECISION] / total[name]:.2f} | {alone:.2f}"
            print(f"| {batch} | {name} | {apart} | {ratios} |", flush=True)


def quality(name: str, films: int, build: Path | None) -> None:
    from pseudocap.captioner import PseudoCap
    from pseudocap.evaluate.captioner import score_files
    from pseudocap.zoo.baselines import held_out_films
    from pseudocap.zoo.recipe import FULL_RECIPE
    from pseudocap.zoo.verify import write_test_world

    with tempfile.TemporaryDirectory() as scratch:
        if build is None:
            write_test_world(Path(scratch))
        chosen = held_out_films(build or Path(scratch), FULL_RECIPE.seed)[:films]
        plain: dict[str, str] = {}  # of the first precision, which is the full one
        print(head("precision", "captions that differ", "CIDEr-D"))
        for precision in PRECISIONS:
            model = PseudoCap.from_pretrained(name, device="cpu", precision=precision)
            captions, scores = score_files(model, chosen, batch_size=25, metrics=("CIDEr-D",))
            plain = plain or captions
            differ = sum(captions[key] != plain[key] for key in plain)
            print(f"| {precision} | {differ} of {len(chosen)} | {scores['CIDEr-D']:.1f} |", flush=True)


def main() -> None:
    parser = parser_of("small_machines", __doc__, rounds=3)
    parser.add_argument("what", choices=("kernels", "captions", "quality"))
    parser.add_argument("name", nargs="?", default="toy-mixed-ext", help="quality: the captioner (toy-mixed-ext)")
    parser.add_argument("--decoder", default="opt-1.3b", help="captions: a published shape (opt-1.3b)")
    parser.add_argument("--batches", type=int, nargs="+", default=[1, 8], help="captions: clips at once (1 8)")
    parser.add_argument("--precisions", nargs="+", choices=PRECISIONS, default=list(PRECISIONS), metavar="P")
    parser.add_argument("--adapters", choices=("float32", "float16"), default="float32", help="captions: as stored")
    parser.add_argument("--films", type=int, default=200, help="quality: how many test films (200)")
    parser.add_argument("--build", type=Path, metavar="DIR", help="quality: a zoo's build with the films (drawn anew)")
    args = parser.parse_args()
    torch.manual_seed(0)
    if args.what == "kernels":
        kernels(args.rounds)
    elif args.what == "captions":
        caption_precisions(args.decoder, args.rounds, args.batches, args.precisions, getattr(torch, args.adapters))
    else:
        quality(args.name, args.films, args.build)


if __name__ == "__main__":
    main()
