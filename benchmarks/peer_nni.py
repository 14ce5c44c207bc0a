"""The DARTS supernet step of NNI 3.0 as a side of ``peers.py``; runs in an environment of its own, without nastk.

NNI's own space, strategy and lightning module; its trainer loop is held after every step until the next is asked for.
"""

from __future__ import annotations

import threading
from typing import Any

import worker


def load(settings: dict[str, Any]) -> None:
    """All imports, so that they do not count as memory."""
    try:
        import nni.nas.evaluator.pytorch
        import nni.nas.hub.pytorch
        import nni.nas.strategy  # noqa: F401
        import torch
    except Exception as error:
        raise worker.Unavailable(f"NNI cannot be imported: {type(error).__name__}: {error}") from error
    torch.set_num_threads(settings["threads"])
    torch.manual_seed(0)


def prepare(settings: dict[str, Any]) -> worker.Step:
    """A step of NNI's search, run by its trainer in a thread beside this one."""
    import pytorch_lightning
    import torch
    from nni import trace
    from nni.nas import hub, strategy
    from nni.nas.evaluator.pytorch import Classification
    from torch.utils.data import DataLoader, Dataset

    go, done = threading.Semaphore(0), threading.Semaphore(0)
    faults: list[BaseException] = []

    class Endless(Dataset):
        def __init__(self) -> None:
            generator = torch.Generator().manual_seed(0)
            self.x = torch.randn(3, settings["pixels"], settings["pixels"], generator=generator)

        def __len__(self) -> int:
            return 10**6

        def __getitem__(self, at: int) -> tuple[torch.Tensor, int]:
            return self.x, at % 10

    class Gate(pytorch_lightning.Callback):
        def on_train_batch_start(self, *_: Any) -> None:
            go.acquire()

        def on_train_batch_end(self, *_: Any) -> None:
            done.release()

    class SGD(torch.optim.SGD):
        def __init__(self, parameters: Any, lr: float, weight_decay: float) -> None:
            super().__init__(parameters, lr=lr, momentum=0.9, weight_decay=weight_decay)

    loaders = [trace(DataLoader)(Endless(), batch_size=settings["batch"]) for _ in range(2)]
    evaluator = Classification(
        learning_rate=0.025,
        weight_decay=3e-4,
        optimizer=SGD,
        train_dataloaders=loaders[0],
        val_dataloaders=loaders[1],
        num_classes=10,
        max_epochs=1,
        accelerator="cpu",
        callbacks=[Gate()],
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        limit_val_batches=0,
        num_sanity_val_steps=0,
    )
    search = strategy.DARTS(arc_learning_rate=3e-4, gradient_clip_val=5.0)
    space = hub.pytorch.DARTS(width=settings["channels"], num_cells=settings["cells"], dataset="cifar")
    model, evaluator = search.mutate_model(space), search.mutate_evaluator(evaluator)

    def train() -> None:
        torch.set_num_threads(settings["threads"])
        try:
            evaluator.evaluate(model)
        except BaseException as error:
            faults.append(error)
        done.release()

    threading.Thread(target=train, daemon=True).start()

    def step() -> None:
        go.release()
        done.acquire()
        if faults:
            raise faults[0]

    return step


if __name__ == "__main__":
    worker.serve(load, prepare)
