"""Dishonest archives: each takes the entries of an honest one and alters them in its author's favour.

`DISHONEST` has each with the check that refuses it and what that check says.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

import numpy as np
import submissions
from forged_plans import OTHER_PLANS
from submissions import Entry, main, of

from bench.store import identity


def without(*names: str) -> Callable[[list[Entry]], list[Entry]]:
    """The archive without records of these locks and attacks."""
    return lambda entries: [
        e for e in entries if not {e[0]["cell"]["lock"]["name"], e[0]["cell"]["attack"]["name"]} & set(names)
    ]


def higher_RP(entries: list[Entry]) -> None:
    value, _ = main(entries)
    value["RP"]["value"] = 79.0


def narrower_interval(entries: list[Entry]) -> None:
    value, _ = main(entries)
    value["RP"]["low"] = value["RP"]["value"] - 0.5


def other_condition(entries: list[Entry]) -> None:
    value, _ = main(entries)
    value["conditions"][0]["accuracy"]["value"] = 99.0


def lower_floor(entries: list[Entry]) -> None:
    for value, _ in entries:
        value["floor"] = 2.0


def no_evidence(entries: list[Entry]) -> None:
    _, arrays = main(entries)
    del arrays["pred/RP"]


def evidence_of_another_lock(entries: list[Entry]) -> None:
    """Numbers and answers of the lock that never opens, under the name of another."""
    value, arrays = main(entries)
    (other, theirs) = of(entries, "destroyed", "logit-surgery", 0)[0]
    arrays.update(theirs)
    value.update({name: other[name] for name in ("UP", "LP", "RP", "UP_shipped", "LP_shipped", "conditions")})


def other_victim(entries: list[Entry]) -> None:
    value, arrays = main(entries)
    submissions.restate(value, arrays, "oracle", submissions.LABELS.copy())


def other_images(entries: list[Entry]) -> None:
    _, arrays = main(entries)
    arrays["test_index"] = arrays["test_index"] + 1000


def another_length(entries: list[Entry]) -> None:
    _, arrays = main(entries)
    arrays["pred/RP"] = arrays["pred/RP"][:-1]


def opening_lock_stays_closed(entries: list[Entry]) -> None:
    for value, arrays in of(entries, "permuted-logits", "logit-surgery"):
        submissions.restate(value, arrays, "RP", submissions.answers(30, "closed"))


def closed_lock_opens(entries: list[Entry]) -> None:
    for value, arrays in of(entries, "destroyed", "logit-surgery"):
        submissions.restate(value, arrays, "RP", submissions.answers(90, "open"))


def somebody_elses(entries: list[Entry]) -> None:
    value, _ = main(entries)
    value["third_party"] = "other.zip"


def unknown_lock(entries: list[Entry]) -> None:
    """A lock of a plugin that nobody here has, and no source with it."""
    for value, _ in entries:
        if value["cell"]["lock"]["name"] == "modellock":
            value["cell"]["lock"]["name"] = value["provenance"]["inputs"]["protected"]["lock"] = "quick-lock"
            value["provenance"]["inputs"]["protected"]["code"]["lockbench_plugin_quick_lock"] = "a" * 20
            cell = submissions.Cell.model_validate(value["cell"])
            lock_seed = identity.seeds_of(cell)["lock"]
            value["provenance"]["inputs"]["protected"]["seed"] = value["provenance"]["seeds"]["lock"] = lock_seed
            submissions.rename(value)


def right_key_alone(entries: list[Entry]) -> None:
    for value, arrays in entries:
        value["conditions"] = [c for c in value["conditions"] if c["kind"] == "right"]
        arrays.pop("pred/condition/none", None)


def of_lock(entries: Iterable[Entry]) -> list[Entry]:
    return [entry for entry in entries if entry[0]["cell"]["lock"]["name"] == "modellock"]


def lower_victim(entries: list[Entry]) -> None:
    """A victim that has little to lose makes a costly lock look cheap."""
    for value, arrays in of_lock(entries):
        submissions.restate(value, arrays, "victim_authorised", submissions.answers(91, "forged"))


def lower_without_a_key(entries: list[Entry]) -> None:
    for value, arrays in of_lock(entries):
        classes = arrays["pred/condition/none"] = submissions.answers(3, "forged")
        value["conditions"][1]["accuracy"] = submissions.measured(classes).model_dump()


def lower_curve(entries: list[Entry]) -> None:
    value, _ = main(entries)
    value["curve"] = [{"meter": {"steps": 1}, "RP": 3.0, "n": submissions.N}]


def dearer_curve(entries: list[Entry]) -> None:
    value, _ = main(entries)
    value["curve"][0]["meter"] = {"steps": 10**6}


def no_curve(entries: list[Entry]) -> None:
    value, _ = main(entries)
    value["curve"] = []


def lower_validation(entries: list[Entry]) -> None:
    value, arrays = main(entries)
    submissions.restate(value, arrays, "RP_validation", submissions.answers(2, "forged"))


def validation_by_hand(entries: list[Entry]) -> None:
    """So little that chance could do it: enough to decide which member is the worst case."""
    value, _ = main(entries)
    value["RP_validation"] = submissions.measured(submissions.answers(65, "forged")).model_dump()


def no_evidence_of_validation(entries: list[Entry]) -> None:
    """Nobody's, as archives of older code have it: the judge is that of this checkout, and keeps it."""
    for _, arrays in entries:
        del arrays["pred/RP_validation"]


def other_validation_images(entries: list[Entry]) -> None:
    _, arrays = main(entries)
    arrays["validation_index"] = arrays["validation_index"] + 1000


def no_validation(entries: list[Entry]) -> None:
    value, _ = main(entries)
    value["RP_validation"] = None


def flags_left_out(entries: list[Entry]) -> None:
    for value, arrays in of_lock(entries):
        submissions.restate(
            value, arrays, "LP_shipped", submissions.answers(0, value["provenance"]["parents"]["judged"])
        )
        value["flags"] = []


def batch_norm_flag_left_out(entries: list[Entry]) -> None:
    for value, _ in of_lock(entries):
        value["LP_after_batch_norm"] = 80.0


def bad_seed_called_invalid(entries: list[Entry]) -> None:
    value, arrays = main(entries, 1)
    value.update(status="invalid", error="an accident", RP=None, RP_validation=None)
    arrays.pop("pred/RP")


def no_UP_of_bad_seeds(entries: list[Entry]) -> None:
    for value, arrays in of_lock(entries):
        if value["cell"]["replicate"]:
            value["UP"] = None
            arrays.pop("pred/UP")


def no_RP_of_a_bad_seed(entries: list[Entry]) -> None:
    value, _ = main(entries, 1)
    value.update(RP=None, RP_validation=None, curve=[])


def validation_on_one_image(entries: list[Entry]) -> None:
    value, _ = main(entries)
    value["RP_validation"] = {"value": 0.0, "n": 1}


def images_twice(entries: list[Entry]) -> None:
    for _, arrays in entries:
        again = np.r_[np.arange(submissions.N - 1), 0]
        arrays["test_index"] = arrays["test_index"][again]


def another_metric(entries: list[Entry]) -> None:
    for value, _ in entries:
        value["metric"] = "mIoU"


def two_kinds_of_evidence(entries: list[Entry]) -> None:
    _, arrays = main(entries)
    arrays["confusion/RP"] = np.ones((submissions.N, 10, 11), dtype=np.int32)


def no_costs(entries: list[Entry]) -> None:
    for value, _ in of(entries, "modellock", "logit-surgery"):
        value["meter"] = None


def no_wrong_key(entries: list[Entry]) -> None:
    for value, _ in of_lock(entries):
        value["conditions"] = [c for c in value["conditions"] if c["kind"] != "wrong"]


def a_key_that_is_none(entries: list[Entry]) -> None:
    for value, _ in of_lock(entries):
        value["key"] = {"method": "blockwise", "transform": ["shuffle"]}


def smaller_lock(entries: list[Entry]) -> None:
    value, _ = main(entries)
    value["extra_parameters"] = -(10**6)


def weak_baseline(entries: list[Entry]) -> None:
    for value, _ in of(entries, "none", "from-scratch"):
        attack = value["cell"]["attack"]
        attack["params"]["steps"] = attack["explicit"]["steps"] = 1
        value["provenance"]["inputs"]["unlocked"]["params"]["steps"] = 1
        submissions.rename(value)


def point_on_one_image(entries: list[Entry]) -> None:
    value, _ = main(entries)
    value["curve"] = [{"meter": {"steps": 0}, "RP": 0.0, "n": 1}, *value["curve"]]


def no_module_of_the_lock(entries: list[Entry]) -> None:
    for value, _ in entries:
        value["provenance"]["inputs"]["protected"]["code"].pop("locks.modellock", None)
        submissions.rehash(value)


def bad_seed_with_a_flag(entries: list[Entry]) -> None:
    bad_seed_called_invalid(entries)
    value, _ = main(entries, 1)
    value["flags"] = [{"name": "not-finite", "detail": "NaN"}]


DISHONEST: list[tuple[Callable[[list[Entry]], list[Entry] | None], str, str]] = [
    (higher_RP, "evidence", "RP is 79.00, and 75.00 by its evidence"),
    (narrower_interval, "evidence", "the interval of RP is not that of its evidence"),
    (other_condition, "evidence", "the key condition right is 99.00"),
    (lower_floor, "evidence", "the floor is 2.00, and 10.00 by its labels"),
    (no_evidence, "evidence", "RP has no evidence"),
    (evidence_of_another_lock, "evidence", "are not those of the other records of this locked model"),
    (other_victim, "evidence", "are not those of the other records of this victim"),
    (lower_victim, "evidence", "behind victim_authorised are not those of the other records of this victim and key"),
    (lower_without_a_key, "consistency", "under the key condition none are not those behind LP"),
    (lower_curve, "consistency", "its curve ends at 3.00, and RP is 75.00"),
    (dearer_curve, "consistency", "its steps fall along the curve, or pass what the attack spent"),
    (no_curve, "consistency", "it has no curve"),
    (lower_validation, "consistency", "RP is 75.0, and 1.7 on judge-validation images"),
    (validation_by_hand, "evidence", "RP_validation is 65.00, and 75.00 by its evidence"),
    (no_evidence_of_validation, "evidence", "RP_validation has no evidence"),
    (other_validation_images, "evidence", "its validation images are not those of the other records"),
    (no_validation, "consistency", "RP has no value on judge-validation images"),
    (flags_left_out, "consistency", "it lacks the red flag opens-when-outputs-dropped"),
    (batch_norm_flag_left_out, "consistency", "it lacks the red flag lives-in-batch-norm"),
    (bad_seed_called_invalid, "consistency", "it is called invalid, and has no flag that says why"),
    (no_UP_of_bad_seeds, "completeness", "it lacks UP"),
    (no_RP_of_a_bad_seed, "completeness", "it lacks RP"),
    (validation_on_one_image, "completeness", "its validation number is over 1 images"),
    (images_twice, "completeness", "its test index has images twice"),
    (another_metric, "completeness", "it calls its numbers accuracy, mIoU, and its evidence is pred"),
    (two_kinds_of_evidence, "completeness", "its evidence is confusion, pred"),
    (no_costs, "completeness", "it does not say what the attack spent"),
    (no_wrong_key, "completeness", "it lacks the key condition wrong/secret-"),
    (a_key_that_is_none, "completeness", "its key cannot be made again"),
    (smaller_lock, "completeness", "extra_parameters is another than in other records of this locked model"),
    (weak_baseline, "completeness", "its public baseline has steps=1; by default it has 160"),
    (point_on_one_image, "consistency", "a point of its curve is over another number of images"),
    (no_module_of_the_lock, "plugins", "the lock modellock: its module is not among the code"),
    (bad_seed_with_a_flag, "seeds", "has a result in 2 of 3 seeds"),
    (other_images, "evidence", "images are not those of the other records of this scenario"),
    (another_length, "records", "pred/RP has another length than the labels"),
    (right_key_alone, "controls", "lacks key conditions"),
    (without("destroyed"), "controls", "lacks destroyed"),
    (without("permuted-logits"), "controls", "lacks permuted-logits"),
    (without("logit-surgery"), "controls", "no row of a lock under an attack"),
    (opening_lock_stays_closed, "calibration", "is not 1 within noise"),
    (closed_lock_opens, "calibration", "is above 0 beyond noise"),
    (without("from-scratch"), "baselines", "lacks it"),
    (somebody_elses, "own", "was imported from other.zip"),
    (unknown_lock, "plugins", "quick_lock (source aaaaaaaaaa) is not known here"),
    *OTHER_PLANS,
]
