"""Which prompt makes a good key: UP and LP of each beside print, and what goes with them. `bench prompts` prints it.

A prompt counts once on each data set, with its mean over seeds. Rank correlations are Spearman's ρ over prompts, with
the 95 % percentile interval of a bootstrap over prompts.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from bench.editors import vocabulary
from bench.plan.wording import name_text, scenario_label
from bench.records import Record
from reports.rows.aggregate import current
from reports.rows.published import load
from reports.text.markdown_table import markdown_table
from reports.tools.edit_sizes import GROUPS, EditSize, by_group, group_of, mean_of

PRINTED = "modellock_prompts.csv"
PAGE = "docs/results/prompts.md"
"""Where the project shows the study with its commands."""
DRAWS = 4000
PARTS = ("whole", "inside", "outside")
FEWEST = 8
"""Prompts below which there is no correlation to speak of."""


@dataclass(frozen=True)
class Prompt:
    """One key on one data set.

    Args:
        place: data set and model, in words.
        task: the data set.
        group, concept: as in `reports.tools.edit_sizes`.
        seeds: how many.
        UP, LP: percent, means over seeds.
        victim: accuracy of the unprotected model on images after the key, percent; None where it was not judged.
        printed_UP, printed_LP: of the paper, percent; None where it has not this concept.
        size: of the edit and how related it is; None where it was not measured.
    """

    place: str
    task: str
    group: str
    concept: str
    seeds: int
    UP: float
    LP: float
    victim: float | None
    printed_UP: float | None
    printed_LP: float | None
    size: EditSize | None


@dataclass(frozen=True)
class Correlation:
    """Spearman's ρ of two columns over ``n`` prompts, with its interval.

    Args:
        place: data set and model, in words.
        over: which prompts.
        y, x: names of the columns.
        n: prompts that have both.
        rho, low, high: in [-1, 1].
    """

    place: str
    over: str
    y: str
    x: str
    n: int
    rho: float
    low: float
    high: float


def _of_size(name: str, sign: int = 1) -> Callable[[Prompt], float | None]:
    """The number ``name`` of a prompt's size, times ``sign``; None where it is not known."""

    def value(prompt: Prompt) -> float | None:
        found = None if prompt.size is None else getattr(prompt.size, name)
        return None if found is None else sign * found

    return value


COLUMNS: dict[str, Callable[[Prompt], float | None]] = {
    "UP": lambda p: p.UP,
    "LP": lambda p: p.LP,
    "printed UP": lambda p: p.printed_UP,
    "printed LP": lambda p: p.printed_LP,
    "size of the edit": _of_size("whole", -1),
    "size inside": _of_size("inside", -1),
    "size outside": _of_size("outside", -1),
    "victim after the key": lambda p: p.victim,
    "CLIP, images": _of_size("images"),
    "CLIP, class names": _of_size("classes"),
}
"""What is correlated. A size counts upwards: it is the PSNR in dB with its sign turned."""
PAIRS = (
    ("LP", "printed LP"), ("UP", "printed UP"),
    *((y, x) for y in ("LP", "UP") for x in list(COLUMNS)[4:]),
)  # fmt: skip


def prompts(records: Iterable[Record], sizes: Iterable[EditSize], lock: str = "modellock") -> list[Prompt]:
    """Every fixed prompt of the vocabulary under which ``lock`` was judged at its own settings, in their order."""
    known = {(size.task, size.concept): size for size in sizes}
    printed = {line["concept"].lower().replace("_", " "): line for line in load(PRINTED)}
    found: dict[tuple[str, str, str], dict[int, tuple[float, float, float | None]]] = {}
    for record in current(records):
        cell = record.cell
        concept = concept_of(record, lock)
        if concept is not None and record.UP is not None and record.LP is not None:
            at = (f"{scenario_label(cell)}, {name_text(cell.model_name)}", cell.name, concept)
            victim = None if record.victim_authorised is None else record.victim_authorised.value
            found.setdefault(at, {})[cell.replicate] = (record.UP.value, record.LP.value, victim)
    out = []
    for (place, task, concept), values in found.items():
        up, lp, victim = (mean_of([value[i] for value in values.values()]) for i in range(3))
        if up is None or lp is None:
            continue
        line = printed.get(concept)
        out.append(
            Prompt(
                place, task, group_of(concept), concept, len(values), up, lp, victim,
                None if line is None else float(line["UP"]), None if line is None else float(line["LP"]),
                known.get((task, concept)),
            )
        )  # fmt: skip
    order = list(vocabulary.CONCEPTS)
    return sorted(out, key=lambda p: (p.place, order.index(p.concept)))


def concept_of(record: Record, lock: str) -> str | None:
    """The concept whose prompt is the key of ``record``; None for another lock, set otherwise, or another prompt."""
    cell = record.cell
    if record.status != "ok" or cell.lock.name != lock or cell.lock.explicit:
        return None
    if set(cell.key.explicit) - {"prompt", "key_choice"}:
        return None
    prompt = cell.key.explicit.get("prompt")
    return next((c for c in vocabulary.CONCEPTS if prompt == vocabulary.KEY_TEMPLATE.format(c)), None)


def spearman(x: Sequence[float], y: Sequence[float], draws: int = DRAWS, seed: int = 0) -> tuple[float, float, float]:
    """ρ of at least 3 pairs, and the 95 % percentile interval of a bootstrap over pairs.

    A resample in which one side has one value only has no ρ and is drawn again.
    """
    from scipy.stats import rankdata

    a, b = np.asarray(x, float), np.asarray(y, float)

    def rho(index: NDArray[np.int64]) -> NDArray[np.float64]:
        ranks = [rankdata(side[index], axis=-1) for side in (a, b)]
        first, second = (r - r.mean(-1, keepdims=True) for r in ranks)
        norm = np.sqrt((first**2).sum(-1) * (second**2).sum(-1))
        out: NDArray[np.float64] = np.full(norm.shape, np.nan)
        return np.divide((first * second).sum(-1), norm, out=out, where=norm > 0)

    resampled = rho(np.random.default_rng(seed).integers(len(a), size=(draws, len(a))))
    resampled = resampled[~np.isnan(resampled)]
    whole = float(rho(np.arange(len(a))))
    if not len(resampled):
        return whole, float("nan"), float("nan")
    low, high = np.quantile(resampled, (0.025, 0.975))
    return whole, float(low), float(high)


def correlations(found: Sequence[Prompt]) -> list[Correlation]:
    """Every pair of `PAIRS` over the prompts of each place, all of them and without photo adjustments."""
    out = []
    for place in dict.fromkeys(p.place for p in found):
        own = [p for p in found if p.place == place]
        for over, members in (("all", own), ("styles and objects", [p for p in own if p.group != "photo adjustment"])):
            for y, x in PAIRS:
                pairs = [(COLUMNS[x](p), COLUMNS[y](p)) for p in members]
                both = [(a, b) for a, b in pairs if a is not None and b is not None]
                if len(both) >= FEWEST:
                    rho, low, high = spearman([a for a, _ in both], [b for _, b in both])
                    if not np.isnan(rho):
                        out.append(Correlation(place, over, y, x, len(both), *(round(v, 3) for v in (rho, low, high))))
    return out


def groups(found: Sequence[Prompt]) -> list[dict[str, object]]:
    """Means of each place and group, ours and printed over the same prompts, percent, and the PSNR of edits in dB."""
    out: list[dict[str, object]] = []
    for place in dict.fromkeys(p.place for p in found):
        for group in GROUPS:
            own = [p for p in found if (p.place, p.group) == (place, group)]
            if own:
                means = {name: _mean([COLUMNS[name](p) for p in own]) for name in list(COLUMNS)[:4]}
                sizes = {f"dB {part}": _mean([_of_size(part)(p) for p in own]) for part in PARTS}
                out.append({"place": place, "group": group, "prompts": len(own), **means, **sizes})
    return out


def _mean(values: Sequence[float | None]) -> float | None:
    mean = mean_of(values)
    return None if mean is None else round(mean, 1)


def markdown(found: Sequence[Prompt], sizes: Sequence[EditSize] = ()) -> str:
    """The study as Markdown: sizes of edits, means of groups, correlations, and a line for each prompt."""
    fall = [[*line[:3], *map(_text, line[3:])] for line in by_group(sizes)]
    where = ("data", "group", "prompts", "dB whole", "dB inside", "dB outside")
    numbers = (*list(COLUMNS)[:4], *(f"dB {part}" for part in PARTS))
    rows = [[g["place"], g["group"], g["prompts"], *(_text(g[name]) for name in numbers)] for g in groups(found)]
    heads = ("data", "group", "prompts", *numbers)
    parts = ["## Where edits fall", markdown_table(where, fall, "llrrrr")] if fall else []
    parts += ["## By group", markdown_table(heads, rows, "llr" + "r" * len(numbers))]
    parts.append("## Rank correlations over prompts")
    lines = [[c.place, c.over, c.y, c.x, c.n, f"{c.rho:.2f} [{c.low:.2f}, {c.high:.2f}]"] for c in correlations(found)]
    parts.append(markdown_table(("data", "prompts", "of", "with", "n", "Spearman's ρ"), lines, "llllrr"))
    columns = (
        "data", "group", "prompt", "seeds", "UP", "LP", "victim", "printed UP", "printed LP", "dB", "inside", "outside",
        "CLIP, images", "CLIP, names",
    )  # fmt: skip
    each = []
    for p in found:
        s = p.size
        own = (None,) * 5 if s is None else (s.whole, s.inside, s.outside, s.images, s.classes)
        values = [_text(v) for v in (p.UP, p.LP, p.victim, p.printed_UP, p.printed_LP, *own[:3])]
        each.append([p.place, p.group, p.concept, p.seeds, *values, *(_text(v, 2) for v in own[3:])])
    return "\n\n".join([*parts, "## Each prompt", markdown_table(columns, each, "lll" + "r" * 11)])


def _text(value: object, digits: int = 1) -> str:
    return "—" if value is None else f"{value:.{digits}f}"


def advice(found: Sequence[Prompt]) -> list[str]:
    """What a chooser of keys is to know, in words: means of each group, and what LP goes with beyond chance.

    A correlation counts only where its interval leaves out zero without photo adjustments as well: these lock so badly
    that whatever tells them from the rest would seem to predict LP.
    """
    out = []
    for place in dict.fromkeys(p.place for p in found):
        own = [p for p in found if p.place == place]
        means = [f"{g['group']}s {g['LP']:.0f} (UP {g['UP']:.0f})" for g in groups(own)]
        seeds = sorted({p.seeds for p in own})
        spread = "–".join(map(str, dict.fromkeys((seeds[0], seeds[-1]))))
        out.append(f"{place}: mean LP of {', '.join(means)}; {len(own)} prompts, seeds: {spread}")
        lines = {(c.x, c.over): c for c in correlations(own) if c.y == "LP" and c.low * c.high > 0}
        for x in list(COLUMNS)[4:]:
            c = lines.get((x, "styles and objects"))
            if c is not None and (x, "all") in lines:
                way = "rises" if c.rho > 0 else "falls"
                rho = f"Spearman's ρ {c.rho:.2f} [{c.low:.2f}, {c.high:.2f}] over {c.n} styles and objects"
                out.append(f"{place}: LP {way} with {x}: {rho}")
    return out
