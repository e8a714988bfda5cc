"""Run the command `onramp-analytics`. `track` bypasses click, which takes longer to load than `track` takes.

make runs `from-make` if `onramp.program` does not name a faster way.
"""

import sys


def main() -> int:
    """Run the command line and return its exit status: 0 on success, 1 on failure, 2 on a usage error."""
    root, rest = None, sys.argv[1:]
    if rest[:1] == ["--root"] and len(rest) > 1:
        root, rest = rest[1], rest[2:]
    elif rest and rest[0].startswith("--root="):
        root, rest = rest[0].removeprefix("--root="), rest[1:]
    if rest[:1] == ["track"] and not {"-h", "--help"} & set(rest):
        try:
            from onramp_analytics import tracker

            status = tracker.main(root, rest[1:])
            import os  # loaded with `site`, which a console script has

            os._exit(status)  # as in make_entry.py
        except KeyboardInterrupt:  # Ctrl-C at make is normal, so it must not print a traceback
            return 130
    if rest[:1] == ["from-make"]:
        import os

        from onramp_analytics import consent, make_events
        from onramp_analytics.integration import launcher

        if consent.ask(os.environb, b".").on:  # while analytics are off, no file is written
            launcher.remember(b".")
        return make_events.main(rest[1:])
    from onramp_analytics.cli.main import main as cli

    return cli()


if __name__ == "__main__":
    sys.exit(main())
