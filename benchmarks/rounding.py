"""What 16 bits do to exported networks: ``python benchmarks/rounding.py RUN_DIR ...``, on the validation part of each run."""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

import torch

from nastk.core.config import ExporterPart
from nastk.core.run.export import trained_of
from nastk.core.run.manifest import config_of
from nastk.core.run.run import Run
from nastk.core.run.store import RunDirectory
from nastk.core.types import Split


def main() -> None:
    """One line a run and precision: how far logits moved, as a share of their mean size, and the accuracy before and after."""
    for directory in sys.argv[1:]:
        store = RunDirectory.open(Path(directory))
        data = Run(config_of(store)).task.data
        trained = trained_of(store)
        batches = list(data.unaugmented(Split.VALID))
        y_N = torch.cat([y for _, y in batches])
        with torch.no_grad():
            exact = torch.cat([trained.network(x).mean(0) for x, _ in batches])
        for precision in ("float16", "bfloat16"):
            exporter = ExporterPart.named("safetensors", precision=precision).build()
            with tempfile.TemporaryDirectory() as folder:
                path = Path(folder) / "network.safetensors"
                exporter.write(trained, path)
                read = exporter.read(path)
            with torch.no_grad():
                rounded = torch.cat([read(x).mean(0) for x, _ in batches])
            moved = float((rounded - exact).abs().mean() / exact.abs().mean())
            before, after = (100 * float((z.argmax(-1) == y_N).float().mean()) for z in (exact, rounded))
            name = Path(directory).name
            print(f"{name:24} {precision:9} logits moved by {moved:.4f}, accuracy {before:.2f} -> {after:.2f} % of {len(y_N)}")


if __name__ == "__main__":
    main()
