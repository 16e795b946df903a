# Registers Python tests. Slicer runs them in the application, the stand-in by run_module.py beside this file.

function(_slicer_standin_add_test name module what)
  add_test(NAME py_${name}
    COMMAND ${Slicer_STANDIN_PYTHON} ${Slicer_STANDIN_DIR}/run_module.py
      ${CMAKE_BINARY_DIR}/${Slicer_QTSCRIPTEDMODULES_LIB_DIR} ${module} ${what}
    )
  set_tests_properties(py_${name} PROPERTIES TIMEOUT 1800 SKIP_RETURN_CODE 77)
endfunction()

macro(slicer_add_python_unittest)
  cmake_parse_arguments(TEST "" "TESTNAME_PREFIX;SCRIPT" "SLICER_ARGS" ${ARGN})
  if(TEST_UNPARSED_ARGUMENTS OR NOT EXISTS ${CMAKE_CURRENT_SOURCE_DIR}/${TEST_SCRIPT})
    message(FATAL_ERROR "slicer_add_python_unittest: ${TEST_SCRIPT} ${TEST_UNPARSED_ARGUMENTS}")
  endif()
  get_filename_component(_test_name ${TEST_SCRIPT} NAME_WE)
  _slicer_standin_add_test(${TEST_TESTNAME_PREFIX}${_test_name} ${_test_name} test)
endmacro()
