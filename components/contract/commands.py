"""What the command lines share: quiet logs, one plain message for an error that a person can mend."""

from __future__ import annotations

import logging
import sys
from collections.abc import Callable

import structlog
from rich.console import Console
from rich.markup import escape

from components.contract.errors import WaymarkError


def quiet() -> None:
    """Keep routine lines off standard output, which is for results, and TensorFlow's hints off the error."""
    logging.getLogger("tensorflow").setLevel(logging.ERROR)
    structlog.configure(
        wrapper_class=structlog.make_filtering_bound_logger(logging.WARNING),
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),
    )


def run(app: Callable[[], object]) -> None:
    """Run a command line; exit with 1 after an error's message, with 130 when interrupted."""
    quiet()
    try:
        app()
    except WaymarkError as error:
        console = Console(stderr=True)
        console.print(f"[bold red]error:[/] {escape(str(error))}", highlight=False, soft_wrap=True)
        sys.exit(1)
    except KeyboardInterrupt:
        sys.exit(130)
