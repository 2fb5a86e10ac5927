"""What batches are drawn from: streams by annotation scheme, or with and without a label."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated

from hinterland.labels.scheme import UNLABELLED as NO_LABEL
from hinterland.methods.base import Phase, Quota
from hinterland.methods.options import OneOf, SharedOut
from hinterland.types import Batch, HinterlandError

Unlabelled = Annotated[str, OneOf("rest", "all", "coarse")]
PRETRAIN, SELF_TRAIN = "pre-train", "self-train"


def by_scheme(shares: Mapping[str, float]) -> tuple[Quota, ...]:
    """Return one quota for each annotation scheme that is named, and one for all other labels.

    Args:
        shares: scheme -> its share of every batch, such as `{"pseudo": 0.5}`; none is one quota of
            all labelled cases.

    Returns:
        The quotas; the last has what the others leave.
    """
    quotas = tuple(Quota(name, share, {"scheme": name}) for name, share in shares.items())
    rest = SharedOut.rest(shares)
    if not rest:
        return quotas
    others = {"scheme": tuple(shares)} if shares else {}
    return (*quotas, Quota("labelled", rest, {"labelled": True}, but=others))


def two_streams(
    unlabelled: str = "rest",
    share: float = 0.5,
    fine: tuple[str, ...] = (),
    coarse: tuple[str, ...] = (),
) -> tuple[Quota, Quota]:
    """Return the quotas "labelled" and "unlabelled"; `share` of the batch is labelled.

    Args:
        unlabelled: "rest" draws that stream from the cases without a label; "all" draws it from
            every case, labels hidden, so that a method can also be trained with all labels at hand;
            "coarse" draws the labelled stream from the annotation schemes `fine` and the other one
            from `coarse` and from the cases without a label.
        share: of the batch that is labelled.
        fine: names of the annotation schemes of the labelled stream, for "coarse".
        coarse: names of those of the other stream, for "coarse".

    Returns:
        The two quotas, labelled first.

    Raises:
        HinterlandError: another word.
    """
    where: dict[str, tuple[dict[str, object], dict[str, object]]] = {
        "rest": ({"labelled": True}, {"labelled": False}),
        "all": ({"labelled": True}, {}),
        "coarse": ({"scheme": fine}, {"scheme": (*coarse, NO_LABEL)}),
    }
    if unlabelled not in where:
        raise HinterlandError(f"unlabelled={unlabelled!r}: expected 'rest' or 'all' (or 'coarse').")
    first, second = where[unlabelled]
    hidden = unlabelled != "coarse"
    return Quota("labelled", share, first), Quota("unlabelled", 1 - share, second, hidden)


def split_streams(batch: Batch) -> tuple[Batch, Batch]:
    """Return the labelled and the unlabelled items of a batch drawn by `two_streams`."""
    return batch.stream("labelled"), batch.stream("unlabelled")


def two_phases(pretrain: float, streams: tuple[Quota, ...]) -> tuple[Phase, ...]:
    """Return pre-training on labelled cases, then self-training on `streams`.

    Pre-training has that share of the steps, and self-training begins with its best weights. A
    phase without a step is left out.
    """
    labelled = (Quota("labelled", where={"labelled": True}),)
    before = Phase(PRETRAIN, pretrain, labelled)
    after = Phase(SELF_TRAIN, 1 - pretrain, streams, "best")
    return tuple(phase for phase in (before, after) if phase.share > 0)
