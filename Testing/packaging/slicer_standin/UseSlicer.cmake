# What `include(${Slicer_USE_FILE})` gives an extension: its name, testing, and the macros for scripted modules.

if(NOT DEFINED EXTENSION_NAME)
  set(EXTENSION_NAME ${PROJECT_NAME})
endif()
if(NOT Slicer_STANDIN_PYTHON)
  message(FATAL_ERROR "Slicer_STANDIN_PYTHON is not set: give the Python interpreter")
endif()
include(CTest)
include(${CMAKE_CURRENT_LIST_DIR}/ScriptedModule.cmake)
include(${CMAKE_CURRENT_LIST_DIR}/PythonTesting.cmake)
