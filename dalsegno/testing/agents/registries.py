"""Which registries of agents a path means: one itself, that of a workflow document, or all in a folder."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import yaml

from dalsegno.errors import DefinitionError, did_you_mean
from dalsegno.nodes.remote.local import Local, local_agents_in
from dalsegno.nodes.remote.plain import read
from dalsegno.nodes.remote.registry import entries_in

SUFFIXES = (".yaml", ".yml", ".json")
_LARGEST = 2**20


def registries(path: str | Path) -> tuple[Path, ...]:
    """The files that list agents, each once.

    Raises
    ------
    DefinitionError
        There is none, or it cannot be read. A registry at a URL is none: what is elsewhere starts nothing here.
    """
    given = Path(path)
    if given.is_dir():
        files = [file for file in sorted(given.iterdir()) if file.suffix in SUFFIXES and file.is_file()]
        found = [registry for file in files for registry in _meant(file, quiet=True)]
        if not found:
            raise DefinitionError(
                f"`{given}` has no registry of agents: no file ({', '.join(SUFFIXES)}) in it has a list `agents`, or "
                "names a `registry` that does."
            )
    elif given.exists():
        found = _meant(given, quiet=False)
    else:
        near = did_you_mean(given.name, os.listdir(given.parent)) if given.parent.is_dir() else ""
        raise DefinitionError(f"There is no `{given}`{near or '.'}")
    return tuple(dict.fromkeys(found))


def agents_of(registry: Path) -> tuple[Local, ...]:
    """The agents of a registry file.

    Raises
    ------
    DefinitionError
        It is no registry, or says how an agent is started in a way that cannot be meant.
    """
    try:
        return local_agents_in(_text(registry), str(registry))
    except DefinitionError as error:
        raise DefinitionError(f"{registry}: {error.message.rstrip('.')}.") from error


def moved(local: Local, port: int) -> Local:
    """The agent at another port."""
    url = urlsplit(local.agent.url)
    host = f"[{local.host}]" if ":" in local.host else local.host
    return replace(local, agent=replace(local.agent, url=url._replace(netloc=f"{host}:{port}").geturl()))


def written(registries: Sequence[Path], urls: Mapping[str, str], to: Path) -> None:
    """Write one registry of what these files list, with the `urls` that agents have now, by the URL they had."""
    entries = [
        {**entry, "url": urls.get(entry["url"], entry["url"])}
        for registry in registries
        for entry in entries_in(_text(registry))
    ]
    new = to.with_name(f".{to.name}.{os.getpid()}")
    new.write_text(yaml.safe_dump({"agents": entries}, sort_keys=False), encoding="utf-8")
    new.replace(to)  # whoever reads it has the old one or the new one


def _meant(file: Path, *, quiet: bool) -> list[Path]:
    """The registry that a file is, or that it names; nothing where it is something else, and that is fine."""
    try:
        data = _data(file)
    except DefinitionError:
        if quiet:
            return []
        raise
    if isinstance(data, list) or (isinstance(data, dict) and "agents" in data):
        return [file.resolve()] if not quiet or isinstance(data, dict) else []
    named = data.get("registry") if isinstance(data, dict) else None
    if isinstance(named, str) and not named.startswith(("http://", "https://")):
        registry = file.parent / named
        if registry.exists():
            return [registry.resolve()]
        raise DefinitionError(f"`{file}` names the registry `{named}`, and there is no `{registry}`.")
    if quiet:
        return []
    if named is not None:
        raise DefinitionError(
            f"`{file}` has its registry elsewhere ({named}), and what is elsewhere starts nothing here. Name a file."
        )
    raise DefinitionError(
        f"`{file}` names no agents: it has neither a list `agents` nor the name of a `registry` that has one."
    )


def _data(file: Path) -> Any:
    text = _text(file)
    try:
        return read(text)
    except DefinitionError as error:
        raise DefinitionError(f"`{file}` {error.message.removeprefix('it ')}") from error


def _text(file: Path) -> str:
    try:
        if file.stat().st_size > _LARGEST:
            raise DefinitionError(
                f"`{file}` is larger than {_LARGEST:,} bytes: no registry, and no document."
            )
        return file.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        why = error.strerror if isinstance(error, OSError) else "it is not UTF-8 text"
        raise DefinitionError(f"`{file}` cannot be read: {why}.") from error
