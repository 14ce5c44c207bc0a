"""Errors of the user become one sentence and exit code 2; an interrupt ends cleanly."""

from __future__ import annotations

import contextlib
import functools
import io
from collections.abc import Callable
from typing import Any

import typer

from nastk.core.errors import NastkError
from nastk.core.ranks import launched


def sentences(command: Callable[..., None]) -> Callable[..., None]:
    """Wrap a command so that no traceback of a user's mistake reaches the terminal.

    Of several processes that share a run one prints; what is wrong each of them says, for it may be wrong there alone.
    """

    @functools.wraps(command)
    def wrapped(*args: Any, **kwargs: Any) -> None:
        try:
            with contextlib.redirect_stdout(io.StringIO()) if launched().rank else contextlib.nullcontext():
                command(*args, **kwargs)
        except NastkError as error:
            typer.echo(f"nastk: {error}", err=True)
            raise typer.Exit(error.exit_code) from None
        except KeyboardInterrupt:
            typer.echo("nastk: Interrupted before anything was begun; nothing was written.", err=True)
            raise typer.Exit(130) from None

    return wrapped
