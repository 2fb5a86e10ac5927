"""What regularisers need that look at feature maps: which layers there are, and their options."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from torch import Tensor

from hinterland.methods.base import BuildContext, Method
from hinterland.networks.registry import require_maps
from hinterland.types import HinterlandError, View


def feature_widths(context: BuildContext, asker: str) -> dict[str, int]:
    """Return the channels of each feature map of the network that will be trained.

    Raises:
        HinterlandError: a network without named feature maps.
    """
    return require_maps(context.create_network(1), asker).feature_widths()


def phase_shares(method: Method) -> tuple[tuple[str, float], ...]:
    """Return (name, share of all steps) of a method's phases."""
    return tuple((phase.name, phase.share) for phase in method.phases())


def choose_layers(asker: str, asked: str | Sequence[str], known: Sequence[str]) -> tuple[str, ...]:
    """Return the layers asked for by name or by part of the network, in the network's order.

    Args:
        asker: the regulariser, named in the message.
        asked: layers' names ("encoder.0", "bottleneck"), parts of the network ("encoder"), or
            "all".
        known: the network's layers, in order.

    Returns:
        The chosen layers' names.

    Raises:
        HinterlandError: a name that no layer has.
    """
    names = [asked] if isinstance(asked, str) else list(asked)
    if names == ["all"]:
        return tuple(known)
    parts = {layer: {layer, layer.split(".")[0]} for layer in known}
    strange = [n for n in names if not any(n in p for p in parts.values())]
    if strange or not names:
        raise HinterlandError(
            f"{asker}: layers={asked!r}: expected all, encoder, decoder, or some of "
            f"{', '.join(known)}"
        )
    return tuple(layer for layer, p in parts.items() if p & set(names))


def feature_map(view: View, name: str, asker: str) -> Tensor:
    """Return a feature map of a view.

    Args:
        view: what the method shows of a forward pass.
        name: of the layer.
        asker: the regulariser, named in the message.

    Returns:
        The map (B, channels, *positions).

    Raises:
        HinterlandError: the method shows none of this name.
    """
    if name not in view.features:
        raise HinterlandError(
            f"{asker}: the method shows no features of layer {name!r}, only "
            f"{', '.join(view.features) or 'none'}. Choose other layers or another method."
        )
    return view.features[name]


def check_option(asker: str, option: str, value: object, known: Sequence[str]) -> None:
    """Refuse a value that is none of the known ones.

    Args:
        asker: the regulariser, named in the message.
        option: its name.
        value: what came.
        known: what is allowed.

    Raises:
        HinterlandError: the value is not among them.
    """
    if value not in known:
        raise HinterlandError(f"{asker}: {option}={value!r}: expected one of {', '.join(known)}")


@contextmanager
def named(asker: str) -> Iterator[None]:
    """Put the regulariser's name before the message of a HinterlandError.

    Raises:
        HinterlandError: the one that came, with the name.
    """
    try:
        yield
    except HinterlandError as error:
        raise HinterlandError(f"{asker}: {error}") from None
