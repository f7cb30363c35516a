"""The guest's side of questions: a plugin's answers about itself, models, predictors and keys made of its code."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from bench import determinism, models, predictors, registry, session
from bench.contracts import Classifier, Images, Key, Predictor, Spec
from bench.contracts.plugins import moved_masks
from bench.guests.wire import Message, Wire
from bench.threat import ThreatModel


def prepare(body: Mapping[str, Any], dtype: str = "float32") -> None:
    """Plugins, device, threads and determinism of this process, as the first message says."""
    registry.use(body.get("plugin_files", ()))
    registry.make_importable()
    torch.set_num_threads(int(body.get("threads", 1)))
    determinism.deterministic(str(body.get("device", "cpu")))
    session.use(str(body.get("device", "cpu")), dtype, None)


def ask(wire: Wire) -> None:
    """Answer one question about a plugin: see `bench.guests.questions`."""
    message = wire.receive()
    prepare(message.body)
    plugin = registry.current().make(message.body["kind"], message.body["name"], message.body["params"])
    body, tensors = _ANSWERS[message.body["question"]](plugin, message.body["arguments"])
    wire.send("result", body, tensors)


Answer = tuple[dict[str, Any], dict[str, Tensor] | None]


def _accepts(plugin: Any, arguments: Mapping[str, Any]) -> Answer:
    return {"reason": plugin.accepts(ThreatModel(**arguments["threat"])).reason}, None


def _needs(plugin: Any, _arguments: Mapping[str, Any]) -> Answer:
    return asdict(plugin.needs()), None


def _editor(plugin: Any, _arguments: Mapping[str, Any]) -> Answer:
    return {"folder": str(plugin.folder()), "settings": plugin.settings()}, None


def _recipe(plugin: Any, _arguments: Mapping[str, Any]) -> Answer:
    return {"steps": plugin.steps, "rate": plugin.rate}, None


def _data(plugin: Any, arguments: Mapping[str, Any]) -> Answer:
    if arguments["path"] is not None:
        plugin.path = Path(arguments["path"])
    data = plugin.load(arguments["size"], arguments["generator_seed"], arguments["skip_bad"])
    tensors = {"images": data.images, "labels": data.labels, "masks": data.masks, "groups": data.groups}
    body = {
        "name": data.name,
        "classes": list(data.classes),
        "notes": dict(data.notes),
        "origin": data.origin,
        "kind": data.kind,
    }
    return body, {name: tensor for name, tensor in tensors.items() if tensor is not None}


def _values(plugin: Any, _arguments: Mapping[str, Any]) -> Answer:
    return plugin.values(), None


def _built(plugin: Any, arguments: Mapping[str, Any]) -> Answer:
    torch.manual_seed(arguments["seed"])
    model = plugin.build(Spec.from_json(arguments["task"]), arguments["extra"], [], arguments["public"])
    if not isinstance(model, Classifier):
        raise TypeError(f"build() must return a Classifier, not {type(model).__name__}")
    return {"spec": model.spec}, model.state_dict()


_ANSWERS = {
    "accepts": _accepts,
    "needs": _needs,
    "editor": _editor,
    "recipe": _recipe,
    "data": _data,
    "values": _values,
    "built": _built,
}


def classifier(wire: Wire) -> None:
    """Serve a classifier: its outputs, and its logits once batch-norm statistics are those of other images."""
    message = wire.receive()
    prepare(message.body)
    device = str(message.body["device"])
    model = models.rebuild(dict(message.body["spec"]), dict(message.tensors)).to(device)
    facts = {
        "k": model.k,
        "extra": model.extra,
        "parameters": sum(p.numel() for p in model.parameters()),
        "has_batch_norm": models.has_batch_norm(model),
    }
    wire.send("result", facts)
    while True:
        message = wire.receive()
        images = _set(message.tensors["images"])
        if message.kind == "adapted":
            again = copy.deepcopy(model)
            models.reestimate_batch_norm(again, _set(message.tensors["pool"]))
            outputs = models.outputs(again, images)
        else:
            outputs = models.outputs(model, images)
        wire.send("result", {}, {"outputs": outputs})


def _set(images: Tensor) -> Tensor | Images:
    """Images as they came: pixels are a set, which is turned to float batch by batch."""
    return Images(images) if images.dtype == torch.uint8 else images


def predictor(wire: Wire) -> None:
    """Serve a predictor: its scores, batch by batch, and the images it sees in place of others."""
    message = wire.receive()
    prepare(message.body)
    device = str(message.body["device"])

    def query(images: Tensor) -> Tensor:
        wire.send("query", {}, {"images": images})
        return wire.receive().tensors["answer"]

    whole = predictors.rebuild(message.body["spec"], message.tensors, query).to(device)
    wire.send("result", {"transductive": bool(whole.transductive), "costly": bool(whole.costly),
                         "describe": dict(whole.describe())})  # fmt: skip
    at_work: Predictor = whole
    while True:
        message = wire.receive()
        images = message.tensors["images"]
        if message.kind == "transformed":
            seen = whole.transformed(images.to(device))
            wire.send("result", {"is": seen is not None}, {} if seen is None else {"images": seen})
            continue
        if message.body["fresh"] and whole.transductive:
            at_work = copy.deepcopy(whole)
        with torch.no_grad():
            wire.send("result", {}, {"scores": at_work.predict(images.to(device))})


def key(wire: Wire) -> None:
    """Serve a key and, by number, the other keys that it names as conditions."""
    message = wire.receive()
    prepare(message.body)
    method = registry.load(registry.current().find("key", message.body["method"]))
    keys: list[Key] = [method.from_json(dict(message.body["value"]))]
    wire.send("result", _facts(keys[0]))
    while True:
        message = wire.receive()
        wire.send("result", *_of_key(keys, message))


def _facts(key: Key) -> dict[str, Any]:
    return {
        "parts": dict(key.parts()),
        "describe": key.describe(),
        "megabytes": key.megabytes(),
        "json": key.to_json(),
    }


def _of_key(keys: list[Key], message: Message) -> Answer:
    own = keys[message.body["at"]]
    if message.kind == "apply":
        return {}, {"images": own(message.tensors["images"].clone())}
    if message.kind == "labels":
        return {}, {"masks": moved_masks(own, message.tensors["masks"].clone())}
    out = []
    for condition in own.conditions(message.body["seed"]):
        keys.append(condition.key)
        fact = {"kind": condition.kind, "label": condition.label, "at": len(keys) - 1}
        out.append({**fact, "describe": condition.key.describe()})
    return {"conditions": out}, None
