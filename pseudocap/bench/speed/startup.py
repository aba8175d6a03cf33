"""Measure how long a user waits for the first word, and what loading needs: `python -m pseudocap.bench.speed.startup`.

Each figure is of processes of their own, as a user starts them; the file system's cache is warm, and Python keeps the
bytecode of what it imports, whatever PYTHONDONTWRITEBYTECODE says here: compiling torch anew at least doubles the time.
Peak memory is the kernel's high-water mark (VmHWM), which counts pages of mapped files too.
"""

from __future__ import annotations

import os
import re
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

from pseudocap.bench.speed.measure import parser_of, run_apart
from pseudocap.bench.tables import head

LIBRARIES = (
    "import torch; from transformers import AutoTokenizer, DynamicCache, GenerationMixin, OPTConfig, OPTForCausalLM,"
    " TimesformerModel; from transformers.models.opt.modeling_opt import OPTPreTrainedModel"
)


def seconds(words: Sequence[str], rounds: int) -> float:
    """Time complete processes: the median, after one that warms the caches."""
    each = []
    env = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    for _ in range(rounds + 1):
        started = time.perf_counter()
        subprocess.run([sys.executable, *words], check=True, capture_output=True, env=env)
        each.append(time.perf_counter() - started)
    return statistics.median(each[1:])


def first_words(folder: Path, checkpoint: str, rounds: int) -> None:
    from pseudocap.bench.speed.memories import write_film

    film = folder / "film.mp4"
    write_film(film, 0, seconds=8)
    words = ("-m", "pseudocap", "caption", str(film), "--checkpoint", checkpoint, "--device", "cpu")
    took = {
        "`pseudocap --help`": seconds(("-m", "pseudocap", "--help"), rounds),
        "importing torch and transformers' OPT": seconds(("-c", LIBRARIES), rounds),
        "the first caption": seconds(words, rounds),
    }
    print(head("what", "seconds"))
    for name, each in took.items():
        print(f"| {name} | {each:.2f} |")
    ours = took["the first caption"] - took["importing torch and transformers' OPT"]
    print(f"| of the first caption ours | {ours:.2f} |", flush=True)


def tiny_captioner(folder: Path) -> str:
    from pseudocap.captioner import PseudoCap
    from pseudocap.zoo.tiny import write_opt, write_timesformer

    write_opt(folder / "opt", num_hidden_layers=4)
    write_timesformer(folder / "timesformer")
    model = PseudoCap.from_backbones(decoder=folder / "opt", encoder=folder / "timesformer", device="cpu")
    model.save_pretrained(folder / "tiny")
    return str(folder / "tiny")


def adapters_onto(folder: Path, decoder: str, rounds: int) -> None:
    """Build stored adapters between the layers of an existing OPT (on the meta device: it is not touched)."""
    import torch
    from safetensors.torch import save_file
    from transformers import OPTForCausalLM

    from pseudocap.bench.speed.shapes import published
    from pseudocap.model.decoders.opt import AdaptedOPT, full_size
    from pseudocap.model.weights import read_tensors

    config = published(decoder)
    with torch.device("meta"):
        opt = OPTForCausalLM(full_size(decoder))
        state = AdaptedOPT(opt, config, memory_width=768).adapters.state_dict()
    weights = folder / "adapter_model.safetensors"
    save_file({name: torch.full(tensor.shape, 0.01) for name, tensor in state.items()}, weights)
    size = weights.stat().st_size / 2**30
    print(head("adapters", "GiB", "from the file, s", "the old way, s"))
    ours, before = [], []
    for _ in range(rounds):
        started = time.perf_counter()
        AdaptedOPT.from_adapters(opt, config, read_tensors(weights), memory_width=768, source=weights)
        ours.append(time.perf_counter() - started)
        started = time.perf_counter()
        plain = AdaptedOPT(opt, config, memory_width=768)  # drawn at random, then copied over
        plain.adapters.load_state_dict(read_tensors(weights))
        before.append(time.perf_counter() - started)
    print(
        f"| of {decoder} | {size:.2f} | {statistics.median(ours):.2f} | {statistics.median(before):.2f} |", flush=True
    )


def memory(folder: Path, decoder: str) -> None:
    """Measure loading a decoder whose file is in either precision, each in a process of its own."""
    import torch
    from transformers import OPTForCausalLM

    from pseudocap.model.decoders.opt import full_size
    from pseudocap.zoo.tiny import write_tokenizer

    model = OPTForCausalLM(full_size(decoder))
    print(head("file", "weights, MiB", "peak growth, MiB", "times the weights", "of it anonymous"), flush=True)
    for name, dtype in (("float32", torch.float32), ("float16", torch.float16)):
        model.to(dtype).save_pretrained(folder / name)
        write_tokenizer(folder / name)
        print(run_apart("startup", "loading", "--source", folder / name), end="")


def loading(source: str) -> None:
    from pseudocap.model.decoders.load import load_decoder

    before = _status()
    opt = load_decoder(source).lm
    after = _status()
    weights = sum(parameter.numel() * parameter.element_size() for parameter in opt.parameters()) / 2**20
    growth, kept = after["VmHWM"] - before["VmRSS"], after["RssAnon"] - before["RssAnon"]
    print(f"| {Path(source).name} | {weights:.0f} | {growth:.0f} | {growth / weights:.2f} | {kept / weights:.2f} |")


def _status() -> dict[str, float]:
    """Return this process's memory in MiB."""
    text = Path("/proc/self/status").read_text(encoding="utf-8")
    return {name: int(kib) / 2**10 for name, kib in re.findall(r"(VmHWM|VmRSS|RssAnon):\s+(\d+)", text)}


def main() -> None:
    parser = parser_of("startup", __doc__, rounds=3)
    parser.add_argument("what", choices=("first", "adapters", "memory", "loading"))
    parser.add_argument("--checkpoint", help="first: the captioner (default: a tiny one, made for it)")
    parser.add_argument("--decoder", default="opt-350m", help="adapters, memory: a published shape (opt-350m)")
    parser.add_argument("--source", help="loading: the decoder's folder")
    args = parser.parse_args()
    if args.what == "loading":
        loading(args.source)
        return
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        if args.what == "first":
            first_words(folder, args.checkpoint or tiny_captioner(folder), args.rounds)
        elif args.what == "adapters":
            adapters_onto(folder, args.decoder, args.rounds)
        else:
            memory(folder, args.decoder)


if __name__ == "__main__":
    main()
