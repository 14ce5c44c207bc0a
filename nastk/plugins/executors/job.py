"""What a batch job does, and how its report comes back: as JSON in a file, which is parsed and never executed."""

from __future__ import annotations

import json
import os
from pathlib import Path

from nastk.core.cell.graph import Genotype
from nastk.core.run.trial import Proposal, Report
from nastk.plugins.executors.carried import unpacked


def run_job(work: bytes, genotype: str, epochs: int, threads: int, place: str) -> None:
    """One trial; its report is written to ``place``, whole or not at all. A trial that raises has failed.

    In a process of its own ``threads`` are what torch computes with.
    """
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    proposal = Proposal(Genotype.from_json(genotype, "the run that started this job"), epochs)
    try:
        report = unpacked(work)(proposal)
        text = json.dumps({"figures": dict(report.figures), "failure": report.failure})
    except Exception as error:  # a candidate must not look like a job that broke; the reason is kept in its report
        text = json.dumps({"figures": {}, "failure": f"{type(error).__name__}: {error}"})
    finally:
        torch.set_num_threads(before)
    path = Path(place)
    beside = path.with_suffix(f".{os.getpid()}.part")
    beside.write_text(text, encoding="utf-8")
    beside.replace(path)


def report_in(path: Path, proposal: Proposal) -> Report | None:
    """The report that a job wrote there; ``None`` where there is none, or none that can be read."""
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
        failure = found["failure"]
        return Report(proposal, dict(found["figures"]), None if failure is None else str(failure))
    except (OSError, ValueError, KeyError, TypeError):
        return None
