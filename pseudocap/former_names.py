"""Answer imports of the modules that had other names in 0.1 by the modules of today, for one version.

A config's class_path and `from pseudocap.captioning import caption_files` go on so. The finder is asked only where no
file answers an import, so that it costs nothing; to drop the names, drop this file and its line in `pseudocap`.
"""

from __future__ import annotations

import importlib
import sys
from collections.abc import Sequence
from importlib.machinery import ModuleSpec
from types import ModuleType

_CORPORA = ("howto100m", "msrvtt", "msvd", "splits", "vatex")
FORMER = {
    "pseudocap.captioning": "pseudocap.caption_files",
    "pseudocap.data.captions": "pseudocap.data.corpora.own",
    "pseudocap.data.memory_shards": "pseudocap.data.memories.shards",
    "pseudocap.data.module": "pseudocap.data.caption_data",
    "pseudocap.data.shards": "pseudocap.data.tars.samples",
    "pseudocap.data.sources": "pseudocap.data.stream.sources",
    "pseudocap.data.stream_module": "pseudocap.data.stream_data",
    "pseudocap.model.timesformer": "pseudocap.model.encoders.timesformer",
    "pseudocap.regimes.tuning": "pseudocap.regimes.finetune_run",
    **{f"pseudocap.data.{name}": f"pseudocap.data.corpora.{name}" for name in _CORPORA},
}


class FormerNames:
    """Find a module by its name of 0.1, and give today's for it: it is one module, with one set of classes."""

    def find_spec(
        self, name: str, path: Sequence[str] | None = None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        # no importlib.abc.Loader: that import would double the time of `import pseudocap`
        return ModuleSpec(name, self) if name in FORMER else None  # type: ignore[arg-type]

    def create_module(self, spec: ModuleSpec) -> None:
        """Leave it to Python: `exec_module` replaces it."""

    def exec_module(self, module: ModuleType) -> None:
        sys.modules[module.__name__] = importlib.import_module(FORMER[module.__name__])
