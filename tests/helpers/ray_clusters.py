"""A real Ray cluster on this machine, and the end of one of its nodes."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
from collections.abc import Iterator
from typing import Any

import pytest

STORE = 100 << 20


@pytest.fixture
def two_nodes() -> Iterator[Any]:
    """A head that does no work, and two nodes of two CPUs."""
    from ray.cluster_utils import Cluster

    cluster = Cluster(
        initialize_head=True,
        head_node_args={"num_cpus": 0, "object_store_memory": STORE, "include_dashboard": False},
    )
    try:
        for _ in range(2):
            cluster.add_node(num_cpus=2, object_store_memory=STORE)
        cluster.wait_for_nodes()
        yield cluster
    finally:
        cluster.shutdown()


def kill_node(node: Any) -> None:
    """kill -9 of everything that runs there, as when a machine loses its power."""
    (raylet,) = (each.process.pid for each in node.all_processes["raylet"])
    below = subprocess.run(["ps", "-o", "pid=", "--ppid", str(raylet)], capture_output=True, text=True).stdout
    for pid in (raylet, *map(int, below.split())):
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
