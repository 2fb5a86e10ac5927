"""Heads that answer at every level of a tree: Prior Concatenation and Separate Normalization."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from math import gcd

from torch import Tensor, cat, nn

from hinterland.labels import Coarsening
from hinterland.methods.subclass.levels import Node
from hinterland.networks.base import SplitNetwork
from hinterland.networks.initialise import CONVOLUTIONS, initialise, seeded

NORMS = ("batch", "instance", "group")
GROUPS = 8


def _conv(dims: int, entering: int, leaving: int, kernel: int) -> nn.Module:
    kind = nn.Conv2d if dims == 2 else nn.Conv3d
    return kind(entering, leaving, kernel, padding=kernel // 2)


def block(dims: int, entering: int, leaving: int, norm: str = "batch") -> nn.Sequential:
    """Return norm -> ReLU -> 3x3 convolution -> ReLU: a branch of Separate Normalization.

    Args:
        dims: spatial axes.
        entering: channels that come in.
        leaving: channels that go out.
        norm: one of `NORMS`; the paper's is "batch".

    Returns:
        The layers.
    """
    conv = _conv(dims, entering, leaving, 3)
    return nn.Sequential(_norm(dims, entering, norm), nn.ReLU(), conv, nn.ReLU())


def _norm(dims: int, width: int, norm: str) -> nn.Module:
    if norm == "group":
        return nn.GroupNorm(gcd(GROUPS, width), width)
    if norm == "instance":
        kind = nn.InstanceNorm2d if dims == 2 else nn.InstanceNorm3d
        return kind(width, affine=True)
    return (nn.BatchNorm2d if dims == 2 else nn.BatchNorm3d)(width)


class LevelHead(nn.Module, ABC):
    """From the decoder's maps to logits of the finest level (`forward`) or of all (`levels`)."""

    @abstractmethod
    def levels(self, decoded: Sequence[Tensor]) -> list[Tensor]:
        """Return logits (B, groups, *space) of every level, coarsest first."""

    def forward(self, decoded: Sequence[Tensor]) -> list[Tensor]:
        return self.levels(decoded)[-1:]


class PlainHead(LevelHead):
    """One 1x1 convolution a level, on the decoder's last map F: S_d = conv(F).

    With `pc`, S_d = conv(concat(F, S_{d-1})), prior columns 0 at first. With `shared`, F
    passes one `block` first, as all heads without Separate Normalization do in the released code.
    """

    def __init__(
        self,
        levels: Sequence[Coarsening],
        width: int,
        dims: int,
        *,
        pc: bool,
        shared: bool = False,
        norm: str = "batch",
    ) -> None:
        super().__init__()
        self.pc = pc
        self.shared = block(dims, width, width, norm) if shared else nn.Identity()
        above = [0, *(len(c) if pc else 0 for c in levels)]
        self.layers = nn.ModuleList(
            _conv(dims, width + above[i], len(level), 1) for i, level in enumerate(levels)
        )

    def levels(self, decoded: Sequence[Tensor]) -> list[Tensor]:
        features = self.shared(decoded[0])
        found: list[Tensor] = []
        for layer in self.layers:
            prior = found[-1:] if self.pc else []
            found.append(layer(cat((features, *prior), dim=1)))
        return found


class NodeHead(nn.Module):
    """Logits of a node's children, and of all nodes below them, from the features of the node.

    If a child is divided again, each child has a branch (`block`) and one logit of its own; a child
    that is divided hands the features of its branch to the head of its own children. Children that
    are all leaves share one 1x1 convolution. With `prior`, the node's own logit stands behind the
    features wherever a logit of a child is read (Prior Concatenation), its columns being 0 at
    first; `pc` says so for the nodes below.
    """

    def __init__(
        self,
        node: Node,
        width: int,
        dims: int,
        pc: bool,
        *,
        prior: bool = False,
        norm: str = "batch",
    ) -> None:
        super().__init__()
        self.node, self.pc, self.prior = node, pc, prior
        self.branches = nn.ModuleList()
        self.logits = nn.ModuleList()
        self.below = nn.ModuleDict()
        if not any(child.children for child in node.children):
            self.logits.append(_conv(dims, width + prior, len(node.children), 1))
            return
        for i, child in enumerate(node.children):
            self.branches.append(block(dims, width, width, norm))
            self.logits.append(_conv(dims, width + prior, 1, 1))
            if child.children:
                self.below[str(i)] = NodeHead(child, width, dims, pc, prior=pc, norm=norm)

    def forward(
        self, features: Tensor, prior: Sequence[Tensor] = ()
    ) -> dict[frozenset[int], Tensor]:
        """Return group of leaves -> its logit (B, 1, *space); prior: none, or the node's logit."""
        children = self.node.children
        if not self.branches:
            logits = self.logits[0](cat((features, *prior), dim=1)).split(1, dim=1)
            return {c.group: s for c, s in zip(children, logits, strict=True)}
        found: dict[frozenset[int], Tensor] = {}
        for i, child in enumerate(children):
            own = self.branches[i](features)
            logit = found[child.group] = self.logits[i](cat((own, *prior), dim=1))
            if child.children:
                found |= self.below[str(i)](own, [logit] if self.pc else [])
        return found


class SeparateHead(LevelHead):
    """Separate Normalization: a branch of its own for each superclass, recursively.

    For {background, foreground {sub_1, ...}} this is the paper's: superclass logits [bg, fg],
    subclass logits [bg, sub_1, ...], the background's logit being one and the same.
    """

    def __init__(
        self, levels: Sequence[Coarsening], width: int, dims: int, *, pc: bool, norm: str = "batch"
    ) -> None:
        super().__init__()
        self.groups = [level.groups for level in levels]
        self.root = NodeHead(Node.of(levels), width, dims, pc, norm=norm)

    def levels(self, decoded: Sequence[Tensor]) -> list[Tensor]:
        found = self.root(decoded[0])
        return [cat([found[g] for g in groups], dim=1) for groups in self.groups]


def make_level_head(
    levels: Sequence[Coarsening],
    width: int,
    dims: int,
    *,
    pc: bool,
    sn: bool,
    shared: bool = False,
    norm: str = "batch",
    seed: int = 0,
) -> LevelHead:
    """Return the head with Prior Concatenation and Separate Normalization on or off.

    Args:
        levels: coarsenings, coarsest first, each with logits of its own.
        width: channels of the features.
        dims: spatial axes.
        pc: whether a level sees the logits of the one above.
        sn: whether each class of the level above has a branch with a norm of its own.
        shared: whether plain heads share a block before them.
        norm: one of `NORMS`; the paper's is "batch".
        seed: of the initial weights.

    Returns:
        The head, freshly initialised.
    """
    with seeded(seed):
        head: LevelHead = (
            SeparateHead(levels, width, dims, pc=pc, norm=norm)
            if sn
            else PlainHead(levels, width, dims, pc=pc, shared=shared, norm=norm)
        )
        initialise(head)
    # Behind the features stands the prior. A random column would be a bias of random sign that
    # grows with the superclass's logit and could close a subclass; from zero, PC begins as none.
    for layer in head.modules():
        if isinstance(layer, CONVOLUTIONS):
            nn.init.zeros_(layer.weight[:, width:])
    return head


class LevelNetwork(SplitNetwork):
    """A plain network with a `LevelHead` in place of its own; its logits are the leaves'."""

    head: LevelHead

    def __init__(self, plain: SplitNetwork, head: LevelHead, out_channels: int) -> None:
        super().__init__(plain.dims, plain.in_channels, out_channels)
        self.name, self.widths, self.upsampling = plain.name, plain.widths, plain.upsampling
        self.encoder, self.decoder, self.head = plain.encoder, plain.decoder, head
        self._plain = (plain,)  # a tuple hides it from torch: its own head is not trained

    def levels(self, image: Tensor) -> list[Tensor]:
        """Return the logits of every level, coarsest first."""
        return self.head.levels(self.decode(self.encode(image)))

    def make_decoder(self, upsampling: str = "transposed", *, seed: int) -> nn.Module:
        return self._plain[0].make_decoder(upsampling, seed=seed)

    def make_head(self, out_channels: int, *, seed: int) -> nn.Module:
        return self._plain[0].make_head(out_channels, seed=seed)
