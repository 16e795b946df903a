"""What can be trained: the dRAM network, the final network, and the CAM baseline."""
