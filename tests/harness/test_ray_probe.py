"""What nodes have against what the driver has."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from bench.harness.launchers import ray_probe

HERE = {"lockbench": "a" * 20, "version": "0.1.0", "torch": "2.15.0", "python": "3.11", "cpu": "A", "shares": True}


def node(**other: Any) -> dict[str, Any]:
    return {**HERE, **other}


def test_this_machine_refuses_itself_nothing() -> None:
    here = ray_probe.look()
    assert ray_probe.refusals({"x": here}, here) == []
    assert ray_probe.remarks({"x": here}, here) == []
    assert ray_probe.lacking({"x": here}) == []
    assert here["lockbench"]
    assert not here["shares"]


def test_another_version_is_refused_by_name_with_a_remedy() -> None:
    nodes = {
        "old": node(lockbench="b" * 20, version="0.0.9"),
        "edited": node(lockbench="b" * 20),
        "torch": node(torch="2.14.1"),
        "bare": node(torch=""),
        "python": node(python="3.12"),
        "same": node(),
    }
    refused = ray_probe.refusals(nodes, HERE)
    messages = [message for message, _ in refused]
    assert messages == [
        "the node old has LockBench 0.0.9, this machine 0.1.0",
        "the node edited has LockBench 0.1.0 with other code, this machine 0.1.0",
        "the node torch has torch 2.14.1, this machine 2.15.0",
        "the node bare has no torch, this machine 2.15.0",
        "the node python has Python 3.12, this machine 3.11",
    ]
    assert refused[2][1] == "Install torch 2.15.0 there, or take the node out."


def test_a_node_without_lockbench_is_sent_it() -> None:
    nodes = {"bare": node(lockbench="", version="")}
    assert ray_probe.refusals(nodes, HERE) == []
    assert ray_probe.lacking(nodes) == ["bare"]


def test_another_processor_is_remarked() -> None:
    (remark,) = ray_probe.remarks({"x": node(cpu="B"), "y": node(cpu="B"), "z": node()}, HERE)
    assert remark.startswith("x, y have another processor (B)")


def test_who_reads_the_token_sees_the_store(tmp_path: Path) -> None:
    (tmp_path / "token").write_text("secret")
    assert ray_probe.look(str(tmp_path / "token"), "secret")["shares"]
    assert not ray_probe.look(str(tmp_path / "token"), "other")["shares"]
    assert not ray_probe.look(str(tmp_path / "nothing"), "secret")["shares"]
