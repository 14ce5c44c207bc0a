"""The smaller network that a search trains in place of the one that is wanted."""

from __future__ import annotations

from typing import Any

from attrs import evolve, frozen

from nastk.core.cell.cells import LAYERS, CellSpace
from nastk.core.cell.graph import Genotype
from nastk.core.cell.layout import fixed_path
from nastk.core.cell.space import SearchSpace
from nastk.core.errors import ConfigError
from nastk.core.settings import RunConfig


@frozen
class Proxy:
    """Gives genotypes of a space the size of ``[proxy]``; what is searched is left as it is."""

    space: SearchSpace
    config: RunConfig

    def __call__(self, genotype: Genotype) -> Genotype:
        """The genotype at the size that the search trains."""
        wanted: dict[str, Any] = {}
        model, proxy = self.config.model, self.config.proxy
        if proxy.channels and not model.channels.searched:
            wanted["channels"] = proxy.channels
        searches_layers = isinstance(self.space, CellSpace) and self.space.searches_layers
        if proxy.cells and not model.cells.searched and not searches_layers:
            wanted[LAYERS] = fixed_path(proxy.cells)
        return evolve(genotype, parts={**dict(genotype.parts), **wanted})

    def check(self) -> None:
        """Refuse another number of cells where every layer has its own. Raises :class:`ConfigError`."""
        if isinstance(self.space, CellSpace) and self.config.proxy.cells:
            by_layer = any(name.isdigit() for name in self.space.wirings)
            if (by_layer or self.space.searches_layers) and self.config.proxy.cells != self.config.model.cells.values[0]:
                raise ConfigError(
                    ["proxy.cells: must equal model.cells when every layer has its own cell or the layer level is searched"],
                    "proxy",
                )
