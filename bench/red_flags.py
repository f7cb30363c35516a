"""Red flags: cheap signs that a number should not be believed as it stands. One function a flag.

Each returns the flag, or None. ``docs/reference/flags.md`` explains each, and what to do about it.
"""

from __future__ import annotations

from bench.records import Flag, Measured

NO_OP, MARGIN, DROPPED, NORM, LABELS = 2.0, 2.0, 10.0, 10.0, 20.0
"""Thresholds in points."""
USELESS = 10.0
"""Points above the floor up to which a model is of no use."""
ERRORS, SHARE = 6, 0.9
"""Least errors of the victim, and the share of them that nobody gets right without knowing the labels."""


def no_op(UP: Measured, LP: Measured, victim: Measured | None, oracle: Measured | None) -> Flag | None:
    """The locked model answers as the victim does on both sides."""
    if victim is None or oracle is None:
        return None
    if abs(UP.value - victim.value) >= NO_OP or abs(LP.value - oracle.value) >= NO_OP:
        return None
    return Flag(name="lock-is-a-no-op", detail=f"UP and LP within {NO_OP:g} points of the victim")


def below_floor(LP: Measured, floor: float) -> Flag | None:
    """Wrong answers below the floor carry information about the right one."""
    if LP.value + MARGIN >= floor:
        return None
    detail = f"LP {LP.value:.1f} is below the floor {floor:.1f}: wrong answers tell the right one"
    return Flag(name="lp-below-floor", detail=detail)


def not_selective(UP: Measured, LP: Measured) -> Flag | None:
    """The rightful user gets no more than anybody."""
    if UP.value > LP.value + MARGIN:
        return None
    return Flag(name="up-not-above-lp", detail=f"UP {UP.value:.1f}, LP {LP.value:.1f}")


def opens_when_dropped(LP: Measured, LP_shipped: Measured) -> Flag | None:
    """Leaving out the extra outputs gives accuracy back."""
    if LP.value <= LP_shipped.value + DROPPED:
        return None
    detail = f"LP is {LP.value:.1f} over the real classes, {LP_shipped.value:.1f} as shipped"
    return Flag(name="opens-when-outputs-dropped", detail=detail)


def lives_in_batch_norm(LP: float, adapted: float | None) -> Flag | None:
    """Batch-norm statistics of the attacker's pool give accuracy back: ``adapted`` is LP with them, percent."""
    if adapted is None or adapted <= LP + NORM:
        return None
    detail = f"re-estimated batch-norm statistics raise LP from {LP:.1f} to {adapted:.1f}"
    return Flag(name="lives-in-batch-norm", detail=detail)


def depends_on_batch(changed: int, n: int) -> Flag | None:
    """``changed`` of ``n`` answers differ once the batch is permuted and split; one may lie on a border."""
    if changed <= 1:
        return None
    detail = f"{changed} of {n} answers changed when the batch was permuted and split"
    return Flag(name="depends-on-batch", detail=detail)


def too_good_on_labels(exact: float, near: float) -> Flag | None:
    """Much better on the very test images (``exact``, percent) than on copies moved by 2/255 (``near``)."""
    if exact <= near + LABELS:
        return None
    return Flag(name="too-good-on-labels", detail=f"{exact:.1f} on test images, {near:.1f} on copies moved by 2/255")


def right_where_the_victim_errs(right: int, errors: int, RP: Measured, oracle: Measured) -> Flag | None:
    """The predictor is right on nearly all test images that the victim gets wrong: it may know the test labels.

    A label that was looked up is right on the hardest images too, however the image is compressed or disturbed. A
    model that learnt from fewer labels than the victim errs mostly where the victim errs.

    Args:
        right: of the victim's errors, those the predictor gets right.
        errors: the victim's errors on the test images, of one data set.
        RP, oracle: the predictor and the victim on all of them.
    """
    if errors < ERRORS or right < SHARE * errors or RP.value <= oracle.value:
        return None
    return Flag(
        name="too-good-on-labels", detail=f"right on {right} of the {errors} test images that the victim errs on"
    )


def peeking_selection() -> Flag:
    """The judge chose by labels that no attacker has."""
    detail = "the judge chose among the attack's submissions by labels that no attacker has"
    return Flag(name="oracle-selection", detail=detail)


def denied(things: str) -> Flag:
    """The attack read what its threat model withholds: ``things``, or the error."""
    return Flag(name="attack-denied", detail=f"asked for {things}")
