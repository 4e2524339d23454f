"""The command line."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from io import TextIOWrapper
from typing import Any, NoReturn

import click

from mapproof.model.language import DesignError

from .commands import (
    audit,
    check,
    explore,
    export,
    library,
    matrix,
    mutate,
    promise,
    review,
    verify,
)
from .commands.session import complain
from .running import INTERRUPTED, leave

CLOSED_PIPE = 141  # 128 + SIGPIPE, as shells have it
DEBUG = "MAPPROOF_DEBUG"  # environment: let exceptions through

EXIT_CODES = """
\b
Exit codes:
  0  every property holds, as far as was asked
  1  a property is violated, or a design is vacuous
  2  bad usage, a bad design file, nothing selected
  3  not settled: unknown, or not proved under --require-proof
Of several, the worst: 2, then 1, then 3.
"""


class _Program(click.Group):
    """Every error becomes one line on standard error and an exit code; no traceback."""

    def main(
        self,
        args: Sequence[str] | None = None,
        prog_name: str | None = None,
        complete_var: str | None = None,
        standalone_mode: bool = True,
        **extra: Any,
    ) -> NoReturn:
        """Run the program and exit, whatever ``standalone_mode`` says."""
        try:
            code = super().main(args, prog_name or "mapproof", complete_var, False, **extra)
        except SystemExit:  # this is how click takes a closed pipe
            leave(CLOSED_PIPE)
        except click.Abort:
            click.echo("mapproof: interrupted", err=True)
            leave(INTERRUPTED)
        except click.exceptions.NoArgsIsHelpError as error:
            click.echo(error.format_message(), err=True)
        except click.UsageError as error:
            command = error.ctx.command_path if error.ctx else "mapproof"
            message = " ".join(error.format_message().split())
            complain(f"{message} (see '{command} --help')")
        except (click.ClickException, DesignError) as error:
            complain(error.format_message() if isinstance(error, click.ClickException) else error)
        except (Exception, RecursionError) as error:
            if os.environ.get(DEBUG):
                raise
            complain(
                f"internal error: {type(error).__name__}: {error} "
                f"(a defect of mapproof; {DEBUG}=1 shows where)"
            )
        else:
            sys.exit(code)
        sys.exit(2)


@click.command(
    cls=_Program,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 80},
    epilog=EXIT_CODES,
)
@click.version_option(None, "--version", package_name="mapproof", message="mapproof %(version)s")
def main() -> None:
    """Prove what a kernel's page tables may map, or show the shortest run that breaks it.

    TARGET is a built-in design, file.py, file.py::design, design::property, a folder, a defect of
    the ledger or "ledger".
    """
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, TextIOWrapper):
            stream.reconfigure(errors="replace")


for command in (
    check.check,
    review.review,
    verify.verify,
    library.list_,
    library.explain,
    explore.explore,
    mutate.mutate,
    matrix.matrix,
    promise.promise,
    export.export,
    audit.audit,
    library.doctor,
):
    main.add_command(command)
