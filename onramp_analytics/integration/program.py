"""Pin the program that users install: a version on the package index, or a wheel in the checkout."""

from __future__ import annotations

import email
import hashlib
import io
import re
import zipfile
from dataclasses import asdict, dataclass, fields
from pathlib import Path

from onramp_analytics.errors import CouldNot
from onramp_analytics.integration.tree import LIMIT

FOLDER = "make.d"
_SPEC = re.compile(r"onramp-analytics==([A-Za-z0-9.!+]+)")
_WHEEL = re.compile(r"onramp_analytics-([A-Za-z0-9.!+_]+)-py3-none-any\.whl")
_VALUE = "[A-Za-z0-9._=<>!~,+-]*"


@dataclass(frozen=True, slots=True)
class Program:
    """The four assignments at the top of `make.d/analytics.sh`.

    Attributes:
        package: a requirement like `onramp-analytics==0.2.0`; empty if there is a wheel.
        wheel: the name of the wheel in `make.d/`; empty if there is a package.
        sha256: the hash of that wheel.
        version: the version that the checkout wants.
    """

    package: str = ""
    wheel: str = ""
    sha256: str = ""
    version: str = ""

    @property
    def path(self) -> str:
        """The path of the wheel in the checkout; empty if there is none."""
        return f"{FOLDER}/{self.wheel}" if self.wheel else ""

    def __str__(self) -> str:
        return self.package or self.path

    def fill(self, script: str) -> str:
        """Return `analytics.sh` with these assignments in place of its empty ones."""
        for name, value in asdict(self).items():
            script = re.sub(rf"^{name}=''$", f"{name}='{value}'", script, count=1, flags=re.MULTILINE)
        return script


def parse(script: str | None) -> Program:
    """Return the program that `analytics.sh` names; an empty one if it names none."""
    values = {}
    for field in fields(Program):
        found = re.search(rf"^{field.name}='({_VALUE})'$", script or "", re.MULTILINE)
        values[field.name] = found[1] if found else ""
    return Program(**values)


def pinned(spec: str) -> Program:
    """Return the program that `--package SPEC` names.

    Raises:
        CouldNot: it is not one version of this package.
    """
    found = _SPEC.fullmatch(spec)
    if not found:
        raise CouldNot("--package must name one version, for example, onramp-analytics==0.2.0")
    return Program(package=spec, version=found[1])


def bundled(path: Path) -> tuple[Program, bytes]:
    """Return the program that `--wheel FILE` names, and the content of the file.

    Raises:
        CouldNot: it is not a wheel of this package.
    """
    found = _WHEEL.fullmatch(path.name)
    if not found:
        raise CouldNot(f"--wheel: {path.name} must keep its name, onramp_analytics-VERSION-py3-none-any.whl")
    try:
        with path.open("rb") as file:
            content = file.read(LIMIT + 1)
        with zipfile.ZipFile(io.BytesIO(content)) as wheel:
            metadata = email.message_from_bytes(wheel.read(f"onramp_analytics-{found[1]}.dist-info/METADATA"))
    except (OSError, KeyError, zipfile.BadZipFile) as error:
        raise CouldNot(f"--wheel: {path} is not a wheel of onramp-analytics ({error}): run make build") from None
    if metadata["Name"] != "onramp-analytics" or len(content) > LIMIT:
        raise CouldNot(f"--wheel: {path} is not a wheel of onramp-analytics: run make build")
    return Program(wheel=path.name, sha256=hashlib.sha256(content).hexdigest(), version=found[1]), content


def is_the_wheel(program: Program, content: bytes | None) -> bool:
    """Return whether a file is the wheel that `install` wrote."""
    return content is not None and hashlib.sha256(content).hexdigest() == program.sha256
