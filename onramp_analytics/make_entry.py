"""What make starts in the background: run as a file, and so short because a file that is run is compiled every time.

python -IS make_entry.py WORD…      the words are those of `make_events.py`
"""

import posix
import sys

if __name__ == "__main__":
    posix.closerange(3, 1024)  # make's and its caller's; whoever waits for the end of one must not wait for us
    sys.path.insert(0, __file__.removesuffix("/onramp_analytics/make_entry.py"))
    from onramp_analytics import make_events

    # Not sys.exit: taking the interpreter apart is a sixth of the whole time, and nothing of ours needs it.
    posix._exit(make_events.main(sys.argv[1:]))  # noqa: SLF001  (its public name is in os, which is not imported)
