"""Folders that others may write into: gone through by open descriptors, and never through a link.

A path is looked up anew by every call that it is given to. Whoever may write into a folder on its
way can put a link there, or exchange what a program has just looked at. What is opened once stays
the folder that it was, so each folder is opened by its name alone in the one above it, and a link
is refused. Start with `folder.py`, which most callers need; `steps.py` is what it is made of,
`new_files.py` how files begin in it, and `paths.py` says where a path really leads.
"""
