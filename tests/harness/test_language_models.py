"""Language models in whole cells: what a record keeps, what a rerun asks, and where the key never is."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from chat_server import KEY, environment, serving
from limits import HANGS
from places import PLUGINS

from bench import models, plan, registry
from bench.guests.failure import GuestFailed
from bench.guests.subjects import LocalModel
from bench.harness.cell import run_cell
from bench.harness.context import Context
from bench.harness.job import AttackOutput
from bench.harness.stages import Stages
from bench.language import asking, endpoint
from bench.records import Cell, Record
from bench.store import Store, health, identity
from bench.store.settings import Settings

FILES = (str(PLUGINS / "tiny.py"), str(PLUGINS / "curious.py"))
PARAMS = {
    "task.size": 16, "lock.key": "edit", "key.candidates": "vlm", "key.proposals": 9, "key.images": 2, "key.steps": 1,
    "attack.proposer": "llm", "attack.questions": 2, "attack.proposals": 3, "attack.first": 2, "attack.most": 2,
    "attack.refine": 0, "threat.language_model": True, "threat.share": 0.05,
}  # fmt: skip


@pytest.fixture(autouse=True)
def _as_it_was() -> Iterator[None]:
    yield
    asking.use()


def _set(values: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> None:
    for name in (endpoint.URL, endpoint.MODEL, endpoint.KEY, endpoint.TIMEOUT):
        monkeypatch.delenv(name, raising=False)
    for name, value in values.items():
        monkeypatch.setenv(name, value)


def _cell(task: str, **params: Any) -> Cell:
    return plan.make_cell("none", "prompt-search", task, "tiny", {**PARAMS, **params})


def test_an_attack_that_does_not_declare_a_language_model_reaches_none(small_task: str, tmp_path: Path) -> None:
    settings = Settings(threads=1, plugin_files=FILES, language_model="m")
    registry.use(FILES)
    declared = _cell(small_task)
    granted = {"task.size": 16, "threat.language_model": True, "attack.proposer": "grammar"}
    silent = plan.make_cell("modellock", "prompt-search", small_task, "tiny", granted)
    found = []
    for cell in (declared, silent):
        stages = _stages(cell, Store(tmp_path / "s"), settings)
        job = SimpleNamespace(task=SimpleNamespace(classes=()), known={}, words=(), seed=0)
        found.append(stages.proposals(job))  # type: ignore[arg-type]
    assert found[0] is not None
    assert found[1] is None


def _measured(record: Record) -> dict[str, Any]:
    values = record.model_dump()
    own = ("status", "error", "RP", "UP", "LP", "key", "meter", "conditions")
    out = {name: values[name] for name in own} | {"replies": record.provenance.replies}
    out["meter"] = {k: v for k, v in (out["meter"] or {}).items() if k not in ("seconds", "peak_memory_mb")}
    return out | {"curve": [(p["RP"], p["note"]) for p in values["curve"]]}


def _stages(cell: Cell, store: Store, settings: Settings) -> Stages:
    return Stages(cell, identity.of(cell, settings), Context(store, settings))


def _run(stages: Stages) -> tuple[Any, AttackOutput]:
    """The key, and what the attack hands in against a model that was not trained; nothing is edited or judged."""
    scenario = stages.context.scenario(stages.cell)
    key = stages.key(scenario)
    locked = LocalModel(models.build("cnn", scenario.spec, 0, "random", 1))
    return key, stages.unlocked(scenario, None, lambda: locked, key)


def _curious(task: str, **params: Any) -> Cell:
    own = {name: value for name, value in PARAMS.items() if name.startswith(("task.", "lock.", "key."))}
    return plan.make_cell("none", "curious", task, "tiny", {**own, **params})


def test_key_and_guesses_ask_once_and_again_from_the_store_alone(
    small_task: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The attack runs in its process, to which neither address nor key is given."""
    registry.use(FILES)
    with serving("good") as chat:
        _set(environment(chat, timeout=HANGS), monkeypatch)
        settings, store = Settings(plugin_files=FILES), Store(tmp_path / "one", entropy="plan")
        stages = _stages(_curious(small_task), store, settings)
        key, output = _run(stages)
        assert len(chat.asked) == 3, "one question for the key, two for guesses"
        with pytest.raises(GuestFailed, match="neither in its list nor was proposed"):
            _run(_stages(_curious(small_task, **{"attack.say": "label 3 is 7"}), store, settings))
        assert len(chat.asked) == 3, "what it may not say is not sent; the first question was answered from the store"
    vision, *text = chat.asked
    assert [part["type"] for part in vision["messages"][1]["content"]] == ["text", "image_url", "image_url"]
    assert all(isinstance(asked["messages"][1]["content"], str) for asked in text), "guesses see no image"
    assert (output.meter["calls"], output.meter["guesses"]) == (2, 3)
    note = output.submissions[0]["note"]
    assert not [name for name in note["environment"] if name.startswith("LOCKBENCH_LLM")]
    assert all(concept in text[1]["messages"][1]["content"] for concept in note["first"][:1])
    assert {kind: len(asked) for kind, asked in stages.replies.items()} == {"key": 1, "unlocked": 2}
    for asked in (*stages.replies["key"], *stages.replies["unlocked"]):
        assert (asked["model"], asked["served"], asked["outcome"]) == ("test-7b", "served-7b", "ok")
    (asked,) = stages.replies["key"]
    kept = (store.artefact("reply", asked["question"]) / "value.json").read_text()
    assert key.prompt.removeprefix("with ") in kept, "the key is drawn among what was proposed"
    assert "base64" not in kept
    assert not [p for p in tmp_path.rglob("*") if p.is_file() and KEY.encode() in p.read_bytes()]
    assert not [finding for finding in health.look(store) if "reply" in finding.where], "nothing to clear away"

    _set({endpoint.MODEL: "test-7b"}, monkeypatch)  # no endpoint any more
    again = Store(tmp_path / "two", entropy="plan")
    shutil.copytree(store.root / "artefacts" / "reply", again.root / "artefacts" / "reply")
    second = _stages(stages.cell, again, settings)
    same_key, same = _run(second)
    assert same_key == key
    assert [s["note"] for s in same.submissions] == [s["note"] for s in output.submissions]
    assert second.replies == stages.replies
    assert len(chat.asked) == 3


def test_an_attack_without_the_grant_is_denied(
    small_task: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    registry.use(FILES)
    with serving("good") as chat:
        _set(environment(chat, timeout=HANGS), monkeypatch)
        cell = _curious(small_task, **{"threat.language_model": False})
        _, output = _run(_stages(cell, Store(tmp_path / "s", entropy="plan"), Settings(plugin_files=FILES)))
    assert output.denied == ["propose"]
    assert output.meter["calls"] == 0
    assert len(chat.asked) == 1, "that of the key"


@pytest.mark.slow
def test_a_record_asks_for_key_and_guesses_and_is_made_again_from_the_store_alone(
    small_task: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It trains, since a record is what is looked at: a tiny network on 90 pictures of 16 pixels."""
    registry.use(FILES)
    with serving("good") as chat:
        _set(environment(chat, timeout=600.0), monkeypatch)
        cell, settings = _cell(small_task), Settings(plugin_files=FILES)
        store = Store(tmp_path / "one", entropy="plan")
        record = run_cell(cell, Context(store, settings))
        assert record.status == "ok", record.error
        assert len(chat.asked) == 3, "one question for the key, two for guesses"
    vision, *text = chat.asked
    assert [part["type"] for part in vision["messages"][1]["content"]] == ["text", "image_url", "image_url"]
    assert all(isinstance(asked["messages"][1]["content"], str) for asked in text), "guesses see no image"
    assert record.meter is not None
    assert (record.meter["calls"], record.meter["guesses"]) == (2, 6)
    assert record.key is not None
    replies = record.provenance.replies
    assert {kind: len(asked) for kind, asked in replies.items()} == {"key": 1, "unlocked": 2}
    for asked in (*replies["key"], *replies["unlocked"]):
        assert (asked["model"], asked["served"], asked["outcome"]) == ("test-7b", "served-7b", "ok")
        kept = (store.artefact("reply", asked["question"]) / "value.json").read_text()
        assert "base64" not in kept
    concept = record.key["prompt"].removeprefix("with ")
    assert concept in (store.artefact("reply", replies["key"][0]["question"]) / "value.json").read_text()
    assert not [p for p in tmp_path.rglob("*") if p.is_file() and KEY.encode() in p.read_bytes()]

    _set({endpoint.MODEL: "test-7b"}, monkeypatch)  # no endpoint any more
    again = Store(tmp_path / "two", entropy="plan")
    shutil.copytree(store.root / "artefacts" / "reply", again.root / "artefacts" / "reply")
    assert _measured(run_cell(cell, Context(again, settings))) == _measured(record)
    assert len(chat.asked) == 3


def test_without_an_endpoint_a_cell_fails_in_words(
    small_task: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    registry.use(FILES)
    _set({endpoint.MODEL: "test-7b"}, monkeypatch)
    settings = Settings(plugin_files=FILES)
    cell = _cell(small_task)
    record = run_cell(cell, Context(Store(tmp_path / "s", entropy="plan"), settings))
    assert record.status == "failed"
    assert endpoint.URL in (record.error or "")


def test_another_model_is_another_key_and_another_attack(small_task: str, monkeypatch: pytest.MonkeyPatch) -> None:
    registry.use(FILES)
    _set({endpoint.MODEL: "test-7b"}, monkeypatch)
    settings, cell = Settings(plugin_files=FILES), _cell(small_task)
    own = identity.of(cell, settings).hashes
    other = identity.of(cell, Settings(plugin_files=FILES, language_model="other")).hashes
    assert own["victim"] == other["victim"]
    assert own["key"] != other["key"]
    plain = plan.make_cell("none", "prompt-search", small_task, "tiny", {"lock.key": "edit"})
    elsewhere = Settings(plugin_files=FILES, language_model="other")
    assert identity.of(plain, settings).hashes == identity.of(plain, elsewhere).hashes, "nobody is asked"
