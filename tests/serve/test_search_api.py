"""GET /search: the hits of the index, and nothing of where other files lie."""

from __future__ import annotations

from pathlib import Path

from helpers.colour_retriever import ColourRetriever, index_colours, write_colours
from helpers.serving import serving

from pseudocap import PseudoCap
from pseudocap.search import VideoIndex


def test_an_index_is_searched_over_http(model: PseudoCap, tmp_path: Path) -> None:
    root, other = tmp_path / "films", tmp_path / "other"
    for folder in (root / "more", other):
        folder.mkdir(parents=True)
    films = [write_colours(root / "more" / "a.mp4", "red", "green"), write_colours(other / "b.mp4", "red")]
    index_colours(tmp_path / "index", films)
    index = VideoIndex.open(tmp_path / "index", retriever=ColourRetriever())
    with serving(model, tmp_path / "scratch", root=root, index=index) as service:
        answer = service.client.get("/search", params={"q": "green", "top": 1}).raise_for_status().json()
        (hit,) = answer["hits"]
        assert (answer["query"], hit["file"], hit["start"], hit["end"]) == ("green", "more/a.mp4", 2.0, 4.0)
        assert hit["score"] == index.search("green", top=1)[0].score
        everything = service.client.get("/search", params={"q": "red"}).json()["hits"]
        assert {hit["file"] for hit in everything} == {"more/a.mp4", "b.mp4"}
        filtered = service.client.get("/search", params={"q": "red", "file": "b*", "before": 1}).json()["hits"]
        assert [hit["file"] for hit in filtered] == ["b.mp4"]
        for params, status, complaint in (
            ({"q": " "}, 400, "the query is empty"),
            ({"q": "red", "after": 3, "before": 2}, 400, "there is no moment"),
            ({"q": "red", "hybrid": True}, 400, "has no captions to search"),
            ({"q": "red", "top": 0}, 422, "top"),
            ({}, 422, "q"),
        ):
            refused = service.client.get("/search", params=params)
            assert refused.status_code == status, params
            assert complaint in refused.json()["error"]
            assert str(tmp_path) not in refused.json()["error"]


def test_without_an_index_there_is_no_search(model: PseudoCap, tmp_path: Path) -> None:
    with serving(model, tmp_path / "scratch") as service:
        assert service.client.get("/search", params={"q": "red"}).status_code == 404
        assert "/search" not in service.client.get("/openapi.json").json()["paths"]
