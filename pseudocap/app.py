"""Serve the page of `pseudocap app`: drop a video or a picture, read captions, ask questions, compare captioners,
correct, download; search an index where there is one.

A page of Gradio over `caption_long`. Uploads lie in a folder of Gradio's own, under names that it
chooses; nothing that a visitor types is ever a path here.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from threading import Lock
from typing import Any

import gradio as gr

from pseudocap.captioner import PseudoCap
from pseudocap.data.corpora.own import read_own
from pseudocap.errors import ConfigError, PseudocapError
from pseudocap.external import AnyCaptioner, ExternalCaptioner, load
from pseudocap.rows import row_line
from pseudocap.search.index import SearchHit, VideoIndex
from pseudocap.types import TimedCaption
from pseudocap.video.playable import playable
from pseudocap.video.subtitles import clock, merge_equal, to_srt, to_vtt

HITS = 20  # of a search
IN_MEMORY = 2  # captioners; two are compared
KEPT = (600, 3600)  # seconds: how often old uploads are searched for, and how old they may become
HEADERS = ["video", "start", "end", "caption"]
COLUMNS = ["from", "to", "caption"]
TIMES_AND_TEXT = ["18%", "18%", "64%"]
Cells = list[list[Any]]
Turn = dict[str, Any]  # of a chat: role and content, as Gradio has them


@dataclass(kw_only=True)
class Captioners:
    """Load the captioners of the page by name. The last used stay in memory; one at a time works."""

    names: Sequence[str]
    checkpoints: str | None = None
    device: str = "auto"
    _loaded: dict[str, AnyCaptioner] = field(default_factory=dict)
    _lock: Lock = field(default_factory=Lock)

    def load(self, name: str) -> AnyCaptioner:
        """Return the captioner of that name; what is not on the list is refused, whatever the browser sends."""
        if name not in self.names:
            raise ConfigError(f"{name!r} is none of {', '.join(self.names)}")
        with self._lock:
            model = self._loaded.pop(name, None)
            if model is None:
                model = load(name, checkpoints=self.checkpoints, device=self.device)
            self._loaded[name] = model  # at the end: the first is the one longest unused
            while len(self._loaded) > IN_MEMORY:
                del self._loaded[next(iter(self._loaded))]
        return model

    def caption(self, video: str, name: str, clip_seconds: float) -> Iterator[list[TimedCaption]]:
        """Yield all captions so far, each time that there is another; equal neighbours are one."""
        captions: list[TimedCaption] = []
        for caption in self.load(name).caption_long(video, clip_seconds=clip_seconds):
            captions[-1:] = merge_equal([*captions[-1:], caption])
            yield captions


def page(captioners: Captioners, index: VideoIndex | None = None) -> gr.Blocks:
    with gr.Blocks(title="Pseudocap", analytics_enabled=False, delete_cache=KEPT) as blocks:
        gr.Markdown(
            "# Pseudocap\nCaptions of your videos and pictures. Everything runs on this machine; nothing is kept."
        )
        corrected = _correct()
        with gr.Tab("Caption", render_children=True):
            _caption(captioners, corrected)
        with gr.Tab("Ask"):
            _ask(captioners)
        with gr.Tab("Compare"):
            _compare(captioners)
        with gr.Tab("Correct"):
            corrected.render()
            _save(corrected)
        if index is not None:
            with gr.Tab("Search"):
                _search(index)
    return blocks


def _correct() -> gr.Dataframe:
    """Build the table that the first tab fills and the third displays."""
    return gr.Dataframe(
        headers=HEADERS,
        datatype=["str", "number", "number", "str"],
        type="array",
        interactive=True,
        wrap=True,
        label="Captions, to be corrected",
        elem_id="corrected",
        render=False,
    )


def _caption(captioners: Captioners, corrected: gr.Dataframe) -> None:
    with gr.Row():
        with gr.Column():
            video, still = _drop("video", "picture")
            names = list(captioners.names)
            name = gr.Dropdown(names, value=names[0], label="Captioner", elem_id="captioner")
            seconds = gr.Slider(1, 60, value=8, step=1, label="Seconds of a clip")
            button = gr.Button("Caption", variant="primary", elem_id="caption")
        with gr.Column():
            toy = gr.Markdown(elem_id="toy")
            table = gr.Dataframe(
                headers=COLUMNS,
                wrap=True,
                column_widths=TIMES_AND_TEXT,
                label="Captions",
                interactive=False,
                elem_id="captions",
            )
            with gr.Row():
                srt = gr.DownloadButton("Subtitles (.srt)", interactive=False, elem_id="srt")
                vtt = gr.DownloadButton("Subtitles (.vtt)", interactive=False, elem_id="vtt")
            why = gr.Button("What did it look at?", elem_id="why")
            gr.Markdown("Where each word looked")  # above it: the label of a picture lies upon the picture
            looked = gr.Image(show_label=False, buttons=[], interactive=False, elem_id="looked")

    def run(
        film: str | None, still: str | None, chosen: str, length: float, before: Cells
    ) -> Iterator[tuple[Any, ...]]:
        path = film or still
        with errors_as_messages(path):
            captions: list[TimedCaption] = []
            given, notice = _given(path), captioners.load(chosen).toy_notice
            for captions in captioners.caption(given, chosen, length):
                yield notice, table_rows(captions), gr.skip(), gr.skip(), gr.skip()
            called = Path(given).name
            texts = {"srt": to_srt(captions), "vtt": to_vtt(captions)}
            files = [download(f"{Path(given).stem}.{kind}", text) for kind, text in texts.items()]
            rows = [[called, round(each.start, 3), round(each.end, 3), each.text] for each in captions]
            kept = [row for row in before if any(row) and row[0] != called]
            ready = (gr.update(value=each, interactive=True) for each in files)
            yield notice, table_rows(captions), *ready, [*kept, *rows]

    def explain(film: str | None, still: str | None, chosen: str) -> str:
        path = film or still
        with errors_as_messages(path):
            return picture(captioners.load(chosen), _given(path))

    given = [video, still, name]
    button.click(run, [*given, seconds, corrected], [toy, table, srt, vtt, corrected], api_visibility="private")
    why.click(explain, given, looked, api_visibility="private")


def _ask(captioners: Captioners) -> None:
    names = list(captioners.names)
    with gr.Row():
        with gr.Column():
            video, still = _drop("asked", "asked-picture")
            name = gr.Dropdown(names, value=names[0], label="Captioner", elem_id="answerer")
            gr.Markdown("Captioners answer that have learned to: `pseudocap finetune --data questions:FILE`.")
        with gr.Column():
            toy = gr.Markdown(elem_id="asked-toy")
            chat = gr.Chatbot(
                label="Questions and answers", buttons=[], render_markdown=False, feedback_options=None, elem_id="chat"
            )
            question = gr.Textbox(label="Question", placeholder="what is the man doing?", elem_id="question")
            button = gr.Button("Ask", variant="primary", elem_id="ask")

    def run(
        film: str | None, still: str | None, chosen: str, asked: str, before: list[Turn]
    ) -> tuple[str, list[Turn], str]:
        path = film or still
        with errors_as_messages(path):
            model = captioners.load(chosen)
            return model.toy_notice, [*before, *turns(model, _given(path), asked)], ""

    given = [video, still, name, question, chat]
    asks = [
        event(run, given, [toy, chat, question], api_visibility="private") for event in (button.click, question.submit)
    ]
    for dropped in (video, still):  # the chat, and an answer to come, are about another; the outer list: of the outputs
        dropped.change(None, None, chat, js="() => [[]]", cancels=asks, api_visibility="private")


def turns(model: AnyCaptioner, path: str, question: str) -> list[Turn]:
    """Return a question about a file and its answer as the two turns of a chat."""
    answer = model.ask(path, question)
    return [{"role": "user", "content": question.strip()}, {"role": "assistant", "content": answer}]


def _compare(captioners: Captioners) -> None:
    names = list(captioners.names)
    video, still = _drop("compared", "compared-picture")
    with gr.Row():
        left = gr.Dropdown(names, value=names[0], label="One", elem_id="left")
        right = gr.Dropdown(names, value=names[min(1, len(names) - 1)], label="The other", elem_id="right")
    button = gr.Button("Compare", variant="primary", elem_id="compare")
    toy = gr.Markdown(elem_id="compared-toy")
    table = gr.Dataframe(headers=["from", "to", "one", "the other"], wrap=True, interactive=False, elem_id="comparison")

    def run(film: str | None, still: str | None, one: str, other: str) -> Iterator[tuple[str, Cells]]:
        path = film or still
        with errors_as_messages(path):
            given = _given(path)
            models = [captioners.load(name) for name in (one, other)]
            notices = dict.fromkeys(model.toy_notice for model in models)
            clips = (model.caption_long(given) for model in models)
            rows: Cells = []
            for first, second in zip(*clips, strict=True):
                rows.append([clock(first.start), clock(first.end), first.text, second.text])
                yield "\n\n".join(filter(None, notices)), rows

    button.click(run, [video, still, left, right], [toy, table], api_visibility="private")


def _drop(video_id: str, picture_id: str) -> tuple[gr.Video, gr.Image]:
    """Build where a video or a picture is dropped; the one that came last is the one that counts."""
    with gr.Tab("Video"):
        video = gr.Video(label="Video", sources=["upload"], elem_id=video_id)
    with gr.Tab("Picture"):
        still = gr.Image(label="Picture", type="filepath", sources=["upload"], elem_id=picture_id)
    # In the page itself: the answer of the server to the first upload could come after the second and empty it.
    video.upload(None, None, still, js="() => null", api_visibility="private")
    still.upload(None, None, video, js="() => null", api_visibility="private")
    return video, still


def _search(index: VideoIndex) -> None:
    gr.Markdown(f"Find the moment among {len(index):,} clips; choose a row to see it.")
    with gr.Row():
        text = gr.Textbox(label="What to look for", elem_id="query", scale=4)
        button = gr.Button("Search", variant="primary", elem_id="search")
    found = gr.State([])
    with gr.Row():
        headers = ["rank", "file", "from", "to", "score", "caption"]
        table = gr.Dataframe(headers=headers, wrap=True, interactive=False, label="Hits", elem_id="hits")
        with gr.Column():
            video = gr.Video(label="Hit", interactive=False, autoplay=True, elem_id="hit")
            still = gr.Image(label="Hit", interactive=False, visible=False, elem_id="hit-picture")
            note = gr.Markdown(elem_id="hit-note")

    def run(query: str) -> tuple[Cells, list[SearchHit]]:
        with errors_as_messages(None):
            hits = index.search(query, top=HITS)
        rows = [
            [rank, Path(hit.file).name, *hit.times, round(hit.score, 3), hit.caption]
            for rank, hit in enumerate(hits, start=1)
        ]
        return rows, hits

    def choose(hits: list[SearchHit], event: gr.SelectData) -> tuple[Any, Any, Any]:
        if (hit := hit_of_row(hits, event.row_value)) is None:
            return gr.skip(), gr.skip(), gr.skip()
        with errors_as_messages(hit.file):
            path = hit_file(hit)
        moving = path.endswith(".mp4")
        players = (gr.update(value=path if it else None, visible=it) for it in (moving, not moving))
        return *players, hit.note

    button.click(run, text, [table, found], api_visibility="private")
    text.submit(run, text, [table, found], api_visibility="private")
    table.select(choose, found, [video, still, note], api_visibility="private")


def hit_of_row(hits: Sequence[SearchHit], row: Sequence[Any]) -> SearchHit | None:
    """Return the hit of a row by its rank, as the table may be sorted otherwise; None of an empty table's row."""
    return hits[int(row[0]) - 1] if hits else None


def hit_file(hit: SearchHit) -> str:
    """Write a hit as a small silent film, or as a picture, and return its path."""
    media = playable(hit.file, start=hit.start, end=None if hit.still else hit.end)
    path = _new_file("hit.mp4" if media.media_type.startswith("video/") else "hit.jpg")
    path.write_bytes(media.data)
    return str(path)


def _save(corrected: gr.Dataframe) -> None:
    gr.Markdown("Change captions or times, empty a caption to leave it out, and fine-tune on the file that is saved.")
    with gr.Row():
        button = gr.Button("Save", variant="primary", elem_id="save")
        file = gr.DownloadButton("captions.jsonl", interactive=False, elem_id="saved")

    def run(rows: Cells) -> Any:
        with errors_as_messages(None):
            return gr.update(value=fine_tuning_file(rows), interactive=True)

    button.click(run, corrected, file, api_visibility="private")


def fine_tuning_file(rows: Cells) -> str:
    """Write captions.jsonl in caption rows (docs/rows.md), read it back once, and return its path."""
    lines = []
    for video, start, end, caption in rows:
        if str(caption or "").strip():
            times = {} if start in (None, "") and end in (None, "") else {"start": start, "end": end}
            lines.append(row_line(video=video, **times, caption=caption))
    if not lines:
        raise ConfigError("there is no caption to save: caption a video first")
    path = download("captions.jsonl", "".join(lines))
    read_own(path, split="train")
    return path


def table_rows(captions: Sequence[TimedCaption]) -> Cells:
    return [[clock(each.start), clock(each.end), each.text] for each in captions]


def download(name: str, text: str) -> str:
    """Write a file of that name and return its path."""
    path = _new_file(name)
    path.write_text(text, encoding="utf-8")
    return str(path)


def picture(model: AnyCaptioner, video: str) -> str:
    """Draw the caption of the entire video, and where each of its words looked, as a PNG."""
    if not isinstance(model, PseudoCap):
        name = model.model.name if isinstance(model, ExternalCaptioner) else "a VALOR"
        raise ConfigError(f"where {name} looked is not known: only a PseudoCap's adapters say it")
    path = _new_file("looked.png")
    model.explain(video).save(path)
    return str(path)


def _new_file(name: str) -> Path:
    """Return a path in a folder of its own, below Gradio's, which removes it when it is old."""
    return Path(tempfile.mkdtemp(dir=gr.utils.get_upload_folder())) / Path(name).name


def _given(path: str | None) -> str:
    if path is None:
        raise ConfigError("drop a video or a picture first")
    return path


@contextmanager
def errors_as_messages(path: str | None) -> Iterator[None]:
    """Turn our errors into the page's own messages, without the path of the upload."""
    try:
        yield
    except PseudocapError as error:
        message = str(error)
        raise gr.Error(message.replace(path, Path(path).name) if path else message, print_exception=False) from error
