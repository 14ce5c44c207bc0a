"""The best practices of Lindauer and Hutter, filled from what runs and studies say; what they cannot say is named. Torch-free.

M. Lindauer and F. Hutter, "Best Practices for Scientific Research on Neural Architecture Search", Journal of Machine Learning
Research 21 (243), 2020. The items are told in our words, in the paper's order.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Literal

from attrs import frozen

from nastk.core.ablation.study import flat
from nastk.core.report.amounts import at, number_at, span, table_at, text_at
from nastk.core.report.gather import RunData, StudyData
from nastk.core.report.markup import Html, table, tag
from nastk.core.report.sections import section

State = Literal["yes", "in part", "no", "not compared", "yours to say"]
SOURCE = 'Lindauer and Hutter, "Best Practices for Scientific Research on Neural Architecture Search", JMLR 21 (243), 2020'
RANDOM = "random-search"
PIPELINE = ("train", "model", "task", "precision", "recompute")
"""Tables of a run file that say how the final networks are trained."""
GROUND = ("dataset", "benchmark", "space", "split", *PIPELINE)
"""Those that have to be equal where strategies are compared."""
SURROUNDINGS = ("versions", "machine", "code")
NOTHING = "Nothing is compared here: there is one setting alone."


@frozen
class Item:
    """One practice: what it asks for, how far it is kept, and what says so."""

    asks: str
    state: State
    says: str


@frozen
class Facts:
    """What the items are filled from."""

    runs: tuple[RunData, ...]
    studies: tuple[StudyData, ...]

    @property
    def manifests(self) -> list[Mapping[str, Any]]:
        """Of runs and studies."""
        return [*(run.manifest for run in self.runs), *(study.manifest for study in self.studies)]

    @property
    def configs(self) -> list[Mapping[str, Any]]:
        """The settings of the runs, and those that the cells of a study share."""
        return [*(run.config for run in self.runs), *(table_at(study.manifest, "study") for study in self.studies)]

    @property
    def varied(self) -> list[str]:
        """Paths that differ from cell to cell of a study."""
        found: dict[str, None] = {}
        for study in self.studies:
            document = table_at(study.manifest, "study")
            cells = at(document, "cells")
            for table_ in (table_at(document, "vary"), *(cells if isinstance(cells, list) else ())):
                if isinstance(table_, Mapping):
                    found |= dict.fromkeys(path for path in flat(table_) if path != "name")
        return list(found)

    @property
    def compared(self) -> bool:
        """Whether there are two settings or more."""
        return bool(self.studies) or len({run.setting for run in self.runs}) > 1

    @property
    def strategies(self) -> set[str]:
        """Names of all strategies."""
        found = {run.name("strategy") for run in self.runs}
        for study in self.studies:
            document = table_at(study.manifest, "study")
            varied = at(document, "vary", "strategy")
            found |= {text_at({"x": level}, "x") for level in varied} if isinstance(varied, list) else set()
            found.add(text_at(document, "strategy"))
            found |= {RANDOM for row in study.result.metrics[0].rows if row.role == RANDOM}
        return found - {""}

    def apart(self, names: Sequence[str]) -> list[str]:
        """Which of these tables differ from run to run, or are varied by a study."""
        runs = [name for name in names if len({repr(run.config.get(name)) for run in self.runs}) > 1]
        studies = [path for path in self.varied if path.partition(".")[0] in names]
        return list(dict.fromkeys([*runs, *studies]))


def checklist_section(runs: Sequence[RunData], studies: Sequence[StudyData]) -> Html | None:
    """The whole list as a table."""
    facts = Facts(tuple(runs), tuple(studies))
    note = tag("p", f"After {SOURCE}. Filled from what is stored here; what no run can say is yours to say.", class_="note")
    parts = [note]
    for name, items in filled(facts):
        rows = [(item.asks, tag("span", item.state, class_=f"state {item.state.replace(' ', '-')}"), item.says) for item in items]
        parts.append(table(name, ("practice", "kept", "what says so"), rows, "checklist"))
    return section("checklist", "Checklist of good practice", 2, *parts)


def filled(facts: Facts) -> list[tuple[str, list[Item]]]:
    """The items in their groups."""
    return [(name, [item(facts) for item in items]) for name, items in GROUPS.items()]


def _code(facts: Facts) -> Item:
    packages: dict[str, None] = {}
    changed = False
    for manifest in facts.manifests:
        version, commit = text_at(manifest, "versions", "nastk"), text_at(manifest, "code", "commit")
        packages |= {f"nastk {version or '?'}" + (f" (commit {commit[:12]})" if commit else ""): None}
        changed = changed or at(manifest, "code", "changed") is True
    told = "; ".join(packages)
    if changed:
        return Item(
            "Release the training pipeline", "no", f"{told}, with changes that are in no commit: commit and publish them."
        )
    return Item(
        "Release the training pipeline", "in part", f"{told}. That it can be had where your readers look is yours to say."
    )


def _method(facts: Facts) -> Item:
    known = {"nastk", "torch", "numpy", "attrs", "cattrs", "safetensors"}
    others = {f"{n} {v}": None for m in facts.manifests for n, v in table_at(m, "versions").items() if n not in known}
    names = ", ".join(sorted(facts.strategies)) or "no search"
    own = f" Plug-in packages: {', '.join(others)}; release them too." if others else " No plug-in package was installed."
    return Item("Release the search method", "in part", f"Strategies: {names}.{own}")


def _prompt(facts: Facts) -> Item:
    del facts
    return Item("Release at once, not when it is tidy", "yours to say", "When code was released stands in no run.")


def _same_ground(facts: Facts) -> Item:
    asks = "Compare on the same benchmark: data, splits, space, training"
    if not facts.compared:
        return Item(asks, "not compared", NOTHING)
    if apart := facts.apart(GROUND):
        return Item(
            asks, "in part", f"Not the same everywhere: {', '.join(apart)}. Meant so where that is the question; else not fair."
        )
    return Item(asks, "yes", "Data, splits, space and training are the same everywhere.")


def _ablations(facts: Facts) -> Item:
    asks = "Run ablation studies"
    if facts.varied:
        return Item(asks, "yes", f"Varied: {', '.join(facts.varied)}.")
    return Item(asks, "no", "There is no study here: see nastk ablate.")


def _same_protocol(facts: Facts) -> Item:
    asks = "Use one evaluation protocol for all methods"
    if not facts.compared:
        return Item(asks, "not compared", NOTHING)
    if apart := facts.apart(PIPELINE):
        return Item(asks, "in part", f"Final networks are trained under different settings: {', '.join(apart)}.")
    return Item(asks, "yes", "All final networks are trained with the same settings and tested once, at the end.")


def _over_time(facts: Facts) -> Item:
    asks = "Compare performance as a function of compute"
    if not facts.compared:
        return Item(asks, "not compared", NOTHING)
    return Item(asks, "in part", "The course of every search is kept step by step; curves over equal cost: see nastk bench.")


def _random(facts: Facts) -> Item:
    asks = "Compare with random search"
    if RANDOM in facts.strategies and len(facts.strategies) > 1:
        return Item(asks, "yes", "random-search is among the strategies.")
    return Item(
        asks, "no", "There is no other strategy beside random-search." if RANDOM in facts.strategies else f"No run of {RANDOM}."
    )


def _repeated(facts: Facts) -> Item:
    asks = "Repeat every experiment, and report the seeds"
    by_setting: dict[str, list[str]] = {}
    for run in facts.runs:
        by_setting.setdefault(run.setting, []).append(str(run.seed))
    groups = [sorted(seeds) for seeds in by_setting.values()] + [[*map(str, s.result.seeds)] for s in facts.studies]
    told = "; ".join(dict.fromkeys(", ".join(seeds) for seeds in groups))
    least = min(map(len, groups), default=0)
    if least > 1:
        return Item(asks, "yes", f"Seeds: {told}. Each setting has {least} or more.")
    return Item(asks, "no", f"Seeds: {told}. One run of a setting says nothing about its spread.")


def _tables(facts: Facts) -> Item:
    asks = "Use tabular or surrogate benchmarks for in-depth evaluations"
    names = {text_at(config, "benchmark") for config in facts.configs} - {""}
    return (
        Item(asks, "yes", f"Benchmark: {', '.join(sorted(names))}.") if names else Item(asks, "no", "No run on a table is here.")
    )


def _confounders(facts: Facts) -> Item:
    asks = "Control confounding factors: hardware, versions, code"
    if not facts.compared:
        return Item(asks, "not compared", NOTHING)
    apart = [name for name in SURROUNDINGS if len({repr(manifest.get(name)) for manifest in facts.manifests}) > 1]
    if apart:
        return Item(asks, "no", f"Different between the runs: {', '.join(apart)}.")
    return Item(asks, "yes", "Machine, versions and code are the same, as far as manifests say.")


def _tuning(facts: Facts) -> Item:
    del facts
    return Item(
        "Report how hyperparameters were tuned, and what that cost", "yours to say", "Earlier runs are not known to these ones."
    )


def _end_to_end(facts: Facts) -> Item:
    asks = "Report the time of the whole method, not of the search alone"
    times = [(number_at(r.result, "search", "seconds"), number_at(r.result, "train", "seconds")) for r in facts.runs]
    whole = [(search or 0.0) + (train or 0.0) for search, train in times]
    if whole and all(whole):
        told = f"Search and training from scratch: {span(sum(whole))}" + (f" in {len(whole)} runs." if len(whole) > 1 else ".")
        return Item(asks, "yes", f"{told} Starting and testing are not in it.")
    if facts.studies and not facts.runs:
        return Item(asks, "yes", "search.seconds and train.seconds of every run are in study.sqlite.")
    return Item(asks, "in part", "Not every run has come to its end, or one is a look-up in a table.")


def _details(facts: Facts) -> Item:
    settings = all(facts.configs) and all(table_at(m, "versions") and table_at(m, "machine") for m in facts.manifests)
    says = "All settings, seeds, versions, machine and command stand in this report." if settings else "A manifest has gaps."
    return Item("Report every detail of the set-up", "yes" if settings else "in part", says)


Fill = Callable[[Facts], Item]
GROUPS: Mapping[str, Iterable[Fill]] = {
    "Releasing code": (_code, _method, _prompt),
    "Comparing methods": (
        _same_ground,
        _ablations,
        _same_protocol,
        _over_time,
        _random,
        _repeated,
        _tables,
        _confounders,
    ),
    "Reporting details": (_tuning, _end_to_end, _details),
}
