"""Names of devices."""

from __future__ import annotations

from pathlib import Path

import torch

from normlib.analysis.hardware import device_name


def test_a_processor_has_the_name_that_the_system_gives_it():
    name = device_name("cpu")
    assert name
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.is_file() and "model name" in cpuinfo.read_text():
        assert name in cpuinfo.read_text()


def test_a_gpu_goes_first(monkeypatch):
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda device: f"a GPU, {device}")
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    assert device_name() == "a GPU, cuda"
    assert device_name("cuda:1") == "a GPU, cuda:1"
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert device_name() == device_name("cpu")
