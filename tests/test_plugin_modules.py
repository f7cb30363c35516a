"""Where the code of outside plugins lies: names, helpers, packages, entry points. Asked in processes, trained never."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from places import PLUGINS

from bench import plugin_modules, registry, source_files
from bench.errors import UserError
from bench.guests import questions
from bench.guests.failure import GuestFailed
from bench.guests.process import stop
from bench.store.code import code_identity

HEADS = {
    "lock": ("Lock", "def protect(self, victim, key, data, run):\n        return victim"),
    "attack": (
        "Attack",
        "def accepts(self, threat):\n        return None\n    def unlock(self, target, run):\n        ...",
    ),
    "key": ("KeyMethod", "def make(self, data, run):\n        ...\n    @classmethod\n    def from_json(cls, v): ..."),
    "task": ("DataSource", "def load(self, size, generator_seed, skip_bad):\n        ..."),
    "model": ("Architecture", "def build(self, task, extra, hidden, public):\n        ..."),
    "editor": ("EditorSource", "def folder(self):\n        ...\n    def settings(self):\n        return {}"),
}
HELPED = """
    def values(self):
        return {**super().values(), "said": said()}
"""


def plugin(kind: str, cls: str = "Mine", body: str = "", top: str = "") -> str:
    """The source of a plugin."""
    base, methods = HEADS[kind]
    return f"""
from bench.contracts import {base}, param
{top}

class {cls}({base}):
    \"\"\"A plugin for tests.\"\"\"
    paper = "ours"
{body}
    {methods}
"""


def helped(imports: str) -> str:
    """A lock whose `values` say what its helper's ``said`` says."""
    return plugin("lock", body=HELPED, top=imports)


def write(file: Path, text: str) -> Path:
    """``text`` in ``file``, whose folder is made."""
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(text)
    return file


def said(*files: Path, name: str = "mine") -> Any:
    """What the helper of the lock ``name`` says in the plugin's own process."""
    found = registry.use(files, run_guests=False).find("lock", name)
    return questions.values(found)["said"]


def digests(file: Path) -> dict[str, str]:
    """The code identity of the lock in ``file``, read anew."""
    forget()
    return code_identity(registry.Registry([file]).find("lock", file.stem))


def changed(before: dict[str, str], after: dict[str, str]) -> set[str]:
    """Names of the modules that differ."""
    return {name for name in {*before, *after} if before.get(name) != after.get(name)}


def forget() -> None:
    """Files change in a test; a run reads each once."""
    modules = (plugin_modules.code_digest, plugin_modules.imports, source_files.parsed, source_files.path_of)
    points = (registry._from_file, registry._with_entry_points, registry._installed, registry._disabled)
    for cached in (*modules, *points):
        cached.cache_clear()


@pytest.mark.parametrize(
    ("kind", "name"), [(kind, name) for kind in registry.KINDS for name in sorted(registry.INSTALLED.all(kind))]
)
def test_no_name_of_a_built_in_is_free(kind: str, name: str, tmp_path: Path) -> None:
    file = write(tmp_path / f"{name.replace('-', '_')}.py", plugin(kind))
    with pytest.raises(UserError, match="LockBench's own") as error:
        registry.Registry([file]).find(kind, name)
    assert str(file) in error.value.message


def test_the_file_of_a_built_in_is_itself() -> None:
    file = source_files.ROOT / "locks" / "ntl.py"
    assert registry.Registry([file]).find("lock", "ntl").file == file


def test_two_files_of_one_stem_and_other_kinds_both_work(tmp_path: Path) -> None:
    files = [write(tmp_path / kind / "mine.py", plugin(kind)) for kind in ("lock", "attack")]
    plugins = registry.use(files, run_guests=False)
    for kind in ("lock", "attack"):
        assert plugins.find(kind, "mine").file.parent.name == kind
        assert questions.values(plugins.find(kind, "mine")) == {}


def test_two_files_of_one_stem_and_kind_are_each_imported(tmp_path: Path) -> None:
    files = [
        write(tmp_path / folder / "mine.py", plugin("lock", body=f'    n: int = param({n}, "n")'))
        for n, folder in enumerate(("one", "two"))
    ]
    plugins = registry.use(files, run_guests=False)
    assert plugins.get("lock", "mine") is None
    for n, folder in enumerate(("one", "two")):
        assert questions.values(plugins.find("lock", f"{folder}-mine")) == {"n": n}


def test_two_files_of_one_stem_kind_and_folder_name_are_refused(tmp_path: Path) -> None:
    files = [write(tmp_path / top / "same" / "mine.py", plugin("lock")) for top in ("a", "b")]
    with pytest.raises(UserError, match=r"the name of .* plugin"):
        registry.Registry(files).all("lock")


def test_plugins_of_several_kinds_and_several_of_one_in_a_file(tmp_path: Path) -> None:
    both = plugin("lock", "BlueTint") + plugin("lock", "RGBTint") + plugin("attack", "Second") + plugin("key", "Third")
    plugins = registry.use([write(tmp_path / "many.py", both)], run_guests=False)
    assert {n for n, i in plugins.all("lock").items() if i.guest} == {"blue-tint", "rgb-tint"}
    assert plugins.find("attack", "many").cls == "Second"
    assert plugins.find("key", "many").cls == "Third"
    assert questions.values(plugins.find("lock", "rgb-tint")) == {}


def test_two_classes_of_one_file_that_come_to_one_name_are_refused(tmp_path: Path) -> None:
    file = write(tmp_path / "many.py", plugin("lock", "BlueTint") + plugin("lock", "BLUETint"))
    with pytest.raises(UserError, match="the name of another plugin"):
        registry.Registry([file]).all("lock")


HELPERS = {
    "a helper beside it": ("mine.py", "from helper import said", "helper.py", []),
    "a helper package": ("mine.py", "from helper.deep import said", "helper/deep.py", ["helper"]),
    "a folder without __init__.py": ("mine.py", "from helper.deep import said", "helper/deep.py", []),
    "the __init__.py of a helper package": ("mine.py", "from helper import said", "helper/__init__.py", ["helper"]),
    "a module of the own package": ("pkg/mine.py", "from .deep import said", "pkg/deep.py", ["pkg"]),
    "a package above": ("pkg/sub/mine.py", "from ..deep import said", "pkg/deep.py", ["pkg", "pkg/sub"]),
    "the own package by name": ("pkg/mine.py", "from pkg.deep import said", "pkg/deep.py", ["pkg"]),
    "the __init__.py of the own package": ("pkg/mine.py", "from . import said", "pkg/__init__.py", ["pkg"]),
    "a module by import … as": ("mine.py", "import helper as h\nsaid = h.said", "helper.py", []),
    "a helper of a helper": ("mine.py", "from first import said", "second.py", []),
    "a package called as a folder of the project": ("mine.py", "from tools.deep import said", "tools/deep.py",
                                                    ["tools"]),
}  # fmt: skip


@pytest.mark.parametrize(("at", "top", "helper", "packages"), HELPERS.values(), ids=HELPERS)
def test_what_a_plugin_imports_runs_and_is_part_of_its_hash(
    at: str, top: str, helper: str, packages: list[str], tmp_path: Path
) -> None:
    file = write(tmp_path / at, helped(top))
    for package in packages:
        write(tmp_path / package / "__init__.py", "")
    write(tmp_path / "first.py", "from second import said\n")
    write(tmp_path / helper, "def said():\n    return 'first'\n")
    assert said(file) == "first"
    before = digests(file)
    write(tmp_path / helper, "def said():\n    return 'second'\n")
    after = digests(file)
    assert changed(before, after) == {helper.removesuffix(".py").removesuffix("/__init__").replace("/", ".")}
    assert said(file) == "second"


def test_the_init_of_a_package_decides_although_nobody_names_it(tmp_path: Path) -> None:
    file = write(tmp_path / "pkg" / "mine.py", helped("from .deep import said"))
    write(tmp_path / "pkg" / "deep.py", "def said():\n    return 1\n")
    write(tmp_path / "pkg" / "__init__.py", "")
    before = digests(file)
    write(tmp_path / "pkg" / "__init__.py", "import pkg.deep\npkg.deep.said = lambda: 2\n")
    assert changed(before, digests(file)) == {"pkg"}


def test_two_helpers_of_one_name_may_be_the_same_code(tmp_path: Path) -> None:
    files = []
    for folder, kind in (("a", "lock"), ("b", "attack")):
        files.append(write(tmp_path / folder / "mine.py", plugin(kind, top="from helper import said")))
        write(tmp_path / folder / "helper.py", f"def said():\n    return 0  # {folder}\n")
    assert registry.Registry(files).find("attack", "mine")


def test_two_helper_packages_of_one_name_with_other_modules_are_refused(tmp_path: Path) -> None:
    files = []
    for folder, kind in (("a", "lock"), ("b", "attack")):
        files.append(write(tmp_path / folder / "mine.py", plugin(kind, top=f"from helper.{folder} import x")))
        write(tmp_path / folder / "helper" / "__init__.py", "")
        write(tmp_path / folder / "helper" / f"{folder}.py", "x = 1\n")
    with pytest.raises(UserError, match="two plugins import 'helper'"):
        registry.Registry(files).all("lock")


def test_two_packages_of_plugins_of_one_name_are_refused(tmp_path: Path) -> None:
    files = []
    for folder, kind in (("a", "lock"), ("b", "attack")):
        files.append(write(tmp_path / folder / "pkg" / "mine.py", plugin(kind)))
        write(tmp_path / folder / "pkg" / "__init__.py", "")
    with pytest.raises(UserError, match="two packages of plugins are called 'pkg'"):
        registry.Registry(files).all("lock")


@pytest.mark.parametrize("name", ["random", "json", "bench", "locks", "token"])
def test_a_helper_hides_no_module_of_python_or_the_project(name: str, tmp_path: Path) -> None:
    top = f"import {name}\ndef said():\n    return {name}.__file__"
    file = write(tmp_path / "mine.py", helped(top))
    hidden = write(tmp_path / f"{name}.py", "raise RuntimeError('hidden')\n")
    assert not said(file).startswith(str(tmp_path))
    before = digests(file)
    write(hidden, "raise RuntimeError('hidden still')\n")
    assert digests(file) == before


@pytest.mark.parametrize("folder", ["locks", "code"])
def test_a_folder_with_the_name_of_another_package_is_none(folder: str, tmp_path: Path) -> None:
    file = write(tmp_path / folder / "mine.py", helped("from helper import said"))
    write(tmp_path / folder / "__init__.py", "")
    write(tmp_path / folder / "helper.py", "def said():\n    return 1\n")
    assert said(file) == 1


def test_what_cannot_be_imported_is_the_plugins_failure(tmp_path: Path) -> None:
    file = write(tmp_path / "mine.py", helped("from .helper import said"))
    write(tmp_path / "helper.py", "def said():\n    return 1\n")
    with pytest.raises(GuestFailed, match=r"no known parent package \(mine.py, line"):
        said(file)


def test_the_harness_imports_no_guest() -> None:
    info = registry.use([PLUGINS / "tint.py"], run_guests=False).find("key", "tint")
    with pytest.raises(RuntimeError, match="is a guest"):
        registry.load(info)
    assert info.module not in sys.modules or info.module in _BEFORE


_BEFORE = frozenset(sys.modules)
Installed = Callable[..., Path]


@pytest.fixture
def installed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Installed]:
    """Install a package with files and entry points where Python finds it, in guests' processes too."""
    site = tmp_path / "site-packages"
    site.mkdir()
    monkeypatch.syspath_prepend(str(site))

    def install(points: str, files: dict[str, str], name: str = "shelf") -> Path:
        for at, text in files.items():
            write(site / at, text)
        info = site / f"{name}-1.0.dist-info"
        write(info / "METADATA", f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n")
        write(info / "entry_points.txt", points)
        anew()
        return site

    yield install
    monkeypatch.undo()
    anew()


def anew() -> None:
    """As a new process would find it: what is installed, and the process that starts guests."""
    importlib.invalidate_caches()
    forget()
    stop()


def test_the_points_own_name_is_the_plugins(installed: Installed, bench: Callable[..., Any]) -> None:
    site = installed(
        "[bench.locks]\nfrom-shop = shelf.wares\n",
        {"shelf/__init__.py": "", "shelf/wares.py": helped("from .deep import said"),
         "shelf/deep.py": "def said():\n    return 7\n"},
    )  # fmt: skip
    assert said(name="from-shop") == 7
    info = registry.current().find("lock", "from-shop")
    before = code_identity(info)
    write(site / "shelf" / "deep.py", "def said():\n    return 8\n")
    forget()
    assert changed(before, code_identity(info)) == {"shelf.deep"}
    assert "lock from-shop" in bench("show", "from-shop").stdout
    plan = bench("run", "--dry-run", "--lock", "from-shop", "--attack", "logit-surgery", "--model", "cnn",
                 "-p", "lock.key=none")  # fmt: skip
    assert plan.returncode == 0, plan.stderr
    assert "from-shop" in plan.stdout


@pytest.mark.parametrize("kind", registry.KINDS)
def test_every_kind_has_its_group(kind: str, installed: Installed) -> None:
    installed(f"[{registry.GROUPS[kind]}]\nown-{kind} = wares:Mine\n", {"wares.py": plugin(kind)})
    assert questions.values(registry.current().find(kind, f"own-{kind}")) == {}


@pytest.mark.parametrize("value", ["shelf:Mine", "shelf:Renamed", "shelf.inner:Mine", "shelf.inner"])
def test_a_point_may_name_a_class_that_its_module_imports(value: str, installed: Installed) -> None:
    installed(
        f"[bench.locks]\nown = {value}\n",
        {
            "shelf/__init__.py": "from shelf.inner import Mine\nfrom .inner import Mine as Renamed\n",
            "shelf/inner.py": plugin("lock", body='    n: int = param(5, "n")', top="from .deep import SAID"),
            "shelf/deep.py": "SAID = 1\n",
        },
    )
    info = registry.current().find("lock", "own")
    assert info.file.name == "inner.py"
    assert questions.values(info) == {"n": 5}


def test_the_module_of_a_point_that_imports_the_class_is_part_of_the_hash(installed: Installed) -> None:
    site = installed(
        "[bench.locks]\nown = shelf.api:Mine\n",
        {"shelf/__init__.py": "", "shelf/api.py": "from .inner import Mine\n", "shelf/inner.py": plugin("lock")},
    )
    info = registry.current().find("lock", "own")
    before = code_identity(info)
    write(site / "shelf" / "api.py", "from .inner import Mine\nMine.protect = None\n")
    forget()
    assert changed(before, code_identity(info)) == {"shelf.api (entry point)"}


BAD = {
    "a module that is not there": ("own = no_such_module", "names no lock"),
    "a class that is not there": ("own = wares:Nobody", "names no lock"),
    "a class of another kind": ("own = wares:Other", "names no lock"),
    "a module of several": ("own = wares", "names no lock"),
    "no Python": ("own = broken", "no valid Python"),
    "a control": ("own = control:Mine", "cannot be a control"),
    "no module at all": ("own = !!", "names no module"),
    "a name that is none": ("a:b = good:Mine", "is no name"),
    "a name that is taken": ("destroyed = good:Mine", "takes the name of another lock"),
}


@pytest.mark.parametrize(("point", "says"), BAD.values(), ids=BAD)
def test_a_point_that_is_of_no_use_disables_itself(
    point: str, says: str, installed: Installed, bench: Callable[..., Any]
) -> None:
    installed(
        f"[bench.locks]\n{point}\ngood = good:Mine\n",
        {
            "wares.py": plugin("lock") + plugin("lock", "Second") + plugin("attack", "Other"),
            "good.py": plugin("lock"),
            "broken.py": "def :\n",
            "control.py": plugin("lock", body='    role = "control"'),
        },
    )
    warnings = registry.current().warnings()
    name = point.partition(" ")[0]
    assert len(warnings) == 1
    assert says in warnings[0]
    assert name in warnings[0]
    assert registry.current().find("lock", "good").guest
    assert not registry.current().all("lock")["destroyed"].guest
    for command in (["list"], ["run", "--dry-run", "--lock", "none", "--attack", "none"]):
        done = bench(*command)
        assert done.returncode == 0, done.stderr
        assert done.stderr.count(says) == 1
    done = bench("run", "--dry-run", "--lock", name)
    assert done.returncode == 2
    assert done.stderr.count(says) == 2, "the warning, and why the lock cannot be used"


def test_metadata_that_cannot_be_read_disable_one_package_alone(installed: Installed) -> None:
    installed("[bench.locks]\ngood = good:Mine\n", {"good.py": plugin("lock")})
    installed("[bench.locks]\nno equals sign\n", {}, name="torn")
    assert registry.current().find("lock", "good").guest
    warnings = registry.current().warnings()
    assert len(warnings) == 1
    assert "cannot be read" in warnings[0]


def test_a_file_may_not_take_the_name_of_an_installed_plugin(installed: Installed, tmp_path: Path) -> None:
    installed("[bench.locks]\nown = good:Mine\n", {"good.py": plugin("lock")})
    file = write(tmp_path / "own.py", plugin("lock"))
    with pytest.raises(UserError, match=r"the name of .* plugin"):
        registry.Registry([file]).all("lock")


@pytest.mark.parametrize(
    ("kind", "line", "says"),
    [
        ("attack", 'purpose = "no-attack"', "cannot be a control"),
        ("attack", 'selection = "no-such-rule"', "no-such-rule"),
        ("attack", 'select: str = param("last", "rule", choices=("last", "judge-validation"))', "the judge chooses"),
        ("lock", 'role = "champion"', "role is no role"),
        ("lock", "role = ['method']", "role is no role"),
        ("lock", "paper = 3", "paper is no text"),
        ("lock", "title = None", "title is no text"),
        ("lock", "key = 3", "key is no text"),
        ("lock", 'deviations = "one"', "deviations is no tuple of names"),
        ("lock", "quick = [1]", "quick is no dict"),
        ("lock", "files = (1, 2)", "files is no tuple of names"),
        ("attack", 'keys = "edit"', "keys is no tuple of names"),
        ("attack", "defaults = ()", "defaults is no dict"),
        ("attack", "selection = ('a', 'b', 'c')", "selection is no selection rule"),
        ("key", 'pair = "yes"', "pair is no truth value"),
        ("task", "prefix = 1", "prefix is no truth value"),
        ("lock", "quick = dict(a=1)", "quick must be a literal"),
        ("lock", 'n: int = param(1, "n", gt=0)', "n is declared wrongly"),
        ("lock", 'n: int = param(1, "n", 0)', "n is declared wrongly"),
        ("lock", "n: int = param()", "n is declared wrongly"),
        ("lock", "n: int = param(1, 2)", "help is no text"),
        ("lock", 'n: int = param(1, "n", ge="0")', "ge is no number"),
        ("lock", 'n: int = param(1, "n", choices=1)', "choices are no tuple"),
        ("lock", 'n: int = param(1, "n", where=[1])', "where is no dict"),
        ("lock", 'n: int = param(1, "n", **{"ge": 0})', "n is declared wrongly"),
        ("lock", 'n: int = param(1, "n", ge=2)', "not allowed"),
        ("lock", 'n: list = param([1], "n")', "not allowed"),
    ],
)
def test_a_claim_or_constant_that_is_wrong_is_one_line_that_names_the_file(
    kind: str, line: str, says: str, tmp_path: Path, bench: Callable[..., Any]
) -> None:
    file = write(tmp_path / "mine.py", plugin(kind, body=f"    {line}"))
    done = bench("list", "--plugin", str(file))
    assert done.returncode == 2
    assert says in done.stderr
    assert "mine.py" in done.stderr
    assert "defect" not in done.stderr
    assert len(done.stderr.splitlines()) == 2


def test_a_subclass_of_a_control_is_no_plugin_of_a_guest(tmp_path: Path) -> None:
    file = write(tmp_path / "mine.py", "from locks.none import NoLock\nclass Mine(NoLock):\n    '''Mine.'''\n")
    with pytest.raises(UserError, match="cannot be a control"):
        registry.Registry([file]).all("lock")
