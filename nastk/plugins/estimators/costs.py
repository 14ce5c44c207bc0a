"""Additive costs of a network."""

from __future__ import annotations

from nastk.core import mark
from nastk.core.model.estimator import Additive, count_macs, count_parameters


@mark.estimator("parameters")
class Parameters(Additive):
    """Number of learned numbers of the whole network."""

    unit = "parameters"
    measure = staticmethod(count_parameters)


@mark.estimator("macs")
class Macs(Additive):
    """Dense multiply-accumulates for one image over all time steps (spikes not taken into account)."""

    unit = "MAC"
    measure = staticmethod(count_macs)
