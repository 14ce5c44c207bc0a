"""Which checkpoints stay."""

from __future__ import annotations

from pathlib import Path

import torch

from nastk.core.run.store import RunDirectory


def test_tensors_whose_document_was_never_written_go_with_the_others(tmp_path: Path) -> None:
    store = RunDirectory.create(tmp_path / "run")
    for stage in ("a", "b"):
        store.save(stage, 1, {"x": torch.zeros(1)})
    folder = store.path / "checkpoints"
    (folder / "a-000002.safetensors").write_bytes(b"written before the disk was full")
    store.forget("a", keep=1)
    assert {path.name for path in folder.glob("a-*")} == {"a-000001.json", "a-000001.safetensors"}
    store.forget("a")
    assert {path.name for path in folder.iterdir()} == {"b-000001.json", "b-000001.safetensors"}
