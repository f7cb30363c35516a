"""Fine-tuning: what the locked weights give somebody with a few labelled images."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from functools import partial

import torch
from torch import Tensor

from attacks.kit import tuning
from attacks.kit.information import own_statistics
from attacks.kit.pseudo_labels import with_pseudo_labels
from attacks.kit.selection import most_accurate
from bench import models
from bench.augment import jitter, recolour
from bench.contracts import (
    Acceptance,
    Attack,
    AttackerView,
    Batch,
    Classifier,
    Images,
    Predictor,
    Run,
    ThreatModel,
    param,
)
from bench.predictors import Direct

AUGMENT = {"jitter": jitter, "recolour": recolour, "none": None}


class FineTune(Attack):
    """The locked model is trained on labelled images.

    The loss is cross-entropy over the K real classes. In the literature `layers=all` is FTAL, `layers=all head=new`
    RTAL, `layers=head` FTLL and `layers=head head=new` RTLL. The non-transferable family uses them with `data=source`.
    """

    title = "fine-tuning"
    paper = (
        "FTAL, RTAL, FTLL, RTLL after Adi et al., USENIX Security 2018. LoRA: Hu et al., ICLR 2022; BitFit: Ben Zaken "
        "et al., ACL 2022; adaptive SAM: Kwon et al., ICML 2021"
    )
    selection = "last"
    deviations = (
        "AdamW at 1e-3 for 400 steps, the last layer alone 200 steps before it, where the papers have SGD at 1e-4 for "
        "epochs (`optimiser=sgd rate=1e-4 head_steps=0`)",
        "with unlabelled images the training runs twice, as teacher and student, and the meter counts all steps "
        "(`pseudo=0`: once)",
        "with data=source and unlabelled images of the target, batch norms end at their statistics (`statistics=kept`)",
        "LoRA trains the head in full beside adapters on every other convolution and linear layer",
        "pseudo-labels take part only in a view with unlabelled images",
        "BitFit leaves a kept head's weights alone; batch-norm statistics stay frozen with it and with the head alone",
    )
    tasks = ("classification", "segmentation")
    unsuited_values = {"segmentation": {"layers=layer-wise": "a decoder lies beside its encoder"}}
    defaults = {"threat.access": "weights", "threat.share": 0.1, "threat.wordlist": "none", "threat.known": "none"}
    quick = {"steps": 3, "head_steps": 2}

    data: str = param(
        "target",
        "`target`: labelled unauthorised images; `source`: labelled authorised ones (threat.authorised); `both`",
        choices=("target", "source", "both"),
    )
    layers: str = param(
        "all",
        "what is trained; `bitfit`: biases; `lora`: merged low-rank adapters; `layer-wise`: all, lower layers slower",
        choices=("all", "head", "bitfit", "lora", "layer-wise"),
    )
    head: str = param("kept", "the last layer: `kept`, or `new` random weights first", choices=("kept", "new"))
    optimiser: str = param(
        "adamw", "AdamW; SGD with momentum 0.9; adaptive SAM over AdamW", choices=("adamw", "sgd", "asam")
    )
    steps: int = param(400, "optimiser steps", ge=1, le=100_000, unit="steps")
    rate: float | None = param(
        None, "peak learning rate; none: 1e-3, with SGD or the head or biases alone 1e-2, with LoRA 3e-3", ge=1e-6, le=1
    )
    batch: int = param(64, "images a step; of each side with data=both", ge=1, le=4096)
    augment: str = param("jitter", "how training images are varied", choices=("jitter", "recolour", "none"))
    noise: float = param(0.0, "share of the labels that are wrong, evenly over the other classes", ge=0, le=1)
    rank: int = param(8, "rank of the adapters", ge=1, le=256, where={"layers": ("lora",)})
    layer_decay: float = param(
        0.65, "rate of a block over that of the block above it", ge=0.1, le=1, where={"layers": ("layer-wise",)}
    )
    rho: float = param(0.5, "ρ, radius of adaptive SAM", ge=0, le=10, where={"optimiser": ("asam",)})
    head_steps: int = param(
        200, "steps in which the last layer alone is trained first, at rate 1e-2, where more layers follow",
        ge=0, le=100_000, unit="steps",
    )  # fmt: skip
    pseudo: float = param(
        0.5, "share of each pseudo-class that a second training from the locked weights takes from the first one's "
        "answers to unlabelled images; 0: none", ge=0, le=1,
    )  # fmt: skip
    statistics: str = param(
        "target", "of batch norm in the end: the `target`'s, where the view has unlabelled images, or as `kept`",
        choices=("target", "kept"), where={"data": ("source",)},
    )  # fmt: skip
    select: str = param(
        "last", "`held-out`: best checkpoint on labelled images held out; `oracle`: the judge's best checkpoint",
        choices=("last", "held-out", "oracle"),
    )  # fmt: skip
    held_out: float = param(
        0.2, "share of the labelled images held out", ge=0.05, le=0.9, where={"select": ("held-out",)}
    )

    def accepts(self, threat: ThreatModel) -> Acceptance:
        return threat.grants(("weights",), labelled=self.data != "source", authorised=self.data != "target")

    def unlock(self, target: AttackerView, run: Run) -> Predictor:
        model = target.classifier
        if self.head == "new":
            models.forget_head(model, run.seed("head"))
        run.submit(Direct(copy.deepcopy(model)), checkpoint="as it is")  # whatever the budget, something was handed in
        data = [target.labelled] if self.data != "source" else []
        data += [target.authorised] if self.data != "target" else []
        data = [
            tuning.with_label_noise(d, self.noise, target.spec.k, run.rng(f"noise/{i}")) for i, d in enumerate(data)
        ]
        validation: Images | None = None
        if self.select == "held-out":  # of the target, where there is any: that is what it wants to know
            data[0], validation = tuning.split(data[0], self.held_out, run.rng("held out"))
        if self.pseudo and self.data != "source" and target.threat.unlabelled:
            teacher = self._train(copy.deepcopy(model), data, run, "teacher").models["end"]
            data[0] = with_pseudo_labels(teacher, data[0], target.unlabelled, self.pseudo)
        checkpoints = self._train(model, data, run, "fine-tune")
        if self.select == "oracle":
            checkpoints.submit(run)
        best = "end"
        if validation is not None:
            best, scores = most_accurate(checkpoints.latest_first(), validation)
            run.submit(Direct(checkpoints.models[best]), checkpoint=best, scores=scores)
        chosen = checkpoints.models[best]
        if self.data == "source" and self.statistics == "target" and target.threat.unlabelled:
            own_statistics(chosen, target.unlabelled)
        return Direct(chosen)

    def _train(self, model: Classifier, data: Sequence[Images], run: Run, name: str) -> tuning.Checkpoints:
        """``model`` trained in place; its copies along the way, the last one named ``end``."""

        def loss(*batches: Batch) -> Tensor:
            return tuning.cross_entropy(model, *batches)

        if self.head_steps and self.layers in ("all", "layer-wise", "lora"):
            head = [model.get_parameter(n) for n in models.head_names(model)]
            run.fit(
                model, loss, self.head_steps, *data, batch=self.batch, rate=1e-2, parameters=head, train_mode=False,
                augment=AUGMENT[self.augment], name=f"{name}/head",
            )  # fmt: skip
        adapters = (
            tuning.add_adapters(model, self.rank, run.seed(f"{name}/adapters")) if self.layers == "lora" else None
        )

        def plain() -> Classifier:
            return copy.deepcopy(model) if adapters is None else copy.deepcopy(adapters).merge_and_unload()

        usual = 3e-3 if self.layers == "lora" else 1e-2 if self.layers in ("head", "bitfit") else 1e-3
        usual = 1e-2 if self.optimiser == "sgd" else usual
        rate = usual if self.rate is None else self.rate
        decay = 5e-4 if self.optimiser == "sgd" else 0.05
        checkpoints = tuning.Checkpoints(plain, self.steps)
        run.fit(
            model, loss, self.steps, *data, batch=self.batch, name=name, augment=AUGMENT[self.augment],
            parameters=tuning.parameter_groups(model, self.layers, rate, self.layer_decay, self.head == "new", decay),
            optimiser=partial(torch.optim.SGD, momentum=0.9) if self.optimiser == "sgd" else None,
            backward=tuning.sharpness_aware(model, self.rho) if self.optimiser == "asam" else None,
            train_mode=self.layers not in ("head", "bitfit"),
            each=checkpoints if self.select != "last" else None,
        )  # fmt: skip
        checkpoints.save("end")
        return checkpoints
