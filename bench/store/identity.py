"""The two identities of a cell: a *hash* decides reuse, a *row key* (in `bench.records`) decides comparison.

A hash covers the plugin's code and the project modules it imports, parameters, data, parent artefacts, the
miniature pack, threads, device, library versions, seeds and schema. It is computed without torch, so that
a finished run is recognised in a second.
"""

from __future__ import annotations

import hashlib
import platform
from collections.abc import Iterable
from dataclasses import dataclass, field
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from bench import datasets, registry, seeds
from bench.errors import UserError
from bench.hashing import digest
from bench.miniature import PACK
from bench.records import SCHEMA, Cell, PluginRef

LIBRARIES = ("torch", "timm", "diffusers", "transformers", "open_clip_torch", "scikit-learn", "numpy")


@dataclass(frozen=True)
class Settings:
    """How things are computed: part of every hash, since numbers may depend on it."""

    device: str = "cpu"
    threads: int = 2
    skip_bad: bool = False
    plugin_files: tuple[str, ...] = ()


@dataclass(frozen=True)
class Identity:
    """Hashes of a cell's stages with all that entered them."""

    hashes: dict[str, str]
    inputs: dict[str, Any] = field(repr=False)
    seeds: dict[str, int] = field(default_factory=dict)


@cache
def versions() -> dict[str, str]:
    """Major and minor version of each library that numbers depend on."""
    out = {"python": ".".join(platform.python_version_tuple()[:2])}
    for name in LIBRARIES:
        try:
            out[name] = ".".join(version(name).split(".")[:2])
        except PackageNotFoundError:
            out[name] = "none"
    return out


@cache
def folder_digest(folder: Path) -> str:
    """Digest of the content of every file under ``folder``."""
    sums = hashlib.sha256()
    for file in sorted(p for p in folder.rglob("*") if p.is_file()):
        sums.update(str(file.relative_to(folder)).encode())
        sums.update(hashlib.sha256(file.read_bytes()).digest())
    return sums.hexdigest()[:20]


@cache
def data_identity(task: str, size: int, skip_bad: bool, generator: int) -> dict[str, Any]:
    """What decides the content of the data: code for embedded sets, names, sizes and times of a folder's files."""
    if sides := datasets.pair(task):
        return {"task": task, "sides": [data_identity(side, size, skip_bad, generator) for side in sides]}
    out: dict[str, Any] = {"task": task, "size": size, "generator": generator}
    if task.startswith("folder:"):
        root = Path(task.removeprefix("folder:")).expanduser()
        files = sorted(p for p in root.rglob("*") if p.is_file())
        out["files"] = digest([[str(p.relative_to(root)), p.stat().st_size, p.stat().st_mtime_ns] for p in files])
        out["skip_bad"] = skip_bad
        module = "bench.datasets.folder"
    elif task in datasets.TORCHVISION:
        module = "bench.datasets.vision"
    else:
        module = f"bench.datasets.{task.replace('-', '_')}"
    out["code"] = registry.code_identity(module, "bench.datasets.scenario")
    return out


@cache
def _editor_identity(editor: str) -> str:
    if editor == "miniature":
        return folder_digest(PACK / "editor")
    folder = Path(editor).expanduser()
    return folder_digest(folder) if folder.is_dir() else editor


def of(cell: Cell, settings: Settings) -> Identity:
    """The identity of ``cell``: a hash for each stage, in the order in which they are made."""
    generator = 1 if seeds.is_tuning(cell.replicate) else 0
    drawn = {
        "split": seeds.derive("split", task=cell.scenario, replicate=cell.replicate),
        "victim": seeds.derive("victim", task=cell.scenario, model=cell.model, replicate=cell.replicate),
        "key": seeds.derive("key", task=cell.scenario, replicate=cell.replicate),
        "lock": seeds.derive(
            "lock", task=cell.scenario, model=cell.model, replicate=cell.replicate, lock=cell.lock.name
        ),
        "attack": seeds.derive(
            "attack", task=cell.scenario, model=cell.model, replicate=cell.replicate, attack=cell.attack.name
        ),
    }
    base = {
        "schema": SCHEMA,
        "versions": versions(),
        "device": settings.device,
        "threads": settings.threads,
        "data": data_identity(cell.scenario, cell.size, settings.skip_bad, generator),
        "split_seed": drawn["split"],
    }
    files = settings.plugin_files
    inputs: dict[str, Any] = {}
    hashes: dict[str, str] = {}

    def stage(name: str, parents: Iterable[str], **own: Any) -> None:
        inputs[name] = {**own, "parents": {p: hashes[p] for p in parents}}
        hashes[name] = digest(inputs[name])

    inputs["base"] = base
    hashes["base"] = digest(base)
    stage(
        "victim",
        ["base"],
        model=cell.model,
        seed=drawn["victim"],
        code=registry.code_identity("bench.run.victim"),
        weights=folder_digest(PACK / "public"),
    )
    stage(
        "key",
        ["base"],
        model=cell.model if "best" in str(cell.key.params.get("key_choice", "")) else None,
        method=cell.key.name,
        params=cell.key.params,
        seed=drawn["key"],
        code=_plugin_code("key", cell.key.name, files),
        editor=_editor_identity(cell.editor),
        clip=folder_digest(PACK / "clip"),
    )
    stage(
        "protected",
        ["victim", "key"],
        lock=cell.lock.name,
        params=cell.lock.params,
        files=_named_files("lock", cell.lock, files),
        seed=drawn["lock"],
        code=_plugin_code("lock", cell.lock.name, files),
    )
    stage("judged", ["protected"], code=registry.code_identity("bench.run.judge"))
    stage(
        "unlocked",
        ["protected"],
        attack=cell.attack.name,
        params=cell.attack.params,
        files=_named_files("attack", cell.attack, files),
        threat=cell.threat,
        budget=cell.budget,
        seed=drawn["attack"],
        code={
            **_plugin_code("attack", cell.attack.name, files),
            **registry.code_identity("bench.run.attack_process", "bench.run.grants"),
        },
    )
    stage("record", ["judged", "unlocked"], row=cell.row(), replicate=cell.replicate)
    return Identity(hashes, inputs, drawn)


def _named_files(kind: str, ref: PluginRef, files: tuple[str, ...]) -> dict[str, str]:
    """Digest of the content of each file that a parameter names."""
    out = {}
    for name in registry.find(kind, ref.name, files).files:
        path = Path(str(ref.params[name])).expanduser()
        if not path.is_file():
            said = f"there is no file {path}" if ref.params[name] else "it names no file"
            raise UserError(f"{kind}.{name}: {said}.", f"Give one: -p {kind}.{name}=PATH")
        out[name] = hashlib.sha256(path.read_bytes()).hexdigest()[:20]
    return out


def _plugin_code(kind: str, name: str, files: tuple[str, ...]) -> dict[str, str]:
    info = registry.find(kind, name, files)
    return registry.code_identity((info.module, info.file))
