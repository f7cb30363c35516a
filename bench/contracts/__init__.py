"""What a plugin author implements, and what an author is handed. Everything here stands on the ground floor.

A plugin is one class in one file: a `Lock` in ``locks/``, an `Attack` in ``attacks/``, a `KeyMethod` in
``bench/keys/``, a `DataSource` in ``bench/datasets/``, an `Architecture` in ``bench/architectures/``, an `EditorSource`
in ``bench/editors/``. Images are (N, 3, H, W) float32 in [0, 1]; labels are (N,) int64 in [0, K); K is the number of
real classes. In segmentation labels are masks (N, H, W) and outputs have a class for every pixel.
``docs/reference/contracts.md`` walks the later methods of the field through these classes.
"""

from bench.contracts.images import IGNORE, IGNORED, KINDS, Augment, Batch, EditStage, Images, NoLabels, Spec
from bench.contracts.models import Classifier, Predictor
from bench.contracts.plugins import (
    Architecture,
    Attack,
    DataSource,
    EditorSource,
    Key,
    KeyCondition,
    KeyMethod,
    Lock,
    Plugin,
)
from bench.contracts.run import Meter, Run, Submission
from bench.contracts.views import AttackerView, DefenderNeeds, DefenderView
from bench.contracts.withheld import Withheld
from bench.params import BadParameter, param
from bench.selection import SelectionRule
from bench.threat import Acceptance, AccessDenied, Budget, BudgetSpent, ThreatModel

__all__ = [
    "IGNORE",
    "IGNORED",
    "KINDS",
    "Acceptance",
    "AccessDenied",
    "Architecture",
    "Attack",
    "AttackerView",
    "Augment",
    "BadParameter",
    "Batch",
    "Budget",
    "BudgetSpent",
    "Classifier",
    "DataSource",
    "DefenderNeeds",
    "DefenderView",
    "EditStage",
    "EditorSource",
    "Images",
    "Key",
    "KeyCondition",
    "KeyMethod",
    "Lock",
    "Meter",
    "NoLabels",
    "Plugin",
    "Predictor",
    "Run",
    "SelectionRule",
    "Spec",
    "Submission",
    "ThreatModel",
    "Withheld",
    "param",
]
