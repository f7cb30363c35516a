"""Whether all records were made by one and the same code, libraries and devices, and whether that code is known.

A hash holds the digest of every module that its number depends on. They are compared with the modules of this
checkout. Plugins of others are compared with the source files that come with them. Those are parsed, never executed.
"""

from __future__ import annotations

import contextlib
import re
from collections.abc import Iterable, Iterator, Mapping
from functools import cache
from pathlib import Path
from typing import Any

from bench import plugin_source, registry
from bench.errors import UserError
from bench.legible import visible
from bench.plan.wording import in_short
from bench.plugin_modules import code_digest, imports
from bench.records import Record
from bench.source_files import OWN, path_of
from bench.store.identity import LIBRARIES
from reports.board.finding import NAMED, Finding, Submission, of_problems

VERSION = re.compile(r"\d+\.\d+|none")
STAGE_OF = {"lock": "protected", "key": "key", "attack": "unlocked"}
"""The stage that a plugin of each kind makes."""
DIGITS = 10
"""Digits of a digest that a reviewer reads."""
JUDGE = "bench.harness.judge"
ALWAYS = (JUDGE, "bench.metrics", "bench.training")
"""Modules that every number depends on."""
SAME = ("device", "threads", "precision", "versions")
"""What is the same in all records of one table."""
ADDED = ("torchvision", "pillow")
"""Libraries that records name since November 2026; older archives lack them."""


def is_of_this_judge(s: Submission) -> bool:
    """Whether any record was made by the judge of this checkout."""
    return _here(JUDGE) in _modules(s.records).get(JUDGE, ())


def versions(s: Submission) -> Finding:
    """Whether versions and code are the same everywhere, and those of this checkout."""
    problems = [*_unknown(s), *_mixed(s), *_silent(s)]
    modules = _modules(s.records)
    here = {name: _here(name) for name in modules if _is_own(name)}
    mixed = sorted(name for name, digests in modules.items() if len(digests) > 1)
    if mixed:
        problems.append(f"records were made by different code: {_listed(mixed)}")
    other = sorted(name for name, digest in here.items() if digest not in modules[name])
    if other and not mixed:
        problems.append(f"the code of {_listed(other)} is not that of this checkout")
    if s.card is None:
        problems.append("no card names the commit")
    commit = "" if s.card is None else s.card.commit
    first = s.records[0].provenance if s.records else None
    lines = [f"commit {commit}"] if commit else []
    if first is not None:
        libraries = ", ".join(f"{name} {version}" for name, version in sorted(first.versions.items()))
        lines.append(f"{first.machine}, {first.threads} threads, {first.dtype}; {libraries}")
    found = of_problems(
        "versions", f"{len(here)} modules are those of this checkout; one set of libraries and devices", problems,
        f"Check out the commit of the card ({commit[:DIGITS] or 'it names none'}) and look again; its authors run "
        "every row anew with one version.",
    )  # fmt: skip
    return Finding(found.check, found.ok, found.what, found.remedy, (*found.lines, *lines))


def changed(records: Iterable[Record]) -> list[str]:
    """Lock, key and attack of ``records`` whose own module is another in this checkout; helpers are not looked at."""
    found: dict[str, None] = {}
    for record in records:
        for kind, stage in STAGE_OF.items():
            name, value = getattr(record.cell, kind).name, record.provenance.inputs.get(stage)
            info = registry.current().get(kind, name)
            if info is None or info.guest or not isinstance(value, dict):
                continue
            digests = {digest for module, digest in _codes(value) if module == info.module}
            if digests and _here(info.module) not in digests:
                found[f"{kind} {name}"] = None
    return list(found)


def plugins(s: Submission) -> Finding:
    """Whether the source of every plugin from outside LockBench is here to be read."""
    foreign = {name: digests for name, digests in _modules(s.records).items() if not _is_own(name)}
    sources = _digests([*s.sources.values(), *s.plugins])
    problems = [
        f"{_short(name)} (source {digest[:DIGITS]}) is not known here"
        for name, digests in sorted(foreign.items()) for digest in sorted(digests) if digest not in sources
    ]  # fmt: skip
    problems += _nameless(s)
    problems += [] if problems else _undeclared(s)
    lines = [
        f"{_short(name)}: source {digest[:DIGITS]} is {sources[digest].name}"
        for name, digests in sorted(foreign.items()) for digest in sorted(digests) if digest in sources
    ]  # fmt: skip
    fine = f"{len(lines)} modules from outside, each beside its source" if lines else "every plugin is LockBench's own"
    found = of_problems(
        "plugins", fine, problems,
        "Put the file beside the archive and name it in the card (sources), or review it and give it with --plugin.",
    )  # fmt: skip
    return Finding(found.check, found.ok, found.what, found.remedy, (*found.lines, *lines))


def _nameless(s: Submission) -> list[str]:
    """Plugins whose own module is in no hash, so that nobody can tell what ran."""
    found: dict[str, None] = {}
    for record in s.records:
        for kind, stage in STAGE_OF.items():
            name, value = getattr(record.cell, kind).name, record.provenance.inputs.get(stage)
            modules = {module for module, _ in _codes(value)} if isinstance(value, dict) else set()
            if _is_foreign(kind, name):
                there = not all(map(_is_own, modules))
            else:
                there = registry.current().find(kind, name).module in modules
            if not there:
                found[f"the {kind} {name}: its module is not among the code that was hashed"] = None
    return list(found)


def _undeclared(s: Submission) -> list[str]:
    """Plugins from outside that no file here declares: the module that was hashed is then another's."""
    declared: set[tuple[str, str]] = set()
    for file in {*s.sources.values(), *s.plugins}:
        for kind in STAGE_OF:
            with contextlib.suppress(UserError):  # what cannot be parsed declares nothing
                declared |= {(kind, info.name) for info in plugin_source.read(kind, file, file.stem)}
    return [
        f"the {kind} {visible(name)} is declared by no source here"
        for (kind, name), digests in sorted(of_guests(s.records).items())
        if digests and _is_foreign(kind, name) and (kind, name) not in declared
    ]


def _is_foreign(kind: str, name: str) -> bool:
    info = registry.current().get(kind, name)
    return info is None or info.guest


def of_guests(records: Iterable[Record]) -> dict[tuple[str, str], frozenset[str]]:
    """Digests of the modules from outside LockBench that made each plugin, by its kind and name; empty for our own."""
    out: dict[tuple[str, str], frozenset[str]] = {}
    for record in records:
        for kind, stage in STAGE_OF.items():
            value = record.provenance.inputs.get(stage)
            codes = _codes(value) if isinstance(value, dict) else ()
            digests = frozenset(digest for module, digest in codes if not _is_own(module))
            place = kind, getattr(record.cell, kind).name
            out[place] = out.get(place, frozenset()) | digests
    return out


def _unknown(s: Submission) -> Iterator[str]:
    for record in s.records:
        own = record.provenance.versions
        named = [name for name in ("python", *LIBRARIES) if name in own or name not in ADDED]
        bad = [name for name in named if not VERSION.fullmatch(own.get(name, ""))]
        if bad:
            yield f"{in_short(record.cell)}: the version of {', '.join(bad)} is not known"


def _silent(s: Submission) -> Iterator[str]:
    """Records that leave out a module: code that nobody looks at."""
    by_row: dict[str, set[str]] = {}
    for record in s.records:
        inputs = record.provenance.inputs
        stages = {stage: value for stage, value in inputs.items() if isinstance(value, dict)}
        modules = {f"{module} in {stage}" for stage, value in stages.items() for module, _ in _codes(value)}
        if lacks := sorted(set(ALWAYS) - {module for module, _ in _codes(inputs)}):
            yield f"{in_short(record.cell)} does not name the code of {_listed(lacks)}"
        elsewhere = by_row.setdefault(record.row_key, modules)
        if elsewhere != modules:
            yield f"{in_short(record.cell)} names other code than another seed: {_listed(sorted(elsewhere ^ modules))}"


def _mixed(s: Submission) -> Iterator[str]:
    for name in SAME:
        values: dict[str, Record] = {}
        for record in s.records:
            base = record.provenance.inputs.get("base", {})
            value = base.get(name, "float32") if isinstance(base, dict) else ""
            values.setdefault(str(value), record)
        if len(values) > 1:
            first, second = list(values.items())[:2]
            yield f"{name} differ: {_cut(first[0])} in {in_short(first[1].cell)}, {_cut(second[0])} in others"


def _modules(records: list[Record]) -> dict[str, set[str]]:
    """Digests of every module that entered the hashes of ``records``, by its name."""
    out: dict[str, set[str]] = {}
    for record in records:
        for name, digest in _codes(record.provenance.inputs):
            out.setdefault(name, set()).add(digest)
    return out


def _codes(inputs: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """Module and digest, of every ``code`` and ``process`` of a stage and of its data."""
    for name, value in inputs.items():
        if name in ("code", "process", "factory") and isinstance(value, dict):
            yield from ((module, str(digest)) for module, digest in value.items())
        elif isinstance(value, dict):
            yield from _codes(value)
        elif isinstance(value, list):
            for item in value:
                if isinstance(item, dict):
                    yield from _codes(item)


def _is_own(module: str) -> bool:
    return module.split(".")[0] in OWN


@cache
def _here(module: str) -> str:
    """The digest of a module of this checkout; empty where there is none."""
    if not re.fullmatch(r"\w+(\.\w+)*", module):
        return ""
    path = path_of(module)
    return "" if path is None else code_digest(path)


def _digests(files: list[Path]) -> dict[str, Path]:
    """The digests of source files and of what they import from outside LockBench."""
    out: dict[str, Path] = {}
    for file in files:
        try:
            out[code_digest(file)] = file
            out |= {code_digest(path): path for name, path in imports(file) if not _is_own(name)}
        except UserError:  # no Python: it is the source of nothing
            continue
    return out


def _short(module: str) -> str:
    return module.removeprefix("lockbench_plugin_")


def _cut(text: str) -> str:
    return text if len(text) <= 60 else f"{text[:57]}…"


def _listed(names: list[str]) -> str:
    more = f" and {len(names) - NAMED} more" if len(names) > NAMED else ""
    return ", ".join(names[:NAMED]) + more
