"""AD-MT (Zhao et al., ECCV 2024): two teachers, taught in turns, and what they disagree on."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable
from dataclasses import dataclass, replace
from itertools import accumulate

import torch
from jaxtyping import Float
from torch import Tensor, nn

from hinterland.methods.base import BuildContext, Losses
from hinterland.methods.options import Count, Share, Weight
from hinterland.methods.parts.pseudo_labels import Component, PseudoLabels
from hinterland.methods.parts.strong_augmentation import strong
from hinterland.methods.parts.teacher import teacher_mode
from hinterland.methods.ramps import sigmoid_ramp
from hinterland.methods.semi.base import OnePhase
from hinterland.methods.semi.unimatch import cut_mixed
from hinterland.methods.supervised import StudentNetworks
from hinterland.networks.base import Network, forward_with_features
from hinterland.networks.ema import ema_copy, ema_decay, ema_update
from hinterland.types import Batch, Progress

TINY = 1e-10


class Turns(nn.Module):
    """Whose turn it is: each teacher's lasts 1 to `period` steps, drawn anew. No parameters.

    A function of the seed and the step alone, so that a resumed run has the same turns.
    """

    def __init__(self, period: int, seed: int) -> None:
        super().__init__()
        self.period, self.seed = period, seed
        self._ends = [0]

    def at(self, step: int) -> int:
        """Return which teacher step `step` belongs to: 0 or 1."""
        if self._ends[-1] <= step:
            draw = torch.Generator().manual_seed(self.seed)
            turns = 2 * step + 1  # enough: each has a step or more
            lengths = torch.randint(1, self.period + 1, (turns,), generator=draw)
            self._ends = list(accumulate(lengths.tolist()))
        return bisect_right(self._ends, step) % 2


class AlternatingNetworks(StudentNetworks):
    """A student, L_seg, its two teachers, their turns, and what writes pseudo-labels."""

    first: Network
    second: Network
    turns: Turns
    pseudo: PseudoLabels


@dataclass(frozen=True)
class AlternatingTeachers(OnePhase[AlternatingNetworks]):
    """Two moving averages of one student, which see and learn different things, teach it.

        L = L_seg + consistency exp(-5 (1 - min(t / rise, 1))^2) L_seg(Q(x'), P)

    Random periodic alternation: in its turn of 1 to `period` steps, one teacher follows the student
    (with dropout on when it predicts) and the other waits. x' is a strong view of the unlabelled
    images in the first one's turns, and a cut-mixed one in the second's. Conflict combating: with
    p_1, p_2 the teachers' probabilities on the images as they are and H their entropies in bits,

        p = (exp(-H_1) p_1 + exp(-H_2) p_2) / sum over cells

    and where the teachers disagree, and the student disagrees with p and is surer, its own
    probabilities count. P is arg max p, where max p is at least `threshold`.

    Attributes:
        consistency: the weight at the end of the ramp.
        rise: share of the training until then.
        threshold: least probability of a pseudo-label that counts.
        period: longest turn, in steps.
        ema: decay of the teachers.
        component: see `PseudoLabels`.
    """

    name: str = "ad-mt"
    consistency: Weight = 2.0
    rise: Share = 0.25
    threshold: Share = 0.95
    period: Count = 50
    ema: Share = 0.99
    component: Component = "all"

    def build(self, context: BuildContext) -> AlternatingNetworks:
        pseudo = PseudoLabels(self.cells, context.label_sets, self.component, self.threshold)
        context = replace(context, label_sets=pseudo.label_sets)
        network = context.create_network(len(self.cells))
        return AlternatingNetworks(
            network=network,
            supervision=context.segmentation_loss(self.on, self.cells),
            first=ema_copy(network),
            second=ema_copy(network),
            turns=Turns(self.period, context.seed),
            pseudo=pseudo,
        )

    def losses(self, networks: AlternatingNetworks, batch: Batch, progress: Progress) -> Losses:
        both, learn, network = self.join(batch), networks.supervision, networks.network
        levels, features = forward_with_features(network, both.image)
        weak, turn = both.unlabelled(both.image), networks.turns.at(progress.step)
        teachers = (networks.first, networks.second)
        one, two = (teach(t, weak, i == turn) for i, t in enumerate(teachers))
        student = learn.estimate(both.unlabelled(levels[0])).detach()
        pseudo = networks.pseudo(settled(one, two, student))
        seen, said = (strong(weak), pseudo) if turn == 0 else cut_mixed(weak, pseudo)
        terms = {
            "seg": learn(both.labelled(levels), both.annotation),
            "consistency": learn(network.logits(seen), said),
        }
        risen = progress.fraction / self.rise if self.rise else 1.0
        weights = {"consistency": self.consistency * sigmoid_ramp(risen)}
        return Losses(terms, weights, (both.view(levels[0], features),))

    def after_step(self, networks: AlternatingNetworks, progress: Progress) -> None:
        taught = (networks.first, networks.second)[networks.turns.at(progress.step)]
        ema_update(taught, networks.network, ema_decay(progress.step, self.ema))

    def teacher_of(self, networks: AlternatingNetworks) -> Callable[[Tensor], Tensor] | None:
        return lambda image: (
            (networks.first(image).float().softmax(1) + networks.second(image).float().softmax(1))
            / 2
        )

    def deployed(self, networks: AlternatingNetworks) -> Network:
        return networks.network


def teach(teacher: nn.Module, image: Tensor, in_turn: bool) -> Tensor:
    """Return a teacher's probabilities.

    Args:
        teacher: whose mode is put back afterwards.
        image: (batch, channels, *space).
        in_turn: whether its dropout is on.

    Returns:
        (batch, cells, *space), without gradient.
    """
    with teacher_mode(teacher, dropout=in_turn):
        return teacher(image).float().softmax(dim=1)


@torch.no_grad()
def settled(
    one: Float[Tensor, "batch cells *space"],
    two: Float[Tensor, "batch cells *space"],
    student: Float[Tensor, "batch cells *space"],
) -> Float[Tensor, "batch cells *space"]:
    """Weigh two teachers by their certainty, and ask the student where they are in conflict.

    Args:
        one: probabilities of the first teacher.
        two: of the second.
        student: of the network that learns.

    Returns:
        Probabilities, of the same shape.
    """
    weighted = [p * torch.exp(-_entropy(p)) for p in (one, two)]
    mean = weighted[0] + weighted[1]
    mean = mean / mean.sum(dim=1, keepdim=True)
    conflict = one.argmax(dim=1) != two.argmax(dim=1)
    sure, said = mean.max(dim=1)
    surer, answered = student.max(dim=1)
    asked = conflict & (answered != said) & (surer > sure)
    return torch.where(asked.unsqueeze(1), student, mean)


def _entropy(p: Tensor) -> Tensor:
    return -(p * torch.log2(p + TINY)).sum(dim=1, keepdim=True)
