"""``python -m serving``: one process, everything on one port."""

from __future__ import annotations

import gc
import logging
import os
import socket
import sys
import warnings
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Annotated, Any, NoReturn

import structlog
import typer

from components.contract.errors import ReleaseError, WaymarkError

log = structlog.get_logger()


def serve(
    home: Annotated[
        Path | None, typer.Option(help="Folder of the releases; the current one is served.")
    ] = None,
    release: Annotated[
        Path | None, typer.Option(help="One release folder, as KServe's storage initialiser mounts it.")
    ] = None,
    port: Annotated[int, typer.Option(help="Port of REST, health and metrics.", min=1, max=65535)] = 8080,
    host: Annotated[
        str, typer.Option(help="Address to listen at; 127.0.0.1 for this machine alone.")
    ] = "0.0.0.0",
    store: Annotated[
        str | None,
        typer.Option(
            envvar="WAYMARK_STORE",
            help="Where events go: a file, or redis://HOST:PORT/DB; HOME/store/events.sqlite if not given.",
        ),
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
    try:
        _start(home, release, host, port, store)
    except ReleaseError as error:
        _stop(f"{error}\nmake a release with: python -m pipelines run bootstrap --data DIR --home HOME")
    except WaymarkError as error:
        _stop(str(error))


def _stop(message: str) -> NoReturn:
    log.error("cannot serve", error=message)
    sys.stderr.write(f"error: {message}\n")
    raise typer.Exit(1)


def _check_free(host: str, port: int) -> None:
    """Raise when the port is taken: uvicorn would say so only after the model is loaded."""
    with socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError as error:
            raise WaymarkError(
                f"cannot listen at {host}:{port}: {error.strerror}; choose another --port"
            ) from error


def _start(home: Path | None, release: Path | None, host: str, port: int, address: str | None) -> None:
    # Before NumPy is imported. A request's products are small: threads would cost more than they save,
    # and take the cores from other requests.
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
    # A thread of the compiled loops that has nothing to do sleeps, instead of taking a core from the rest.
    os.environ.setdefault("OMP_WAIT_POLICY", "passive")
    from components.contract.kernels import use_threads
    from components.contract.release import load
    from serving.settings import read_settings

    # Before the large imports: a person who mistyped something should not wait for them.
    found = load(release or home)  # type: ignore[arg-type]
    settings = read_settings()
    use_threads(min(settings.threads, len(os.sched_getaffinity(0))))
    _check_free(host, port)
    from kserve.model_server import app

    from serving import events, http, portal, tracing
    from serving.metrics import timed
    from serving.model import NAME, Recommender, Server
    from serving.periodic import Periodic
    from serving.releases import Watcher
    from serving.rules import routes as rules
    from serving.service import Service
    from serving.stores import open_store
    from serving.stores.drain import drain

    if address is None and home is not None:
        address = str(home / "store" / "events.sqlite")
    end_tracing = tracing.start()
    store = (
        timed(open_store(address), lambda operation: tracing.within(f"store {operation}"))
        if address
        else None
    )
    service = Service(found, store, settings)
    _name_release(lambda: service.engine.name)
    model = Recommender(service, settings)
    model.load()
    direct = http.predict_at(NAME, model.predict)
    http.install(app, settings, lambda: service.engine.name, store=bool(address), direct=direct)
    portal.install(app, service, home)
    if address:
        app.include_router(rules.routes(service))
        app.include_router(events.routes(service, settings))
    server = Server(host, port)
    # KServe logs every 4xx with its stack; failures of our own are logged where they happen.
    for name in ("kserve", "kserve.trace"):
        logging.getLogger(name).setLevel(logging.CRITICAL)
    for name in ("uvicorn", "uvicorn.access", "uvicorn.error"):
        logging.getLogger(name).setLevel(logging.WARNING)
    warnings.filterwarnings("ignore", message="ORJSONResponse is deprecated")
    example = service.engine.examples()[:1] or ["A1"]
    log.info("serving", pages=service.engine.pages, port=port)
    sys.stderr.write(
        f"\n  Open   http://localhost:{port}/\n"
        f"  Or     curl -s localhost:{port}/v1/models/waymark:predict "
        f'-d \'{{"instances": [{{"associate_id": "{example[0]}"}}]}}\'\n\n'
    )
    rounds = []
    if home:
        watcher = Watcher(home, found.name, service.change)
        rounds.append(Periodic("watch releases", settings.reload_seconds, watcher.look))
    # A store that pods share is drained by a job of its own.
    if home and address and "://" not in address and settings.drain_seconds:
        work = partial(drain, open_store(address), home / "feedback")
        rounds.append(Periodic("drain", settings.drain_seconds, work))
    # What is loaded by now stays: the collector need not look through it again and again.
    gc.freeze()
    # A thread of the background, as the one that records answers, gives way to a request so soon; the
    # usual 5 ms would be waited for several times in one answer.
    sys.setswitchinterval(0.0005)
    try:
        server.start([model])
    finally:
        for one in rounds:
            one.stop()
        service.stop()
        end_tracing()


def _name_release(name: Callable[[], str]) -> None:
    """Let every line of the log name the release that answers."""

    def add(_: Any, __: str, event: Any) -> Any:
        return {**event, "release": name()}

    processors = structlog.get_config()["processors"]
    structlog.configure(processors=[*processors[:-1], add, processors[-1]])


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
