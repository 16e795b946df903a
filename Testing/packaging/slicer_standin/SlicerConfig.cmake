# A stand-in for the build tree of 3D Slicer: `cmake -DSlicer_DIR=<this folder>` configures the extension with it.
# It defines the few names that the extension's CMakeLists use, with Slicer's spelling and arguments.
# Slicer_STANDIN_PYTHON is the interpreter that compiles the scripts and runs the tests.

set(Slicer_VERSION "5.12")
set(Slicer_REVISION "0")
set(Slicer_USE_PYTHONQT ON)
set(Slicer_QTSCRIPTEDMODULES_LIB_DIR "lib/Slicer-${Slicer_VERSION}/qt-scripted-modules")
set(Slicer_INSTALL_QTSCRIPTEDMODULES_LIB_DIR "${Slicer_QTSCRIPTEDMODULES_LIB_DIR}")
set(Slicer_SHARE_DIR "share/Slicer-${Slicer_VERSION}")

set(Slicer_STANDIN_DIR "${CMAKE_CURRENT_LIST_DIR}")
set(Slicer_USE_FILE "${CMAKE_CURRENT_LIST_DIR}/UseSlicer.cmake")
set(Slicer_EXTENSION_GENERATE_CONFIG "${CMAKE_CURRENT_LIST_DIR}/ExtensionConfig.cmake")
set(Slicer_EXTENSION_CPACK "${CMAKE_CURRENT_LIST_DIR}/ExtensionCPack.cmake")
