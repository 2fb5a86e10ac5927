"""Feature discrepancy (paper 2) as a regulariser: foreground against background in every layer."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, cast, get_args

import torch
from torch import Tensor, nn

from hinterland.labels import Coarsening, LabelSetTable
from hinterland.losses.discrepancy import (
    FORMS,
    Form,
    Sides,
    domain_discrepancy,
    exchanged_discrepancy,
    feature_discrepancy,
    pool_membership,
    sides,
)
from hinterland.losses.membership import Membership
from hinterland.methods.base import BuildContext, Losses, Method, Regulariser
from hinterland.methods.ramps import WarmStart
from hinterland.methods.regularisers.features import (
    check_option,
    choose_layers,
    feature_map,
    feature_widths,
    named,
    phase_shares,
)
from hinterland.types import HinterlandError, Progress, View

Exchange = Literal["none", "batch", "domains"]
Learned = Literal["softmax", "softplus", "free", "none"]
PAPER_WARM_START = 100 / 175  # epochs without the loss, of all (appendix J)


class FeatureDiscrepancy(Regulariser):
    """sum_l lambda_l (L_fd + L_exch) over the layers l, lambda_l = weight ramp(t) w_l.

    t is the share of all training steps that is done, over all phases of the method. Up to
    `warm_start` nothing acts, then ramp(t) rises linearly for the share `ramp` to 1. The weights
    w_l have one learned parameter s_l a layer, zero at the start:

    softmax   w = softmax(s), the default: their sum cannot move; weight goes to the layers whose
              loss is lowest, which are separated already
    softplus  w_l = softplus(s_l)
    free      w_l = s_l, as the paper says, kept at 0 or above: where L_fd is negative it grows
              without end, where L_fd is positive it stays 0
    none      w_l = 1 / layers, not learned

    Terms "fd" and "exch" are summed over layers. "fd.LAYER" and "lambda.LAYER" weigh nothing:
    they are there to be logged, also while warming up.

    Args:
        layers: names of feature maps, in the order of `layer_weights`.
        rise: weight ramp(t).
        domains: base and novel domain, for `exchange="domains"`.
    """

    name = "discrepancy"

    def __init__(
        self,
        at: Coarsening,
        table: LabelSetTable,
        layers: Sequence[str],
        rise: WarmStart,
        *,
        form: Form = "prototype",
        exchange: Exchange = "none",
        domains: Sequence[str] = (),
        learned: Learned = "softmax",
        normalise: bool = True,
    ) -> None:
        super().__init__()
        self.layers, self.rise = tuple(layers), rise
        self.form, self.learned, self.normalise = form, learned, normalise
        self.exchange, self.domains = exchange, tuple(domains)
        self.scores = nn.Parameter(torch.zeros(len(self.layers)), learned != "none")
        self.membership = Membership(at, table, at.foreground)

    def layer_weights(self) -> Tensor:
        """Return the weights w (layers,) of the layers, without weight and ramp."""
        if self.learned == "free":
            return self.scores
        if self.learned == "softplus":
            return nn.functional.softplus(self.scores)
        return self.scores.softmax(dim=0)

    def undecayed(self) -> tuple[nn.Parameter, ...]:
        return (self.scores,) if self.scores.requires_grad else ()

    def strength(self, progress: Progress) -> float:
        """Return weight ramp(t)."""
        return self.rise.strength(progress)

    def forward(self, views: Sequence[View], progress: Progress) -> Losses:
        if self.learned == "free":
            with torch.no_grad():
                self.scores.clamp_(min=0.0)
        strength = self.strength(progress)
        shift = self._shift(views)
        with torch.set_grad_enabled(strength > 0 and torch.is_grad_enabled()):
            seen = [self._layers(v, shift) for v in views if v.annotation is not None]
            zero = self.scores.new_zeros(2, len(self.layers))
            values = torch.stack(seen).mean(dim=0) if seen else zero
            weights = self.layer_weights()
            fd, exch = values @ weights
        terms, how_much = {"fd": fd}, {"fd": strength}
        if self.exchange != "none":
            terms["exch"], how_much["exch"] = exch, strength
        for layer, value, w in zip(self.layers, values[0], weights, strict=True):
            terms |= {f"fd.{layer}": value.detach(), f"lambda.{layer}": strength * w.detach()}
            how_much |= {f"fd.{layer}": 0.0, f"lambda.{layer}": 0.0}
        return Losses(terms, how_much)

    def _shift(self, views: Sequence[View]) -> int:
        """Draw how far the partners of items lie apart in this step; 0 where there are none."""
        n = len(views[0].image) if views else 0
        return int(torch.randint(1, n, ())) if self.exchange == "batch" and n > 1 else 0

    def _layers(self, view: View, shift: int) -> Tensor:
        """Return L_fd and L_exch (2, layers) of one view, always in float32."""
        assert view.annotation is not None
        member, decided = self.membership(view.annotation)
        if view.valid is not None:
            decided = decided & view.valid[:, None]
        pooled: dict[tuple[int, ...], tuple[Tensor, Tensor]] = {}
        values = []
        with torch.autocast(member.device.type, enabled=False):
            for name in self.layers:
                features = feature_map(view, name, self.name)
                size = tuple(features.shape[2:])
                if size not in pooled:
                    pooled[size] = pool_membership(member, decided, size)
                layer = sides(features, *pooled[size], self.form, self.normalise)
                values.append(
                    torch.stack([feature_discrepancy(layer), self._exch(layer, view, shift)])
                )
        return torch.stack(values, dim=1)

    def _exch(self, layer: Sides, view: View, shift: int) -> Tensor:
        if self.exchange == "batch":
            return exchanged_discrepancy(layer, shift)
        if self.exchange == "none":
            return layer.foreground.new_zeros(())
        if not view.domain:
            raise HinterlandError(
                "discrepancy: exchange=domains: this method mixes images, so they belong to no "
                "domain. Use exchange=batch, or another method."
            )
        base, novel = (_of_domain(view.domain, name, layer.foreground) for name in self.domains)
        return domain_discrepancy(layer, base, novel)


def _of_domain(domains: Sequence[str], name: str, like: Tensor) -> Tensor:
    """Return which items are of a domain; filled in place, for a copy would be waited for."""
    found = torch.zeros(len(domains), dtype=torch.bool, device=like.device)
    for item, domain in enumerate(domains):
        if domain == name:
            found[item] = True
    return found


def make_discrepancy(
    context: BuildContext,
    method: Method,
    *,
    on: str = "target",
    layers: str | Sequence[str] = "all",
    weight: float | None = None,
    form: str = "prototype",
    exchange: str = "none",
    domains: Sequence[str] = (),
    learned: str = "softmax",
    warm_start: float | None = None,
    ramp: float = 0.1,
    normalise: bool = True,
) -> FeatureDiscrepancy:
    """Make the feature discrepancy regulariser of a run.

    Args:
        context: what the run is built for.
        method: the method beside which the loss acts.
        on: the question whose groups are foreground, each against all the rest.
        layers: "all", layers' names ("encoder.0", "bottleneck", "decoder.2"), or parts ("encoder").
        weight: of the loss; default 0.1, and 1 where the weights of the layers are `free`.
        form: of L_fd: "prototype", "map" or "sum".
        exchange: of L_exch: "none", or with the items of the "batch" or of the other of two
            "domains".
        domains: base and novel domain, for `exchange="domains"`.
        learned: how the layers' weights are learned; see `FeatureDiscrepancy`.
        warm_start: share of all steps without the loss; default, the first phase of a method that
            has
            two, so that the loss acts under a rate and a selection of its own, else the paper's
            0.57.
        ramp: share of all steps over which the weight rises.
        normalise: whether features are divided by their root mean square.

    Returns:
        The regulariser, with the layers' weights as parameters of its own.

    Raises:
        HinterlandError: a value that is not allowed, or a network without named feature maps.
    """
    check_option("discrepancy", "form", form, FORMS)
    check_option("discrepancy", "exchange", exchange, get_args(Exchange))
    check_option("discrepancy", "learned", learned, get_args(Learned))
    if exchange == "domains" and (isinstance(domains, str) or len(set(domains)) != 2):
        raise HinterlandError(
            f"discrepancy: exchange=domains needs two names, as in domains=[base, novel]; "
            f"got {domains!r}."
        )
    shares = phase_shares(method)
    if weight is None:
        weight = 1.0 if learned == "free" else 0.1
    if warm_start is None:
        warm_start = shares[0][1] if len(shares) > 1 else PAPER_WARM_START
    with named("discrepancy"):
        rise = WarmStart(shares, weight, warm_start, ramp)
    chosen = choose_layers("discrepancy", layers, tuple(feature_widths(context, "discrepancy")))
    return FeatureDiscrepancy(
        context.spec.question(on), context.label_sets, chosen,
        rise, form=cast(Form, form), exchange=cast(Exchange, exchange), domains=domains,
        learned=cast(Learned, learned), normalise=normalise,
    )  # fmt: skip
