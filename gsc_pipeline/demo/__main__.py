"""`python -m gsc_pipeline.demo COMMAND...` runs a command with the demonstration's settings."""

import sys

from gsc_pipeline.demo.run import run_demo, run_in_demo

if __name__ == "__main__":
    sys.exit(run_in_demo(sys.argv[1:]) if sys.argv[1:] else run_demo())
