"""Nets for prediction in blocks of channels: machine code for whole stretches of a net.

`lowering` makes a `BlockedNet` of a graph that the passes have rewritten; `images` has the memory layout; `kinds` the
nodes that machine code does.
"""
