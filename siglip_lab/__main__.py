"""`python -m siglip_lab` is the command `siglip-lab`."""

import sys

from siglip_lab.cli import main

sys.exit(main())
