"""The directive `public-api`: documents every name in the `__all__` of a package, whichever file defines it."""

from __future__ import annotations

import inspect
import re
from importlib import import_module
from typing import Any

from docutils import nodes
from sphinx.application import Sphinx
from sphinx.errors import ExtensionError
from sphinx.util.docutils import SphinxDirective

_ALIAS = re.compile(r"TypeAliasForwardRef\('([\w.]+)'\)")
_OPTIONS = {"class": ("members", "show-inheritance"), "exception": ("show-inheritance",)}


def kind_of(value: object) -> str:
    """The autodoc directive for a value, without `auto`."""
    if inspect.isclass(value):
        return "exception" if issubclass(value, BaseException) else "class"
    return "function" if callable(value) else "data"


def directives(package: str) -> str:
    """An autodoc directive for each public name of a package, in the order of `__all__`."""
    module = import_module(package)
    names = getattr(module, "__all__", ())
    if not names:
        raise ExtensionError(f"{package} has no __all__, so it has no public names to document")
    lines = []
    for name in names:
        kind = kind_of(getattr(module, name))
        options = [f"   :{option}:" for option in _OPTIONS.get(kind, ())]
        lines += [f".. auto{kind}:: {package}.{name}", *options, ""]
    return "\n".join(lines)


class PublicApi(SphinxDirective):
    """Takes the name of a package. For pages in reStructuredText."""

    required_arguments = 1

    def run(self) -> list[nodes.Node]:
        """The documentation of each name."""
        return self.parse_text_to_nodes(directives(self.arguments[0]))


def without_internals(app: Sphinx, what: str, name: str, value: object, skip: bool, options: object) -> bool | None:
    """Leave out class constants and the hooks that only Lightning calls; None lets autodoc decide."""
    return True if name.isupper() or name.startswith("on_") else None


def with_plain_aliases(
    app: Sphinx, what: str, name: str, value: object, options: object, arguments: str | None, result: str | None
) -> tuple[str | None, str | None]:
    """Write an alias in a union by its name: autodoc writes `TypeAliasForwardRef('ArrayLike')`."""
    return _ALIAS.sub(r"\1", arguments) if arguments else arguments, result


def setup(app: Sphinx) -> dict[str, Any]:
    """Register the directive."""
    app.add_directive("public-api", PublicApi)
    app.connect("autodoc-skip-member", without_internals)
    app.connect("autodoc-process-signature", with_plain_aliases)
    return {"parallel_read_safe": True}
