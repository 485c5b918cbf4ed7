"""One import name that stands for another: the tests say `interactiveai_eval` and get a copy of any name."""
from __future__ import annotations

import importlib
import sys
from importlib.machinery import ModuleSpec
from typing import Any


class _StandIn:
    """A finder and loader that gives, for `name` and all below it, the very modules of `real`."""

    def __init__(self, name: str, real: str) -> None:
        self._name = name
        self._real = real

    def find_spec(self, name: str, path: Any = None, target: Any = None) -> ModuleSpec | None:
        if name != self._name and not name.startswith(self._name + "."):
            return None
        real = self._real + name[len(self._name) :]
        loader: Any = self
        importlib.import_module(real)  # ModuleNotFoundError as for any module
        return ModuleSpec(name, loader, is_package=hasattr(sys.modules[real], "__path__"))

    def create_module(self, spec: ModuleSpec) -> Any:
        module = sys.modules[self._real + spec.name[len(self._name) :]]
        spec.loader_state = module.__spec__
        return module

    def exec_module(self, module: Any) -> None:
        """Give the module back what the import system has overwritten."""
        module.__spec__ = module.__spec__.loader_state


def stand_in(name: str, real: str) -> None:
    """Have `import name...` give the modules of `real...`, which must be importable."""
    importlib.import_module(real)
    if name == real:
        return
    finder: Any = _StandIn(name, real)
    sys.meta_path.insert(0, finder)
