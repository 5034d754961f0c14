# Configures and builds in one command, from any folder:
#   cmake -P deploy/cpp/build.cmake
# Before -P: -DPython3_EXECUTABLE=… (a Python with OpenVINO; default: the checkout's .venv, else the first on the
# path), -DBUILD_DIR=… (default: build/cpp in the checkout), -DSEGMENT_WERROR=ON (warnings are errors, for tests).
cmake_minimum_required(VERSION 3.18)

get_filename_component(checkout "${CMAKE_CURRENT_LIST_DIR}/../.." ABSOLUTE)
if(NOT BUILD_DIR)
  set(BUILD_DIR "${checkout}/build/cpp")
endif()
if(NOT Python3_EXECUTABLE AND EXISTS "${checkout}/.venv/bin/python")
  set(Python3_EXECUTABLE "${checkout}/.venv/bin/python")
endif()
if(NOT SEGMENT_WERROR)
  set(SEGMENT_WERROR OFF) # CMake remembers what an earlier build had
endif()
set(options "-DSEGMENT_WERROR=${SEGMENT_WERROR}")
if(Python3_EXECUTABLE)
  list(APPEND options "-DPython3_EXECUTABLE=${Python3_EXECUTABLE}")
endif()

function(run)
  execute_process(COMMAND ${ARGN} RESULT_VARIABLE status)
  if(NOT status EQUAL 0)
    message(FATAL_ERROR "deploy/cpp was not built; the reason stands above")
  endif()
endfunction()

run("${CMAKE_COMMAND}" -S "${CMAKE_CURRENT_LIST_DIR}" -B "${BUILD_DIR}" ${options})
run("${CMAKE_COMMAND}" --build "${BUILD_DIR}" --parallel)
message(STATUS "built ${BUILD_DIR}/segment")
