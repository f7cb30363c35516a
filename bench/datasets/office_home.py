"""``office-home:PART``: four domains of 65 classes, as folders that the user unpacked.

The authors give no split: the suite's own is used. The archive is behind a form, so that nothing fetches it.
"""

from __future__ import annotations

from bench.contracts import DataSource
from bench.datasets import _parts
from bench.datasets.base import Dataset

CLASSES = (
    "Alarm_Clock", "Backpack", "Batteries", "Bed", "Bike", "Bottle", "Bucket", "Calculator", "Calendar", "Candles",
    "Chair", "Clipboards", "Computer", "Couch", "Curtains", "Desk_Lamp", "Drill", "Eraser", "Exit_Sign", "Fan",
    "File_Cabinet", "Flipflops", "Flowers", "Folder", "Fork", "Glasses", "Hammer", "Helmet", "Kettle", "Keyboard",
    "Knives", "Lamp_Shade", "Laptop", "Marker", "Monitor", "Mop", "Mouse", "Mug", "Notebook", "Oven", "Pan",
    "Paper_Clip", "Pen", "Pencil", "Postit_Notes", "Printer", "Push_Pin", "Radio", "Refrigerator", "Ruler",
    "Scissors", "Screwdriver", "Shelf", "Sink", "Sneakers", "Soda", "Speaker", "Spoon", "TV", "Table", "Telephone",
    "ToothBrush", "Toys", "Trash_Can", "Webcam",
)  # fmt: skip
"""The folders of each domain, in the order of code points."""


class OfficeHome(DataSource):
    """Art, clip art, products and photographs of things at home (Office-Home), put here by you, 65 classes."""

    title = "Office-Home"
    paper = "Venkateswara et al., Deep Hashing Network for Unsupervised Domain Adaptation, CVPR 2017"
    licence = "non-commercial research, by fair use"
    archives = {"https://www.hemanthdv.org/officeHomeDataset.html": (None, "")}
    parts = {
        "Art": (2427, ("office-home/Art", "office-home/OfficeHomeDataset_10072016/Art")),
        "Clipart": (4365, ("office-home/Clipart", "office-home/OfficeHomeDataset_10072016/Clipart")),
        "Product": (4439, ("office-home/Product", "office-home/OfficeHomeDataset_10072016/Product")),
        "RealWorld": (
            4357,
            ("office-home/Real World", "office-home/RealWorld", "office-home/OfficeHomeDataset_10072016/Real World"),
        ),
    }
    remedy = (
        "Fetch OfficeHomeDataset_10072016.zip from its page, and unpack it into the folder office-home of the data."
    )

    def load(self, size: int, generator_seed: int, skip_bad: bool) -> Dataset:
        return _parts.build("office-home", self.part, CLASSES, size, {}, self.progress)
