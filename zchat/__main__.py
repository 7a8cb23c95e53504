"""Run the `zchat` command as `python -m zchat`."""

from zchat.cli.main import main

if __name__ == "__main__":
    main()
