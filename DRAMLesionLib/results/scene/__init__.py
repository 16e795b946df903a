"""The Slicer scene: findings as MRML nodes, in a running Slicer or in a headless one (slicer-core)."""
