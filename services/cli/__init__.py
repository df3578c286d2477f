"""The `faces` command. Its rooms:

commands    one verb a module: parse, call, print
options     options that several commands share, and what is made of them
formats     how rows, settings and advice are written; a registry of output formats
local       behind `faces run`: private server, plan, stages, course, progress
outdir      OUT: its lock, its record, its tree, its sidecars
sending     reading pictures here and sending them there
cluster     what only a cluster runs

Beside them `deployment` opens what a command works on, and `talk` says things to a person.
"""
