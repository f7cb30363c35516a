"""A SLURM of one node in a folder of a test: its own munge, controller and daemon, started and ended by the test."""

from __future__ import annotations

import os
import secrets
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

PROGRAMS = ("munged", "slurmctld", "slurmd", "sbatch", "srun", "squeue", "scancel")
CONFIG = """ClusterName=lockbench
SlurmctldHost={host}(127.0.0.1)
SlurmctldPort={ports[0]}
SlurmdPort={ports[1]}
AuthType=auth/munge
AuthInfo=socket={folder}/munge.socket
CredType=cred/munge
SlurmUser={user}
SlurmdUser={user}
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/spool
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/slurmd.pid
SlurmctldLogFile={folder}/slurmctld.log
SlurmdLogFile={folder}/slurmd.log
SlurmdParameters=config_overrides
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
SwitchType=switch/none
MpiDefault=none
JobAcctGatherType=jobacct_gather/none
AccountingStorageType=accounting_storage/none
SelectType=select/cons_tres
SelectTypeParameters=CR_CPU
ReturnToService=2
SlurmctldTimeout=30
SlurmdTimeout=60
MinJobAge=5
KillWait=2
NodeName={host} NodeAddr=127.0.0.1 CPUs={cpus} RealMemory=2000 State=UNKNOWN
PartitionName=all Nodes={host} Default=YES MaxTime=INFINITE State=UP
"""


def missing() -> list[str]:
    """The programs that are not installed, or cannot be used: SLURM's daemons run as root here."""
    absent = [name for name in PROGRAMS if _program(name) is None]
    return absent or ([] if os.getuid() == 0 else ["root"])


@contextmanager
def slurm(folder: Path, cpus: int = 2) -> Iterator[dict[str, str]]:
    """A running SLURM; the environment in which its commands find it."""
    host = socket.gethostname().partition(".")[0]
    key = folder / "munge.key"
    key.write_bytes(secrets.token_bytes(128))
    key.chmod(0o600)
    config = folder / "slurm.conf"
    config.write_text(CONFIG.format(host=host, folder=folder, ports=_ports(2), user="root", cpus=cpus))
    for name in ("state", "spool"):
        (folder / name).mkdir()
    environment = {**os.environ, "SLURM_CONF": str(config)}
    started: list[subprocess.Popen[bytes]] = []
    munge = ["--foreground", "--force", f"--key-file={key}", f"--socket={folder}/munge.socket"]
    munge += [f"--pid-file={folder}/munge.pid", f"--log-file={folder}/munge.log", f"--seed-file={folder}/munge.seed"]
    try:
        started.append(_start(["munged", *munge], environment, folder))
        _wait(lambda: (folder / "munge.socket").exists(), folder)
        started.append(_start(["slurmctld", "-D", "-f", str(config)], environment, folder))
        started.append(_start(["slurmd", "-D", "-f", str(config), "-N", host], environment, folder))
        _wait(lambda: "idle" in _ask(["sinfo", "--noheader", "--format=%T"], environment), folder)
        yield environment
        _ask(["scancel", "--user=root"], environment)
        _wait(lambda: not _ask(["squeue", "--noheader"], environment).strip(), folder)
    finally:
        for process in reversed(started):
            process.terminate()
            try:
                process.wait(20)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


def _program(name: str) -> str | None:
    return shutil.which(name, path=f"{os.environ.get('PATH', '')}:/usr/sbin:/sbin")


def _start(command: list[str], environment: dict[str, str], folder: Path) -> subprocess.Popen[bytes]:
    program = _program(command[0])
    assert program is not None
    out = (folder / f"{command[0]}.out").open("wb")
    return subprocess.Popen([program, *command[1:]], env=environment, stdout=out, stderr=out, stdin=subprocess.DEVNULL)


def _ask(command: list[str], environment: dict[str, str]) -> str:
    return subprocess.run(command, env=environment, capture_output=True, text=True, timeout=30, check=False).stdout


def _wait(condition, folder: Path, seconds: float = 90.0) -> None:  # type: ignore[no-untyped-def]
    end = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > end:
            logs = "\n".join(f"{f.name}: {f.read_text(errors='replace')[-800:]}" for f in folder.glob("*.[lo][ou][gt]"))
            raise TimeoutError(f"SLURM did not start\n{logs}")
        time.sleep(0.2)


def _ports(count: int) -> list[int]:
    open_ones = [socket.socket() for _ in range(count)]
    for each in open_ones:
        each.bind(("127.0.0.1", 0))
    ports = [each.getsockname()[1] for each in open_ones]
    for each in open_ones:
        each.close()
    return ports
