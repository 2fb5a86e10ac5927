"""When a batch does not fit into memory: the same batch, a part at a time."""

from __future__ import annotations

from hinterland.types import Batch, HinterlandError


def micro_batches(batch: Batch, parts: int) -> list[Batch]:
    """Cut a batch into parts that each have items of every stream, in the order of the batch.

    Args:
        batch: whose items are shared out; 1 part is the batch itself.
        parts: no more than the smallest stream has items; see `most_parts`.
    """
    if parts == 1:
        return [batch]
    shares: list[list[int]] = [[] for _ in range(parts)]
    for stream in dict.fromkeys(batch.streams):
        items = [i for i, name in enumerate(batch.streams) if name == stream]
        for part, share in enumerate(shares):
            share += items[part * len(items) // parts : (part + 1) * len(items) // parts]
    return [batch.take(sorted(share)) for share in shares]


def most_parts(batch: Batch) -> int:
    """Return how many items the smallest stream of a batch has."""
    return min(batch.streams.count(stream) for stream in set(batch.streams))


def more_parts(batch: Batch, parts: int, *, processes: int = 1) -> int:
    """Return into how many parts a batch is cut that did not fit into memory in `parts`.

    Args:
        batch: what did not fit.
        parts: into how many it was cut.
        processes: how many train together.

    Returns:
        Twice as many, or the most there can be.

    Raises:
        HinterlandError: it cannot be cut further; the message says what to set.
    """
    most = most_parts(batch)
    if processes > 1 or parts >= most:
        why = (
            f"{processes} processes train together, which must do the same"
            if processes > 1
            else f"the smallest of its streams has {most} item(s)"
        )
        raise HinterlandError(
            f"the accelerator's memory is too small for a batch of {len(batch)} patches of "
            f"{tuple(batch.image.shape[2:])} in {parts} part(s), and it cannot be cut further: "
            f"{why}. Set a smaller patch_size or batch_size, precision=bf16 (or fp16), or plan "
            "with less memory (--memory); the last checkpoint is kept."
        )
    return min(2 * parts, most)
