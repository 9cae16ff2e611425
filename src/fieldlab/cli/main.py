"""The command line, put together from its groups of commands.

Each module of commands has ``register(app)``, which adds them. At start-up such a module imports
only what is light; SQLAlchemy, pydantic, rich and asyncio come in where a command uses them.
"""

from __future__ import annotations

from importlib import import_module
from typing import Annotated

import typer

from fieldlab.cli.errors import ReportingGroup

#: in the order in which `fieldlab --help` lists their commands
_MODULES = (
    "definitions",
    "running",
    "state",
    "watching",
    "reading",
    "registry",
    "bus",
    "actors",
    "site",
    "metrics",
    "perftest",
    "sandbox",
    "notifying",
    "database",
    "doctor",
)


def _show_version(wanted: bool) -> None:
    if wanted:
        from fieldlab import __version__

        typer.echo(f"fieldlab {__version__}")
        raise typer.Exit


def _fieldlab(
    version: Annotated[
        bool,
        typer.Option("--version", callback=_show_version, is_eager=True, help="Show the version."),
    ] = False,
) -> None:
    """Run experiments: every point of a parameter space, recorded in one database."""


def make_app() -> typer.Typer:
    """Put the commands together."""
    app = typer.Typer(
        name="fieldlab",
        cls=ReportingGroup,
        no_args_is_help=True,
        # plain help starts twice as fast
        rich_markup_mode=None,
        pretty_exceptions_enable=False,
        context_settings={"help_option_names": ["-h", "--help"]},
    )
    app.callback()(_fieldlab)
    for name in _MODULES:
        import_module(f"fieldlab.cli.{name}").register(app)
    return app


app = make_app()


def main() -> None:
    """Run the command line and exit with its code."""
    app(prog_name="fieldlab")
