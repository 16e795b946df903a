# Slicer writes <Extension>Config.cmake for extensions that build upon this one; the stand-in notes the name alone.
file(WRITE ${CMAKE_BINARY_DIR}/${EXTENSION_NAME}Config.cmake "set(EXTENSION_NAME ${EXTENSION_NAME})\n")
