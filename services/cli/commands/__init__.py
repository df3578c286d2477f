"""One command a module, or a group of them: it parses, calls and prints."""
