"""The page of data sets, from their plugins: ``python -m tools.site.data_sets > docs/reference/data-sets.md``."""

from __future__ import annotations

import sys

from bench import datasets
from bench.datasets import alignment, facts
from bench.plugin_source import PluginInfo

HEADER = """# Data sets

`make docs` writes this page from the plugins in `bench/datasets/`. `bench show NAME` prints the same, and whether the
data are here. Everything lies in one folder: `LOCKBENCH_DATA`, else `~/.cache/lockbench`.

`bench prepare SUITE` fetches what a suite needs, and says what is missing: see
[Prepare a machine](../how-to/prepare.md).
"""
CLASSES = """## Classes of pairs

Two sets are a pair where they have the same class names. Names are matched in any order; case, hyphens and underscores
do not count. Where the literature matches others, `bench/datasets/alignment.py` has its map:

| sets | map | source |
|---|---|---|
| CIFAR-10, STL-10 | all ten: STL-10's labels in CIFAR-10's order. Its monkey counts as frog, which it is not | the \
family's code |
| CIFAR-10, STL-10, `-p task.classes=shared` | {nine}, shared by both | French et al., ICLR 2018 |
| VisDA-2017 | {visda} of both domains | its authors |
| PACS | {pacs} of every domain | its authors |

Two sets that hold the same images are refused as a pair, such as `mnist:mnist5k`. `mnist:mnist-m` is one: image by
image their splits are the same.

## Splits

The suite has splits of its own, stratified by class. Of each class 22 % are for the test, 10 % for the judge's
validation, 8 % for the defender's validation, 20 % for the attacker. The defender trains on the rest.

- Of a set that torchvision loads, the published training images are used; of Oxford-IIIT Pet both published splits.
- Where a set has `task.count`, that many images are taken, the first of each class. The defender trains on 40 %.
- Office-Home has no published split. The domains of VisDA-2017 are its training and validation folders.
- `pacs:PART` takes the images of a published list with `-p task.lists=train` or `crossval`.
"""


def page() -> str:
    """The whole page as Markdown."""
    infos = [info for info in datasets.infos() if not info.guest]
    rows = [
        f"| `{datasets.form(info).replace('|', '`, `:')}` | {_cell(info.summary)} | {known.way} | "
        f"{_cell(known.licence) or '—'} | {'—' if not known.archives else facts.size_words(known.size)} |"
        for info in infos
        for known in [facts.of(info)]
    ]
    ways = [f"- *{way}*: {meaning}." for way, meaning in facts.WAYS.items()]
    table = ["| task | what | comes | licence | size |", "|---|---|---|---|---|", *rows]
    published = [line for info in infos if facts.of(info).archives for line in _section(info)]
    classes = CLASSES.format(nine=len(alignment.NINE), visda=len(alignment.VISDA), pacs=len(alignment.PACS))
    return "\n".join([HEADER, *table, "", *ways, "", classes, "## Where they are published", "", *published])


def _section(info: PluginInfo) -> list[str]:
    known = facts.of(info)
    rows = [
        f"| <{archive.url.split(' ')[0]}> | {facts.size_words(archive.size)} | {archive.checksum or 'not stated'} |"
        for archive in known.archives
    ]
    parts = [f"`{info.name}:{part}` has {count:,} images." for part, (count, _) in info.parts.items()]
    more = " ".join([*parts, *info.deviations, known.remedy]).strip()
    head = [f"### {info.name}", "", f"{_cell(info.paper)}.", "", "| file | size | checksum |", "|---|---|---|"]
    return [*head, *rows, "", *([more, ""] if more else [])]


def _cell(text: str) -> str:
    return " ".join(text.split()).replace("|", r"\|")


if __name__ == "__main__":
    sys.stdout.write(page())
