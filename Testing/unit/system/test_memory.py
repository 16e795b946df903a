"""Memory: the estimate, and the line that explains too little."""

import pytest

from DRAMLesionLib.system import memory


@pytest.mark.parametrize(
    ("size", "measured_gib"),
    [((256, 256, 150), 1.60), ((512, 512, 300), 1.91), ((512, 512, 600), 2.97)],
    ids=["small", "large", "larger"],
)
def test_the_estimate_meets_what_was_measured(size, measured_gib):
    assert memory.memory_need(size).main_gib == pytest.approx(measured_gib, rel=0.08)


def test_only_a_cuda_gpu_needs_memory_of_its_own():
    assert memory.memory_need((64, 64, 64), "cuda:0").gpu_gib > 0
    assert memory.memory_need((64, 64, 64), "mps").gpu_gib == 0
    assert memory.memory_need((64, 64, 64), "cpu").gpu_gib == 0


def test_too_little_is_one_line_with_numbers_and_a_way_out():
    line = memory.low_memory((512, 512, 600), free_gib=3.0)
    assert line is not None and "\n" not in line
    assert "512 x 512 x 600" in line and "3.1 GiB" in line and "3.0 GiB" in line and "crop" in line


def test_enough_says_nothing():
    assert memory.low_memory((512, 512, 600), free_gib=8.0) is None
    assert memory.low_memory((512, 512, 600), "cuda:0", free_gib=8.0, gpu_gib=4.0) is None


def test_a_small_gpu_points_to_the_cpu():
    line = memory.low_memory((512, 512, 300), "cuda:0", free_gib=16.0, gpu_gib=1.0)
    assert line is not None and line.startswith("cuda:0 has 1.0 GiB") and "cpu" in line


def test_memory_that_is_not_known_is_not_judged(monkeypatch):
    monkeypatch.setattr(memory, "free_memory_gib", lambda: None)
    assert memory.low_memory((512, 512, 2000)) is None


def test_free_memory_is_asked_of_the_system(monkeypatch):
    monkeypatch.setattr(memory, "free_memory_gib", lambda: 0.5)
    assert memory.low_memory((64, 64, 64)) is not None


def test_free_memory_is_less_than_all_of_it():
    from DRAMLesionLib.commands.doctor import memory_gib

    free, whole = memory.free_memory_gib(), memory_gib()
    if free is None or whole is None:
        pytest.skip("this system does not tell")
    assert 0 < free <= whole


def test_memory_in_a_devices_description():
    assert memory.device_memory_gib("NVIDIA RTX A2000, 11.6 GiB") == 11.6
    assert memory.device_memory_gib("8 cores") is None
