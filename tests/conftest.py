"""Shapes are checked here and only here: under pytest every jaxtyping annotation of these rooms is enforced by beartype."""

from __future__ import annotations

import os

if "PYTEST_XDIST_WORKER" in os.environ:  # a process a core: more threads would only wait for each other
    os.environ.setdefault("OMP_NUM_THREADS", "1")  # before torch is imported, which reads it once
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")  # nor do threads that wait take the core from those that work

import hypothesis
import jaxtyping
import torch

collect_ignore = ["watched.py"]  # a program, which notes all that its process does

CHECKED = ("core", "decoding", "generators", "objectives", "nn")
jaxtyping.install_import_hook([f"genrec.{room}" for room in CHECKED], "beartype.beartype")

# precision=auto is fp32 here whatever the processor can, so that no figure depends on the machine; bf16 is asked for by name.
torch.cpu._is_avx512_bf16_supported = torch.cpu._is_amx_tile_supported = lambda: False

if "PYTEST_XDIST_WORKER" in os.environ and "OMP_NUM_THREADS" in os.environ:
    torch.set_num_threads(int(os.environ["OMP_NUM_THREADS"]))  # also where a plug-in of pytest had imported torch already

# No deadline: a busy machine is no error. The same examples every time: a failure must not depend on the day.
hypothesis.settings.register_profile("genrec", deadline=None, derandomize=True, max_examples=30)
hypothesis.settings.load_profile("genrec")
