"""The process in which a guest's key comes about."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch

from bench import registry, training
from bench.contracts import Key, Spec
from bench.guests.answering import prepare
from bench.guests.failure import GuestFailed
from bench.guests.process import Guest
from bench.guests.wire import Message, Wire
from bench.harness.lock_process import SETS, WiredDefenderView
from bench.harness.process_jobs import Speaker, report, sent
from bench.harness.views import DefenderView
from bench.hashing import digest
from bench.plugin_source import PluginInfo
from bench.store.settings import Settings
from bench.training import Progress


def make(
    info: PluginInfo,
    params: Mapping[str, Any],
    view: DefenderView,
    seed: int,
    model: str,
    settings: Settings,
    progress: Progress,
) -> dict[str, Any]:
    """The JSON form of the key that the guest ``info`` makes.

    Raises:
        GuestFailed: it raised, died, ran into a limit, or made no key.
    """

    def read(message: Message) -> Any:
        name = message.body.get("name")
        if name not in SETS:
            raise GuestFailed(f"key {info.name} read '{str(name)[:40]}', which no view has")
        return sent(getattr(view, name))

    body = {
        "plugin_files": list(settings.plugin_files),
        "device": settings.device,
        "threads": settings.threads,
        "precision": settings.precision,
        "key": info.name,
        "params": dict(params),
        "model": model,
        "task": view.spec.to_json(),
        "seed": seed,
        "entropy": digest({"entropy": settings.entropy, "seed": seed}),  # of this key alone, not the store's
    }
    with Guest("bench.harness.key_process:serve", f"key {info.name}") as guest:
        answer = guest.call("make", body, None, {"progress": report(progress), "read": read}).body
    value = answer.get("key")
    if not isinstance(value, dict):
        raise GuestFailed(f"key {info.name} has no JSON object as its form")
    return value


def serve(wire: Wire) -> None:
    """Make one key; called in the process."""
    body = wire.receive().body
    prepare(body)
    speaker = Speaker(wire)
    run = training.Run(
        body["seed"],
        body["device"],
        progress=speaker.progress,
        entropy=body["entropy"],
        precision=body["precision"],
    )
    torch.manual_seed(run.seed("global"))
    view = WiredDefenderView(speaker, Spec.from_json(body["task"]), body["model"], body["seed"], "jitter")
    key: Key = registry.current().make("key", body["key"], body["params"]).make(view, run)
    wire.send("result", {"key": key.to_json()})
