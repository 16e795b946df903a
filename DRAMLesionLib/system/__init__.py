"""What every other folder uses: errors of one line, whole-or-absent files, progress, memory, devices, versions.

It imports nothing of the library.
"""
