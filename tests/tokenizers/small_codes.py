"""The catalogues of ``genrec.testing``, for the tests here."""

from genrec.testing.catalogues import clustered as clustered
from genrec.testing.catalogues import like_items_together as like_items_together
from genrec.testing.catalogues import make_context as make_context
from genrec.testing.catalogues import make_inputs as make_inputs
from genrec.testing.catalogues import some as some
