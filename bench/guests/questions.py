"""Questions to a plugin about itself: the project's own answer here, guests in a process. No torch here."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, TypeVar

from bench import registry
from bench.guests.process import Guest
from bench.guests.wire import Message
from bench.plugin_source import PluginInfo

if TYPE_CHECKING:
    from torch import Tensor

    from bench.contracts import Spec
    from bench.threat import Acceptance, ThreatModel

T = TypeVar("T")


def accepts(info: PluginInfo, params: Mapping[str, Any], threat: ThreatModel) -> Acceptance:
    """Whether the attack ``info`` can run under ``threat``.

    Raises:
        GuestFailed: a guest did not answer.
    """
    from bench.threat import Acceptance

    if not info.guest:
        own: Acceptance = registry.load(info)(**params).accepts(threat)
        return own
    answer = _cached(info, json.dumps(dict(params)), "accepts", json.dumps({"threat": threat.values()}))
    return Acceptance(str(answer["reason"]))


def needs(info: PluginInfo, params: Mapping[str, Any]) -> Any:
    """What the lock ``info`` declares to read: `bench.contracts.DefenderNeeds`.

    Raises:
        GuestFailed: a guest did not answer, or with something else.
    """
    from bench.contracts import DefenderNeeds

    if not info.guest:
        return registry.load(info)(**params).needs()
    answer = _cached(info, json.dumps(dict(params)), "needs", "{}")
    return checked(info, lambda: DefenderNeeds(**{str(k): bool(v) for k, v in answer.items()}))


def editor(info: PluginInfo) -> Mapping[str, Any]:
    """``folder`` and ``settings`` of the editor ``info``.

    Raises:
        UserError: the editor is not here and cannot be fetched.
        GuestFailed: a guest did not answer.
    """
    if not info.guest:
        own = registry.load(info)()
        return {"folder": str(own.folder()), "settings": own.settings()}
    return _cached(info, "{}", "editor", "{}")


def recipe(info: PluginInfo) -> tuple[int, float]:
    """Steps and peak rate of the victim's training of the architecture ``info``."""
    if not info.guest:
        cls = registry.load(info)
        return cls.steps, cls.rate
    answer = _cached(info, "{}", "recipe", "{}")
    return checked(info, lambda: (int(answer["steps"]), float(answer["rate"])))


def values(info: PluginInfo) -> dict[str, Any]:
    """The default parameters of an object of ``info``; always asked in a process, which imports it.

    Raises:
        GuestFailed: it cannot be imported or made.
    """
    return dict(_ask(info, {}, "values", {}).body)


def built(
    info: PluginInfo, task: Spec, extra: int, public: bool, seed: int
) -> tuple[dict[str, Any], dict[str, Tensor]]:
    """Spec and weights of a classifier of the architecture ``info``, built in a process.

    Raises:
        GuestFailed: it raised, or built no classifier.
    """
    arguments = {"task": task.to_json(), "extra": extra, "public": public, "seed": seed}
    answer = _ask(info, {}, "built", arguments)
    return checked(info, lambda: (dict(answer.body["spec"]), dict(answer.tensors)))


def data(info: PluginInfo, arguments: Mapping[str, Any], params: Mapping[str, Any]) -> Message:
    """The data set of the guest ``info`` with ``params``: its facts, and its tensors by name."""
    return _ask(info, params, "data", arguments)


def checked(info: PluginInfo, read: Callable[[], T]) -> T:
    """What ``read`` makes of a guest's answer.

    Raises:
        GuestFailed: it cannot be read.
    """
    from bench.guests.failure import GuestFailed

    try:
        return read()
    except (TypeError, ValueError, KeyError, AttributeError) as error:
        raise GuestFailed(f"{info.kind} {info.name} gave an answer that cannot be read: {error}") from None


_answers: dict[tuple[str, ...], Mapping[str, Any]] = {}


def _cached(info: PluginInfo, params: str, question: str, arguments: str) -> Mapping[str, Any]:
    """The answer of a guest, asked once in this process."""
    at = (info.module, info.cls, params, question, arguments)
    if at not in _answers:
        _answers[at] = _ask(info, json.loads(params), question, json.loads(arguments)).body
    return _answers[at]


def _ask(info: PluginInfo, params: Mapping[str, Any], question: str, arguments: Mapping[str, Any]) -> Message:
    body = {
        "plugin_files": list(registry.current().files),
        "kind": info.kind,
        "name": info.name,
        "params": dict(params),
        "question": question,
        "arguments": dict(arguments),
    }
    with Guest("bench.guests.answering:ask", f"{info.kind} {info.name}") as guest:
        return guest.call("ask", body)
