"""The emulation reports what would hang or corrupt memory on a device."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

from tests.normlib.csrc_cuda import emulated

PROGRAM = """
#include <cstdio>
#include <cooperative_groups.h>

namespace normlib::cuda {
extern __thread unsigned char shared_bytes[];
}
using normlib::cuda::shared_bytes;

void barrier_for_some() { if (threadIdx.x < 32) __syncthreads(); }
void shuffle_for_some() { if (threadIdx.x != 3) __shfl_xor_sync(0xffffffffu, 1.0f, 1); }
void beyond_shared_memory() { shared_bytes[64] = 1; }
void grid_barrier_for_some() {
  if (blockIdx.x == 0) cooperative_groups::this_grid().sync();
}
void sum() {
  float value = threadIdx.x;
  for (int lanes = 1; lanes < 32; lanes *= 2) value += __shfl_xor_sync(0xffffffffu, value, lanes);
  reinterpret_cast<float*>(shared_bytes)[threadIdx.x / 32] = value;
  __syncthreads();
  cooperative_groups::this_grid().sync();
  const float expected = 496 + 1024 * (threadIdx.x % 2);
  if (reinterpret_cast<float*>(shared_bytes)[threadIdx.x % 2] != expected) shared_bytes[64] = 1;
}

int main() {
  using emulation::run;
  for (auto kernel : {sum, barrier_for_some, shuffle_for_some, beyond_shared_memory,
                      grid_barrier_for_some}) {
    const char* error = run({2, 64, 64, true}, kernel);
    std::puts(error == nullptr ? "fine" : error);
  }
}
"""


def test_faults(tmp_path: Path) -> None:
    if shutil.which(emulated.COMPILER) is None:
        pytest.skip(f"{emulated.COMPILER} is missing")
    program = tmp_path / "faults"
    sources = [str(emulated.HOST / name) for name in ("emulation.cc", "fiber.cc")]
    subprocess.run(
        [
            *(emulated.COMPILER, "-std=c++17", "-pthread", f"-I{emulated.HOST}"),
            *("-x", "c++", "-", *sources, "-o", str(program)),
        ],
        input=PROGRAM,
        text=True,
        check=True,
    )
    output = subprocess.run([program], stdout=subprocess.PIPE, text=True, check=True).stdout
    waiting = "threads wait for others that never come"
    assert output.splitlines() == [
        "fine",
        waiting,
        waiting,
        "a block wrote beyond its shared memory",
        waiting,
    ]
