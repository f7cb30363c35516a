"""Records of every kind that a page has to show."""

from __future__ import annotations

from example_records import CURVE, N, measured, record, world

from bench.records import Condition, Flag, Measured, Record

EVIL = '<script>alert("x")</script>'
FLAGS = [Flag(name="lp-below-floor", detail="LP 2.0 is below"), Flag(name="made-up", detail='a "flag" of <no> page')]


def everything() -> list[Record]:
    """Two seeds of several locks: cheap and costly, failed, lacking controls, and one with a hostile name."""
    conditions = [
        Condition(
            kind="right", what="with oil pastel", accuracy=Measured(value=88.0, n=N, low=85, high=91), shipped=87
        ),
        Condition(kind="near", label=EVIL, what=EVIL, accuracy=Measured(value=71.25, n=200, low=65, high=77)),
    ]
    result = world((80.04, 61.23), (30.0, 24.0), LP_shipped=measured(4.25), curve=CURVE, flags=FLAGS)
    for i in (0, 1):
        result += [
            record("modellock", "none", i, RP=None, conditions=conditions),
            record("ntl", "finetune", i, RP=34.5 + i, threat={"wordlist": "none"}, curve=CURVE),
            record("map", "finetune", i, RP=100.0, UP=measured(60.0), threat={"wordlist": "none"}),
            record(EVIL, "prompt-search", i, RP=9.5, oracle=90.0, conditions=conditions, classes=[EVIL, "b"]),
        ]
    for lock in ("ntl", "map", EVIL):
        result.append(record(lock, "none", RP=None, conditions=conditions))
    result.append(record("sophon", RP=None, status="failed", error=f"it broke: {EVIL}\nand more"))
    result += [record("cuti", scenario="shapes", lock_explicit={"steps": 7})]
    for i in (0, 1):
        pair = record("ntl", "none", i, RP=None, scenario="digits:fonts")
        pair.cell.key.name = "domain"
        pair.row_key = pair.cell.row_key()
        result.append(pair)
    return result
