"""python -m dashboard.report --out DIR."""

import sys

from dashboard.report.export import main

sys.exit(main())
