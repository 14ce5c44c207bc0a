"""Spiking neurons as Python source: one class for each form of charge, spike and reset, its numbers given to it."""

from __future__ import annotations

from typing import Any, NamedTuple

from nastk.core.model.neuron import ThresholdNeuron
from nastk.plugins.exporters.tracing import leak_of


class Form(NamedTuple):
    """All of a neuron that changes its code."""

    kind: str
    decay_input: bool
    resting: bool
    compare: str
    reset: str
    timing: str


class Neurons:
    """The classes that a network needs, in the order in which they were first asked for."""

    def __init__(self) -> None:
        self.names: dict[Form, str] = {}

    def made(self, neuron: ThresholdNeuron) -> str:
        """The call that makes this neuron: ``LIF(k=2.0, v_th=0.5, v_reset=0.0)``."""
        leak, firing = leak_of(neuron), neuron.firing
        assert leak is not None
        resting = leak.kind != "none" and bool(leak.rest)
        form = Form(leak.kind, leak.decay_input, resting, firing.compare, firing.reset, firing.reset_timing)
        base = "IF" if leak.kind == "none" else "LIF"
        alike = sum(name.startswith(base) for name in self.names.values())
        name = self.names.setdefault(form, base if not alike else f"{base}{alike + 1}")
        numbers: dict[str, Any] = {} if leak.kind == "none" else {"k": float(leak.k)}
        numbers |= {"v_th": firing.v_th, "v_reset": firing.v_reset} | ({"rest": leak.rest} if resting else {})
        return f"{name}({', '.join(f'{key}={value!r}' for key, value in numbers.items())})"

    def sources(self) -> list[str]:
        """The source of every class."""
        return [_source(name, form) for form, name in self.names.items()]


def _source(name: str, form: Form) -> str:
    charge, reset = _charge(form), _reset(form)
    names = ([] if form.kind == "none" else ["k"]) + ["v_th", "v_reset"] + (["rest"] if form.resting else [])
    loop = [f"z = (v - self.v_th {form.compare} 0).to(v.dtype)", "spikes.append(z)"]
    if form.timing == "same":
        steps, when = [charge, *loop, *([reset] if reset else [])], "then"
    else:  # the reset of the last step's spike comes first, or with the charge
        due = [reset] if reset else []
        steps = [*due, charge, *loop] if form.reset == "hard" else [charge, *due, *loop]
        when = "in the next step"
    about = f"a spike where v {form.compare} v_th; {when} {reset.removeprefix('v = ').replace('self.', '') or 'no reset'}"
    lines = [
        f"class {name}(nn.Module):",
        f'    """{charge.replace("self.", "")}; {about} (z: the spikes). {_NOTE}"""',
        "",
        f"    def __init__(self, {', '.join(f'{each}: float' for each in names)}) -> None:",
        "        super().__init__()",
        *(f"        self.{each} = {each}" for each in names),
        "",
        "    def forward(self, x_TBCHW: Tensor) -> Tensor:",
        "        v = torch.full_like(x_TBCHW[0], self.v_reset)",
        *(["        z = torch.zeros_like(v)"] if form.timing == "next" and reset else []),
        "        spikes = []",
        "        for x in x_TBCHW:",
        *(f"            {step}" for step in steps),
        "        return torch.stack(spikes)",
    ]
    return "\n".join(lines)


_NOTE = "Inference only: no surrogate gradient."


def _charge(form: Form) -> str:
    above = "(v - self.rest)" if form.resting else "v"
    if form.kind == "none":
        return "v = v + x"
    sign = "/" if form.kind == "divide" else "*"
    return f"v = v + (x - {above}) {sign} self.k" if form.decay_input else f"v = v - {above} {sign} self.k + x"


def _reset(form: Form) -> str:
    resets = {"none": "", "soft": "v = v - z * self.v_th", "hard": "v = (1.0 - z) * v + z * self.v_reset"}
    return resets[form.reset]
