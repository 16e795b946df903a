# A toolchain without compilers: project() looks for C and C++, and a scripted extension needs neither.
foreach(_language C CXX)
  set(CMAKE_${_language}_COMPILER ${CMAKE_COMMAND})
  set(CMAKE_${_language}_COMPILER_ID_RUN TRUE)
  set(CMAKE_${_language}_COMPILER_FORCED TRUE)
endforeach()
