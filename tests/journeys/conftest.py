"""Checkouts with the integration, for each supported make and shell."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.onramp_checkout import COMMAND, INSTALLED_MAKE, OnRamp, build

#: name -> the make and the shell; together each make and each shell is there. OnRamp's hosts have make 4.3 and dash.
MACHINES = {
    "make and dash": (INSTALLED_MAKE, "dash"),
    "make and busybox": (INSTALLED_MAKE, "busybox"),
    "make 4.4 and bash": (str(COMMAND.with_name("make")), "bash"),
}


@pytest.fixture(params=MACHINES)
def use_machine(request: pytest.FixtureRequest) -> Callable[[OnRamp], None]:
    """Each machine in turn; skipped if this one lacks its make or its shell."""
    make, shell = MACHINES[request.param]
    found = shutil.which(shell)
    if not Path(make).exists() or not found:
        pytest.skip(f"this machine lacks {make} or {shell}: install the development packages, and apt install {shell}")
    return lambda onramp: onramp.use(make, found)


@pytest.fixture
def onramp(tmp_path: Path, use_machine: Callable[[OnRamp], None]) -> OnRamp:
    """An OnRamp with the drop-in, and analytics off."""
    made = build(tmp_path, os.environ, installed=True)
    use_machine(made)
    return made


@pytest.fixture
def on(onramp: OnRamp) -> OnRamp:
    """An OnRamp with the drop-in, and analytics on."""
    onramp.opt_in()
    return onramp


@pytest.fixture
def three(tmp_path: Path, use_machine: Callable[[OnRamp], None]) -> list[OnRamp]:
    """Three alike: without the drop-in, with it and off, with it and on. All at paths of the same length."""
    made = [build(tmp_path / name, os.environ, installed=name != "bare") for name in ("bare", "off_", "on__")]
    for each in made:
        use_machine(each)
    made[2].opt_in()
    return made
