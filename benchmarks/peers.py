"""The DARTS search step of other toolkits as they are, against nastk: NNI 3.0, in an environment made by this script.

Not quite one function: NNI computes no ``none``, has no norm behind its pools and a scale in its norms. Same cells,
channels, images, batch and optimizers.
"""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import harness
import report
import search_step
from harness import HERE, Side

ENVIRONMENTS = HERE / ".envs"
PINS = {"nni": ("nni==3.0", "pytorch-lightning>=2,<2.3", "numpy<2", "setuptools<81")}
"""What goes into an environment, beside the torch release that runs here. Newer numpy and setuptools break NNI 3.0."""
SHOWN = ("nni", "torch", "pytorch-lightning", "torchmetrics", "numpy")


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


def main() -> None:
    """Measure, print, write ``peers.json``."""
    parser = report.arguments(__doc__)
    parser.add_argument("--batch", type=int, default=16, help="batch size (default 16)")
    parser.add_argument("--channels", type=int, default=16, help="initial channels (default 16)")
    parser.add_argument("--cells", type=int, default=8, help="cells (default 8)")
    options = parser.parse_args()
    python, refused = environment("nni")
    size = {**search_step.SIZE, "batch": options.batch, "channels": options.channels, "cells": options.cells}
    relu = {"net": "relu", **search_step.NETS["relu"], **size}
    nni = Side("NNI 3.0, DARTS", "peer_nni.py", size, python=str(python))
    plain = search_step.side("DARTS-style", "baseline", relu)
    ours = [search_step.side(f"nastk {name}", "nastk", relu, chosen) for name, chosen in search_step.VARIANTS.items()]
    case = f"DARTS search step, ReLU, batch {options.batch}"
    rows = []
    for threads in options.threads:
        if refused:
            rows.append(harness.Row(case, nni.name, threads, nni.settings, reason=refused))
        sides = [plain, *ours] if refused else [nni, plain, *ours]
        rows += harness.compare(case, sides, threads, report.effort_of(options))
    environments = {} if refused else {"nni": installed(python)}
    report.publish("peers", "Other toolkits", rows, options, environments=environments)


if __name__ == "__main__":
    main()
