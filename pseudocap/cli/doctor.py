"""Try each thing that captioning may need, and report what its absence costs: `pseudocap doctor`.

Whatever can be tried is tried (a clip is encoded and decoded, Java is started, the hub is reached), because an import
that succeeds proves little: torchcodec imports without FFmpeg and fails at the first frame.
"""

from __future__ import annotations

import argparse
import importlib.metadata
import io
import json
import os
import platform
import shutil
import subprocess
import sys
import tempfile
import urllib.error
import urllib.request
from dataclasses import asdict, dataclass
from pathlib import Path

from pseudocap.cli.options import add_flag
from pseudocap.cli.tables import print_table
from pseudocap.errors import CheckpointError, ConfigError, first_line
from pseudocap.hub.manifest import list_checkpoints

PACKAGES = (
    "torch",
    "torchvision",
    "lightning",
    "transformers",
    "timm",
    "torchmetrics",
    "huggingface_hub",
    "pycocoevalcap",
    "av",
)

# extra -> (the package that it brings, what needs it)
EXTRAS = {
    "app": ("gradio", "pseudocap app"),
    "asr": ("faster-whisper", "pseudocap transcribe"),
    "shots": ("scenedetect-headless", "--clips shots"),
    "search": ("lancedb", "pseudocap index and search"),
    "translate": ("sentencepiece", "Marian and M2M-100 in pseudocap translate"),
    "mine": ("threadpoolctl", "pseudocap mine at its full speed"),
    "serve": ("fastapi-offline", "pseudocap serve"),
    "ray": ("ray", "pseudocap label --engine ray"),
    "s3": ("s3fs", "s3:// addresses"),
    "deepspeed": ("deepspeed", "--trainer.strategy deepspeed_stage_2"),
}
COLOURS = {"ok": "green", "missing": "yellow", "broken": "red"}


@dataclass(frozen=True, slots=True)
class Finding:
    """Hold a finding: `status` is ok, missing (something optional, at a `cost`) or broken (Pseudocap will not work)."""

    part: str
    status: str
    detail: str
    cost: str = ""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add_flag(parser, "--json", "print the findings as JSON")
    parser.add_argument("--timeout", type=float, default=5.0, help="seconds to wait for the hub and for Java")


def run(args: argparse.Namespace) -> int:
    if not 0 < args.timeout < 3600:
        raise ConfigError(f"--timeout must be seconds above 0 and below 3600, not {args.timeout}")
    findings = examine(timeout=args.timeout)
    if args.json:
        print(json.dumps([asdict(finding) for finding in findings], indent=2))
    else:
        _print_table(findings)
    return 1 if any(finding.status == "broken" for finding in findings) else 0


def examine(*, timeout: float) -> list[Finding]:
    return [
        Finding("Python", "ok", f"{platform.python_version()} on {platform.system()} {platform.machine()}"),
        *map(check_package, PACKAGES),
        *map(check_extra, EXTRAS),
        check_gpu(),
        check_pyav(),
        check_torchcodec(),
        check_java(timeout),
        check_hub(timeout),
        check_disk(),
        check_manifest(),
    ]


def check_package(name: str) -> Finding:
    try:
        return Finding(name, "ok", importlib.metadata.version(name))
    except importlib.metadata.PackageNotFoundError:
        return Finding(name, "broken", "not installed", "a required package: make install")


def check_extra(extra: str) -> Finding:
    package, needed_by = EXTRAS[extra]
    part = f"extra: {extra}"
    try:
        return Finding(part, "ok", f"{package} {importlib.metadata.version(package)}")
    except importlib.metadata.PackageNotFoundError:
        cost = f"{needed_by}; pip install 'pseudocap[{extra}]'"
        return Finding(part, "missing", f"{package} is not installed", cost)


def check_gpu() -> Finding:
    cost = "everything works on the CPU, but full-size models are slow there"
    try:
        import torch
    except (ImportError, OSError) as error:
        return Finding("GPU", "broken", f"torch does not import: {error}", "nothing works without it")
    if torch.cuda.is_available():
        gpu = torch.cuda.get_device_properties(0)
        count, size = torch.cuda.device_count(), gpu.total_memory / 2**30
        return Finding("GPU", "ok", f"{count} x {gpu.name}, {size:.0f} GiB")
    if torch.backends.mps.is_available():
        return Finding("GPU", "ok", "Apple MPS")
    return Finding("GPU", "missing", f"none; {torch.get_num_threads()} CPU threads", cost)


def tiny_film() -> bytes:
    """Encode eight frames of MPEG-4, which every FFmpeg can write and read."""
    import numpy as np

    from pseudocap.video.writer import encode_video

    return encode_video((np.full((32, 32, 3), 30 * shade, np.uint8) for shade in range(8)), rate=8, codec="mpeg4")


def check_pyav() -> Finding:
    cost = "no video can be read: pip install av"
    try:
        import av

        with av.open(io.BytesIO(tiny_film())) as container:
            frames = sum(1 for _ in container.decode(video=0))
    except Exception as error:  # any failure of a foreign library is the finding
        return Finding("decoder: PyAV", "broken", first_line(error), cost)
    if frames != 8:
        return Finding("decoder: PyAV", "broken", f"decoded {frames} frames of 8", cost)
    return Finding("decoder: PyAV", "ok", "encoded and decoded a clip")


def check_torchcodec() -> Finding:
    part, cost = "decoder: torchcodec", "none: PyAV decodes everything"
    try:
        from torchcodec.decoders import VideoDecoder

        frames = len(VideoDecoder(tiny_film()))
    except ModuleNotFoundError:
        return Finding(part, "missing", "not installed", cost)
    except Exception as error:  # it imports without FFmpeg and fails in its own ways at the first frame
        return Finding(part, "missing", first_line(error), cost)
    return Finding(part, "ok", f"decoded a clip of {frames} frames")


def check_java(timeout: float) -> Finding:
    part, cost = "Java", "METEOR and SPICE are reported as not computed"
    java = shutil.which("java")
    if java is None:
        return Finding(part, "missing", "no java on the PATH", cost)
    try:
        answer = subprocess.run([java, "-version"], capture_output=True, text=True, timeout=timeout, check=True)
    except (OSError, subprocess.SubprocessError) as error:
        return Finding(part, "missing", first_line(error), cost)
    return Finding(part, "ok", (answer.stderr or answer.stdout).splitlines()[0])


def check_hub(timeout: float) -> Finding:
    endpoint = os.environ.get("HF_ENDPOINT", "https://huggingface.co").rstrip("/")
    cost = "backbones and checkpoints must lie on this disk already; give their directories"
    if os.environ.get("HF_HUB_OFFLINE", "0").upper() in {"1", "ON", "YES", "TRUE"}:
        return Finding("hub", "missing", "HF_HUB_OFFLINE is set", cost)
    try:
        urllib.request.urlopen(urllib.request.Request(endpoint, method="HEAD"), timeout=timeout).close()
    except urllib.error.HTTPError as error:
        return Finding("hub", "ok", f"{endpoint} answers ({error.code})")
    except (OSError, ValueError) as error:
        return Finding("hub", "missing", f"{endpoint}: {first_line(error)}", cost)
    return Finding("hub", "ok", f"{endpoint} answers")


def check_disk() -> Finding:
    """Check the free space where the hub's cache grows and where temporary files go."""
    from huggingface_hub.constants import HF_HUB_CACHE

    cache = Path(HF_HUB_CACHE)
    while not cache.exists():
        cache = cache.parent
    free = {
        name: shutil.disk_usage(path).free / 2**30
        for name, path in (("cache", cache), ("temporary", Path(tempfile.gettempdir())))
    }
    detail = ", ".join(f"{name} {gigabytes:.1f} GiB free" for name, gigabytes in free.items())
    if free["cache"] < 6:
        return Finding("disk", "missing", detail, "OPT-1.3B alone is 2.6 GB in float16")
    return Finding("disk", "ok", detail)


def check_manifest() -> Finding:
    try:
        return Finding("checkpoints.yaml", "ok", f"{len(list_checkpoints())} released weights")
    except CheckpointError as error:
        return Finding("checkpoints.yaml", "broken", str(error), "no checkpoint has a name")


def _print_table(findings: list[Finding]) -> None:
    from rich.text import Text

    title = f"pseudocap on Python {sys.version_info.major}.{sys.version_info.minor}"
    headings = ("part", "status", "what was found; what its absence costs")  # in one: 80 columns have room for URLs
    rows = (
        (each.part, Text(each.status, COLOURS[each.status]), f"{each.detail}\n{each.cost}".rstrip())
        for each in findings
    )
    print_table(title, headings, rows, left=headings)
