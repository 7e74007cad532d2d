"""``python -m genrec``."""

from genrec.cli import main

raise SystemExit(main())
