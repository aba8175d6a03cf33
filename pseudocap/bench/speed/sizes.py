"""Count parameters of the full-size captioners, built on the meta device: `python -m pseudocap.bench.speed.sizes`."""

from __future__ import annotations

from pseudocap.bench.speed.shapes import build_on_meta, published
from pseudocap.bench.tables import head
from pseudocap.model.decoders.opt import SHAPES
from pseudocap.model.encoders.timesformer import TimeSformerConfig


def main() -> None:
    print(head("decoder", "encoder", "fusion", "adapters before layers", "total", "frozen", "trainable"))
    for name in SHAPES:
        for frames, fusion in ((8, "residual"), (96, "residual"), (8, "convex")):
            config = published(name, fusion=fusion)
            counts = build_on_meta(name, TimeSformerConfig(num_frames=frames), config).parameter_counts()
            layers = ", ".join(map(str, config.adapter_layers))
            row = f"| {name} | TimeSformer-B, {frames} frames | {fusion} | {layers} |"
            print(f"{row} {counts.total:,} | {counts.frozen:,} | {counts.trainable:,} |")


if __name__ == "__main__":
    main()
