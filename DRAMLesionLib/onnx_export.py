"""The exported networks without torch, under the name that programs of version 0.1 and 0.2 import."""

from DRAMLesionLib.lesions.networks.onnx_export import export_onnx, run_onnx

__all__ = ["export_onnx", "run_onnx"]
