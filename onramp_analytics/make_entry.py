"""Run `make_events.py` for make, in the background. Short, since Python compiles a script each time it runs.

python -IS make_entry.py WORD…      the words are those of `make_events.py`
"""

import posix
import sys

if __name__ == "__main__":
    posix.closerange(3, 1024)  # make's descriptors: whoever reads them until end-of-file must not wait for us
    sys.path.insert(0, __file__.removesuffix("/onramp_analytics/make_entry.py"))
    from onramp_analytics import make_events

    # Not sys.exit: shutting down the interpreter would take a sixth of this script's run time, for nothing.
    posix._exit(make_events.main(sys.argv[1:]))  # noqa: SLF001  (its public name is in os, which is not imported)
