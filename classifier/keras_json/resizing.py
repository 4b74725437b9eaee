"""A model that resizes its pictures itself: how, told from the layers that a picture goes through first."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from classifier.keras_json.graph import Layer, Model, Tensor, tensors_in

if TYPE_CHECKING:
    from collections.abc import Mapping

_FAR: Final = 20
"""Layers that may stand before the one that resizes."""
_COMMUTE: Final = frozenset({"Identity", "Dropout", "Rescaling"})
"""Layers after which a resize gives what it would have given before; those that augment do nothing in service."""


def own_resizing(graph: Model) -> Mapping[str, Any] | None:
    """serving.json's size, filter, resize and antialias for what the model's first `Resizing` layer does, else None.

    Only if every picture goes through it before anything that depends on the picture's size.
    """
    found = _first_resizing(graph)
    return None if found is None else _fields(found[0].options, rescaled=found[1])


def leave_resizing_to_us(model: Any, graph: Model) -> None:  # noqa: ANN401 - a keras.Model, which has no types
    """Make that layer hand on what has its size already: most filters would compute, and LiteRT has few of them."""
    found = _first_resizing(graph)
    layers = [layer for layer in model._flatten_layers() if type(layer).__name__ == "Resizing"]  # noqa: SLF001
    own = [layer for layer in layers if found and (len(layers) == 1 or layer.name == found[0].name)]
    if len(own) == 1:
        own[0].interpolation = "nearest"
        own[0].crop_to_aspect_ratio = own[0].pad_to_aspect_ratio = own[0].antialias = False


def _first_resizing(graph: Model) -> tuple[Layer, bool] | None:
    """The layer, and whether the numbers were rescaled before it."""
    entries = list(tensors_in(graph.inputs))
    if len(entries) != 1:
        return None
    tensor, rescaled = entries[0], False
    whole = str(graph.layer(tensor.layer).options.get("dtype")).lower().startswith(("uint", "int"))
    for _ in range(_FAR):
        following = follower(graph, tensor)
        if following is None:
            return None
        layer, call = following
        if layer.model is not None:
            inner = list(tensors_in(layer.model.inputs))
            if len(inner) != 1 or len(layer.calls) != 1:
                return None
            graph, tensor = layer.model, inner[0]
            continue
        if layer.kind == "Resizing":
            return None if whole and rescaled else (layer, rescaled)  # whole numbers have no place for its fractions
        if layer.kind not in _COMMUTE and not layer.kind.startswith("Random"):
            return None
        rescaled = rescaled or layer.kind == "Rescaling"
        tensor = Tensor(layer.name, call, 0)
    return None


def follower(graph: Model, tensor: Tensor) -> tuple[Layer, int] | None:
    """The one layer, and its call, that takes a tensor; None if there are more."""
    found = [
        (layer, number)
        for layer in graph.layers
        for number, call in enumerate(layer.calls)
        if tensor in tuple(call.tensors())
    ]
    return found[0] if len(found) == 1 else None


def _fields(options: Mapping[str, Any], *, rescaled: bool) -> Mapping[str, Any] | None:
    pads, crops = bool(options.get("pad_to_aspect_ratio")), bool(options.get("crop_to_aspect_ratio"))
    if pads and (rescaled or options.get("fill_value")):
        return None  # its border would not be black
    if options.get("data_format") == "channels_first":
        return None
    return {
        "size": [options["height"], options["width"]],
        "filter": str(options.get("interpolation", "bilinear")).lower(),
        "resize": "pad-resize" if pads else "crop" if crops else "stretch",
        "antialias": bool(options.get("antialias")),
    }
