"""`python -m rnncc`: the command line."""

import sys

from rnncc.tools.main import main

sys.exit(main())
