"""Methods by the names the command line knows."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from hinterland.labels import Coarsening, LabelSpec, common_refinement
from hinterland.methods.base import Method
from hinterland.methods.cvbm.method import CVBM
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
from hinterland.methods.semi.urpc import UncertaintyRectifiedPyramid
from hinterland.methods.subclass.levels import schemes_known_at
from hinterland.methods.subclass.method import make_subclass, make_two_head
from hinterland.methods.subclass.negative_learning import make_negative_learning
from hinterland.methods.supervised import Supervised
from hinterland.types import HinterlandError

Factory = Callable[[LabelSpec, Sequence[Coarsening], Mapping[str, object]], Method]


def _on_target(kind: Callable[..., Method]) -> Factory:
    """A method that takes its coarsenings first and sees the target question by default."""
    return lambda spec, on, options: kind(tuple(on) or (spec.target,), **options)


def _semi(kind: Callable[..., SemiSupervised]) -> Factory:
    """Likewise, and told which annotation schemes tell all of its cells apart."""

    def make(
        spec: LabelSpec, on: Sequence[Coarsening], options: Mapping[str, object]
    ) -> SemiSupervised:
        asked = tuple(on) or (spec.target,)
        fine, coarse = schemes_known_at(spec, common_refinement(asked))
        return kind(asked, fine=fine, coarse=coarse, **options)

    return make


def _on_labels(make: Callable[..., Method]) -> Factory:
    """A method that follows from the labels: its levels, and which schemes are fine."""
    return lambda spec, on, options: make(spec, tuple(on), **options)


def _backsplit(spec: LabelSpec, on: Sequence[Coarsening], options: Mapping[str, object]) -> Method:
    if on and tuple(on) != (spec.tree.leaves,):
        raise HinterlandError(
            "backsplit always trains on the leaves; it takes no --on. For other coarsenings use "
            "`--method supervised --on leaves,target`."
        )
    return Supervised(spec.tree.leaves, name="backsplit", **options)  # type: ignore[arg-type]


_METHODS: dict[str, Factory] = {
    "supervised": _on_target(Supervised),
    "backsplit": _backsplit,
    "cvbm": _on_target(CVBM),
    "pseudo-label": _semi(PseudoLabel),
    "mean-teacher": _semi(MeanTeacher),
    "ua-mt": _semi(UncertaintyAwareMeanTeacher),
    "bcp": _semi(BidirectionalCopyPaste),
    "cps": _semi(CrossPseudoSupervision),
    "mc-net": _semi(MutualConsistency),
    "urpc": _semi(UncertaintyRectifiedPyramid),
    "dtc": _semi(DualTaskConsistency),
    "sassnet": _semi(ShapeAware),
    "ss-net": _semi(SmoothAndSeparated),
    "subclass": _on_labels(make_subclass),
    "two-head": _on_labels(make_two_head),
    "negative-learning": _on_labels(make_negative_learning),
}


def method_names() -> tuple[str, ...]:
    """All methods that `make_method` knows."""
    return tuple(_METHODS)


def make_method(
    name: str,
    spec: LabelSpec,
    on: Sequence[str | Coarsening] = (),
    options: Mapping[str, object] | None = None,
) -> Method:
    """A method by name.

    on: coarsenings, or questions by text (see `LabelSpec.question`); empty is the method's default.
    options: fields of the method, such as `ce_weight`.
    Raises HinterlandError for an unknown name, question or option.
    """
    if name not in _METHODS:
        raise HinterlandError(f"method {name!r}: expected one of {', '.join(_METHODS)}")
    asked = [spec.question(q) if isinstance(q, str) else q for q in on]
    if options:
        known = _METHODS[name](spec, asked, {}).options
        strange = [option for option in options if option not in known]
        if strange:
            raise HinterlandError(
                f"method {name!r} has no option {', '.join(strange)}; expected method.* settings "
                f"among {', '.join(sorted(known))}."
            )
    try:
        return _METHODS[name](spec, asked, options or {})
    except TypeError as error:
        raise HinterlandError(f"method {name!r}: {error}. Check the `method.*` settings.") from None
