"""`python -m shokunin` is the command `shokunin`."""

from shokunin.cli import main

if __name__ == "__main__":
    main()
