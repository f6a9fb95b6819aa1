"""The benchmarks: the same nets by freshpot and by others, side by side. ``freshpot bench`` runs them.

`suite` runs `jobs`, each of which yields `rows`; `report` writes them down. What is timed stands in `programs`,
which other interpreters can run too.
"""
