"""Which patients are labelled at each share: nested, and with every answer from the first on."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from hinterland.types import HinterlandError


def nested_subsets(
    answers: Mapping[str, object], shares: Sequence[float], seed: int
) -> dict[float, tuple[str, ...]]:
    """Draw patients for each share, each set inside the next larger one.

    The order begins with one patient of every answer; then each answer has its part of any
    beginning of the order, so that small sets are not of one kind by chance.

    Args:
        answers: patient -> what is known of it; only equality counts.
        shares: per cent of the patients, above 0 up to 100.
        seed: of the draw.

    Returns:
        Share -> patients, in the order they were drawn in.

    Raises:
        HinterlandError: a share is out of range, or so small that two shares are the same patients.

    >>> found = nested_subsets({"a": 0, "b": 0, "c": 0, "d": 1}, (50, 100), seed=0)
    >>> len(found[50]), "d" in found[50]
    (2, True)
    """
    if not shares or any(not 0 < share <= 100 for share in shares):
        raise HinterlandError(f"shares {tuple(shares)}: expected per cent, above 0 up to 100.")
    rng = np.random.default_rng(seed)
    kinds: dict[object, list[str]] = {}
    for name in answers:
        kinds.setdefault(answers[name], []).append(name)
    ranked = []
    for kind, members in sorted(kinds.items(), key=lambda item: str(item[0])):
        for place, i in enumerate(rng.permutation(len(members))):
            key = ((place + 0.5) / len(members) if place else -1.0, str(kind))
            ranked.append((key, members[i]))
    order = [name for _, name in sorted(ranked)]
    counts = {s: max(len(kinds), round(s * len(order) / 100)) for s in sorted(set(shares))}
    if len(set(counts.values())) < len(counts):
        wanted = ", ".join(f"{s:g} % are {n}" for s, n in counts.items())
        raise HinterlandError(
            f"{len(order)} labelled training patients are too few for these shares ({wanted}; one "
            f"of each of {len(kinds)} answers is always there). Give larger --shares."
        )
    return {share: tuple(order[:count]) for share, count in counts.items()}
