"""`python -m pseudocap` is `pseudocap`."""

from pseudocap.cli.main import entry

entry()
