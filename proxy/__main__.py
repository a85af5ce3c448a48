"""`python -m proxy`: the same as `strangler`."""

from proxy.cli.main import main

main(prog_name="strangler")
