"""The laws of search spaces: a finite set with coordinates, whose members can be built; and its relaxation."""

from __future__ import annotations

from itertools import product
from math import prod

from nastk.core.cell.graph import Genotype
from nastk.core.cell.space import Choice, Relaxable
from nastk.core.errors import NotInSpace
from nastk.core.laws import supernet
from nastk.core.laws.ground import TRIED, Ground, Walk, any_choice, draw, member, prepare, strangers, with_one_changed
from nastk.core.laws.law import DoesNotApply, LawBook, ensure
from nastk.core.laws.watch import elsewhere, random_state_kept
from nastk.core.types import Kind

MOST_VISITED = 300
"""Members up to which a space is visited whole."""
DRAWS = 20
"""Samples that are not all the same: with two members by a chance of one in half a million."""

BOOK: LawBook[Ground, Walk] = LawBook(Kind.SPACE, draw, prepare, examples=3, vary=True)


# The set


@BOOK.law
def decode_stays_inside(ground: Ground, case: Walk) -> None:
    """Encode accepts what decode gives for any choice, so that single steps lead from any member to any other."""
    space, rng = ground.space, case.rng("decode")
    for _ in range(TRIED):
        choice = any_choice(space, rng)
        try:
            space.encode(space.decode(choice))
        except NotInSpace as refusal:
            ensure(False, f"the choice {choice} leaves the space: {refusal}")


@BOOK.law
def round_trip(ground: Ground, case: Walk) -> None:
    """Decode gives back the genotype that encode has read; as every decision counts, encode gives back the choice."""
    space, rng = ground.space, case.rng("round trip")
    for _ in range(TRIED):
        choice = any_choice(space, rng)
        genotype = space.decode(choice)
        try:
            again = tuple(space.encode(genotype))
        except NotInSpace as refusal:
            raise DoesNotApply(f"decode leaves the space: {refusal}") from refusal
        ensure(space.decode(again) == genotype, f"the choice {choice} becomes {again}, which is another genotype")


@BOOK.law
def every_decision_counts(ground: Ground, case: Walk) -> None:
    """Two choices that differ give genotypes that differ; a small space is visited whole."""
    space = ground.space
    if space.size <= MOST_VISITED:
        seen: dict[Genotype, Choice] = {}
        for choice in product(*(range(len(decision.options)) for decision in space.decisions)):
            first = seen.setdefault(space.decode(choice), choice)
            ensure(first == choice, f"the choices {first} and {choice} are one genotype")
        return
    choice = any_choice(space, case.rng("every decision"))
    lines: dict[Genotype, Choice] = {space.decode(choice): choice}
    for other in with_one_changed(space, choice):
        first = lines.setdefault(space.decode(other), other)
        names = [d.name for d, a, b in zip(space.decisions, first, other, strict=True) if a != b]
        ensure(first == other, f"the choices {first} and {other}, which differ in {' and '.join(names)}, are one genotype")


@BOOK.law
def size_is_the_product(ground: Ground, case: Walk) -> None:
    """The size is the product of the numbers of options, which are at least one; names of decisions occur once."""
    del case  # it is about the space as a whole
    space = ground.space
    counts = [len(decision.options) for decision in space.decisions]
    ensure(all(counts), f"the decision {next((d.name for d in space.decisions if not d.options), '')!r} has no option")
    ensure(space.size == prod(counts), f"its size is {space.size}, its decisions have {prod(counts)} choices")
    names = [decision.name for decision in space.decisions]
    twice = next((name for name in names if names.count(name) > 1), "")
    ensure(len(set(names)) == len(names), f"two decisions have the name {twice!r}")


@BOOK.law
def digest_stable(ground: Ground, case: Walk) -> None:
    """Another instance of the space with equal settings gives the same genotype and digest for the same choice."""
    space, other, rng = ground.space, ground.again(), case.rng("digest")
    for _ in range(5):
        choice = any_choice(space, rng)
        first, second = space.decode(choice), other.decode(choice)
        ensure(first == second, f"another instance gives another genotype for the choice {choice}")
        ensure(first.digest == second.digest and hash(first) == hash(second), f"digest or hash differ for the choice {choice}")


@BOOK.law
def json_round_trip(ground: Ground, case: Walk) -> None:
    """A member that was written as JSON and read again is the same, with the same digest."""
    space, rng = ground.space, case.rng("json")
    for _ in range(5):
        _, genotype = member(space, rng)
        again = Genotype.from_json(genotype.to_json())
        ensure(again == genotype and again in space, f"{genotype.digest} is another genotype once re-read")
        ensure(again.digest == genotype.digest, f"the digest {genotype.digest} is {again.digest} once re-read")


@BOOK.law
def strangers_are_refused(ground: Ground, case: Walk) -> None:
    """Encode raises NotInSpace, and nothing else, for an edited member and for a genotype of another space."""
    space = ground.space
    _, genotype = member(space, case.rng("strangers"))
    for what, stranger in strangers(genotype):
        try:
            choice = space.encode(stranger)
        except NotInSpace:
            continue
        except Exception as error:
            ensure(False, f"a member {what} raises {type(error).__name__}: {error}")
        ensure(space.decode(choice) == stranger, f"a member {what} is taken for the choice {tuple(choice)}")


# Walks


@BOOK.law
def samples_are_members(ground: Ground, case: Walk) -> None:
    """A sample is a member, and depends on the generator that is passed, and on it alone."""
    space = ground.space
    member(space, case.rng("samples"))
    samples = set()
    for i in range(DRAWS):
        genotype = space.sample(case.rng(f"sample {i}"))
        with elsewhere(case.seed):
            again = space.sample(case.rng(f"sample {i}"))
        ensure(genotype == again, f"two samples from equal generators are {genotype.digest} and {again.digest}")
        ensure(genotype in space, f"the sample {genotype} is not in the space")
        samples.add(genotype)
    ensure(space.size == 1 or len(samples) > 1, f"{DRAWS} generators, and always the sample {genotype.digest}")


@BOOK.law
def mutate_is_a_step(ground: Ground, case: Walk) -> None:
    """Mutate changes exactly one decision (nothing in a space of one member), as the generator says."""
    space, rng = ground.space, case.rng("mutate")
    choice, genotype = member(space, rng)
    wanted = {space.decode(other) for other in with_one_changed(space, choice)} or {genotype}
    for i in range(5):
        child = space.mutate(genotype, case.rng(f"child {i}"))
        ensure(child in wanted, f"a mutant of {choice} does not differ from it in one decision")
        ensure(child == space.mutate(genotype, case.rng(f"child {i}")), "two mutants from equal generators differ")


@BOOK.law
def crossover_takes_from_its_parents(ground: Ground, case: Walk) -> None:
    """A child is a member, and each of its decisions is that of one parent or the other."""
    space, rng = ground.space, case.rng("crossover")
    (first, mother), (second, father) = member(space, rng), member(space, rng)
    for i in range(5):
        child = space.crossover(mother, father, case.rng(f"child {i}"))
        ensure(child in space, f"a child of {first} and {second} is not in the space")
        choice = space.encode(child)
        strange = [d.name for d, mine, *theirs in zip(space.decisions, choice, first, second, strict=True) if mine not in theirs]
        ensure(not strange, f"a child of {first} and {second} has {', '.join(strange)} from neither")


@BOOK.law
def neighbours_differ_in_one_decision(ground: Ground, case: Walk) -> None:
    """The neighbours of a member are exactly the genotypes with one decision changed, each once, in a fixed order."""
    space = ground.space
    choice, genotype = member(space, case.rng("neighbours"))
    found = list(space.neighbours(genotype))
    wanted = [space.decode(other) for other in with_one_changed(space, choice)]
    ensure(len(found) == len(wanted), f"{choice} has {len(found)} neighbours; {len(wanted)} choices differ in one decision")
    ensure(set(found) == set(wanted), f"not all neighbours of {choice} differ from it in one decision")
    ensure(found == list(space.neighbours(genotype)), f"the neighbours of {choice} come in another order the second time")


@BOOK.law
def global_random_state_is_kept(ground: Ground, case: Walk) -> None:
    """Nothing that a space does draws from the global random state (torch, numpy, random) or seeds it."""
    space, rng = ground.space, case.rng("kept")
    _, first = member(space, rng)
    _, second = member(space, rng)
    with random_state_kept(case.seed, "space"):
        space.encode(ground.again().sample(rng))
        space.crossover(space.mutate(first, rng), second, rng)
        list(space.neighbours(first))
        if isinstance(space, Relaxable):
            space.full()
            space.derive(space.one_hot(supernet.closed(space, first)))


for builds in (supernet.members_run, supernet.parameters_add_up):
    BOOK.law_tried(2)(builds)
for relaxes in (supernet.derive_is_closed, supernet.one_hot_derives_back):
    BOOK.law(relaxes)
BOOK.law_tried(1)(supernet.supernet_is_its_members)
