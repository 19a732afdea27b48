"""The classes that a config or a command line can name without a path: those that the packages export."""

from __future__ import annotations

from types import ModuleType

from torch import nn

from musicgen_cls import datamodules, models, pretrained, sources, tasks
from musicgen_cls.audio import augment


def _exported(package: ModuleType, base: type) -> tuple[type, ...]:
    """The subclasses of a class in a package's `__all__`, without base classes of others among them."""
    exported = [getattr(package, name) for name in package.__all__]
    classes = [cls for cls in exported if isinstance(cls, type) and issubclass(cls, base)]
    extended = {parent for cls in classes for parent in cls.__mro__[1:]}
    return tuple(cls for cls in classes if cls not in extended)


BY_OPTION = {
    "model": _exported(tasks, tasks.Task),
    "data": _exported(datamodules, datamodules.GenreDataModule),
    "model.network": (*_exported(models, nn.Module), *_exported(pretrained, nn.Module)),
    "data.source": _exported(sources, sources.Source),
    "data.augment": _exported(augment, nn.Module),
}
"""The classes that an option accepts."""

CLASSES: dict[str, type] = {cls.__name__: cls for classes in BY_OPTION.values() for cls in classes}
"""All these classes by name."""
