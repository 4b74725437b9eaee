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
    entries = list(tensors_in(graph.inputs))
    if len(entries) != 1:
        return None
    tensor, rescaled = entries[0], False
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
            return _fields(layer.options, rescaled=rescaled)
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
