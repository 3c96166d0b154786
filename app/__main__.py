"""`python -m longtake` is the command line."""

from longtake.cli import main

if __name__ == "__main__":
    raise SystemExit(main())
