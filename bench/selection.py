"""Selection rules: how an attack chooses what it hands back. No torch here.

The name of a rule stands in records and tables. A rule that lets the judge choose is a privilege: of controls, or of
rows that are marked.
"""

from __future__ import annotations

from dataclasses import dataclass

from bench.errors import UserError


@dataclass(frozen=True)
class SelectionRule:
    """A rule by which one of an attack's candidates is chosen.

    Args:
        name: as it stands in records and tables.
        words: the rule in one line.
        by_judge: the judge chooses among the submissions on judge-validation images.
        peeks: the choice uses labels that no attacker has; the row is marked.
    """

    name: str
    words: str
    by_judge: bool = False
    peeks: bool = False


RULES: dict[str, SelectionRule] = {
    rule.name: rule
    for rule in (
        SelectionRule("last", "the model after the last step"),
        SelectionRule("none", "nothing is chosen"),
        SelectionRule("mutual-information", "highest mutual information of answers to the attacker's images; no label"),
        SelectionRule("own-labels", "most accurate on labelled images of the attacker's own"),
        SelectionRule(
            "own-labels-or-mutual-information",
            "most accurate on the attacker's labelled images; without labels, highest mutual information",
        ),
        SelectionRule("held-out", "most accurate on labelled images that the attacker holds out"),
        SelectionRule("leave-one-out", "least error of leave-one-out on the attacker's labelled images"),
        SelectionRule("source-validation", "most accurate on authorised images that the attacker holds out"),
        SelectionRule("label-free", "highest mutual information of answers to the attacker's images; no label"),
        SelectionRule("own-scorer", "the attack's own score on the attacker's images"),
        SelectionRule("judge-validation", "the judge, on judge-validation images", by_judge=True),
        SelectionRule(
            "oracle", "the judge, on judge-validation images: labels no attacker has", by_judge=True, peeks=True
        ),
    )
}


def rule(declared: str | tuple[str, str] | list[str]) -> SelectionRule:
    """The rule that an attack declares: a name of `RULES`, or a name and a sentence of its own.

    Raises:
        UserError: a bare name that is no rule, or a rule of one's own that takes the name of another.
    """
    if not isinstance(declared, str):
        name, words = declared
        if name in RULES:
            raise UserError(f"the selection rule '{name}' has words already.", "Give your own rule another name.")
        return SelectionRule(name, words)
    if declared not in RULES:
        raise UserError(
            f"no selection rule '{declared}'.",
            f"Rules: {', '.join(RULES)}; or declare your own as a pair: a name and a sentence.",
        )
    return RULES[declared]
