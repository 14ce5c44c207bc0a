"""The command line. Nothing here computes: each command calls the function of the same name in nastk's public face."""

from __future__ import annotations


def main() -> None:
    """The entry point ``nastk``."""
    from nastk.cli.app import app

    app(prog_name="nastk")
