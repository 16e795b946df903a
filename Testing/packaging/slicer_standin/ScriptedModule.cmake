# Copies a module's files into the build tree, compiles its scripts, and installs all that is in the build tree.

macro(slicerMacroBuildScriptedModule)
  cmake_parse_arguments(MODULE "WITH_GENERIC_TESTS;WITH_SUBDIR;VERBOSE" "NAME" "SCRIPTS;RESOURCES" ${ARGN})
  if(MODULE_UNPARSED_ARGUMENTS)
    message(FATAL_ERROR "slicerMacroBuildScriptedModule: unknown arguments: ${MODULE_UNPARSED_ARGUMENTS}")
  endif()
  if(NOT MODULE_NAME OR NOT MODULE_SCRIPTS)
    message(FATAL_ERROR "slicerMacroBuildScriptedModule: NAME and SCRIPTS are mandatory")
  endif()

  set(_module_dir ${CMAKE_BINARY_DIR}/${Slicer_QTSCRIPTEDMODULES_LIB_DIR})
  if(MODULE_WITH_SUBDIR)
    get_filename_component(_module_subdir ${CMAKE_CURRENT_SOURCE_DIR} NAME)
    string(APPEND _module_dir "/${_module_subdir}")
  endif()

  set(_module_outputs)
  foreach(_file IN LISTS MODULE_SCRIPTS MODULE_RESOURCES)
    set(_source ${_file})
    if(NOT IS_ABSOLUTE ${_file})
      set(_source ${CMAKE_CURRENT_SOURCE_DIR}/${_file})
    endif()
    if(NOT EXISTS ${_source} AND EXISTS ${_source}.py)
      string(APPEND _source ".py")
      string(APPEND _file ".py")
    endif()
    if(NOT EXISTS ${_source})
      message(FATAL_ERROR "slicerMacroBuildScriptedModule(${MODULE_NAME}): no such file: ${_file}")
    endif()
    add_custom_command(OUTPUT ${_module_dir}/${_file}
      DEPENDS ${_source}
      COMMAND ${CMAKE_COMMAND} -E copy ${_source} ${_module_dir}/${_file}
      )
    list(APPEND _module_outputs ${_module_dir}/${_file})
  endforeach()

  # Its own copy of the list: one line each, since a long command line is not possible everywhere.
  set(_compile_list ${CMAKE_CURRENT_BINARY_DIR}/${MODULE_NAME}_scripts.txt)
  list(TRANSFORM MODULE_SCRIPTS PREPEND "${_module_dir}/" OUTPUT_VARIABLE _compiled)
  list(JOIN _compiled "\n" _compiled)
  file(WRITE ${_compile_list} "${_compiled}\n")
  add_custom_command(OUTPUT ${CMAKE_CURRENT_BINARY_DIR}/${MODULE_NAME}_compiled
    DEPENDS ${_module_outputs}
    COMMAND ${Slicer_STANDIN_PYTHON} -m compileall -q -i ${_compile_list}
    COMMAND ${CMAKE_COMMAND} -E touch ${CMAKE_CURRENT_BINARY_DIR}/${MODULE_NAME}_compiled
    )
  add_custom_target(Copy${MODULE_NAME}Files ALL DEPENDS ${_module_outputs})
  add_custom_target(Compile${MODULE_NAME}Files ALL DEPENDS ${CMAKE_CURRENT_BINARY_DIR}/${MODULE_NAME}_compiled)

  install(DIRECTORY ${_module_dir}/ DESTINATION ${Slicer_INSTALL_QTSCRIPTEDMODULES_LIB_DIR}
    COMPONENT RuntimeLibraries
    )

  if(BUILD_TESTING AND MODULE_WITH_GENERIC_TESTS)
    _slicer_standin_add_test(nomainwindow_${MODULE_NAME}ModuleGenericTest ${MODULE_NAME} load)
  endif()
endmacro()
