"""What the fuzzer tries: a module a target. `tests/fuzz/registry.py` names them all."""
