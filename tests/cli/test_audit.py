"""`bench audit`: how a checkpoint is read is printed first; what opens it stands in one table; advice follows."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import timm
import torch
from example_records import measured, record
from torch import nn

from bench import models
from bench.api import findings
from bench.api.audit import audit, prepare, task_of
from bench.api.audit_plan import Scope
from bench.api.checkpoint import Options
from bench.contracts import Spec
from bench.errors import UserError
from bench.harness import checkpoint_process
from bench.plugin_modules import code_digest
from bench.source_files import parsed
from bench.store.settings import Settings

TINY = Path(__file__).parents[1] / "plugins" / "tiny.py"
FEW = ("-p", "attack.steps=2", "-p", "attack.trials=1", "--device", "cpu", "--threads", "1")
PAIRS = {"attack.steps": 2, "attack.trials": 1}


def _net(k: int, extra: int = 0) -> dict[str, torch.Tensor]:
    model = models.build("cnn", Spec(32, tuple(map(str, range(k)))), extra, "random", 5)
    assert isinstance(model, models.TimmClassifier)
    return dict(model.net.state_dict())


@pytest.fixture
def checkpoint(tmp_path: Path) -> Path:
    torch.save({"state_dict": {f"module.{k}": v for k, v in _net(3, 1).items()}}, tmp_path / "own.pth")
    return tmp_path / "own.pth"


def test_it_runs_and_prints_reading_table_and_what_was_left_out(bench, small_task: str, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    folder = small_task.partition(":")[2]
    store, checkpoint = tmp_path / "runs", tmp_path / "own.pth"
    network = {"channels": [8, 8, 8, 8], "stem_width": 8, "output_stride": 8}
    state = timm.create_model("resnet10t", num_classes=4, **network).state_dict()
    torch.save({"state_dict": {f"module.{k}": v for k, v in state.items()}}, checkpoint)
    command = (
        "audit",
        str(checkpoint),
        "--data",
        folder,
        "--plugin",
        str(TINY),
        "--model",
        "tiny",
        "--store",
        str(store),
    )
    command += ("--attack", "logit-surgery", "--attack", "prompt-search", "--threat", "weights-few", *FEW)
    done = bench(*command)
    assert done.returncode == 0, done.stderr
    for text in (
        "architecture", "4 for 3 classes", "took the weights under 'state_dict'; removed the prefix module.",
        "centre square, resized to 32 × 32 (bicubic)", "logit-surgery", "weights-few", "opens",
        "left out: prompt-search (weights-few): it speaks to the key edit, and no key is given (--key)",
    ):  # fmt: skip
        assert text in done.stdout, text
    assert "1 output beyond the 3 classes: output 3" in done.stderr
    moved = checkpoint.rename(checkpoint.with_name("moved.pth"))
    again = bench(*(str(moved) if part == str(checkpoint) else part for part in command))
    assert again.returncode == 0
    assert again.stdout.splitlines()[-4:] == done.stdout.splitlines()[-4:]
    assert len(list((store / "records").iterdir())) == 5  # content counts, not its path: nothing ran again
    dry = bench(*(str(moved) if part == str(checkpoint) else part for part in command), "--dry-run")
    assert "5 cached, nothing to do" in " ".join(dry.stdout.split())


def test_a_dry_run_shows_the_reading_and_writes_nothing(bench, small_task: str, checkpoint: Path) -> None:  # type: ignore[no-untyped-def]
    store = checkpoint.parent / "runs"
    done = bench(
        "audit", str(checkpoint), "--data", small_task, "--model", "cnn", "--quick", "--dry-run", "--store", str(store),
        "--mean", "0.1,0.2,0.3", "--std", "0.5", "--crop-pct", "0.8",
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert "mean (0.1, 0.2, 0.3), std (0.5, 0.5, 0.5)" in done.stdout
    assert "resized to 40 × 40 (bicubic), centre 32 × 32" in done.stdout
    assert "set here: resize, mean" in done.stdout
    assert "slow, and --quick leaves slow ones out" in " ".join(done.stdout.split()), "the terminal may break the line"
    assert not store.exists()


def test_paths_may_be_relative(bench, small_task: str, checkpoint: Path) -> None:  # type: ignore[no-untyped-def]
    here = checkpoint.parent
    images = Path(small_task.partition(":")[2])
    (here / "photos").symlink_to(images)
    done = bench("audit", "own.pth", "--data", "photos", "--model", "cnn", "--dry-run", cwd=here)
    assert done.returncode == 0, done.stderr
    (here / "own_code.py").write_text(FACTORY)
    scope: dict[str, Callable[..., nn.Module]] = {}
    exec(FACTORY, scope)  # type: ignore[arg-type]
    torch.save(scope["make"](3).state_dict(), here / "c.pth")
    factory = ("--factory", "own_code.py:make", "--image-size", "32")
    done = bench("audit", "c.pth", "--data", "photos", *factory, "--dry-run", cwd=here)
    assert done.returncode == 0, done.stderr


def test_a_store_may_be_relative(small_task: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    module = timm.create_model("test_resnet", num_classes=3)
    prepared = prepare(module, small_task, Options(image_size=32), Scope(attacks=["logit-surgery"]))
    assert prepared.reading.facts.parameters == sum(p.numel() for p in module.parameters())


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("--model", "vit"), "has no head.weight: it holds conv1.0.weight"),
        ((), "does not say which architecture it is"),
        (("--model", "cnn", "--factory", "x:y"), "both a model and a factory"),
        (("--model", "cnn", "--weights-key", "ema"), "has no weights under 'ema'"),
        (("--model", "cnn", "--mean", "a"), "--mean a is not allowed"),
        (("--model", "cnn", "--mean", "123.7,116.3,103.5"), "Divide by 255"),
        (("--model", "cnn", "--key", "blockwize"), "Did you mean blockwise?"),
        (("--model", "cnn", "--key", "with oil", "-p", "key.secret=3"), "key.secret is no value of a prompt"),
        (("--model", "cnn", "--attack", "shot"), "the attack shot is in no threat model of the ensemble"),
        (("--model", "cnn", "--threads", "0"), "threads"),
        (
            ("--model", "cnn", "-p", "threat.share=0.05"),
            "'threat.share' cannot be set: the threat model logits-few of the ensemble states it",
        ),
        (("--model", "cnn", "-p", "task.size=abc"), "task.size"),
        (("--model", "cnn", "--interpolation", "cubic"), "interpolation=cubic is not allowed"),
        (("--model", "cnn", "--fc-norm", "thrice"), "fc_norm=thrice is not allowed"),
        (("--model", "cnn", "--fc-norm", "twice"), "has no fc_norm to apply twice"),
        (("--model", "cnn", "--threat", "none"), "has no threat model 'none'"),
        (("--model", "cnn", "--resize", "16", "--image-size", "32"), "resize=16 is smaller"),
        (("--model", "cnn", "--class-order", "random"), "no class order 'random'"),
        (("--model", "cnn", "--start", "warm"), "start=warm is not allowed"),
    ],
)
def test_what_cannot_be_audited_is_one_line(bench, small_task: str, checkpoint: Path, options, message: str) -> None:  # type: ignore[no-untyped-def]
    done = bench("audit", str(checkpoint), "--data", small_task, "--store", str(checkpoint.parent / "r"), *options)
    assert done.returncode == 2
    assert message in done.stderr
    assert "defect" not in done.stderr


def test_fewer_outputs_and_a_file_of_classes_that_is_short(bench, small_task: str, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    torch.save(_net(2), tmp_path / "two.pth")
    torch.save(_net(3, 1), tmp_path / "four.pth")
    (tmp_path / "classes").write_text("right\nmiddle\nleft\n")
    done = bench("audit", str(tmp_path / "two.pth"), "--data", small_task, "--model", "cnn")
    assert "has 2 outputs, and the data have 3 classes" in done.stderr
    classes = sorted(p.name for p in Path(small_task.partition(":")[2]).iterdir())
    (tmp_path / "classes").write_text("\n".join(reversed(classes)))
    short = (
        "audit",
        str(tmp_path / "four.pth"),
        "--data",
        small_task,
        "--model",
        "cnn",
        "--classes",
        str(tmp_path / "classes"),
    )
    assert "has 3 names, and the checkpoint 4 outputs" in bench(*short).stderr
    (tmp_path / "classes").write_text("\n".join([*reversed(classes), "decoy"]))
    done = bench(*short, "--dry-run")
    assert "put the outputs into the order of the data's classes" in done.stdout.replace("\n", " ").replace("  ", " ")
    assert "1 output beyond the 3 classes: decoy" in done.stderr


FACTORY = """\
from torch import nn


class Small(nn.Module):
    def __init__(self, outputs, width):
        super().__init__()
        self.body = nn.Sequential(nn.Conv2d(3, width, 3, 2), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten())
        self.out = nn.Linear(width, outputs)

    def forward(self, x):
        return self.out(self.body(x))


def make(num_classes, width=4):
    return Small(num_classes, width)
"""


@pytest.mark.slow
def test_a_live_module_of_ones_own_needs_a_factory_and_runs_with_one(small_task: str, tmp_path: Path) -> None:
    file = tmp_path / "own_code.py"
    file.write_text(FACTORY)
    scope: dict[str, object] = {}
    exec(FACTORY, scope)  # the module of a notebook: no file holds its class
    module: nn.Module = scope["make"](3, 6)  # type: ignore[operator]
    common = {
        "store": tmp_path / "runs",
        "threads": 1,
        "params": PAIRS,
        "attacks": ["logit-surgery"],
        "threats": ["weights-few"],
    }
    with pytest.raises(UserError, match=r"its architecture is not known.*factory="):
        audit(module, small_task, **common)  # type: ignore[arg-type]
    found = audit(module, small_task, factory=f"{file}:make", model_args={"width": 6}, image_size=32, **common)  # type: ignore[arg-type]
    assert {r.status for r in found.records} == {"ok"}, [r.error for r in found.records]
    assert [f.attack for f in found.findings] == ["logit-surgery"]
    assert "start=random" in found.reading.model
    assert "a factory has no public weights" in found.reading.start


def test_a_factory_is_read_in_a_process_and_its_code_is_part_of_the_identity(small_task: str, tmp_path: Path) -> None:
    from bench.store import identity

    file = tmp_path / "own_code.py"
    hashes = []
    for code in (FACTORY, FACTORY.replace("nn.ReLU", "nn.GELU")):
        file.write_text(code)
        scope: dict[str, object] = {}
        exec(code, scope)
        torch.save(scope["make"](3).state_dict(), tmp_path / "c.pth")  # type: ignore[operator]
        code_digest.cache_clear()
        parsed.cache_clear()
        options = Options(factory=f"{file}:make", image_size=32, resize=32)
        prepared = prepare(
            tmp_path / "c.pth", small_task, options, Scope(attacks=["logit-surgery"]), store=tmp_path / "runs"
        )
        assert prepared.reading.facts.parameters == 4 * 28 + 3 * 5
        hashes.append(identity.of(prepared.plan.cells[0], Settings()).hashes["victim"])
    assert len(set(hashes)) == 2
    assert "own_code" not in sys.modules


def test_a_live_module_of_timm_is_rebuilt_by_its_name(small_task: str, tmp_path: Path) -> None:
    from bench.api import live

    module = timm.create_model("test_resnet", num_classes=3)
    name = live.name_of(module, {})
    assert name == "test_resnet"
    file = live.save(module, tmp_path)
    assert live.save(module, tmp_path) == file
    facts = checkpoint_process.read(
        f"{name}?start=random", Spec(32, ("a", "b", "c")), {"file": str(file), "image_size": 32}, Settings(threads=1)
    )
    assert (facts.outputs, facts.is_split) == (3, True)
    module.reset_classifier(5)
    module.fc = nn.Sequential(nn.Linear(module.num_features, 8), nn.Linear(8, 5))
    with pytest.raises(UserError, match="of its weights are others"):
        live.name_of(module, {})


def test_data_by_path_or_by_name(small_task: str) -> None:
    assert task_of("digits") == "digits"
    assert task_of(small_task.partition(":")[2]) == small_task
    with pytest.raises(UserError, match="pair of data sets"):
        task_of("digits:fonts")
    with pytest.raises(UserError):
        task_of("nowhere")


def test_fc_norm_both_ways_gives_two_variants(small_task: str, tmp_path: Path) -> None:

    net = timm.create_model("test_vit", num_classes=4, global_pool="avg", img_size=32)
    torch.save({"model": net.state_dict()}, tmp_path / "c.pth")
    options = Options(
        model="test_vit", model_args={"global_pool": "avg"}, image_size=32, resize=32, fc_norm="both", start="random"
    )
    prepared = prepare(
        tmp_path / "c.pth", small_task, options, Scope(attacks=["logit-surgery"]), store=tmp_path / "runs"
    )
    audited = [c for c in prepared.plan.cells if c.lock.name == "given" and c.attack.name == "logit-surgery"]
    assert {c.lock.explicit.get("norm", "once") for c in audited} == {"once", "twice"}
    assert ("fc_norm", "applied once and twice") in prepared.reading.lines()


@pytest.mark.parametrize(
    ("scope", "words"),
    [
        (Scope(), "none: authorised images are the raw ones"),
        (Scope("blockwise", params={"key.block": 8, "threat.share": 0.1}), "blockwise[block=8], a key method"),
        (Scope("with oil pastel"), "an edit with the prompt 'with oil pastel'"),
    ],
)
def test_the_key_is_named(scope: Scope, words: str) -> None:
    assert scope.describe().startswith(words)


@pytest.mark.parametrize(
    ("UP", "LP", "locked"), [(95.0, 94.5, False), (95.0, 30.0, True), (12.0, 12.0, True), (60.0, 60.0, False)]
)
def test_a_checkpoint_that_anybody_can_use_is_no_lock(UP: float, LP: float, locked: bool) -> None:
    checkpoint = record("given", UP=measured(UP), LP=LP)
    checkpoint.cell.lock.role = "given"
    assert findings.is_locked([checkpoint]) is locked
    for raw_alone, words in ((True, "no key is given"), (False, "anybody gets what the rightful user gets")):
        assert any(words in line for line in findings.diagnosis([checkpoint], lambda _: {}, raw_alone)) is not locked


def test_numbers_of_a_notebook_are_taken_as_they_are(small_task: str, checkpoint: Path) -> None:
    deviation: Any = np.array([0.25, 0.25, 0.25], dtype=np.float32)
    reading = prepare(checkpoint, small_task, Options(model="cnn", mean=0.5, std=deviation), Scope()).reading
    assert reading.preprocessing.mean == (0.5, 0.5, 0.5)
    assert reading.preprocessing.std == (0.25, 0.25, 0.25)


@pytest.mark.parametrize(
    ("call", "words"),
    [
        ({"lock_key": "edit"}, "audit() does not take lock_key"),
        ({"mean": [0.5, "a", 0.5]}, "mean=[0.5, 'a', 0.5] is not allowed"),
        ({"mean": "grey"}, "mean='grey' is not allowed"),
        ({"params": {"task.size": "abc"}}, "task.size='abc' is no number of pixels"),
        ({"threads": 0}, "threads=0 is not allowed"),
    ],
)
def test_slips_in_a_notebook_have_a_remedy(call: dict[str, Any], words: str, small_task: str, checkpoint: Path) -> None:
    with pytest.raises(UserError) as caught:
        audit(checkpoint, small_task, **{"architecture": "cnn", **call}, store=checkpoint.parent / "runs")
    assert words in caught.value.message
    assert caught.value.remedy


def test_what_is_no_checkpoint_is_refused(small_task: str) -> None:
    with pytest.raises(UserError, match="a int is no checkpoint"):
        audit(3, small_task)  # type: ignore[arg-type]
