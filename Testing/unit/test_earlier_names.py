"""Programs that were written for version 0.2 find the library's main names where they were."""

from importlib import import_module

import pytest


@pytest.mark.parametrize(
    ("module", "names"),
    [
        ("model", ("find_model", "list_models", "load_model", "save_model")),
        ("model_description", ("ModelDescription",)),
        ("network", ("DenseNetwork", "NetworkDescription")),
        ("onnx_export", ("export_onnx", "run_onnx")),
        ("volume", ("Volume", "read_ct", "read_on_grid", "write_volume")),
        ("case", ("segment_case",)),
    ],
)
def test_a_name_of_version_0_2_is_still_there(module, names):
    old = import_module(f"DRAMLesionLib.{module}")
    for name in names:
        assert getattr(old, name).__module__.startswith("DRAMLesionLib.")
