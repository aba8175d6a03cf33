"""Serve the web page on this machine: `pseudocap app`."""

from __future__ import annotations

import argparse
import os
import tempfile
from contextlib import suppress
from threading import Event

from pseudocap.cli.options import add_option
from pseudocap.cli.quiet import quieten
from pseudocap.cli.registry import DEFAULT_CAPTIONER, add_checkpoints_option, find_any_captioner
from pseudocap.cli.search import open_checked, open_index
from pseudocap.errors import ConfigError

LOCAL = "127.0.0.1"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--checkpoint",
        action="append",
        metavar="N",
        help="a captioner to offer: a row, a directory or a repo; again for more "
        f"({DEFAULT_CAPTIONER}, then all other rows of ours)",
    )
    add_checkpoints_option(parser)
    add_option(parser, "--index", str, "INDEX", "a tab that searches this index of `pseudocap index`")
    add_option(parser, "--port", 7860, None, "0: any free one")
    parser.add_argument("--host", default=LOCAL, help=f"0.0.0.0 lets others in, who can then upload ({LOCAL})")
    add_option(parser, "--max-upload", 500, "MB", "of a video")
    parser.add_argument("--device", default="auto", help="auto, cpu or cuda")


def run(args: argparse.Namespace) -> int:
    if not 0 <= args.port < 65536:
        raise ConfigError(f"--port is {args.port} and must be from 0 (any free one) to 65535")
    if args.max_upload < 1:
        raise ConfigError(f"--max-upload is {args.max_upload} MB and must be at least 1")
    if args.index is not None:
        open_checked(args.index, None, args.checkpoints, by_text=True)
    with tempfile.TemporaryDirectory(prefix="pseudocap-app-") as uploads:
        os.environ["GRADIO_TEMP_DIR"] = uploads  # all that is uploaded, and gone when the page is
        os.environ["GRADIO_ANALYTICS_ENABLED"] = "False"
        try:
            import gradio
        except ImportError as error:
            raise ConfigError("the page needs Gradio: pip install 'pseudocap[app]'") from error
        from pseudocap.app import Captioners, page

        quieten()
        captioners = Captioners(names=_names(args), checkpoints=args.checkpoints, device=args.device)
        index = None if args.index is None else open_index(args)
        blocks = page(captioners, index).queue(default_concurrency_limit=1, max_size=32)
        try:
            _, url, _ = blocks.launch(
                server_name=args.host,
                server_port=args.port or None,
                max_file_size=args.max_upload * gradio.FileSize.MB,
                theme=gradio.themes.Default(font="system-ui", font_mono="monospace"),  # none from another machine
                footer_links=[],
                ssr_mode=False,
                prevent_thread_lock=True,
                quiet=True,
            )
        except OSError as error:
            raise ConfigError(f"port {args.port} of {args.host} cannot be had; name another with --port") from error
        print(f"{url} (Ctrl-C ends)", flush=True)
        with suppress(KeyboardInterrupt):
            Event().wait()
        blocks.close(verbose=False)
    return 0


def _names(args: argparse.Namespace) -> list[str]:
    """Return what is offered, first what is chosen already; a name that cannot be found, or that is no captioner, is
    reported now."""
    from pseudocap.hub.external import External
    from pseudocap.hub.manifest import all_rows

    ours = [
        name
        for name, row in all_rows(args.checkpoints).items()
        if not row.external and not row.retriever and not row.valor
    ]
    names = args.checkpoint or sorted(ours, key=lambda name: name != DEFAULT_CAPTIONER)
    if not names:
        raise ConfigError("no weights are released yet: name a captioner with --checkpoint")
    for name in args.checkpoint or ():
        found = find_any_captioner(name, args.checkpoints)
        if isinstance(found, External) and found.kind is not None:
            from pseudocap.label.teachers.image_text import check_kind

            check_kind(found.kind, name)
    return names
