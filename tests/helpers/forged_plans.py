"""Dishonest archives whose seeds, versions, code or settings are others than they say; see `forgeries`.

`OTHER_PLANS` has each with the check that refuses it and what that check says.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import submissions
from submissions import Entry, main, of

from bench import seeds
from bench.hashing import digest
from bench.store.settings import Settings


def tuning_seeds(entries: list[Entry]) -> list[Entry]:
    out = []
    for cell in submissions.cells(f"{seeds.TUNING_FROM}:{seeds.TUNING_FROM + 3}"):
        record, arrays = submissions.record_of(cell)
        out.append((record.model_dump(mode="json"), arrays))
    return out


def two_seeds(entries: list[Entry]) -> list[Entry]:
    return [entry for entry in entries if entry[0]["cell"]["replicate"] < 2]


def best_seeds(entries: list[Entry]) -> list[Entry]:
    """Seed 1 is left out everywhere, and seed 3 is there in its place."""
    more = [submissions.record_of(cell) for cell in submissions.cells("3:4")]
    others = [entry for entry in entries if entry[0]["cell"]["replicate"] != 1]
    return [*others, *((record.model_dump(mode="json"), arrays) for record, arrays in more)]


def one_seed_of_a_row(entries: list[Entry]) -> list[Entry]:
    (absent, _) = main(entries, 1)
    return [entry for entry in entries if entry[0] is not absent]


def failed_seed(entries: list[Entry]) -> None:
    value, _ = main(entries, 1)
    value.update(status="failed", error="CUDA out of memory")


def mixed_versions(entries: list[Entry]) -> None:
    value, _ = main(entries)
    value["provenance"]["versions"]["torch"] = "1.13"
    value["provenance"]["inputs"]["base"]["versions"]["torch"] = "1.13"
    submissions.rehash(value)


def mixed_code(entries: list[Entry]) -> None:
    value, _ = main(entries)
    value["provenance"]["inputs"]["unlocked"]["code"]["attacks.logit_surgery"] = "0" * 20
    submissions.rehash(value)


def other_code(entries: list[Entry]) -> None:
    def change(stage: dict[str, Any]) -> None:
        for name, value in stage.items():
            if name == "bench.measures":
                stage[name] = "0" * 20
            elif isinstance(value, dict):
                change(value)

    for value, _ in entries:
        change(value["provenance"]["inputs"])
        submissions.rehash(value)


def unknown_versions(entries: list[Entry]) -> None:
    for value, _ in entries:
        value["provenance"]["versions"].pop("torch")
        value["provenance"]["inputs"]["base"]["versions"].pop("torch")
        submissions.rehash(value)


def twice(entries: list[Entry]) -> list[Entry]:
    """A second result of one row and seed, made on two threads."""
    cell = next(cell for cell in submissions.cells() if cell.lock.name == "modellock" and not cell.attack.purpose)
    record, arrays = submissions.record_of(cell, Settings(threads=2))
    return [*entries, (record.model_dump(mode="json"), arrays)]


def label_of_settings_not_used(entries: list[Entry]) -> None:
    for value, _ in of(entries, "modellock", "logit-surgery"):
        lock = value["cell"]["lock"]
        lock["params"]["steps"] = lock["explicit"]["steps"] = 10
        cell = submissions.Cell.model_validate(value["cell"])
        value["row_key"] = cell.row_key()


def settings_without_a_label(entries: list[Entry]) -> None:
    """The lock ran with more steps than its row says; all hashes are those of the true inputs."""
    for value, _ in entries:
        if value["cell"]["lock"]["name"] == "modellock":
            value["cell"]["lock"]["params"]["steps"] = 9999
            value["provenance"]["inputs"]["protected"]["params"]["steps"] = 9999
            submissions.rehash(value)


def method_as_control(entries: list[Entry]) -> None:
    value, _ = main(entries)
    value["cell"]["lock"].update(role="control", purpose="must-not-open")


def more_rights(entries: list[Entry]) -> None:
    """The attack was given more labels than its row says."""
    for value, _ in of(entries, "modellock", "logit-surgery"):
        value["provenance"]["inputs"]["unlocked"]["threat"]["share"] = 0.9
        submissions.rehash(value)


def lucky_random_seed(entries: list[Entry]) -> None:
    for value, _ in of(entries, "modellock", "logit-surgery"):
        value["provenance"]["inputs"]["unlocked"]["seed"] = 7
        value["provenance"]["seeds"]["attack"] = 7
        submissions.rehash(value)


def hidden_entropy(entries: list[Entry]) -> None:
    for value, _ in entries:
        value["provenance"]["inputs"]["key"]["entropy"] = digest("something else")
        submissions.rehash(value)


def no_code(entries: list[Entry]) -> None:
    """Whoever patched the judge leaves it out."""
    for value, _ in entries:
        for stage in value["provenance"]["inputs"].values():
            for name in ("code", "process"):
                if name in stage:
                    stage[name] = {}
        submissions.rehash(value)


def no_judge_in_one(entries: list[Entry]) -> None:
    value, _ = main(entries)
    value["provenance"]["inputs"]["record"]["code"].pop("bench.measures")
    submissions.rehash(value)


OTHER_PLANS: list[tuple[Callable[[list[Entry]], list[Entry] | None], str, str]] = [
    (tuning_seeds, "seeds", "seed 1000 is for tuning"),
    (two_seeds, "seeds", "there are 2 seeds; at least 3 are needed"),
    (best_seeds, "seeds", "there are seeds 0, 2, 3, so seed 1 is left out"),
    (one_seed_of_a_row, "seeds", "lacks seed 1"),
    (failed_seed, "seeds", "failed: CUDA out of memory"),
    (mixed_versions, "versions", "versions differ"),
    (mixed_code, "versions", "different code: attacks.logit_surgery"),
    (other_code, "versions", "the code of bench.measures is not that of this checkout"),
    (no_code, "versions", "does not name the code of bench.harness.judge"),
    (no_judge_in_one, "versions", "names other code than another seed: bench.measures"),
    (unknown_versions, "versions", "the version of torch is not known"),
    (twice, "duplicates", "has 2 records"),
    (label_of_settings_not_used, "settings", "is not what was run"),
    (settings_without_a_label, "settings", "lock.steps was run with 9999, though its label has the default"),
    (method_as_control, "settings", "is called a control must-not-open"),
    (more_rights, "settings", "the threat model"),
    (lucky_random_seed, "settings", "the random seed of the attack is not the one of its names"),
    (hidden_entropy, "settings", "its key was drawn from other entropy than the card names"),
]
