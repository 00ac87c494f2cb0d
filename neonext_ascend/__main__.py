"""``python -m neonext_ascend``."""

from neonext_ascend.cli.main import main

if __name__ == "__main__":
    main()
