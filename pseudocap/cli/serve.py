"""Keep a captioner in memory and caption over HTTP: `pseudocap serve`."""

from __future__ import annotations

import argparse
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from pseudocap.cli.caption import add_captioner_options, load_model
from pseudocap.cli.checks import require_at_least
from pseudocap.cli.options import add_option
from pseudocap.cli.registry import find_any_captioner
from pseudocap.cli.search import open_checked, open_index
from pseudocap.errors import ConfigError
from pseudocap.types import LOCAL_NAMES

if TYPE_CHECKING:
    import socket

    from pseudocap.hub.external import External
    from pseudocap.hub.fetch import Fetched

LOCAL = "127.0.0.1"
EPILOG = """POST /caption takes a file (or a path below --root) and the options of `pseudocap caption` as fields of a
form; GET /health says what is served; GET /docs is the API as a page, GET /openapi.json as data:

  curl -F file=@film.mp4 -F format=srt http://127.0.0.1:8000/caption

Ctrl-C or SIGTERM ends it when the requests that it has are answered."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add_captioner_options(parser)
    add_option(parser, "--port", 8000, None, "0: any free one")
    parser.add_argument("--host", default=LOCAL, help=f"0.0.0.0 lets other machines in ({LOCAL})")
    parser.add_argument(
        "--allow-host",
        action="append",
        default=[],
        metavar="NAME",
        help="a name that requests may use for this machine besides localhost; again for more; '*': any",
    )
    add_option(parser, "--root", Path, "DIR", "let requests name files below it (off: uploads alone)")
    add_option(parser, "--index", str, "INDEX", "answer GET /search from this index of `pseudocap index`")
    add_option(parser, "--batch-size", 8, "N", "clips at once, also of different requests")
    add_option(parser, "--gather", 5.0, "MS", "how long an idle captioner waits for a batch to fill")
    add_option(parser, "--workers", 2, "N", "processes that decode; 0: threads, which a broken file can crash")
    add_option(parser, "--queue", 64, "N", "open requests; more are answered 503")
    add_option(parser, "--max-upload", 200, "MB", "of a file")
    add_option(parser, "--max-seconds", 600.0, "S", "of a video")
    add_option(parser, "--max-time", 120.0, "S", "of a request, from its first byte to the answer")


def run(args: argparse.Namespace) -> int:
    require_at_least(args, port=0, batch_size=1, workers=0, queue=1, max_upload=1)
    for name in ("gather", "max_seconds", "max_time"):
        if not 0 <= getattr(args, name) < 10**6 or (name != "gather" and not getattr(args, name)):
            option = name.replace("_", "-")
            least = "at least" if name == "gather" else "above"
            raise ConfigError(f"--{option} must be {least} 0 and below a million, not {getattr(args, name):g}")
    if args.root is not None and not args.root.is_dir():
        raise ConfigError(f"--root {args.root} is no folder")
    found = find_any_captioner(args.checkpoint, args.checkpoints, frames=args.frames)
    if args.index is not None:
        open_checked(args.index, None, args.checkpoints, by_text=True)
    try:
        import fastapi_offline  # noqa: F401
        import python_multipart  # noqa: F401
        import uvicorn  # noqa: F401
    except ImportError as error:
        raise ConfigError("the service needs FastAPI and uvicorn: pip install 'pseudocap[serve]'") from error
    from pseudocap.serve.server import take_port

    with take_port(args.host, args.port) as taken:
        return _serve(args, found, taken)


def _serve(args: argparse.Namespace, found: Fetched | External, taken: socket.socket) -> int:
    print(f"loading {args.checkpoint}", file=sys.stderr, flush=True)  # seconds, most of them the imports
    from pseudocap.serve.api import Service, create_app
    from pseudocap.serve.batching import BatchingCaptioner
    from pseudocap.serve.gate import Limits
    from pseudocap.serve.server import Server

    limits = Limits(
        queue=args.queue,
        upload_bytes=args.max_upload * 2**20,
        video_seconds=args.max_seconds,
        request_seconds=args.max_time,
    )
    model = load_model(args, found)
    captioner = BatchingCaptioner(
        model,
        workers=args.workers,
        batch_size=args.batch_size,
        gather=args.gather / 1000,
        max_seconds=args.max_seconds,
    )
    with tempfile.TemporaryDirectory(prefix="pseudocap-serve-") as scratch, captioner:
        service = Service(
            captioner=captioner,
            name=args.checkpoint,
            scratch=Path(scratch),
            limits=limits,
            root=args.root and args.root.resolve(),
            index=None if args.index is None else open_index(args),
        )
        named = f"[{args.host}]" if ":" in args.host else args.host  # the address that is printed
        app = create_app(service, hosts=LOCAL_NAMES | {named, *args.allow_host})
        Server(app, taken, lambda url: print(f"{url} (Ctrl-C ends)", flush=True)).run_until_stopped()
    return 0
