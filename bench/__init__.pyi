from bench.api.audit import audit as audit
from bench.api.results import Results as Results
from bench.api.run import run as run
from bench.api.zoo import Locked as Locked
from bench.api.zoo import load_locked as load_locked
from reports.rows.dataframe import load_records as load_records

__version__: str
