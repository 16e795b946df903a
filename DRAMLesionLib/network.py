"""The dRAM network, under the name that programs of version 0.1 and 0.2 import."""

from DRAMLesionLib.lesions.networks.description import NetworkDescription
from DRAMLesionLib.lesions.networks.dram_network import DenseNetwork

__all__ = ["DenseNetwork", "NetworkDescription"]
