"""Plugin files on a machine that lacks them: the same plugins, the same hashes."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from places import PLUGINS

from bench import registry
from bench.harness.launchers.plugin_bundle import Bundle
from bench.store.code import code_identity
from bench.store.packing import unpack_files

FILES = tuple(str(PLUGINS / f"{name}.py") for name in ("tint", "slow_lock", "slow_attack"))


def identities(files: tuple[str, ...]) -> dict[str, dict[str, str]]:
    known = registry.use(files)
    named = [("key", "tint"), ("lock", "slow-lock"), ("attack", "slow-attack")]
    return {name: code_identity(known.find(kind, name)) for kind, name in named}


def test_files_keep_their_hashes_and_bring_their_helpers(tmp_path: Path) -> None:
    bundle = Bundle.of(FILES)
    assert [Path(name).name for name in bundle.files] == ["tint.py", "slow_lock.py", "slow_attack.py"]
    assert {Path(name).name for name in unpack_files(bundle.packed)} == {
        *(Path(file).name for file in FILES),
        "slow_helper.py",
    }
    there = bundle.write(tmp_path)
    assert identities(there) == identities(FILES)
    assert bundle.write(tmp_path) == there, "written once"
    assert len(list(tmp_path.iterdir())) == 1


def test_a_package_travels_whole_and_names_keep_their_folder(tmp_path: Path) -> None:
    package = tmp_path / "here" / "mine"
    package.mkdir(parents=True)
    (package / "__init__.py").write_text("")
    (package / "helper.py").write_text("X = 1\n")
    (package / "lock.py").write_text((PLUGINS / "quick_lock.py").read_text() + "\n\nfrom mine.helper import X\n")
    other = tmp_path / "other"
    other.mkdir()
    shutil.copy(PLUGINS / "quick_lock.py", other)
    files = (str(package / "lock.py"), str(other / "quick_lock.py"))
    there = Bundle.of(files).write(tmp_path / "there")
    assert [Path(file).parent.name for file in there] == ["mine", "other"]
    assert (Path(there[0]).parent / "helper.py").read_text() == "X = 1\n"
    assert sorted(registry.use(there).all("lock")) == sorted(registry.use(files).all("lock"))


def test_no_files_are_no_files(tmp_path: Path) -> None:
    assert Bundle.of(()).write(tmp_path) == ()


@pytest.mark.parametrize("name", ["nothing.py"])
def test_a_file_that_is_not_there(name: str, tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        Bundle.of((str(tmp_path / name),))
