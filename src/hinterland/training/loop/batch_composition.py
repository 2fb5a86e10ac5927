"""From a method's quotas and the cases at hand to the streams that batches are drawn from."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence

from hinterland.data.sampling.sampler import Stream
from hinterland.methods import Phase
from hinterland.types import Case, HinterlandError

_HINT = (
    " Where all cases have labels: --set method.unlabelled=all (drawn with labels hidden), or "
    "method.unlabelled=coarse where the method has it (drawn from those without fine labels)."
)


def streams_for(
    phase: Phase, cases: Sequence[Case], batch_size: int, *, by_domain: bool = False,
    bags: Collection[str] = (),
) -> tuple[Stream, ...]:  # fmt: skip
    """Return one stream per quota, with counts that sum to `batch_size`.

    Args:
        phase: whose quotas count.
        cases: the training cases.
        batch_size: items of a batch.
        by_domain: one stream per quota and domain, under the quota's name, in equal parts.
        bags: unlabelled cases from which an image label can be learnt. Where the phase draws no
            unlabelled case at all, they are drawn like labelled ones.

    Returns:
        The streams, in the order of the quotas.

    Raises:
        HinterlandError: a quota finds no case, or the batch has fewer items than quotas (or a quota
            fewer than domains).
    """
    if batch_size < len(phase.quotas):
        raise HinterlandError(
            f"batch size {batch_size} cannot hold the {len(phase.quotas)} streams of phase "
            f"{phase.name!r} ({', '.join(q.name for q in phase.quotas)}). Set a larger batch_size."
        )
    if any(_matches(c, q.where) for q in phase.quotas for c in cases if not c.labelled):
        bags = ()
    counts = share_out([q.share for q in phase.quotas], batch_size)
    streams = []
    for quota, count in zip(phase.quotas, counts, strict=True):
        names = tuple(
            c.name
            for c in cases
            if (_matches(c, quota.where) or (c.name in bags and set(quota.where) == {"labelled"}))
            and not (quota.but and _matches(c, quota.but))
        )
        if not names:
            raise HinterlandError(
                f"phase {phase.name!r} wants training cases {_words(quota.where)}"
                f"{', but none ' + _words(quota.but) if quota.but else ''}, and none of the "
                f"{len(cases)} is that. Check the schemes in labels.yaml, --labelled and "
                f"--fine.{_HINT if quota.where == {'labelled': False} else ''}"
            )
        if by_domain:
            domain = {c.name: c.domain for c in cases}
            whole = Stream(quota.name, names, count, quota.hidden)
            streams += _by_domain(whole, domain, phase.name)
        else:
            streams.append(Stream(quota.name, names, count, quota.hidden))
    return tuple(streams)


def _by_domain(stream: Stream, domain: Mapping[str, str], phase: str) -> list[Stream]:
    """Cut a stream into one stream for each domain of its cases."""
    parts: dict[str, list[str]] = {}
    for name in stream.cases:
        parts.setdefault(domain[name], []).append(name)
    if stream.count < len(parts):
        raise HinterlandError(
            f"data.by_domain: the {stream.count} item(s) that {stream.name!r} has in a batch of "
            f"phase {phase!r} cannot come from {len(parts)} domains ({', '.join(parts)}). Set a "
            "larger batch_size."
        )
    counts = share_out([1.0] * len(parts), stream.count)
    return [
        Stream(stream.name, tuple(names), count, stream.hidden)
        for names, count in zip(parts.values(), counts, strict=True)
    ]


def share_out(shares: Sequence[float], total: int) -> list[int]:
    """Return whole numbers in proportion to `shares` that sum to `total`, each at least one."""
    exact = [s * total / sum(shares) for s in shares]
    counts = [max(1, int(e)) for e in exact]
    while sum(counts) < total:
        counts[max(range(len(exact)), key=lambda i: exact[i] - counts[i])] += 1
    while sum(counts) > total:
        largest = max(range(len(exact)), key=lambda i: (counts[i] > 1, counts[i] - exact[i]))
        counts[largest] -= 1
    return counts


def _words(where: Mapping[str, object]) -> str:
    """Say in words what a quota asks for."""
    known: dict[tuple[str, object], str] = {
        ("labelled", True): "with a label",
        ("labelled", False): "without a label",
    }
    words = []
    for attribute, wanted in where.items():
        listed = " or ".join(map(str, wanted)) if isinstance(wanted, tuple) else str(wanted)
        words.append(known.get((attribute, wanted), f"of the {attribute} {listed}"))
    return " and ".join(words)


def _matches(case: Case, where: Mapping[str, object]) -> bool:
    for attribute, wanted in where.items():
        value = getattr(case, attribute)
        if value not in (wanted if isinstance(wanted, tuple) else (wanted,)):
            return False
    return True
