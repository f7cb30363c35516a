"""The usual predictors, and how any predictor crosses from the attack's process to the judge.

A predictor travels as JSON (class, arguments, parts) and tensors (its state dict): nothing is unpickled.
"""

from __future__ import annotations

import importlib
import json
from collections.abc import Callable, Mapping
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from bench import models
from bench.contracts import Classifier, Predictor
from bench.editors import engine
from bench.editors.settings import EditSettings

Answer = Callable[[Tensor], Tensor]


class Direct(Predictor):
    """A classifier's first K outputs."""

    def __init__(self, classifier: Classifier) -> None:
        super().__init__()
        self.classifier = classifier
        self.k = classifier.k

    def outputs(self, images: Tensor) -> Tensor:
        """(N, K + extra): every output the classifier ships."""
        result: Tensor = self._asked(self.classifier, images)
        return result

    def predict(self, images: Tensor) -> Tensor:
        return self._asked(self.classifier.logits, images)

    def _asked(self, call: Callable[[Tensor], Tensor], images: Tensor) -> Tensor:
        """In one batch, or in smaller ones where the device lacks the memory and each image is answered alone."""
        if self.training or torch.is_grad_enabled():
            return call(images)
        return models.in_pieces(call, images)


class Queried(Predictor):
    """The locked model behind its interface; the judge connects ``answer`` when it rebuilds the predictor."""

    def __init__(self, k: int) -> None:
        super().__init__()
        self.k = k
        self.answer: Answer | None = None

    def arguments(self) -> dict[str, Any]:
        return {"k": self.k}

    def outputs(self, images: Tensor) -> Tensor:
        """(N, K + extra): logits, or ones at the answered label."""
        if self.answer is None:
            raise RuntimeError("this predictor is not connected to a locked model")
        return self.answer(images)

    def predict(self, images: Tensor) -> Tensor:
        return self.outputs(images)[:, : self.k]


class Edited(Predictor):
    """An inner predictor on images edited with a guessed prompt."""

    costly = True

    def __init__(self, inner: Predictor, prompt: str, settings: Mapping[str, Any]) -> None:
        super().__init__()
        self.inner = inner
        self.prompt = prompt
        self.settings = dict(settings)

    def arguments(self) -> dict[str, Any]:
        return {"prompt": self.prompt, "settings": self.settings}

    def transformed(self, images: Tensor) -> Tensor:
        """``images`` (N, 3, H, W) edited with the prompt: the same shape, float32 in [0, 1]."""
        settings = EditSettings.from_json(self.settings)
        return engine.current(settings.editor).keyed(images, self.prompt, settings)

    def describe(self) -> dict[str, Any]:
        return {"prompt": self.prompt}

    def predict(self, images: Tensor) -> Tensor:
        return self.inner.predict(self.transformed(images))


class LogitMap(Predictor):
    """A linear map of an inner predictor's outputs, of images or of pixels: ``W o + b``.

    Args:
        inner: anything with ``outputs``.
        k: rows of W, the real classes.
        m: columns of W, the outputs the inner predictor ships.
    """

    weight: Tensor
    bias: Tensor

    def __init__(self, inner: Predictor, k: int, m: int) -> None:
        super().__init__()
        self.inner, self.k, self.m = inner, k, m
        self.register_buffer("weight", torch.zeros(k, m))
        self.register_buffer("bias", torch.zeros(k))

    def arguments(self) -> dict[str, Any]:
        return {"k": self.k, "m": self.m}

    def set(self, weight: Tensor, bias: Tensor) -> LogitMap:
        """This predictor with W (K, M) and b (K)."""
        self.weight.copy_(weight)
        self.bias.copy_(bias)
        return self

    def predict(self, images: Tensor) -> Tensor:
        outputs: Tensor = self.inner.outputs(images)  # type: ignore[operator]
        weight, bias = self.weight.to(outputs.device), self.bias.to(outputs.device)
        if outputs.ndim == 4:
            return F.conv2d(outputs, weight[:, :, None, None], bias)
        return F.linear(outputs, weight, bias)


class Constant(Predictor):
    """Always the same class: what remains when nothing was learnt.

    Args:
        k: classes.
        label: the class.
        is_dense: every pixel is answered.
    """

    def __init__(self, k: int, label: int = 0, is_dense: bool = False) -> None:
        super().__init__()
        self.k, self.label, self.is_dense = k, label, is_dense

    def arguments(self) -> dict[str, Any]:
        return {"k": self.k, "label": self.label} | ({"is_dense": True} if self.is_dense else {})

    def predict(self, images: Tensor) -> Tensor:
        scores = F.one_hot(torch.full((len(images),), self.label, device=images.device), self.k).float()
        return scores[:, :, None, None].expand(-1, -1, *images.shape[2:]) if self.is_dense else scores


def _number(value: Any) -> Any:
    """A number of numpy or torch as Python's own."""
    return value.item() if getattr(value, "size", None) is not None else json.dumps(value)


def describe(module: nn.Module) -> dict[str, Any]:
    """The JSON that, with the state dict, rebuilds a predictor or classifier.

    Raises:
        TypeError: it is neither, its arguments are no JSON, or a tensor of it is sparse.
    """
    name = type(module).__name__
    if isinstance(module, Classifier):
        return {"classifier": module.spec}
    if not isinstance(module, Predictor):
        raise TypeError(
            f"{name} is neither a Predictor nor a Classifier: hand in a predictor, e.g. bench.predictors.Direct(model)"
        )
    for tensor_name, tensor in module.state_dict().items():
        if tensor.layout != torch.strided:
            raise TypeError(f"{name}: the tensor {tensor_name} is sparse: keep it as .to_dense()")
    arguments = module.arguments()
    for argument, value in arguments.items():
        try:
            json.dumps(value, default=_number)
        except (TypeError, ValueError, RuntimeError):
            raise TypeError(
                f"{name}.arguments(): {argument} is a {type(value).__name__}, and no JSON: a tensor belongs into a "
                "buffer, a function into the class"
            ) from None
    cls = type(module)
    parts = {n: describe(m) for n, m in module.named_children() if isinstance(m, Predictor | Classifier)}
    return {"predictor": f"{cls.__module__}:{cls.__qualname__}", "arguments": arguments, "parts": parts}


def _rebuild(spec: Mapping[str, Any]) -> nn.Module:
    if "classifier" in spec:
        return models.rebuild(spec["classifier"])
    module, _, name = spec["predictor"].partition(":")
    cls = getattr(importlib.import_module(module), name, None) if models.may_import(module) else None
    if not (isinstance(cls, type) and issubclass(cls, Predictor)):
        raise TypeError(f"{spec['predictor']} is no Predictor")
    return cls(**spec["arguments"], **{n: _rebuild(p) for n, p in spec["parts"].items()})


def rebuild(spec: Mapping[str, Any], state: Mapping[str, Tensor], answer: Answer | None = None) -> Predictor:
    """The predictor of a `describe` and a ``state_dict``; ``answer`` connects its `Queried` parts.

    Raises:
        TypeError: the specification names no predictor.
    """
    predictor = _rebuild(spec)
    if not isinstance(predictor, Predictor):
        raise TypeError("the specification is a classifier's, not a predictor's")
    predictor.load_state_dict(dict(state))
    for part in predictor.modules():
        if isinstance(part, Queried):
            part.answer = answer
    return predictor.eval()
