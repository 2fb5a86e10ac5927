"""What batches of subclass methods are drawn from: fine-labelled and coarsely labelled cases."""

from __future__ import annotations

from hinterland.methods.base import Quota
from hinterland.types import HinterlandError


def fine_and_coarse(
    fine: tuple[str, ...], coarse: tuple[str, ...], share: float
) -> tuple[Quota, ...]:
    """Return the quotas "fine" (`share` of the batch) and "coarse", by annotation scheme.

    Args:
        fine: names of the schemes that tell all subclasses apart.
        coarse: names of the others; empty draws fine cases only.
        share: of the batch that is fine-labelled.

    Returns:
        One or two quotas.

    Raises:
        HinterlandError: there is no fine scheme.
    """
    if not fine:
        raise HinterlandError(
            "no annotation scheme tells all subclasses apart, so no case is fine-labelled. Add a "
            "scheme to labels.yaml whose values are leaves."
        )
    quotas = (Quota("fine", share, {"scheme": fine}),)
    if not coarse or share >= 1:
        return quotas
    return (*quotas, Quota("coarse", 1 - share, {"scheme": coarse}))
