"""What a run took: measured of this process, summed over the starts of a run."""

import json
import resource
import subprocess
import sys
from types import SimpleNamespace

import pytest

from seal import usage
from seal.errors import UserError
from seal.records import append_jsonl
from seal.usage import Usage, measure_usage, read_usage, total_usage


def note(folder, **values):
    append_jsonl(folder / "metrics.jsonl", {"time": 1.0, "part": "run", **values})


@pytest.fixture
def peaks(monkeypatch):
    """ru_maxrss of this process and of its children, to be set by a test."""
    found = {resource.RUSAGE_SELF: 0, resource.RUSAGE_CHILDREN: 0}
    monkeypatch.setattr(
        usage.resource, "getrusage", lambda who: SimpleNamespace(ru_maxrss=found[who])
    )
    return found


@pytest.mark.parametrize(("own", "of_children"), [(3000, 2000), (2000, 3000)])
def test_memory_is_of_the_larger_of_process_and_children(own, of_children, peaks, monkeypatch):
    monkeypatch.setattr(usage, "_RSS_UNIT", 1024)
    peaks |= {resource.RUSAGE_SELF: own, resource.RUSAGE_CHILDREN: of_children}
    assert measure_usage(1.23456) == Usage(1.235, 3.1, measure_usage(0).peak_gpu_memory_mb)


def test_units_of_memory():
    """A process that filled 300 MB says about so, whatever unit its system counts in."""
    code = """
from seal.usage import measure_usage
filled = b"x" * 300_000_000
print(measure_usage(0).peak_memory_mb)
"""
    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    # Linux lets a process start with the peak of the one that started it, which may be gigabytes
    assert 300 < float(ended.stdout) < 30_000


def fake_torch(monkeypatch, initialized, peaks=()):
    cuda = SimpleNamespace(
        is_initialized=lambda: initialized,
        device_count=lambda: len(peaks),
        max_memory_allocated=lambda device: peaks[device],
    )
    monkeypatch.setitem(sys.modules, "torch", SimpleNamespace(cuda=cuda))


def test_a_gpus_memory_is_noted_where_one_is_used(monkeypatch):
    fake_torch(monkeypatch, initialized=True, peaks=[2_000_000, 7_654_321])
    assert measure_usage(1).peak_gpu_memory_mb == 7.7
    fake_torch(monkeypatch, initialized=False)
    assert measure_usage(1).peak_gpu_memory_mb is None


def test_torch_is_not_imported_for_it():
    code = "import sys, seal.usage; seal.usage.measure_usage(1); sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0


def test_seconds_are_summed_and_peaks_the_largest():
    parts = [Usage(1.5, 300.0), Usage(2.0, 500.0, 40.0), Usage(0.5, 400.0, 60.0)]
    assert total_usage(parts) == Usage(4.0, 500.0, 60.0)
    assert total_usage(parts[:1]) == parts[0]
    assert total_usage([]) is None


def test_other_events_do_not_count(tmp_path):
    note(tmp_path, event="training", seconds=9.0)
    assert read_usage(tmp_path) is None
    note(tmp_path, event="usage", seconds=1.0, peak_memory_mb=200.0, peak_gpu_memory_mb=None)
    note(tmp_path, event="usage", seconds=0.5, peak_memory_mb=100.0, peak_gpu_memory_mb=None)
    assert read_usage(tmp_path) == Usage(1.5, 200.0)


def test_a_folder_without_metrics_and_a_broken_note_are_refused(tmp_path):
    with pytest.raises(UserError, match=r"metrics\.jsonl: no such file"):
        read_usage(tmp_path)
    note(tmp_path, event="usage", seconds=1.0)
    with pytest.raises(UserError, match='"peak_memory_mb": field required; remove'):
        read_usage(tmp_path)


def test_metrics_that_are_no_text_are_left_out(tmp_path):
    note(tmp_path, event="usage", seconds=1.0, peak_memory_mb=200.0, peak_gpu_memory_mb=None)
    with (tmp_path / "metrics.jsonl").open("ab") as file:
        file.write(b"\xff\xfe\0\n[1]\n")
    assert read_usage(tmp_path) == Usage(1.0, 200.0)


@pytest.mark.parametrize("seconds", ["1.0", None, True, float("nan")])
def test_a_note_of_another_type_is_refused(seconds, tmp_path):
    line = {"event": "usage", "seconds": seconds, "peak_memory_mb": 2.0}
    (tmp_path / "metrics.jsonl").write_text(json.dumps(line) + "\n")
    with pytest.raises(UserError, match=r"metrics\.jsonl: a line of usage: .*; remove that line"):
        read_usage(tmp_path)
