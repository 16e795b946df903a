"""The Segment Editor's effect "DRAM refine"; Slicer loads its file by path."""
