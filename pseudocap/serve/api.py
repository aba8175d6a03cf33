"""Answer requests: POST /caption, GET /health, GET /search of an index (search_api.py), and the pages of the API.
Errors are JSON: {"error": "what is wrong"}.

An upload lies in a folder of its own under a name that the service chooses, and goes when its request ends. A path is
looked up below the root alone, with symbolic links followed before that is checked.
"""

from __future__ import annotations

import asyncio
import re
import shutil
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any, Literal

from fastapi import FastAPI, Request, UploadFile
from fastapi import Form as FormField
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse, RedirectResponse, Response
from fastapi_offline import FastAPIOffline
from pydantic import BaseModel, ConfigDict, Field
from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException

from pseudocap.decoding import FileDecoding
from pseudocap.errors import InputError, PseudocapError, nearest
from pseudocap.search.index import VideoIndex
from pseudocap.serve.batching import BatchingCaptioner, CaptionerStoppedError
from pseudocap.serve.gate import Limits, RequestGate
from pseudocap.serve.parts import ClipLengths
from pseudocap.serve.search_api import add_search
from pseudocap.types import (
    CLIP_SECONDS,
    IMAGE_EXTENSIONS,
    LOCAL_NAMES,
    MAX_NEW_TOKENS,
    MIN_SECONDS,
    VIDEO_EXTENSIONS,
    FileCaptions,
)
from pseudocap.version import __version__
from pseudocap.video.caption_text import caption_text

Form = Literal["json", "jsonl", "text", "srt", "vtt"]
MEDIA_TYPES: dict[Form, str] = {
    "json": "application/json",
    "jsonl": "application/jsonl; charset=utf-8",
    "text": "text/plain; charset=utf-8",
    "srt": "application/x-subrip; charset=utf-8",
    "vtt": "text/vtt; charset=utf-8",
}
CLIENT_GONE = 499  # nginx's number; nobody reads it
DESCRIPTION = "Captions of videos and pictures, by one captioner that stays in memory."


class CaptionForm(BaseModel):
    """Hold the fields of POST /caption, which are the options of `pseudocap caption`."""

    model_config = ConfigDict(extra="forbid")

    file: UploadFile | None = Field(None, description="a video or a picture")
    path: str | None = Field(None, description="in place of a file: one below the --root of the service")
    format: Form = Field("json", description="of the answer")
    dense: bool = Field(False, description="a caption for every clip of a video; srt and vtt imply it")
    clip_seconds: float | None = Field(None, description=f"length of a clip ({CLIP_SECONDS:g})")
    min_seconds: float | None = Field(None, description=f"leave out a shorter rest ({MIN_SECONDS:g})")
    beams: int = Field(1, le=16, description="beam search; 1 is greedy")
    top_p: float | None = Field(None, description="sample from the likeliest tokens that together have it")
    seed: int | None = Field(None, description="of sampling")
    max_new_tokens: int = Field(MAX_NEW_TOKENS, le=256, description="the longest caption")
    num_frames: int | None = Field(None, description="frames of a clip; the checkpoint's own unless given")
    prompt: str = Field("", max_length=1000, description="what captions continue")
    modalities: str | None = Field(
        None, description="of a captioner that hears: av, v or a; all that a file has unless given"
    )

    def decoding(self, batch_size: int) -> FileDecoding:
        given = ("beams", "top_p", "seed", "max_new_tokens", "num_frames", "prompt", "modalities")
        return FileDecoding(batch_size=batch_size, finish=True, **{name: getattr(self, name) for name in given})

    def lengths(self) -> ClipLengths | None:
        if not (self.dense or self.format in ("srt", "vtt")):
            for name in ("clip_seconds", "min_seconds"):
                if getattr(self, name) is not None:
                    raise InputError(f"{name} is of clips: add dense=true, or leave it out")
            return None
        longest = CLIP_SECONDS if self.clip_seconds is None else self.clip_seconds
        least = min(MIN_SECONDS, longest) if self.min_seconds is None else self.min_seconds
        return ClipLengths(clip_seconds=longest, min_seconds=least)


@dataclass(kw_only=True)
class Service:
    """Hold what the answers are made with. `name` is that of the checkpoint."""

    captioner: BatchingCaptioner
    name: str
    scratch: Path
    limits: Limits
    root: Path | None = None
    index: VideoIndex | None = None
    began: float = field(default_factory=time.monotonic)

    async def caption(self, request: Request, form: CaptionForm) -> Response:
        if (form.file is None) == (form.path is None):
            raise HTTPException(400, "name one of file and path")
        decoding, lengths = form.decoding(self.captioner.batch_size), form.lengths()
        with tempfile.TemporaryDirectory(dir=self.scratch) as folder:
            if form.path is not None:
                file, name = self._below_root(form.path), form.path
            else:
                assert form.file is not None
                file, name = await _stored(form.file, Path(folder)), form.file.filename or "upload"
            with _named(file, name):
                future = self.captioner.submit(file, decoding, lengths=lengths, seconds=self.limits.request_seconds)
                found = await _unless_gone(request, asyncio.wrap_future(future))
        if found is None:
            return Response(status_code=CLIENT_GONE)
        return self._answer(form, found, str(file), name)

    def _answer(self, form: CaptionForm, found: FileCaptions, file: str, name: str) -> Response:
        error = found.error.replace(file, name)
        if not found.captions:
            raise HTTPException(422, error)
        notes = {"Pseudocap-Notice": self.captioner.model.toy_notice, "Pseudocap-Incomplete": error}
        headers = {key: _header(text) for key, text in notes.items() if text}
        named = FileCaptions(file=name, captions=found.captions, error=error)
        text = caption_text(named, form.format, dense=form.lengths() is not None, checkpoint=self.name)
        return Response(text, media_type=MEDIA_TYPES[form.format], headers=headers)

    def _below_root(self, given: str) -> Path:
        if self.root is None:
            raise HTTPException(403, "this service takes no paths: start it with --root DIR, or upload the file")
        try:
            found = (self.root / given).resolve()
            inside, there = found.is_relative_to(self.root), found.is_file()
        except (OSError, ValueError, RuntimeError):  # too long, with a zero in it, or links in a circle (Python 3.12)
            inside, there = True, False
        if not inside:
            raise HTTPException(403, f"{given} is not below the root of this service")
        if not there:
            raise HTTPException(404, f"{given}: there is no such file below the root of this service")
        return found

    def health(self, gate: RequestGate) -> dict[str, Any]:
        counts = self.captioner.counts
        return {
            "status": "stopped" if self.captioner.stopped else "ok",
            "checkpoint": self.name,
            "notice": self.captioner.model.toy_notice or None,
            "version": __version__,
            "uptime_seconds": round(time.monotonic() - self.began, 1),
            "queue": {"open": gate.open, "limit": self.limits.queue, "refused": gate.refused},
            "captioned": {"files": counts.files, "failed": counts.failed, "clips": counts.clips},
            "batches": counts.batches,
        }


def create_app(service: Service, *, hosts: frozenset[str] = LOCAL_NAMES) -> RequestGate:
    """Return the application with its gate."""
    app: FastAPI = FastAPIOffline(title="Pseudocap", version=__version__, description=DESCRIPTION, redoc_url=None)
    gate = RequestGate(app=app, limits=service.limits, hosts=hosts)

    @app.post(
        "/caption",
        summary="Caption a video or a picture",
        responses={
            200: {"content": {each.partition(";")[0]: {} for each in MEDIA_TYPES.values()}},
            400: {"description": "an option that cannot be"},
            403: {"description": "a path that is not below the root"},
            404: {"description": "a path without a file"},
            413: {"description": "too large an upload"},
            422: {"description": "no video and no picture, a broken or too long one; a field that cannot be read"},
            503: {"description": "the queue is full, and Retry-After has seconds; or the captioner has stopped"},
            504: {"description": "it took too long"},
        },
        response_class=Response,
    )
    async def caption(
        request: Request, form: Annotated[CaptionForm, FormField(media_type="multipart/form-data")]
    ) -> Response:
        return await service.caption(request, form)

    @app.get(
        "/health",
        summary="What is served, and how busy it is",
        responses={503: {"description": "the captioner has stopped: start the service again"}},
    )
    async def health(response: Response) -> dict[str, Any]:
        found = service.health(gate)
        response.status_code = 200 if found["status"] == "ok" else 503
        return found

    if service.index is not None:
        add_search(app, service.index, root=service.root)

    @app.get("/", include_in_schema=False)
    async def home() -> RedirectResponse:
        return RedirectResponse("/docs")

    _answer_errors(app)
    return gate


def _answer_errors(app: FastAPI) -> None:
    @app.exception_handler(RequestValidationError)
    async def invalid(request: Request, error: RequestValidationError) -> JSONResponse:
        problems = [_problem(".".join(map(str, each["loc"][1:])), each) for each in error.errors()]
        return JSONResponse({"error": "; ".join(problems)}, 422)

    @app.exception_handler(HTTPException)
    async def refused(request: Request, error: HTTPException) -> JSONResponse:
        return JSONResponse({"error": error.detail}, error.status_code, error.headers)

    @app.exception_handler(PseudocapError)
    async def mistaken(request: Request, error: PseudocapError) -> JSONResponse:
        return JSONResponse({"error": str(error)}, 400)

    @app.exception_handler(CaptionerStoppedError)
    async def stopped(request: Request, error: CaptionerStoppedError) -> JSONResponse:
        return JSONResponse({"error": str(error)}, 503)

    @app.exception_handler(Exception)
    async def broken(request: Request, error: Exception) -> JSONResponse:
        return JSONResponse({"error": "the service failed at this request; its log has the reason"}, 500)


def _problem(name: str, found: Mapping[str, Any]) -> str:
    if found["type"] != "extra_forbidden":
        return f"{name}: {found['msg']}"
    known = CaptionForm.model_fields
    return f"{name}: there is no such field{nearest(name, known)}; there are {', '.join(known)}"


async def _stored(upload: UploadFile, folder: Path) -> Path:
    """Copy an upload to `upload`, with its own suffix where that is one of a video or a picture."""
    suffix = Path(upload.filename or "").suffix.lower()
    target = folder / f"upload{suffix if suffix in (*VIDEO_EXTENSIONS, *IMAGE_EXTENSIONS) else ''}"

    def copy() -> None:
        with target.open("wb") as file:
            shutil.copyfileobj(upload.file, file, 2**20)

    await run_in_threadpool(copy)
    return target


@contextmanager
def _named(file: Path, name: str) -> Iterator[None]:
    """Name a file in messages as its client does."""
    try:
        yield
    except PseudocapError as error:
        raise HTTPException(400, str(error).replace(str(file), name)) from error


async def _unless_gone(request: Request, future: asyncio.Future[FileCaptions]) -> FileCaptions | None:
    """Wait for captions; None, and nothing more is done for them, once the client has closed its connection."""

    async def gone() -> None:
        while (await request.receive())["type"] != "http.disconnect":
            pass

    watch = asyncio.ensure_future(gone())
    try:
        waited: set[asyncio.Future[Any]] = {future, watch}
        await asyncio.wait(waited, return_when=asyncio.FIRST_COMPLETED)
        return future.result() if future.done() else None
    finally:
        watch.cancel()
        future.cancel()


def _header(text: str) -> str:
    return re.sub(r"[^ -~]", "?", " ".join(text.split()))
