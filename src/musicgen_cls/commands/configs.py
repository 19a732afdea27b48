"""`musiccli configs`: the configs that come with the package."""

from __future__ import annotations

from pathlib import Path

from musicgen_cls.cli.configs import find_config, shipped
from musicgen_cls.errors import UsageError
from musicgen_cls.files import as_path, check_writable, writing


def configs(name: str | None = None, out: str | None = None) -> None:
    """List the configs that come with the package, or copy one out to change it.

    `--config NAME` of other commands takes a config from this list where no file has that name.

    Args:
        name: the config to copy; None lists all.
        out: the file to write; `<name>.yaml` in the current folder if None.

    Raises:
        UsageError: there is no such config, or the file exists or cannot be written.
    """
    if name is None:
        known = {name: file.read_text(encoding="utf-8").partition("\n")[0][2:] for name, file in shipped().items()}
        width = max(map(len, known))
        print("\n".join(f"{name:<{width}}  {title}" for name, title in known.items()))
        return
    if name not in shipped():
        find_config(name, "NAME")  # raises, with a suggestion
        raise UsageError(f"{name}: is a file already; musiccli configs lists the names of configs to copy")
    place = as_path(out, "--out") if out else Path(f"{Path(name).name}.yaml")
    if place.exists():
        raise UsageError(f"{place}: exists already; remove it, or name another file with --out")
    check_writable(place.parent, "--out FILE")
    with writing(place) as temporary:
        temporary.write_bytes(shipped()[name].read_bytes())
    print(f"Config:      {place}; use it with --config {place}")
