"""The process that a lock trains in: it reads the owner's data over a wire, as far as its ``needs()`` declare."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from bench import augment, models, registry, seeds, training
from bench.contracts import AccessDenied, Classifier, Images, Key, Spec
from bench.guests import checks
from bench.guests.answering import prepare
from bench.guests.failure import GuestFailed
from bench.guests.process import Guest
from bench.guests.wire import Message, Wire
from bench.harness.artefacts import Trained, flat, parted
from bench.harness.process_jobs import Speaker, images_of, report, sent
from bench.harness.victim_process import trained_of
from bench.harness.views import DefenderView
from bench.training import Progress

SETS = ("authorised", "unauthorised", "raw", "validation_authorised", "validation_unauthorised")
"""Image sets of a defender's view."""
Share = Callable[[str, Any, Callable[[], dict[str, Tensor]]], dict[str, Tensor]]


@dataclass(frozen=True)
class LockJob:
    """All that a lock's process is given at its start.

    Args:
        lock, params: the plugin and its parameters.
        key: method and JSON form of the key.
        model: name of the architecture.
        task: the task.
        augment: name of the function of `bench.augment` that varied the victim's images.
        seed: of every random number of the lock.
        plugin_files, device, threads, precision: how it computes.
    """

    lock: str
    params: dict[str, Any]
    key: tuple[str, dict[str, Any]]
    model: str
    task: Spec
    augment: str
    seed: int
    plugin_files: tuple[str, ...] = ()
    device: str = "cpu"
    threads: int = 2
    precision: str = "float32"


def protect(job: LockJob, victim: Trained | None, view: DefenderView, share: Share, progress: Progress) -> Trained:
    """The locked model of ``job``, trained in a process of its own.

    Args:
        victim: None: the architecture alone, with weights drawn.
        view: answers what the lock reads; it counts what was denied.
        share: `bench.contracts.Run.artefact` of the store.

    Raises:
        GuestFailed: the lock raised, died or ran into a limit.
        AccessDenied: it read what its ``needs()`` do not name.
    """

    def read(message: Message) -> Any:
        name = message.body.get("name")
        if name not in SETS:
            raise GuestFailed(f"lock {job.lock} read '{str(name)[:40]}', which no view has")
        try:
            images: Images = getattr(view, name)
        except AccessDenied as error:
            return "denied", {"why": str(error)}, None
        kind, body, tensors = sent(images)
        return kind, body, {**(tensors or {}), **({} if images.before is None else {"before": images.before})}

    def artefact(message: Message) -> Any:
        def make() -> dict[str, Tensor]:
            return dict(guest.call("make", {}, None, handlers, until="made").tensors)

        return "artefact", {}, share(str(message.body.get("name")), message.body.get("inputs"), make)

    body = {**job.__dict__, "task": job.task.to_json(), "victim": None if victim is None else victim.spec}
    handlers = {"progress": report(progress), "read": read, "artefact": artefact}
    with Guest("bench.harness.lock_process:serve", f"lock {job.lock}") as guest:
        start = time.perf_counter()
        answer = guest.call("protect", body, None if victim is None else victim.state, handlers)
        state, withheld = parted(answer.tensors)
        checks.withheld(withheld, state, f"lock {job.lock}")
        trained = trained_of(answer.body, state)
        trained.withheld = withheld
        trained.meter |= {"seconds": round(time.perf_counter() - start, 3)}
    trained.meter["peak_memory_mb"] = guest.ending.peak_memory_mb
    if view.denied:
        raise AccessDenied(f"the lock read {', '.join(view.denied)}, which its needs() do not name")
    return trained


def serve(wire: Wire) -> None:
    """Run one lock; called in the process."""
    message = wire.receive()
    body = message.body
    prepare(body)
    speaker, spec = Speaker(wire), Spec.from_json(body["task"])
    run = training.Run(
        body["seed"],
        body["device"],
        progress=speaker.progress,
        artefacts=speaker.artefact,
        precision=body["precision"],
    )
    plugins = registry.current()
    method, value = body["key"]
    key: Key = registry.load(plugins.find("key", method)).from_json(value)
    lock = plugins.make("lock", body["lock"], body["params"])
    view = WiredDefenderView(speaker, spec, body["model"], body["seed"], body["augment"], key)
    if body["victim"] is None:
        own = models.build(body["model"], spec, 0, "random", body["seed"])
    else:
        own = models.rebuild(body["victim"], dict(message.tensors))
    torch.manual_seed(run.seed("global"))
    with training.metered(run):
        locked = lock.protect(own.to(run.device), key, view, run)
    if not isinstance(locked, Classifier):
        raise TypeError(f"protect() must return a Classifier, not {type(locked).__name__}")
    body = {"spec": locked.spec, "meter": run.meter.reading(), "notes": run.notes}
    wire.send("result", body, {**locked.state_dict(), **flat(run.withheld)})


class WiredDefenderView:
    """`bench.contracts.DefenderView` over a wire: each image set comes when it is first read."""

    def __init__(
        self, speaker: Speaker, spec: Spec, model: str, seed: int, augmentation: str, key: Key | None = None
    ) -> None:
        self.spec, self.augment, self._key = spec, getattr(augment, augmentation), key
        self._speaker, self._model, self._seed = speaker, model, seed
        self._read: dict[str, Images] = {}

    def _images(self, name: str) -> Images:
        if name not in self._read:
            tensors = self._speaker.ask("read", {"name": name}).tensors
            images = images_of(tensors)
            if self._key is not None and "before" in tensors:
                images = images.made_of(Images(tensors["before"]), self._key)
            self._read[name] = images
        return self._read[name]

    @property
    def authorised(self) -> Images:
        return self._images("authorised")

    @property
    def unauthorised(self) -> Images:
        return self._images("unauthorised")

    @property
    def raw(self) -> Images:
        return self._images("raw")

    @property
    def validation_authorised(self) -> Images:
        return self._images("validation_authorised")

    @property
    def validation_unauthorised(self) -> Images:
        return self._images("validation_unauthorised")

    def public_model(self, extra: int = 0) -> Classifier:
        return models.build(self._model, self.spec, extra, "public", seeds.derive("public", seed=self._seed))
