"""SpikingJelly 2's neurons whose output is a small whole number, not a bit, under ``spikingjelly-NAME``."""

from __future__ import annotations

from typing import Any

import attrs
from attrs import field, frozen
from attrs.validators import ge, gt
from torch import Tensor

from nastk.core import mark
from nastk.neurons.bridges.library import library
from nastk.neurons.bridges.spikingjelly import IFConfig, LIFConfig, OneMembrane


class TernaryNeuron(OneMembrane):
    """A neuron of SpikingJelly whose spikes have a sign; one of -1 counts as one of 1."""

    signed = True

    def spikes(self, z_TBF: Tensor) -> Tensor:
        return z_TBF.abs()


@frozen(kw_only=True)
class TernaryIFConfig(IFConfig):
    """Settings of ``spikingjelly-ternary-if``: a hard reset ends between the two thresholds."""

    def __attrs_post_init__(self) -> None:
        super().__attrs_post_init__()
        _between(self)


@mark.neuron(
    "spikingjelly-ternary-if",
    config=TernaryIFConfig,
    paper="Guo et al., Ternary Spike: Learning Ternary Spikes for Spiking Neural Networks, AAAI 2024",
)
class TernaryIF(TernaryNeuron):
    """SpikingJelly's integrate-and-fire with spikes of -1, 0 and 1 (``TernaryIFNode``)."""

    node_class = "TernaryIFNode"


@frozen(kw_only=True)
class TernaryLIFConfig(LIFConfig):
    """Settings of ``spikingjelly-ternary-lif``: a hard reset ends between the two thresholds."""

    def __attrs_post_init__(self) -> None:
        super().__attrs_post_init__()
        _between(self)


@mark.neuron(
    "spikingjelly-ternary-lif",
    config=TernaryLIFConfig,
    paper="Guo et al., Ternary Spike: Learning Ternary Spikes for Spiking Neural Networks, AAAI 2024",
)
class TernaryLIF(TernaryNeuron):
    """SpikingJelly's leaky integrate-and-fire with spikes of -1, 0 and 1 (``TernaryLIFNode``)."""

    node_class = "TernaryLIFNode"


@frozen(kw_only=True)
class ILIFConfig:
    """Settings of ``spikingjelly-ilif``."""

    tau: float = field(default=4 / 3, validator=gt(1), metadata={"help": "membrane time constant, in time steps"})
    v_threshold: float = field(default=1.0, validator=gt(0), metadata={"help": "membrane that one spike stands for"})
    max_spike_count: int = field(default=4, validator=ge(1), metadata={"help": "most spikes in a step, the library's D"})
    detach_reset: bool = field(default=False, metadata={"help": "whether the reset is cut from the gradient"})


@mark.neuron(
    "spikingjelly-ilif",
    config=ILIFConfig,
    paper="Luo et al., Integer-Valued Training and Spike-Driven Inference Spiking Neural Network for High-Performance and "
    "Energy-Efficient Object Detection, ECCV 2024",
)
class ILIF(OneMembrane):
    """SpikingJelly's leaky integrate-and-fire that counts spikes (``ILIFNode``): not counted as spiking."""

    node_class = "ILIFNode"
    spiking = False

    def arguments(self, config: Any) -> dict[str, Any]:
        given = attrs.asdict(config)
        surrogates = library("spikingjelly.activation_based.surrogate", release=2)
        given["surrogate_function"] = surrogates.MultiLevelSpikeCount(given.pop("max_spike_count"))
        return given


def _between(config: IFConfig) -> None:
    if config.reset == "hard" and not -config.v_threshold < config.v_reset:
        raise ValueError(f"v_reset must be above -v_threshold, got v_reset {config.v_reset} and v_threshold {config.v_threshold}")
