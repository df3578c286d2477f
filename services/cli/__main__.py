"""Entry point of the `faces` command: runs it, and turns its errors into one line and a status."""

import io
import os
import sys

from shared.errors import Exit, FacesError
from shared.printing import printable


def main() -> None:
    """Run the command line and leave with its exit status."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):  # a name that the locale lacks stops no list
            stream.reconfigure(errors="backslashreplace")
    sys.exit(status_of_command())


def status_of_command() -> int:
    """Run the command that `sys.argv` gives; its exit status (see `shared.errors.Exit`)."""
    try:
        from services.cli.app import app  # here, since an interrupt may come meanwhile

        app(standalone_mode=True)
    except SystemExit as leaving:
        code = leaving.code
        return code if isinstance(code, int) else int(code is not None)
    except FacesError as error:
        print(f"faces: {printable(str(error))}", file=sys.stderr)
        return int(error.exit_status)
    except KeyboardInterrupt:
        return int(Exit.INTERRUPTED)
    except BrokenPipeError:
        # Whoever read our output has seen enough; what is left unsaid must not become an error.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return int(Exit.DONE)
    return int(Exit.DONE)


if __name__ == "__main__":
    main()
