"""Lets tox environments of different names share one virtual environment: torch is too large to install for each.

tox makes an environment anew when its folder was last used under another name. This runner (`runner = shared` in
tox.ini) leaves the name out of that comparison; changed dependencies still rebuild the environment.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from tox.plugin import impl
from tox.tox_env.api import ToxEnv
from tox.tox_env.info import Info
from tox.tox_env.python.virtual_env.runner import VirtualEnvRunner
from tox.tox_env.register import ToxEnvRegister


class _NamelessInfo(Info):
    @contextmanager
    def compare(self, value: Any, section: str, sub_section: str | None = None) -> Iterator[tuple[bool, Any | None]]:
        if section == ToxEnv.__name__ and sub_section is None:
            value = value | {"name": "shared"}
        with super().compare(value, section, sub_section) as result:
            yield result


class SharedVirtualEnvRunner(VirtualEnvRunner):
    """A virtual environment that several tox environments use in turn."""

    @staticmethod
    def id() -> str:
        """The name for tox.ini."""
        return "shared"

    @property
    def cache(self) -> Info:
        """What tox remembers of the environment, without the name of the one that made it."""
        return _NamelessInfo(self.env_dir)


@impl
def tox_register_tox_env(register: ToxEnvRegister) -> None:
    """Make the runner known to tox."""
    register.add_run_env(SharedVirtualEnvRunner)
