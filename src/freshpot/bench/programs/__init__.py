"""Programs that are timed: each has ``make(threads, …)``, which builds the work and returns it as a function.

They run in this process, or through ``serve.py`` under an interpreter that has an original package; so they need
nothing of freshpot, and keep to Python 3.8.
"""
