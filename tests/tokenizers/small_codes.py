"""The catalogues of ``genrec.testing``, for the tests here."""

from genrec.testing.worlds import clustered as clustered
from genrec.testing.worlds import like_items_together as like_items_together
from genrec.testing.worlds import make_context as make_context
from genrec.testing.worlds import make_inputs as make_inputs
from genrec.testing.worlds import some as some
