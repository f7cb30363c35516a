"""Recipes: each states what it does and where that comes from; a table that is not whole is a line with a remedy."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from places import DOCS

from bench import datasets, plan
from bench.api import prepare, quick
from bench.errors import UserError
from bench.plan.recipe import CHOICES, SOURCES, UNKNOWN, of_config
from reports.rows import published

NAMES = plan.recipe_names()
CHOSEN = {name: {"theirs": UNKNOWN, "ours": "this", "source": "reconstruction"} for name in CHOICES}
WHOLE: dict[str, Any] = {"paper": "Me, 2026", "images": {"digits": 1797}, "choices": CHOSEN}


@pytest.mark.parametrize("name", NAMES)
def test_what_a_recipe_states_is_what_its_lines_do(name: str) -> None:
    recipe, lines = plan.read_recipe(name), plan.read_suite(name)
    stated = {choice.name: choice for choice in recipe.choices}
    assert recipe.about
    assert set(stated) >= set(CHOICES)
    (seeds,) = {len(line.replicates) for line in lines}
    assert stated["seeds"].ours.startswith(str(seeds))
    (size,) = {line.params["task.size"] for line in lines}
    assert f"{size}" in stated["size"].ours
    (batch,) = {line.params["lock.batch"] for line in lines}
    assert str(batch) in stated["batch"].ours
    assert batch == lines[0].params["task.victim_batch"]
    for steps in (lines[0].params["task.victim_steps"], lines[0].params.get("lock.steps")):
        assert steps is None or f"{steps:,}" in stated["steps"].ours or "lock.rounds" in lines[0].params
    rates = {line.params["lock.rate"] for line in lines if "lock.rate" in line.params}
    assert all(
        f"{rate:g}".replace("0.000125", "1.25e-4").replace("0.0001", "1e-4") in stated["rate"].ours for rate in rates
    )
    sides = {side for line in lines for task in line.tasks for side in recipe.images if side in task}
    assert sides == set(recipe.images)


@pytest.mark.parametrize("name", NAMES)
def test_what_differs_from_a_known_choice_is_no_choice_of_theirs(name: str) -> None:
    for choice in plan.read_recipe(name).choices:
        assert choice.source in SOURCES
        if choice.theirs == UNKNOWN:
            assert choice.source in ("reconstruction", "ours"), choice.name


@pytest.mark.parametrize("name", NAMES)
def test_published_numbers_have_a_source_and_may_be_shown(name: str) -> None:
    for printed in plan.read_recipe(name).printed:
        lines = [
            line
            for line in published.load(printed.file)
            if all(line[c] in (v if isinstance(v, list) else [v]) for c, v in printed.lines.items())
        ]
        assert lines, printed
        for line in lines:
            assert not any("not to be shown" in text for text in line.values())
            for column in printed.columns:
                float(line[column])
                assert published.provenance_of(line, column)


@pytest.mark.parametrize("name", [*NAMES, *plan.suite_names()])
def test_everything_that_is_needed_has_a_name_that_means_something(name: str) -> None:
    prepare.check_names(prepare.needs(plan.read_suite(name)))


@pytest.mark.parametrize("name", NAMES)
def test_every_recipe_can_be_planned_whatever_data_are_here(name: str, tmp_path: Path) -> None:
    lines = plan.read_suite(name)
    sides = [side for line in lines for task in line.tasks for side in datasets.pair(task) or (task,)]
    absent = prepare.unknown(dict.fromkeys(sides))
    assert not any("Unknown task" in why for why in absent.values())
    others, places = quick.stand_in(lines, list(absent), tmp_path)
    assert sorted(places.values()) == sorted(absent)
    planned = plan.build(others)
    assert planned
    plan.check_accepts(planned)


@pytest.mark.parametrize("name", NAMES)
def test_the_how_to_has_every_recipe(name: str) -> None:
    page = (DOCS / "how-to" / "reproducing.md").read_text(encoding="utf-8")
    assert f"| `{name}` | {plan.read_recipe(name).about} |" in page


def test_a_file_of_ones_own_is_read() -> None:
    recipe = of_config(Path("mine.toml"), {"about": "Mine.", "recipe": WHOLE})
    assert (recipe.name, recipe.paper, recipe.printed) == ("mine", "Me, 2026", ())


def _without(*names: str) -> dict[str, Any]:
    return {**WHOLE, "choices": {k: v for k, v in CHOSEN.items() if k not in names}}


@pytest.mark.parametrize(
    ("table", "message"),
    [
        (None, "without a [recipe]"),
        (_without("rate"), "does not state 'rate'"),
        ({**WHOLE, "paper": 3}, "'paper' is no text"),
        ({**WHOLE, "images": {"digits": 0}}, "are no count"),
        ({**WHOLE, "images": ["digits"]}, "'images' is no table"),
        ({**WHOLE, "papers": "x"}, "Did you mean 'paper'"),
        ({**WHOLE, "choices": {**CHOSEN, "rate": "1e-4"}}, "is no table"),
        ({**WHOLE, "choices": {**CHOSEN, "rate": {**CHOSEN["rate"], "source": "hearsay"}}}, "no source 'hearsay'"),
        ({**WHOLE, "printed": {}}, "no list of tables"),
        ({**WHOLE, "printed": [3]}, "is no table"),
        ({**WHOLE, "printed": [{"file": "x.csv", "task": "digits"}]}, "'columns' is no table"),
        (
            {**WHOLE, "printed": [{"file": "x.csv", "task": "digits", "columns": {}, "look": "x"}]},
            "Did you mean 'lock'",
        ),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_a_table_that_is_not_whole_is_refused(table: Any, message: str) -> None:
    config = {} if table is None else {"recipe": table}
    with pytest.raises(UserError) as caught:
        of_config(Path("mine.toml"), config)
    assert message in f"{caught.value.message} {caught.value.remedy}"
