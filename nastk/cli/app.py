"""The commands that run: run, search, train, evaluate."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Any

import typer

import nastk
from nastk.cli import ablating, benching, checking, estimating, exporting, inspecting, listing, reporting, scaffolding
from nastk.cli.sentences import sentences

app = typer.Typer(
    name="nastk",
    help="Neural architecture search, spiking networks first.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)

Config = Annotated[
    Path | None, typer.Argument(help="Run file (TOML). Without one: the bundled digits, done in about two minutes.")
]
Strategy = Annotated[str | None, typer.Option(help="Search strategy.", metavar="NAME")]
Space = Annotated[str | None, typer.Option(help="Search space.", metavar="NAME")]
Data = Annotated[str | None, typer.Option("--dataset", help="Data set.", metavar="NAME")]
Neuron = Annotated[str | None, typer.Option(help="Neuron of every layer.", metavar="NAME")]
Attention = Annotated[str | None, typer.Option(help="Attention module.", metavar="NAME")]
Set = Annotated[
    list[str] | None, typer.Option("--set", help="One setting, e.g. strategy.epochs=20. Repeatable.", metavar="PATH=VALUE")
]
Seed = Annotated[int | None, typer.Option(help="The one seed of the run.  [default: 0]")]
Device = Annotated[str | None, typer.Option(help="cpu, cuda, cuda:N, mps or auto.  [default: auto]", metavar="NAME")]
Out = Annotated[Path | None, typer.Option(help="New or empty run directory.  [default: a fresh one below runs/]")]
Resume = Annotated[Path | None, typer.Option(help="Go on with an interrupted run, with its own settings.")]
DryRun = Annotated[bool, typer.Option("--dry-run", help="Only estimate time and memory, by a few batches of each stage.")]
Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="No live display; print the result as JSON.")]


def _settings(config: Path | None, **flags: Any) -> dict[str, Any]:
    given = {name: value for name, value in flags.items() if value is not None}
    return {"config": config, **given}


@app.command()
@sentences
def run(
    config: Config = None,
    strategy: Strategy = None,
    space: Space = None,
    dataset: Data = None,
    neuron: Neuron = None,
    attention: Attention = None,
    set_: Set = None,
    seed: Seed = None,
    device: Device = None,
    out: Out = None,
    resume: Resume = None,
    dry_run: DryRun = False,
    quiet: Quiet = False,
) -> None:
    """Search, derive, retrain from scratch, test once, report."""
    flags = _settings(
        config, strategy=strategy, space=space, dataset=dataset, neuron=neuron, attention=attention, seed=seed, device=device
    )
    if dry_run:
        estimating.dry_run({**flags, "set": set_ or ()}, resume=resume is not None, quiet=quiet)
        return
    result = nastk.run(**flags, set=set_ or (), out=out, resume=resume, quiet=quiet)
    if quiet:
        typer.echo(json.dumps(result, indent=2))


@app.command()
@sentences
def search(
    config: Config = None,
    strategy: Strategy = None,
    space: Space = None,
    dataset: Data = None,
    neuron: Neuron = None,
    attention: Attention = None,
    set_: Set = None,
    seed: Seed = None,
    device: Device = None,
    out: Out = None,
    quiet: Quiet = False,
) -> None:
    """Search only; writes genotype.json and prints it."""
    flags = _settings(
        config, strategy=strategy, space=space, dataset=dataset, neuron=neuron, attention=attention, seed=seed, device=device
    )
    typer.echo(nastk.search(**flags, set=set_ or (), out=out, quiet=quiet).to_json(), nl=False)


@app.command()
@sentences
def train(
    genotype: Annotated[Path, typer.Argument(help="Genotype file.", metavar="GENOTYPE.json")],
    config: Config = None,
    space: Space = None,
    dataset: Data = None,
    neuron: Neuron = None,
    attention: Attention = None,
    set_: Set = None,
    seed: Seed = None,
    device: Device = None,
    out: Out = None,
    quiet: Quiet = False,
) -> None:
    """Train a genotype's network from scratch; prints the run directory, whose test data `nastk evaluate` opens."""
    flags = _settings(config, space=space, dataset=dataset, neuron=neuron, attention=attention, seed=seed, device=device)
    typer.echo(nastk.train(genotype, **flags, set=set_ or (), out=out, quiet=quiet))


@app.command()
@sentences
def evaluate(
    directory: Annotated[Path, typer.Argument(help="Run directory with a finished training.", metavar="RUN_DIR")],
    best: Annotated[
        bool, typer.Option("--best", help="Of the epoch with the best validation accuracy, not of the last one.")
    ] = False,
    quiet: Quiet = False,
) -> None:
    """Open the test data of a trained run, once, and complete its result.json."""
    result = nastk.evaluate(directory, best=best, quiet=quiet)
    if quiet:
        typer.echo(json.dumps(result, indent=2))


app.command()(ablating.ablate)
app.command()(benching.bench)
app.command()(exporting.export)
app.command()(reporting.report)
app.command()(reporting.watch)
app.command()(inspecting.runs)
app.command()(inspecting.verify)
app.command()(inspecting.distance)
app.command()(listing.plugins)
app.command()(listing.describe)
app.command()(checking.check)
app.command()(scaffolding.new)
