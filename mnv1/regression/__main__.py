"""`python -m mnv1.regression BASE [HEAD] --suite FILE.py`"""

from mnv1.base import console
from mnv1.regression import command

main = console.command(failed=2)(command.main)

if __name__ == "__main__":
    console.run(main)
