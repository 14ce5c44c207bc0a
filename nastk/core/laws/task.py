"""The laws of tasks: loss and count of right answers are functions of logits and labels, and of nothing else."""

from __future__ import annotations

import copy
import random
from functools import lru_cache

import torch
import torch.nn.functional as F
from attrs import frozen
from torch import Tensor

from nastk.core.config import DatasetPart, Part
from nastk.core.data.splits import TrainingData
from nastk.core.data.task import Task
from nastk.core.laws.law import LawBook, applies, ensure
from nastk.core.laws.watch import random_state_kept
from nastk.core.seeds import generator
from nastk.core.settings import SplitConfig
from nastk.core.types import Kind

RIGHT = 6.0
"""Logit of the right class where all others are zero."""


@frozen
class Batch:
    """Logits ``(T, B, K)`` and labels ``(B,)`` from a seed, for a data set of ``classes`` classes."""

    T: int
    B: int
    classes: int
    seed: int

    @property
    def size(self) -> int:
        """How many logits a class-wide head gives."""
        return self.T * self.B * self.classes

    def logits(self, outputs: int, salt: int = 0, dtype: torch.dtype = torch.float64) -> Tensor:
        """Normal logits ``(T, B, outputs)``; others for another ``salt``."""
        shape = (self.T, self.B, outputs)
        return torch.randn(shape, generator=generator(self.seed, "logits", salt), dtype=torch.float64).to(dtype)

    def labels(self, salt: int = 0) -> Tensor:
        """``(B,)``."""
        return torch.randint(self.classes, (self.B,), generator=generator(self.seed, "labels", salt))

    def right(self, y_B: Tensor) -> Tensor:
        """Logits that say these labels at every step."""
        return RIGHT * F.one_hot(y_B, self.classes).double().expand(self.T, -1, -1)


def draw(rng: random.Random) -> Batch:
    """One to four steps, two to six samples, two to six classes."""
    return Batch(rng.choice([1, 1, 2, 4]), rng.randint(2, 6), rng.randint(2, 6), rng.randrange(10**6))


@lru_cache(maxsize=8)
def training_data(classes: int) -> TrainingData:
    """A few small samples."""
    part = DatasetPart.named("synthetic", classes=classes, size=8, train_images=10 * classes, test_images=classes)
    return TrainingData(part.build(), SplitConfig(), 0, torch.device("cpu"))


def prepare(part: Part, case: Batch) -> Task:
    """A fresh task."""
    built: Task = part.build(training_data(case.classes))
    return built


BOOK: LawBook[Task, Batch] = LawBook(Kind.TASK, draw, prepare, examples=8, vary=True)


def one_class_a_logit(task: Task) -> None:
    """Only then it is known which logits are right."""
    applies(task.outputs == task.data.classes, f"it has {task.outputs} outputs for {task.data.classes} classes")


@BOOK.law
def loss_is_a_finite_scalar(task: Task, case: Batch) -> None:
    """The loss is one finite number, with a finite gradient to the logits that is not zero; at T = 1 too."""
    for steps in {1, case.T}:
        logits = case.logits(task.outputs)[:steps].requires_grad_()
        loss = task.loss(logits, case.labels())
        ensure(loss.shape == (), f"the loss of logits {tuple(logits.shape)} has the shape {tuple(loss.shape)}")
        ensure(bool(loss.isfinite()), f"the loss of logits {tuple(logits.shape)} is {loss.item()}")
        ensure(loss.requires_grad, "no gradient reaches the logits")
        (grad,) = torch.autograd.grad(loss, logits)
        ensure(bool(grad.isfinite().all()), "the gradient of the logits is not finite")
        ensure(bool(grad.any()), "the gradient of all logits is zero")


@BOOK.law
def right_logits_cost_less(task: Task, case: Batch) -> None:
    """Logits that say the labels have a lower loss than logits that say other labels."""
    one_class_a_logit(task)
    y_B = case.labels()
    right, wrong = (float(task.loss(case.right(said), y_B)) for said in (y_B, (y_B + 1) % case.classes))
    ensure(right < wrong, f"right logits have the loss {right:g}, wrong ones {wrong:g}")


@BOOK.law
def loss_is_a_mean(task: Task, case: Batch) -> None:
    """A batch that holds every sample twice has the same loss."""
    logits, y_B = case.logits(task.outputs), case.labels()
    once, twice = task.loss(logits, y_B), task.loss(torch.cat([logits, logits], dim=1), torch.cat([y_B, y_B]))
    ensure(torch.allclose(once, twice, rtol=1e-5), f"the batch has the loss {float(once):g}, the batch twice {float(twice):g}")


@BOOK.law
def order_does_not_matter(task: Task, case: Batch) -> None:
    """Loss and count do not depend on the order of the samples in a batch."""
    logits, y_B = case.logits(task.outputs), case.labels()
    for order in (torch.arange(case.B).flip(0), torch.arange(case.B).roll(1)):
        one, other = task.loss(logits, y_B), task.loss(logits[:, order], y_B[order])
        ensure(torch.allclose(one, other, rtol=1e-5), f"in another order the loss is {float(other):g}, not {float(one):g}")
        counted, again = int(task.correct(logits, y_B)), int(task.correct(logits[:, order], y_B[order]))
        ensure(counted == again, f"in another order {again} are right, not {counted}")


@BOOK.law
def correct_is_a_count(task: Task, case: Batch) -> None:
    """``correct`` is a whole number from 0 to B, the sum over the samples; B for right logits, fewer for wrong ones."""
    logits, y_B = case.logits(task.outputs), case.labels()
    counted = task.correct(logits, y_B)
    ensure(isinstance(counted, Tensor) and counted.shape == (), f"it is {counted!r}, no tensor of one number")
    ensure(float(counted).is_integer() and 0 <= float(counted) <= case.B, f"{float(counted):g} of {case.B} samples are right")
    alone = sum(float(task.correct(logits[:, b : b + 1], y_B[b : b + 1])) for b in range(case.B))
    ensure(alone == float(counted), f"one by one {alone:g} samples are right, as a batch {float(counted):g}")
    one_class_a_logit(task)
    right = float(task.correct(case.right(y_B), y_B))
    ensure(right == case.B, f"{right:g} of {case.B} are right where the logits say the labels")
    wrong = float(task.correct(-case.right(y_B) + 0.1 * case.logits(case.classes), y_B))
    ensure(wrong < case.B, f"all {case.B} are right where the label has the least logit")


@BOOK.law
def label_smoothing_is_taken(task: Task, case: Batch) -> None:
    """The loss takes ``label_smoothing``, whose default is 0, and stays finite."""
    logits, y_B = case.logits(task.outputs), case.labels()
    for smoothing in (0.1, 0.9):
        loss = task.loss(logits, y_B, smoothing)
        ensure(bool(loss.isfinite()), f"with label_smoothing = {smoothing} the loss is {float(loss)}")
    plain, zero = task.loss(logits, y_B), task.loss(logits, y_B, label_smoothing=0.0)
    ensure(torch.equal(plain, zero), "without label_smoothing the loss is not that of label_smoothing = 0")


@BOOK.law
def dtype_and_device_follow(task: Task, case: Batch) -> None:
    """The loss has the logits' dtype, in float64, float32 and bfloat16; loss and count are on their device."""
    for dtype in (torch.float64, torch.float32, torch.bfloat16):
        loss = task.loss(case.logits(task.outputs, dtype=dtype), case.labels())
        ensure(loss.dtype == dtype, f"logits {dtype}, loss {loss.dtype}")
    logits, y_B = case.logits(task.outputs).to("meta"), case.labels().to("meta")
    for name, call in (("loss", task.loss), ("correct", task.correct)):
        try:
            found = call(logits, y_B)
        except NotImplementedError:  # an operator that has to see the numbers, which the meta device does not have
            continue
        ensure(found.device.type == "meta", f"logits on the meta device, {name} on {found.device}")


@BOOK.law
def nothing_is_kept(task: Task, case: Batch) -> None:
    """Two calls with equal arguments give equal answers, whatever ran between; the arguments are left as they are."""
    logits, y_B = case.logits(task.outputs), case.labels()
    kept, fresh = (logits.clone(), y_B.clone()), copy.deepcopy(task)
    first = (task.loss(logits, y_B), task.correct(logits, y_B))
    between = (case.logits(task.outputs, salt=1), case.labels(salt=1))
    ensure(torch.equal(task.loss(*between), fresh.loss(*between)), "a first call of loss had an effect on the next one")
    task.correct(*between)
    again = (task.loss(logits, y_B), task.correct(logits, y_B))
    for name, one, other in zip(("loss", "correct"), first, again, strict=True):
        ensure(torch.equal(one, other), f"the second call of {name} gave another answer: something is kept between calls")
    ensure(torch.equal(logits, kept[0]) and torch.equal(y_B, kept[1]), "logits or labels were written into")


@BOOK.law
def global_random_state_is_kept(task: Task, case: Batch) -> None:
    """Loss and count neither draw from the global random state (torch, numpy, random) nor seed it."""
    logits, y_B = case.logits(task.outputs), case.labels()
    with random_state_kept(case.seed, "task"):
        task.loss(logits, y_B)
        task.correct(logits, y_B)
