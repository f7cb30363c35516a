"""Plugins outside the project: their names, the helpers they import, and what enters the hash."""

from __future__ import annotations

import textwrap
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from places import PLUGINS

from bench import plugin_modules, registry, source_files
from bench.errors import UserError
from bench.store import Store
from bench.store.code import code_identity

LOCK = """
from bench.contracts import Classifier, DefenderView, Key, Lock, Run
{imports}

class {name}(Lock):
    '''A lock for tests.'''
    paper = "ours"
    key = "none"

    def protect(self, victim: Classifier, key: Key, data: DefenderView, run: Run) -> Classifier:
        {body}
"""


def lock(file: Path, name: str = "Mine", imports: str = "", body: str = "return victim") -> Path:
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(LOCK.format(name=name, imports=imports, body=body))
    return file


@pytest.fixture(autouse=True)
def _nothing_cached() -> None:
    for cached in (source_files.parsed, source_files.path_of, plugin_modules.imports, plugin_modules.code_digest):
        cached.cache_clear()
    for cached in (registry._from_file, registry._installed, registry._disabled, registry._with_entry_points):
        cached.cache_clear()


@pytest.mark.parametrize("name", ["none", "destroyed", "modellock", "permuted_logits"])
def test_no_file_takes_the_name_of_a_built_in(name: str, tmp_path: Path, bench: Any) -> None:
    file = lock(tmp_path / f"{name}.py")
    with pytest.raises(UserError, match="which is the name of one of LockBench's own"):
        registry.Registry([file]).find("lock", "modellock")
    got = bench("list", f"--plugin={file}")
    assert got.returncode == 2
    assert "Rename the file" in got.stderr


def test_two_files_of_one_name_both_work(tmp_path: Path) -> None:
    one, two = lock(tmp_path / "a" / "mine.py"), lock(tmp_path / "b" / "mine.py", body="return victim.eval()")
    known = registry.Registry([one, two]).all("lock")
    assert {"a-mine", "b-mine"} <= set(known)
    assert known["a-mine"].module != known["b-mine"].module
    assert registry.load(known["a-mine"]) is not registry.load(known["b-mine"])


def test_a_file_may_hold_several_plugins(tmp_path: Path) -> None:
    file = lock(tmp_path / "many.py", "BlueTint")
    file.write_text(file.read_text() + "\n\nclass RedTint(BlueTint):\n    '''Another.'''\n")
    assert "many" in registry.Registry([file]).all("lock"), "a class that others derive from is no plugin of its own"
    other = LOCK.format(name="GreenTint", imports="", body="return victim")
    file.write_text(file.read_text() + other)
    registry._from_file.cache_clear()
    source_files.parsed.cache_clear()
    plugin_modules.code_digest.cache_clear()
    assert {"red-tint", "green-tint"} <= set(registry.Registry([file]).all("lock"))


def _identity(file: Path) -> dict[str, str]:
    source_files.parsed.cache_clear()
    plugin_modules.imports.cache_clear()
    plugin_modules.code_digest.cache_clear()
    registry._from_file.cache_clear()
    return code_identity(registry.Registry([file]).find("lock", file.stem))


@pytest.mark.parametrize("how", ["beside", "package", "relative"])
def test_what_a_plugin_imports_is_part_of_its_identity(how: str, tmp_path: Path) -> None:
    place = {"beside": "helper.py", "package": "helper/__init__.py", "relative": "pack/helper.py"}[how]
    helper = tmp_path / place
    helper.parent.mkdir(exist_ok=True)
    helper.write_text("X = 1\n")
    folder = tmp_path
    if how == "relative":
        folder = tmp_path / "pack"
        (folder / "__init__.py").write_text("")
    file = lock(folder / "mine.py", imports=f"from {'.' if how == 'relative' else ''}helper import X")
    before = _identity(file)
    helper.write_text("X = 1  # a comment\n")
    assert _identity(file) == before
    helper.write_text("X = 2\n")
    after = _identity(file)
    assert [name for name in after if after[name] != before[name]] == ["pack.helper" if how == "relative" else "helper"]


def test_two_helpers_of_one_name_are_refused(tmp_path: Path) -> None:
    files = []
    for folder, value in (("a", 1), ("b", 2)):
        files.append(lock(tmp_path / folder / f"{folder}_lock.py", imports="from helper import X"))
        (tmp_path / folder / "helper.py").write_text(f"X = {value}\n")
    with pytest.raises(UserError, match="two plugins import 'helper'"):
        registry.Registry(files).all("lock")


@pytest.mark.parametrize(
    ("line", "says"),
    [
        ('role = "control"', "cannot be a control"),
        ('purpose = "must-open"', "cannot be a control"),
        ("title = 3", "title is no text"),
        ('assets = "one"', "assets is no tuple"),
        ("x: int = param(1, 'how', gt=0)", "hostile.py: the parameter x is declared wrongly"),
        ("x = param(5, 'how')", "the parameter x has no type"),
        ("x: int = param(5, 'how', le=3)", "hostile.py: x=5 is not allowed"),
    ],
)
def test_a_wrong_declaration_is_one_line_that_names_the_file(line: str, says: str, tmp_path: Path) -> None:
    file = tmp_path / "hostile.py"
    file.write_text(LOCK.format(name="Hostile", imports="from bench.contracts import param", body="return victim"))
    file.write_text(file.read_text().replace('    paper = "ours"', f'    paper = "ours"\n    {line}'))
    with pytest.raises(UserError, match=says):
        registry.Registry([file]).all("lock")


def test_the_judge_chooses_for_controls_alone(tmp_path: Path) -> None:
    text = (PLUGINS / "nosy.py").read_text().replace('selection = "last"', 'selection = "judge-validation"')
    file = tmp_path / "chosen.py"
    file.write_text(text)
    with pytest.raises(UserError, match="controls alone may have it"):
        registry.Registry([file]).all("attack")


@pytest.fixture
def installed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """A package with entry points, as pip leaves it."""

    def install(points: str) -> None:
        package = tmp_path / "site-packages"
        lock(package / "guest_pack" / "inside.py", "Inside")
        (package / "guest_pack" / "__init__.py").write_text("from guest_pack.inside import Inside\n")
        info = package / "guest_pack-1.0.dist-info"
        info.mkdir()
        (info / "METADATA").write_text("Metadata-Version: 2.1\nName: guest-pack\nVersion: 1.0\n")
        (info / "entry_points.txt").write_text(textwrap.dedent(points))
        monkeypatch.syspath_prepend(str(package))

    return install


def test_an_entry_point_has_its_own_name_and_may_re_export(installed: Callable[..., None], bench: Any) -> None:
    installed("[bench.locks]\nour-lock = guest_pack:Inside\nother-lock = guest_pack.inside\n")
    known = registry.INSTALLED.all("lock")
    assert known["our-lock"].name == "our-lock"
    assert known["our-lock"].guest
    assert known["our-lock"].cls == known["other-lock"].cls == "Inside"
    assert "our-lock" in bench("list").stdout
    assert "our-lock" in bench("show", "our-lock").stdout
    assert {"guest_pack.inside"} <= set(code_identity(known["other-lock"]))


def test_a_broken_entry_point_disables_itself_alone(installed: Callable[..., None], bench: Any) -> None:
    installed("[bench.locks]\nlost = no_such_package:Lock\ngood = guest_pack:Inside\ndestroyed = guest_pack:Inside\n")
    got = bench("list")
    assert got.returncode == 0
    assert "good" in got.stdout
    assert "lost = no_such_package:Lock" in got.stderr
    with pytest.raises(UserError, match="takes the name of another lock"):
        registry.INSTALLED.find("lock", "destroyed")
    assert registry.INSTALLED.with_purpose("lock", "must-not-open").file.parent.name == "locks"


HELPED = """
    from helper import Own
    class Helped(Lock):
        '''A classifier of a helper's class, with tied weights.'''
        paper = "ours"
        key = "none"
        def protect(self, victim, key, data, run):
            return Own(victim.spec)
"""
OWN = """
import torch
from bench.models import TimmClassifier

class Own(TimmClassifier):
    def __init__(self, spec):
        super().__init__(spec)
        self.spec["class"] = f"{__name__}:Own"
        self.one = torch.nn.Linear(3, 3)
        self.two = torch.nn.Linear(3, 3)
        self.two.weight = self.one.weight
"""
GUESS = """
import torch
from bench.contracts import Acceptance, Attack, Predictor
from helper import Own

class Guess(Attack):
    '''Hands in a predictor of its own around the locked model.'''
    paper = "ours"
    defaults = {"threat.access": "weights", "threat.share": 0.0, "threat.unlabelled": False}
    def accepts(self, threat):
        return Acceptance()
    def unlock(self, target, run):
        assert isinstance(target.classifier, Own)
        return Around(target.classifier)

class Around(Predictor):
    def __init__(self, classifier):
        super().__init__()
        self.classifier = classifier
    def predict(self, images):
        return self.classifier.logits(images)
"""


def test_a_guests_own_classes_work_with_jobs_and_weights(small_task: str, tmp_path: Path, bench: Any) -> None:
    """Trains a victim of few steps, since what is shown is a whole run in two workers."""
    (tmp_path / "helper.py").write_text(OWN)
    helped = "from bench.contracts import Lock\n" + textwrap.dedent(HELPED)
    (tmp_path / "helped.py").write_text(helped)
    (tmp_path / "guess.py").write_text(GUESS)
    files = [f"--plugin={tmp_path / n}.py" for n in ("helped", "guess")]
    suite = tmp_path / "suite.toml"
    suite.write_text(
        f'[[row]]\nlocks = ["helped"]\nattacks = ["guess", "none"]\ntasks = ["{small_task}"]\nmodels = ["tiny"]\n'
        'controls = false\nparams = { "task.size" = 16 }\n'
    )
    got = bench("run", "--suite", str(suite), "--threads", "1", "--device", "cpu", "--jobs", "2",
                "--store", str(tmp_path / "s"), f"--plugin={PLUGINS / 'tiny.py'}", *files)  # fmt: skip
    assert got.returncode == 0, got.stderr
    records = Store(tmp_path / "s", write=False).records()
    assert [record.status for record in records] == ["ok", "ok"]
    by_attack = {record.cell.attack.name: record for record in records}
    guess = by_attack["guess"]
    assert guess.RP is not None
    assert guess.LP is not None
    assert guess.RP.value == guess.LP.value
