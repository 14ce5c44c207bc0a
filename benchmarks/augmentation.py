"""Crop, flip, normalise, cut out a batch of 64 images of 32 x 32: image by image with PIL and torchvision against nastk."""

from __future__ import annotations

from typing import Any

import harness
import report
import worker
from harness import Side

MEAN, STD = (0.4914, 0.4822, 0.4465), (0.2470, 0.2435, 0.2616)
PAD, CUTOUT = 4, 16


def images(settings: dict[str, Any]) -> Any:
    """uint8 ``(B, 3, H, W)``, the same on both sides."""
    import torch

    shape = (settings["batch"], 3, settings["pixels"], settings["pixels"])
    return torch.randint(256, shape, dtype=torch.uint8, generator=torch.Generator().manual_seed(0))


def prepare_nastk(settings: dict[str, Any]) -> worker.Step:
    """The whole batch at once."""
    import torch

    from nastk.core.data.augment import Augmenter
    from nastk.core.data.dataset import Augmentation

    augmenter = Augmenter(Augmentation(crop=PAD, flip=True, cutout=CUTOUT), torch.tensor(MEAN), torch.tensor(STD))
    x, generator = images(settings), torch.Generator().manual_seed(0)
    return lambda: augmenter.train(x, generator)


def prepare_pil(settings: dict[str, Any]) -> worker.Step:
    """Image by image, as a data loader without worker processes does it; the images are PIL's already."""
    import torch
    from PIL import Image
    from torchvision import transforms

    size = settings["pixels"]

    def cutout(x_CHW: torch.Tensor) -> torch.Tensor:
        row, column = (int(torch.randint(size, ())) for _ in range(2))
        rows, columns = (slice(max(0, at - CUTOUT // 2), at + CUTOUT // 2) for at in (row, column))
        x_CHW[:, rows, columns] = 0.0
        return x_CHW

    pipeline = transforms.Compose(
        [
            transforms.RandomCrop(size, padding=PAD),
            transforms.RandomHorizontalFlip(),
            transforms.ToTensor(),
            transforms.Normalize(MEAN, STD),
            cutout,
        ]
    )
    pictures = [Image.fromarray(x.permute(1, 2, 0).numpy()) for x in images(settings)]
    return lambda: torch.stack([pipeline(picture) for picture in pictures])


def load(settings: dict[str, Any]) -> None:
    """All imports of a side, so that they do not count as its memory."""
    import torch

    torch.set_num_threads(settings["threads"])
    if settings["side"] == "nastk":
        import nastk.core.data.augment  # noqa: F401

        return
    from nastk.core.errors import DataError
    from nastk.plugins.datasets.torchvision_compat import torchvision

    try:
        torchvision()
        import torchvision.transforms
    except (DataError, ImportError) as error:
        raise worker.Unavailable(str(error)) from error


def prepare(settings: dict[str, Any]) -> worker.Step:
    """The step of any side."""
    return {"nastk": prepare_nastk, "PIL": prepare_pil}[settings["side"]](settings)


def main() -> None:
    """Measure, print, write ``augmentation.json``."""
    parser = report.arguments(__doc__)
    parser.add_argument("--batch", type=int, default=64, help="batch size (default 64)")
    parser.add_argument("--times", type=int, default=50, help="batches a sample (default 50)")
    options = parser.parse_args()
    settings = {"batch": options.batch, "pixels": 32}
    sides = [
        Side(name, "augmentation.py", {**settings, "side": kind})
        for name, kind in (("PIL and torchvision, image by image", "PIL"), ("nastk", "nastk"))
    ]
    rows = []
    for threads in options.threads:
        case = f"Augmentation, batch {options.batch}, 32 x 32"
        rows += harness.compare(case, sides, threads, report.effort_of(options, options.times))
    report.publish("augmentation", "Augmentation", rows, options)


if __name__ == "__main__":
    if worker.is_worker():
        worker.serve(load, prepare)
    else:
        main()
