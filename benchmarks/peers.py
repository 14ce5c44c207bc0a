"""Other toolkits as they are, in environments made by this script: the DARTS search step of NNI 3.0, the neuron of Norse.

NNI is not quite one function with nastk: it computes no ``none``, has no norm behind its pools and a scale in its norms.
Same cells, channels, images, batch and optimizers. Norse's neuron gives the same spikes, with a surrogate of its own.
"""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import harness
import neuron
import report
import search_step
from harness import HERE, Row, Side

ENVIRONMENTS = HERE / ".envs"
PINS = {
    "nni": ("nni==3.0", "pytorch-lightning>=2,<2.3", "numpy<2", "setuptools<81"),
    "norse": ("norse==1.1.0",),
}
"""What goes into an environment, beside the torch release that runs here. Newer numpy and setuptools break NNI 3.0."""
SHOWN = ("nni", "norse", "torch", "pytorch-lightning", "torchmetrics", "numpy")


def environment(name: str) -> tuple[Path, str]:
    """The Python of an environment, made on the first call; and why it could not be made, or nothing."""
    folder = ENVIRONMENTS / name
    python, stamp = folder / "bin" / "python", folder / "installed"
    wanted = [*PINS[name], "torch==" + report.versions(["torch"])["torch"].split("+")[0]]
    if stamp.is_file() and stamp.read_text().split() == wanted:
        return python, ""
    print(f"Installing {', '.join(wanted)} into benchmarks/.envs/{name} ...", flush=True)
    install = [str(python), "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
    for command in ([sys.executable, "-m", "venv", "--clear", str(folder)], [*install, *wanted]):
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode:
            lines = [line for line in (done.stderr or done.stdout).splitlines() if line.strip()]
            faults = [line for line in lines if line.startswith("ERROR")] or lines[-1:]
            return python, f"not installed: {' '.join(faults)}"
    stamp.write_text("\n".join(wanted))
    return python, ""


def installed(python: Path) -> dict[str, str]:
    """The versions in an environment."""
    code = f"import json, sys; sys.path.insert(0, {str(HERE)!r}); import report; print(json.dumps(report.versions({SHOWN!r})))"
    done = subprocess.run([str(python), "-c", code], capture_output=True, text=True, check=False)
    found: dict[str, str] = json.loads(done.stdout) if done.returncode == 0 else {}
    return found


def with_peer(case: str, peer: Side, others: list[Side], threads: int, effort: harness.Effort, refused: str) -> list[Row]:
    """The sides of a case, the peer first; where it could not be installed a row says why, and the others go on."""
    absent = [Row(case, peer.name, threads, peer.settings, reason=refused)] if refused else []
    return absent + harness.compare(case, others if refused else [peer, *others], threads, effort)


def search_steps(options: Any, python: Path, refused: str) -> list[Row]:
    """NNI's step beside the plain baseline's and nastk's."""
    size = {**search_step.SIZE, "batch": options.batch, "channels": options.channels, "cells": options.cells}
    relu = {"net": "relu", **search_step.NETS["relu"], **size}
    nni = Side("NNI 3.0, DARTS", "peer_nni.py", size, python=str(python))
    plain = search_step.side("DARTS-style", "baseline", relu)
    ours = [search_step.side(f"nastk {name}", "nastk", relu, chosen) for name, chosen in search_step.VARIANTS.items()]
    case = f"DARTS search step, ReLU, batch {options.batch}"
    effort = report.effort_of(options)
    return [row for threads in options.threads for row in with_peer(case, nni, [plain, *ours], threads, effort, refused)]


def neurons(options: Any, python: Path, refused: str) -> list[Row]:
    """Norse's neuron beside those of ``neuron.py``."""
    rows = []
    for threads in options.threads:
        for time_steps in options.time_steps:
            settings = {"time_steps": time_steps}
            norse = Side("Norse, step by step", "peer_norse.py", settings, python=str(python))
            others = [Side(name, "neuron.py", {**settings, "side": side}) for name, side in neuron.SIDES.items()]
            effort = report.effort_of(options, options.times)
            rows += with_peer(f"LIF, T = {time_steps}", norse, others, threads, effort, refused)
    return rows


def main() -> None:
    """Measure, print, write ``peers.json``."""
    parser = report.arguments(__doc__)
    parser.add_argument("--only", nargs="+", choices=list(PINS), default=list(PINS), help="of these toolkits (default all)")
    parser.add_argument("--batch", type=int, default=16, help="batch size of a search step (default 16)")
    parser.add_argument("--channels", type=int, default=16, help="initial channels (default 16)")
    parser.add_argument("--cells", type=int, default=8, help="cells (default 8)")
    parser.add_argument("--time-steps", type=int, nargs="+", default=[2], help="time steps of a neuron (default 2)")
    parser.add_argument("--times", type=int, default=20, help="neuron steps a sample (default 20)")
    options = parser.parse_args()
    rows, environments = [], {}
    for name in options.only:
        python, refused = environment(name)
        rows += {"nni": search_steps, "norse": neurons}[name](options, python, refused)
        if not refused:
            environments[name] = installed(python)
    report.publish("peers", "Other toolkits", rows, options, environments=environments)


if __name__ == "__main__":
    main()
