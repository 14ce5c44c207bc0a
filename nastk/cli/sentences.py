"""Errors of the user become one sentence and exit code 2; an interrupt ends cleanly."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import typer

from nastk.core.errors import NastkError


def sentences(command: Callable[..., None]) -> Callable[..., None]:
    """Wrap a command so that no traceback of a user's mistake reaches the terminal."""

    @functools.wraps(command)
    def wrapped(*args: Any, **kwargs: Any) -> None:
        try:
            command(*args, **kwargs)
        except NastkError as error:
            typer.echo(f"nastk: {error}", err=True)
            raise typer.Exit(error.exit_code) from None
        except KeyboardInterrupt:
            typer.echo("nastk: Interrupted before anything was begun; nothing was written.", err=True)
            raise typer.Exit(130) from None

    return wrapped
