from __future__ import annotations

import platform
import subprocess
import sys

import pytest

FAULTS = """
import resource
import torch
from genrec.engine.machine import keep_freed_memory
if {kept}:
    assert keep_freed_memory()
for _ in range(20):
    torch.zeros(2**24)  # 64 MiB, which malloc otherwise asks the system for, every time
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt)
"""


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="another malloc")
def test_large_blocks_are_used_again() -> None:
    def faults(kept: bool) -> int:
        run = subprocess.run([sys.executable, "-c", FAULTS.format(kept=kept)], capture_output=True, text=True, check=True)
        return int(run.stdout)

    assert faults(True) < faults(False) - 100_000  # pages of 4 KiB: 20 x 16,384 without it
