"""SpikingJelly as an oracle, where it is installed."""

from __future__ import annotations

from types import ModuleType

import pytest
import torch

KEPT: list[torch.library.Library] = []


def _declare_missing_torchvision_operators() -> None:
    """Lets ``import torchvision`` pass beside a torch that its binary was not built for.

    SpikingJelly imports torchvision, which registers gradients for two C++ operators at import; without its binary
    they are not declared. Nothing here calls them. A schema lives as long as its library object, so that is kept.
    """
    try:
        import torchvision  # noqa: F401
    except RuntimeError:
        library = torch.library.Library("torchvision", "FRAGMENT")
        for name in ("nms", "qnms"):
            if not hasattr(torch.ops.torchvision, name):
                library.define(f"{name}(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
        KEPT.append(library)
    except ImportError:
        pass


@pytest.fixture(scope="session")
def spikingjelly_attention() -> ModuleType:
    """``spikingjelly.activation_based.layer.attention``; skips where it is not to be had."""
    _declare_missing_torchvision_operators()
    return pytest.importorskip("spikingjelly.activation_based.layer.attention", exc_type=ImportError)
