from __future__ import annotations

import subprocess
import sys

import nas


def test_all_is_sorted_and_every_name_loads_with_a_docstring() -> None:
    assert nas.__all__ == sorted(nas.__all__) == sorted(nas._HOMES)
    for name in nas.__all__:
        assert getattr(nas, name).__doc__, name
    assert dir(nas) == nas.__all__


def test_unknown_names_are_refused() -> None:
    assert not hasattr(nas, "nonsense")


def test_the_package_is_the_command() -> None:
    said = subprocess.run([sys.executable, "-m", "nas", "cost", "nonsense"], capture_output=True, text=True)
    assert (said.returncode, said.stdout) == (2, "")
    assert said.stderr.startswith("nas: unknown preset or space 'nonsense'") and said.stderr.count("\n") == 1
