"""Contract suites for plug-ins of your own, the same that genrec's are tested with.

In a test file of your package, for pytest::

    from genrec.testing import TokenizerContract
    from my_pkg.mine import Mine

    class TestMine(TokenizerContract):
        component, settings = Mine, {"codebook_size": 16}

``settings`` are arguments of the constructor; small ones keep the tests fast. What genrec supplies (``sids``, ``trie``, ...) is
supplied. A test whose trait the plug-in does not promise is skipped, and says so.
"""

from __future__ import annotations

try:
    import pytest
except ModuleNotFoundError as error:
    line = "genrec.testing: expected the package pytest, got no such package; install it: pip install pytest"
    raise ImportError(line) from error

_ROOMS = ("baselines", "encoders", "generators", "metrics", "objectives", "strategies", "tokenizers")
pytest.register_assert_rewrite(*(f"{__name__}.{room}" for room in _ROOMS))  # so that a failed assert shows its values

from genrec.testing.baselines import BaselineContract  # noqa: E402
from genrec.testing.encoders import EncoderContract  # noqa: E402
from genrec.testing.generators import GeneratorContract  # noqa: E402
from genrec.testing.metrics import MetricContract  # noqa: E402
from genrec.testing.objectives import ObjectiveContract  # noqa: E402
from genrec.testing.strategies import DecodingContract  # noqa: E402
from genrec.testing.tokenizers import CollisionContract, TokenizerContract  # noqa: E402

__all__ = [
    "BaselineContract",
    "CollisionContract",
    "DecodingContract",
    "EncoderContract",
    "GeneratorContract",
    "MetricContract",
    "ObjectiveContract",
    "TokenizerContract",
]
