"""A plugin for coverage, for `make cover`: it measures processes that run without `site`.

`detached.py` and the tracker that make starts run as `python -IS …`, with only the variables that they need. Coverage
cannot start in such a process. So `sys.executable` is replaced by a script that leaves out -IS and sets coverage's
variables. Coverage also saves its data before `posix` ends or replaces a process, as it does for `os`.
"""

from __future__ import annotations

import os
import posix
import shlex
import sys
from pathlib import Path
from typing import Any, NoReturn

MEASURED = Path(sys.prefix, "bin", "python-measured")
_SCRIPT = """\
#!/bin/sh
[ "$1" = -IS ] && shift
export COVERAGE_PROCESS_CONFIG={config}
unset PWD
exec {python} "$@"
"""


def coverage_init(_registry: object, _options: object) -> None:
    """Replace `sys.executable` in this process. Coverage calls this function in every process that it measures."""
    config = os.environ.get("COVERAGE_PROCESS_CONFIG")
    if config and sys.executable != str(MEASURED):
        _write(_SCRIPT.format(config=shlex.quote(config), python=shlex.quote(sys.executable)))
        sys.executable = str(MEASURED)
    posix.execve = _execve  # type: ignore[assignment]  # it takes what the real one takes
    posix._exit = _exit


def _write(script: str) -> None:
    new = MEASURED.with_name(f"{MEASURED.name}.{os.getpid()}")
    new.write_text(script)
    new.chmod(0o755)
    new.replace(MEASURED)


def _execve(*args: Any) -> NoReturn:
    os.execve(*args)


def _exit(status: int) -> NoReturn:
    os._exit(status)
