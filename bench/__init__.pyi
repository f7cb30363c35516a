from bench.api.audit import audit as audit
from bench.api.results import Results as Results
from bench.api.run import run as run
from reports.rows.dataframe import load_records as load_records

__version__: str
