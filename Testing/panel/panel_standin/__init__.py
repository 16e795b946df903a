"""A small stand-in for the 3D Slicer application, so that the panel's tests can click it.

Real: the MRML scene, its nodes and logics, ``slicer.util`` (slicer-core), Qt (PySide6). Stood in for, as far as this
panel needs it: PythonQt's ``qt`` and ``ctk`` modules, the qMRML widgets, the application object,
``ScriptedLoadableModule`` and ``parameterNodeWrapper``. What passes here has not been seen in the real application:
PythonQt's conversions, the real widgets, the layout manager and painting with the mouse are not here.
"""
