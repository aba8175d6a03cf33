"""Mine on many machines: Ray Data deals shards out to actors, each of which holds the encoder and all seeds.

What crosses the network is the names of videos, and of each shard its best matches; heaps are merged here. A machine
that dies costs the shards that it was at (label/on_ray.py, whose actors these are). Needs the extra `ray`.
"""

from __future__ import annotations

import pickle
import tempfile
from collections.abc import Generator, Mapping, Sequence
from pathlib import Path
from typing import Any

from pseudocap.label.engines import LocalEngine
from pseudocap.label.on_ray import RayEngine
from pseudocap.label.work import Work
from pseudocap.mine.match import Matcher
from pseudocap.mine.shard import FilmsRead, Mined, ShardMiner


class RayMining(RayEngine):
    """Mine on a Ray cluster, joined while the `with` block lasts; `teachers` is how many actors there are."""

    noun = "actor"

    def mine(self, works: Sequence[Work], miner: ShardMiner, scratch: Path) -> Generator[Mined | FilmsRead]:
        miner.embedder.to("cpu")  # it is sent, also to machines without a GPU
        shared = (miner.embedder, miner.matcher.seeds, miner.matcher.apart, miner.spec, miner.index, miner.retry_failed)
        for mined in self.dealt(works, _MiningWorker, shared):
            yield FilmsRead(films=len(mined.films.names), frames=mined.count)
            yield mined


class _MiningWorker:
    """Mine the shards that Ray deals to this actor."""

    def __init__(self, there: list[Any], workers: int) -> None:
        import ray

        embedder, seeds, apart, spec, index, retry_failed = ray.get(there[0])
        device = "cuda" if ray.get_gpu_ids() else "cpu"
        embedder.to(device)
        matcher = Matcher(seeds=seeds, apart=apart, device=device)
        self._miner = ShardMiner(embedder=embedder, matcher=matcher, spec=spec, index=index, retry_failed=retry_failed)
        self._engine = LocalEngine(workers)

    def __call__(self, rows: Mapping[str, Any]) -> dict[str, list[bytes]]:
        works = [pickle.loads(content) for content in rows["content"]]
        with tempfile.TemporaryDirectory(prefix="pseudocap-") as scratch:
            steps = self._miner.mine(works, self._engine, Path(scratch))
            return {"content": [pickle.dumps(step) for step in steps if isinstance(step, Mined)]}
