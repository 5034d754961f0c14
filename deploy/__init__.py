"""Running exported models: Python programs, a service and a C++ program."""
