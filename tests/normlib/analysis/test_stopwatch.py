"""What keeps measurements of time and memory honest."""

from __future__ import annotations

import platform
import subprocess
import sys

import pytest

PAGE_FAULTS = """
import resource, sys, torch
from normlib.analysis.stopwatch import keep_freed_memory

if sys.argv[1] == "keep":
    assert keep_freed_memory()
for _ in range(20):
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    _ = [torch.ones(10_000_000) for _ in range(3)]
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="the C library is not glibc")
def test_freed_memory_is_kept():
    """Without, each of the 120 MB costs a page fault every 4 KB."""
    faults = {
        how: int(
            subprocess.run(
                [sys.executable, "-c", PAGE_FAULTS, how],
                capture_output=True,
                text=True,
                check=True,
                timeout=120,
            ).stdout
        )
        for how in ("keep", "leave")
    }
    assert faults["keep"] < 100 < faults["leave"]
