"""Legacy programs as they stand: reading, modernising, surroundings, running, reporting.

A file becomes cells (:mod:`cells`), a cell becomes Python 3 (:mod:`magics`, :mod:`modernize`), and the cells run
one after the other in one namespace (:mod:`runner`) among what such programs expect to find: modules
(:mod:`binding`), addresses (:mod:`routes`) and files (:mod:`overlay`, :mod:`standins`). The program itself is
never edited. It runs with the rights of whoever starts it, as ``python FILE`` would: this is no sandbox.
"""
