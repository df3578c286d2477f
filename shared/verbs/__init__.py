"""What people do to a deployment: redo, retry, resend, cancel, forget, sweep.

The command line calls them, and whatever other face there may be.

A verb takes what is open already (a catalog, a producer, an object store) and gives values back. It
prints nothing, asks nobody, and repeating it does no harm.
"""
