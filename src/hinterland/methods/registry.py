"""Methods by the names the command line knows."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from hinterland.labels import Coarsening, LabelSpec, common_refinement
from hinterland.methods.base import Method
from hinterland.methods.cvbm.method import CVBM
from hinterland.methods.distillation import Distillation
from hinterland.methods.semi.ad_mt import AlternatingTeachers
from hinterland.methods.semi.base import SemiSupervised
from hinterland.methods.semi.bcp import BidirectionalCopyPaste
from hinterland.methods.semi.cps import CrossPseudoSupervision
from hinterland.methods.semi.dtc import DualTaskConsistency
from hinterland.methods.semi.mc_net import MutualConsistency
from hinterland.methods.semi.mean_teacher import MeanTeacher
from hinterland.methods.semi.pseudo_label import PseudoLabel
from hinterland.methods.semi.sassnet import ShapeAware
from hinterland.methods.semi.ss_net import SmoothAndSeparated
from hinterland.methods.semi.ua_mt import UncertaintyAwareMeanTeacher
from hinterland.methods.semi.unimatch import UniMatch
from hinterland.methods.semi.urpc import UncertaintyRectifiedPyramid
from hinterland.methods.subclass.levels import schemes_known_at
from hinterland.methods.subclass.method import make_subclass, make_two_head
from hinterland.methods.subclass.negative_learning import make_negative_learning
from hinterland.methods.supervised import Supervised
from hinterland.types import HinterlandError
from hinterland.types.registry import Registry

MethodFactory = Callable[..., Method[Any]]
"""Called as `factory(spec, on, **options)`, with the labels and the coarsenings asked for."""


def asks_target(kind: Callable[..., Method[Any]]) -> MethodFactory:
    """Return the factory of a method that takes its coarsenings first.

    By default it sees the target question.
    """

    def make(spec: LabelSpec, on: Sequence[Coarsening], **options: Any) -> Method[Any]:
        return kind(tuple(on) or (spec.target,), **options)

    return make


def semi_supervised(kind: Callable[..., SemiSupervised[Any]]) -> MethodFactory:
    """Return the factory of a semi-supervised method.

    By default it sees the target question; it is told which annotation schemes tell all of its
    cells apart.
    """

    def make(spec: LabelSpec, on: Sequence[Coarsening], **options: Any) -> Method[Any]:
        asked = tuple(on) or (spec.target,)
        fine, coarse = schemes_known_at(spec, common_refinement(asked))
        return kind(asked, fine=fine, coarse=coarse, **options)

    return make


def _backsplit(spec: LabelSpec, on: Sequence[Coarsening], **options: Any) -> Method[Any]:
    if on and tuple(on) != (spec.tree.leaves,):
        raise HinterlandError(
            "backsplit always trains on the leaves; it takes no --on. For other coarsenings use "
            "`--method supervised --on leaves,target`."
        )
    return Supervised((spec.tree.leaves,), name="backsplit", **options)


def _distillation(spec: LabelSpec, on: Sequence[Coarsening], **options: Any) -> Method[Any]:
    return Distillation(tuple(on) or (spec.tree.leaves,), **options)


METHODS: Registry[MethodFactory] = Registry(
    "method",
    "hinterland.methods",
    {
        "supervised": asks_target(Supervised),
        "backsplit": _backsplit,
        "cvbm": semi_supervised(CVBM),
        "pseudo-label": semi_supervised(PseudoLabel),
        "mean-teacher": semi_supervised(MeanTeacher),
        "ua-mt": semi_supervised(UncertaintyAwareMeanTeacher),
        "bcp": semi_supervised(BidirectionalCopyPaste),
        "cps": semi_supervised(CrossPseudoSupervision),
        "mc-net": semi_supervised(MutualConsistency),
        "urpc": semi_supervised(UncertaintyRectifiedPyramid),
        "dtc": semi_supervised(DualTaskConsistency),
        "sassnet": semi_supervised(ShapeAware),
        "ss-net": semi_supervised(SmoothAndSeparated),
        "unimatch": semi_supervised(UniMatch),
        "ad-mt": semi_supervised(AlternatingTeachers),
        "subclass": make_subclass,
        "two-head": make_two_head,
        "negative-learning": make_negative_learning,
        "distillation": _distillation,
    },
)
register = METHODS.register


def method_names() -> tuple[str, ...]:
    """Return the names of all methods that `make_method` knows.

    >>> {"supervised", "cvbm", "mean-teacher"} <= set(method_names())
    True
    """
    return METHODS.names()


def make_method(
    name: str,
    spec: LabelSpec,
    on: str | Coarsening | Sequence[str | Coarsening] = (),
    options: Mapping[str, object] | None = None,
) -> Method[Any]:
    """Return a method by name.

    Args:
        name: one of `method_names`.
        spec: the labels of the data set.
        on: coarsenings, or questions by text (see `LabelSpec.question`); a single one may stand
            by itself; empty is the method's default.
        options: fields of the method, such as `ce_weight`.

    Returns:
        The method with these coarsenings and options.

    Raises:
        HinterlandError: an unknown name, question or option.

    >>> spec = LabelSpec.from_dict(
    ...     {"tree": {"rest": {}, "organ": {}}, "schemes": {"full": {0: "rest", 1: "organ"}}}
    ... )
    >>> make_method("bcp", spec, options={"alpha": 0.3}).alpha == 0.3
    True
    """
    factory = METHODS.get(name)
    several = (on,) if isinstance(on, str | Coarsening) else on
    asked = tuple(spec.question(q) if isinstance(q, str) else q for q in several)
    if options:
        known = factory(spec, asked).options
        strange = [option for option in options if option not in known]
        if strange:
            raise HinterlandError(
                f"method {name!r} has no option {', '.join(strange)}; expected method.* settings "
                f"among {', '.join(sorted(known))}."
            )
    try:
        method = factory(spec, asked, **(options or {}))
    except TypeError as error:
        raise HinterlandError(f"method {name!r}: {error}. Check the `method.*` settings.") from None
    if method.name != name:
        raise HinterlandError(
            f"method {name!r} calls itself {method.name!r}; register it under its own name."
        )
    return method
