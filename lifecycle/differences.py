"""What differs between two JSON documents of a model: by setting, and by layer. Pure: documents in, sentences out."""

from __future__ import annotations

import json
from difflib import SequenceMatcher
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

MOST_SHOWN = 80
"""Characters of a value."""
NAMES_SHOWN = 6
_NO_SETTINGS = frozenset({"name", "batch_input_shape", "build_config", "registered_name"})


def settings(old: object, new: object, path: str = "") -> Iterator[str]:
    """`path: old -> new` for each value that differs; of lists of texts, which come and go."""
    if old == new:
        return
    if isinstance(old, dict) and isinstance(new, dict):
        for name in sorted(old.keys() | new.keys()):
            inner = f"{path}.{name}" if path else name
            if name not in new:
                yield f"{inner}: {_shown(old[name])} -> not stated"
            elif name not in old:
                yield f"{inner}: not stated -> {_shown(new[name])}"
            else:
                yield from settings(old[name], new[name], inner)
    elif _texts(old) and _texts(new):
        yield f"{path}: {_names(old, new)}"
    else:
        yield f"{path}: {_shown(old)} -> {_shown(new)}"


def layers(old: Mapping[str, Any], new: Mapping[str, Any]) -> list[str]:
    """Layers that came, went, or have other settings, in the model's order.

    They are matched by kind and place, not by name: Keras numbers names anew in each process.
    """
    before, after = list(_layers(old)), list(_layers(new))
    matcher = SequenceMatcher(None, [kind for kind, _, _ in before], [kind for kind, _, _ in after], autojunk=False)
    found = []
    for what, start, stop, first, last in matcher.get_opcodes():
        if what == "equal":
            for (kind, _, mine), (_, name, its) in zip(before[start:stop], after[first:last], strict=True):
                found += [f"{kind} {name}: {change}" for change in settings(mine, its)]
            continue
        found += [f"gone: {kind} {name}" for kind, name, _ in before[start:stop]]
        found += [f"new: {kind} {name}" for kind, name, _ in after[first:last]]
    return found or ["the same layers and settings; they are connected, named or written otherwise"]


def _layers(entry: Mapping[str, Any]) -> Iterator[tuple[str, str, dict[str, Any]]]:
    """Kind, name and settings of each layer, those of nested models where the model stands."""
    config = entry.get("config")
    inner = config.get("layers") if isinstance(config, dict) else config  # Keras 2.0's Sequential is a bare list
    if isinstance(inner, list):
        for layer in inner:
            if isinstance(layer, dict):
                yield from _layers(layer)
        return
    own = config if isinstance(config, dict) else {}
    name = str(own.get("name", entry.get("name", "")))
    yield (
        str(entry.get("class_name", "")),
        name,
        {key: _plain(value) for key, value in own.items() if key not in _NO_SETTINGS},
    )


def _plain(value: object) -> object:
    """A setting without what Keras 3 writes around it: modules, registered names."""
    if isinstance(value, dict) and "class_name" in value:
        config = value.get("config")
        inner = {key: _plain(item) for key, item in config.items()} if isinstance(config, dict) else config
        return {str(value["class_name"]): inner}
    return value


def _texts(value: object) -> bool:
    return isinstance(value, list) and bool(value) and all(isinstance(item, str) for item in value)


def _names(old: Any, new: Any) -> str:  # noqa: ANN401 - lists of texts
    gone, came = [name for name in old if name not in set(new)], [name for name in new if name not in set(old)]
    if not gone and not came:
        return "in another order" if sorted(old) == sorted(new) else f"{len(old)} -> {len(new)}, some of them twice"
    both = [("gone", gone), ("new", came)]
    return "; ".join(f"{what} {_listed(names)}" for what, names in both if names)


def _listed(names: Sequence[str]) -> str:
    more = f" and {len(names) - NAMES_SHOWN} more" if len(names) > NAMES_SHOWN else ""
    return ", ".join(names[:NAMES_SHOWN]) + more


def _shown(value: object) -> str:
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    return text if len(text) <= MOST_SHOWN else text[: MOST_SHOWN - 3] + "..."
