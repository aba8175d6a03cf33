"""Search one's own videos by text: an index of clips in LanceDB, and what finds the moment in it.

    from pseudocap.search import VideoIndex

    VideoIndex.open("index/").search("a dog runs", top=10)

Neither torch nor LanceDB is imported before it is used.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pseudocap.search.index import SearchHit, VideoIndex

__all__ = ["SearchHit", "VideoIndex"]


def __getattr__(name: str) -> object:
    if name not in __all__:
        raise AttributeError(f"module 'pseudocap.search' has no attribute {name!r}; it offers {', '.join(__all__)}")
    from pseudocap.search import index

    return getattr(index, name)
