"""``python -m serving``: one process, everything on one port."""

from __future__ import annotations

import logging
import os
import sys
import warnings
from pathlib import Path
from typing import Annotated

os.environ.setdefault("TF_USE_LEGACY_KERAS", "1")
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import structlog
import typer

log = structlog.get_logger()


def serve(
    home: Annotated[
        Path | None, typer.Option(help="Folder of the releases; the current one is served.")
    ] = None,
    release: Annotated[
        Path | None, typer.Option(help="One release folder, as KServe's storage initialiser mounts it.")
    ] = None,
    port: Annotated[int, typer.Option(help="Port of REST, health and metrics.", min=1, max=65535)] = 8080,
    store: Annotated[
        Path | None, typer.Option(help="File of the events; HOME/store/events.sqlite if not given.")
    ] = None,
    log_level: Annotated[str, typer.Option(help="debug, info, warning or error.")] = "info",
) -> None:
    """Serve recommendations over KServe's V1 and V2 protocols.

    Example: python -m serving --home build/home --port 8080

    Then: curl localhost:8080/v1/models/waymark:predict -d '{"instances": [{"associate_id": "A1"}]}'
    """
    if (home is None) == (release is None):
        raise typer.BadParameter("give either --home or --release")
    _configure_logs(log_level)
    from components.contract.errors import WaymarkError

    try:
        _start(home, release, port, store)
    except WaymarkError as error:
        log.error("cannot serve", error=str(error))
        hint = "make a release with: python -m pipelines run bootstrap --data DIR --home HOME"
        sys.stderr.write(f"error: {error}\n{hint}\n")
        raise typer.Exit(1) from error


def _start(home: Path | None, release: Path | None, port: int, store: Path | None) -> None:
    from kserve import ModelServer
    from kserve.model_server import app

    from components.contract.release import load
    from serving import events, http
    from serving import home as home_page
    from serving.engine import Engine
    from serving.model import Recommender
    from serving.settings import ServingSettings
    from serving.store import SQLiteStore

    settings = ServingSettings()
    found = load(release or home)  # type: ignore[arg-type]
    structlog.contextvars.bind_contextvars(release=found.name)
    if store is None and home is not None:
        store = home / "store" / "events.sqlite"
    engine = Engine(found, SQLiteStore(store) if store else None)
    model = Recommender(engine, settings)
    model.load()
    http.install(app, settings.max_body_bytes)
    app.include_router(home_page.routes(engine.name, engine.examples(), engine.last_event))
    if store:
        app.include_router(events.routes(engine, settings))
    server = ModelServer(http_port=port, workers=1, enable_grpc=False, enable_latency_logging=False)
    # KServe logs every 4xx with its stack; failures of our own are logged where they happen.
    for name in ("kserve", "kserve.trace"):
        logging.getLogger(name).setLevel(logging.CRITICAL)
    for name in ("uvicorn", "uvicorn.access", "uvicorn.error"):
        logging.getLogger(name).setLevel(logging.WARNING)
    warnings.filterwarnings("ignore", message="ORJSONResponse is deprecated")
    example = engine.examples()[:1] or ["A1"]
    log.info("serving", pages=engine.pages, port=port)
    sys.stderr.write(
        f"\n  Open   http://localhost:{port}/\n"
        f"  Or     curl -s localhost:{port}/v1/models/waymark:predict "
        f'-d \'{{"instances": [{{"associate_id": "{example[0]}"}}]}}\'\n\n'
    )
    server.start([model])


def _configure_logs(level: str) -> None:
    number = logging.getLevelNamesMapping().get(level.upper())
    if number is None:
        raise typer.BadParameter(f"--log-level: {level!r} is none of debug, info, warning, error")
    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.processors.JSONRenderer(),
        ],
        wrapper_class=structlog.make_filtering_bound_logger(number),
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),
    )


if __name__ == "__main__":
    # KServe reads the command line when it is imported; it must not see this one's options.
    arguments, sys.argv = sys.argv[1:], sys.argv[:1]
    application = typer.Typer(add_completion=False, pretty_exceptions_enable=False)
    application.command()(serve)
    application(args=arguments, prog_name="python -m serving")
