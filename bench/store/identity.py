"""The two identities of a cell: a *hash* decides reuse, a *row key* (in `bench.records`) decides comparison.

A hash covers the plugin's code and the project modules it imports, parameters, data, parent artefacts, the models that
a plugin runs, threads, device, library versions, seeds and schema. It is computed without torch, so that a finished run
is recognised in a second.
"""

from __future__ import annotations

import platform
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import cache, lru_cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from bench import assets, datasets, registry, seeds
from bench.checkpoints import factories, weights
from bench.checkpoints.model_names import parse
from bench.errors import UserError
from bench.hashing import digest, file_digest
from bench.plugin_modules import code_digest
from bench.plugin_source import PluginInfo
from bench.records import SCHEMA, Cell, PluginRef, name_of
from bench.source_files import ROOT
from bench.store.code import code_identity, code_modules
from bench.store.settings import PLAN, Settings

LIBRARIES = (
    "torch", "torchvision", "timm", "diffusers", "transformers", "open_clip_torch", "scikit-learn", "numpy", "pillow",
)  # fmt: skip
WORDS = ROOT / "bench" / "editors" / "wordlists"


@dataclass(frozen=True)
class Identity:
    """Hashes of a cell's stages with all that entered them, and the seeds of its random numbers."""

    hashes: dict[str, str]
    inputs: dict[str, Any] = field(repr=False)
    seeds: dict[str, int] = field(default_factory=dict)

    @property
    def record(self) -> str:
        """The hash of the record."""
        return self.hashes["record"]


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
def _data_identity(
    task: str,
    size: int,
    settings: tuple[tuple[str, Any], ...],
    skip_bad: bool,
    generator: int,
    _plugins: registry.Registry,
) -> dict[str, Any]:
    """What decides the content of the data: code, size, settings, and name and content of a folder."""
    if sides := datasets.pair(task):
        each = [_data_identity(side, size, settings, skip_bad, generator, _plugins) for side in sides]
        return {"task": name_of(task), "sides": each}
    info = datasets.source(task)
    if info is None:
        datasets.check(task)
        raise UserError(f"Unknown task '{task}'.", "See `bench list`.")
    own = {name: value for name, value in settings if name in info.params}
    content = datasets.content(task, own)
    return {
        "task": name_of(task),
        "size": size,
        "generator": generator,
        **content,
        **({"skip_bad": skip_bad} if content else {}),
        **({"settings": own} if own else {}),
        "code": code_identity(info, "bench.datasets.scenario"),
    }


def code_of(inputs: Mapping[str, Any]) -> str:
    """Digest of all code that entered a hash, by stage: the same for every seed of a row.

    Args:
        inputs: as in `Identity`.
    """
    code = {stage: [own.get("code"), own.get("process"), own.get("factory")] for stage, own in inputs.items()}
    return digest({"stages": code, "data": _code_of_data(inputs["base"]["data"])})


def _code_of_data(data: Mapping[str, Any]) -> list[Any]:
    return [data.get("code"), *(_code_of_data(side) for side in data.get("sides", []))]


def seeds_of(cell: Cell, entropy: str = PLAN) -> dict[str, int]:
    """The seeds of all that is drawn for ``cell``, by axis. Those of key and lock take ``entropy`` in."""
    return {**_seeds_of_lock(cell, entropy), "attack": _seed_of_attack(cell)}


def _seeds_of_lock(cell: Cell, entropy: str) -> dict[str, int]:
    """The seeds of split, victim, key and lock of ``cell``. What the owner draws takes ``entropy`` in."""
    return _derived(cell.name, cell.model_name, cell.replicate, cell.lock.name, entropy)


@lru_cache(maxsize=4096)
def _derived(task: str, model: str, replicate: int, lock: str, entropy: str) -> dict[str, int]:
    trained = {"task": task, "model": model, "replicate": replicate}
    secret = {} if entropy == PLAN else {"entropy": entropy}
    return {
        "split": seeds.derive("split", task=task, replicate=replicate),
        "victim": seeds.derive("victim", **trained),
        "key": seeds.derive("key", task=task, replicate=replicate, **secret),
        "lock": seeds.derive("lock", **trained, lock=lock, **secret),
    }


def _seed_of_attack(cell: Cell) -> int:
    """The seed of the attack of ``cell``."""
    return seeds.derive(
        "attack", task=cell.name, model=cell.model_name, replicate=cell.replicate, attack=cell.attack.name
    )


class _Stages:
    """Inputs and hashes of stages, in the order in which they are made."""

    def __init__(self, before: _Stages | None = None) -> None:
        self.inputs: dict[str, Any] = {} if before is None else dict(before.inputs)
        self.hashes: dict[str, str] = {} if before is None else dict(before.hashes)

    def add(self, name: str, parents: Iterable[str] = (), **own: Any) -> None:
        """One more, of what entered it and the hashes of its parents."""
        self.inputs[name] = {**own, "parents": {p: self.hashes[p] for p in parents}} if parents else own
        self.hashes[name] = digest(self.inputs[name])


def of(cell: Cell, settings: Settings) -> Identity:
    """The identity of ``cell``: a hash for each stage, in the order in which they are made.

    Cells of one lock share their first stages, and the parts of their inputs.

    Raises:
        UserError: a plugin that is not known, or a parameter that names no file.
    """
    plugins = registry.current()
    lock, key, attack = (plugins.find(k, r.name) for k, r in _refs(cell).items())
    contents, key_assets = _Contents.of(lock, cell.lock), assets.of(key, cell.key.params)
    at = (
        plugins, settings, cell.scenario, cell.model, cell.replicate, repr(cell.task_settings),
        repr((cell.lock.name, cell.lock.params, cell.key.name, cell.key.params, contents, key_assets)),
    )  # fmt: skip
    if at not in _locked:
        if len(_locked) >= MOST_LOCKS:
            _locked.clear()
        _locked[at] = _judged(cell, settings, lock, key, contents, key_assets)
    stages = _Stages(_locked[at])
    cell_seeds = seeds_of(cell, settings.entropy)
    stages.add(
        "unlocked",
        ["protected"],
        **_plugin(attack, cell.attack, _Contents.of(attack, cell.attack)),
        **_language_model(attack, cell.attack, settings),
        threat=cell.threat.values(),
        budget=cell.budget.values(),
        seed=cell_seeds["attack"],
        process=_code(plugins, "bench.harness.attack_process", "bench.harness.grants", "bench.harness.query_interface"),
        **_words(cell.threat.wordlist),
    )
    stages.add(
        "record",
        ["judged", "unlocked"],
        row=cell.row(),
        replicate=cell.replicate,
        code=_code(plugins, "bench.harness.scoring"),
    )
    return Identity(stages.hashes, stages.inputs, cell_seeds)


def _judged(
    cell: Cell,
    settings: Settings,
    lock: PluginInfo,
    key: PluginInfo,
    contents: _Contents,
    key_assets: dict[str, Any],
) -> _Stages:
    """The stages of ``cell`` that its attack has no part in."""
    plugins = registry.current()
    generator = 1 if seeds.is_tuning(cell.replicate) else 0
    cell_seeds = _seeds_of_lock(cell, settings.entropy)
    stages = _Stages()
    stages.add(
        "base",
        schema=SCHEMA,
        versions=versions(),
        device=settings.device,
        threads=settings.threads,
        **({"precision": settings.precision} if settings.precision != "float32" else {}),
        data=_data_identity(
            cell.scenario,
            cell.size,
            tuple(sorted(cell.data_settings.items())),
            settings.skip_bad,
            generator,
            plugins,
        ),
        split_seed=cell_seeds["split"],
    )
    stages.add(
        "victim",
        ["base"],
        model=cell.model_name,
        seed=cell_seeds["victim"],
        code=_code(plugins, "bench.harness.victim_process", *_architecture(cell.model)),
        weights={k: v for info in _architecture(cell.model) for k, v in assets.of(info, {}).items()}
        | weights.identity(parse(cell.model)),
        **_factory(cell.model),
        **_decoders(cell.model),
        **({"training": own} if (own := cell.victim_training) else {}),
    )
    stages.add(
        "key",
        ["base"],
        model=cell.model_name if _reads_model(key, cell.key) else None,
        method=cell.key.name,
        params=cell.key.params,
        seed=cell_seeds["key"],
        entropy=digest(settings.entropy),
        code=_code(plugins, key),
        process=_code(plugins, "bench.harness.defender", *(["bench.harness.key_process"] if key.guest else [])),
        assets=key_assets,
        **_language_model(key, cell.key, settings),
    )
    stages.add(
        "protected",
        ["victim", "key"],
        **_plugin(lock, cell.lock, contents),
        seed=cell_seeds["lock"],
        process=_code(plugins, "bench.harness.lock_process", "bench.harness.defender"),
    )
    stages.add("judged", ["protected"], code=_code(plugins, "bench.harness.judge"))
    stages.add("conditions", ["judged"])
    return stages


MOST_LOCKS = 4096
"""Locked models whose stages are kept in memory."""
_locked: dict[tuple[Any, ...], _Stages] = {}
_codes: dict[tuple[Any, ...], dict[str, str]] = {}


def _code(plugins: registry.Registry, *modules: str | PluginInfo) -> dict[str, str]:
    """As `code_identity`, once for each registry."""
    at = (plugins, *(m if isinstance(m, str) else (m.module, m.file) for m in modules))
    if at not in _codes:
        _codes[at] = code_identity(*modules)
    return _codes[at]


def _refs(cell: Cell) -> dict[str, PluginRef]:
    return {"lock": cell.lock, "key": cell.key, "attack": cell.attack}


def _architecture(model: str) -> list[PluginInfo]:
    info = registry.current().get("model", parse(model).base)
    return [] if info is None else [info]


def _factory(model: str) -> dict[str, Any]:
    """The code of a factory of the owner's, where it makes the architecture: the modules of its package count too."""
    parsed = parse(model)
    if not parsed.is_factory:
        return {}
    paths = code_modules("factory", factories.find(parsed.name))
    return {"factory": {name: code_digest(path) for name, path in sorted(paths.items())}}


def _decoders(model: str) -> dict[str, Any]:
    """The version of the library whose decoder the model has, where it has one."""
    library = "segmentation_models_pytorch"
    return {library: ".".join(version(library).split(".")[:2])} if parse(model).has_decoder else {}


def _words(wordlist: str) -> dict[str, str]:
    """The content of the word list that an attack gets, where it is a file."""
    file = WORDS / f"{wordlist}.txt"
    return {"words": file_digest(file)} if file.is_file() else {}


def _reads_model(key: PluginInfo, ref: PluginRef) -> bool:
    return any(ref.params.get(name) in values for name, values in key.model_if.items())


def _language_model(info: PluginInfo, ref: PluginRef, settings: Settings) -> dict[str, str]:
    """The language model that a plugin asks, where it asks one."""
    named = ref.params.get("language_model") or settings.language_model
    return {"language_model": str(named)} if info.asks_language_model(ref.params) else {}


@dataclass(frozen=True)
class _Contents:
    """What the files and the assets of a plugin hold under its parameters: digests by name."""

    files: dict[str, str]
    assets: dict[str, Any]

    @classmethod
    def of(cls, info: PluginInfo, ref: PluginRef) -> _Contents:
        """Those of ``info`` under the parameters of ``ref``.

        Raises:
            UserError: a parameter that names no file.
        """
        return cls(_named_files(info, ref), assets.of(info, ref.params))


def _plugin(info: PluginInfo, ref: PluginRef, contents: _Contents) -> dict[str, Any]:
    """What a plugin adds to the identity of its stage."""
    return {
        info.kind: ref.name,
        "params": {name: value for name, value in ref.params.items() if name not in info.files},  # content counts
        "files": contents.files,
        "assets": contents.assets,
        "code": _code(registry.current(), info),
    }


def _named_files(info: PluginInfo, ref: PluginRef) -> dict[str, str]:
    """Digest of the content of each file that a parameter names."""
    out = {}
    for name in info.files:
        path = Path(str(ref.params[name])).expanduser()
        if not path.is_file():
            problem = f"there is no file {path}" if ref.params[name] else "it names no file"
            raise UserError(f"{info.kind}.{name}: {problem}.", f"Give one: -p {info.kind}.{name}=PATH")
        state = path.stat()
        out[name] = _digest(path, state.st_ino, state.st_size, state.st_mtime_ns, state.st_ctime_ns)
    return out


@lru_cache(maxsize=1024)
def _digest(path: Path, *_state: int) -> str:
    """Digest of the content of ``path``, read once as long as it is in the same state."""
    return file_digest(path)
