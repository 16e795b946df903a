"""Arrays that take memory where they are not 0."""

import os
from pathlib import Path

import numpy as np
import pytest

from DRAMLesionLib.images.box import copy_on_demand, zeros_on_demand

linux = pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="asks Linux")


def resident_bytes() -> int:
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


@pytest.mark.parametrize("shape", [(3, 4, 5), (64, 128, 128), (0, 4, 4)])
def test_zeros_on_demand_are_an_array_as_any_other(shape):
    array = zeros_on_demand(shape, np.float32)
    assert array.shape == shape and array.dtype == np.float32 and not array.any()
    array[..., 1] = 2
    copy = array.copy()
    del array
    assert copy.sum() == 2 * copy[..., 1].size


@linux
def test_zeros_on_demand_take_memory_where_something_was_written():
    before = resident_bytes()
    array = zeros_on_demand((64, 256, 1024), np.float32)  # 64 MiB
    assert not array.any()  # reading takes none
    array[3:7] = 1  # 4 MiB
    taken = resident_bytes() - before
    assert 4 << 20 <= taken < 16 << 20
    del array
    assert resident_bytes() - before < 4 << 20


@linux
def test_a_copy_on_demand_takes_memory_where_the_array_is_not_0():
    array = np.ones((64, 1024, 1024), np.uint8)
    array[:] = 0  # all of it in memory
    array[5:9] = 3
    before = resident_bytes()
    copy = copy_on_demand(array)
    assert resident_bytes() - before < 12 << 20
    np.testing.assert_array_equal(copy, array)
